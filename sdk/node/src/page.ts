import { SealwrightError } from './errors.js';

/** One page of a list: an array of its items that also says what the server said about the whole. */
export type Page<T> = T[] & {
  readonly object: 'list';
  /** The items once more, for code that expects the wire's shape. */
  readonly data: T[];
  /** Whether there are items past this page. */
  readonly hasMore: boolean;
  /** How many items match; exact up to 10,000. */
  readonly totalCount: number;
  /** True when more match than the server counts. */
  readonly totalCountCapped: boolean;
  /** Reads the page after this one, in the direction of this one's query; `undefined` after the last. */
  nextPage(): Promise<Page<T> | undefined>;
};

/** Where in a list a page begins. */
export interface PageQuery {
  /** Items per page: 1 to 100, default 10. */
  limit?: number | undefined;
  /** Id of the item before the page. */
  starting_after?: string | undefined;
  /** Id of the item after the page. */
  ending_before?: string | undefined;
}

interface Identified {
  readonly id: string;
}

/** Reads one page with `ask`, and the pages after it when somebody wants them. */
export async function readPage<T extends Identified, Q extends PageQuery>(
  ask: (query: Q) => Promise<object>,
  query: Q,
): Promise<Page<T>> {
  const { data, hasMore, totalCount, totalCountCapped } = (await ask(query)) as Record<string, unknown>;
  if (!Array.isArray(data) || typeof hasMore !== 'boolean') {
    throw new SealwrightError('response_invalid', 'the server answered a list call without "data" and "hasMore"');
  }
  const items = data as T[];
  const nextPage = async (): Promise<Page<T> | undefined> =>
    hasMore ? await readPage<T, Q>(ask, queryAfter(query, items)) : undefined;
  // Not enumerable, so that the page prints, compares and becomes JSON as the array that it is.
  return Object.defineProperties([...items], {
    object: { value: 'list' },
    data: { value: items },
    hasMore: { value: hasMore },
    totalCount: { value: typeof totalCount === 'number' ? totalCount : items.length },
    totalCountCapped: { value: totalCountCapped === true },
    nextPage: { value: nextPage },
  }) as Page<T>;
}

/** Walks a list to its end, page by page, asking for the next page only when the loop gets there. */
export async function* iterate<T, Q extends PageQuery>(
  list: (query: Q) => Promise<Page<T>>,
  query: Q,
): AsyncGenerator<T, void, undefined> {
  if (query.ending_before !== undefined) {
    throw new SealwrightError('argument_invalid', 'iterate walks forward only; use starting_after, or list() and nextPage()', {
      param: 'ending_before',
    });
  }
  for (let page: Page<T> | undefined = await list(query); page !== undefined; page = await page.nextPage()) yield* page;
}

/** Pages stand in one order whichever way they are walked, so walking back goes on from the first item. */
function queryAfter<T extends Identified, Q extends PageQuery>(query: Q, items: readonly T[]): Q {
  const cursor = query.ending_before === undefined || query.starting_after !== undefined ? 'starting_after' : 'ending_before';
  const id = items.at(cursor === 'starting_after' ? -1 : 0)?.id;
  if (id === undefined || id === query[cursor]) {
    throw new SealwrightError('response_invalid', 'the server says there is more, but its page does not lead on');
  }
  return { ...query, [cursor]: id };
}
