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

/** Turns a list answer into a page. The extra fields are not enumerable, so that the page prints and compares as an array. */
export function toPage<T>(answer: object): Page<T> {
  const { data, hasMore, totalCount, totalCountCapped } = answer as Record<string, unknown>;
  if (!Array.isArray(data) || typeof hasMore !== 'boolean') {
    throw new SealwrightError('response_invalid', 'the server answered a list call without "data" and "hasMore"');
  }
  const items = data as T[];
  return Object.defineProperties([...items], {
    object: { value: 'list' },
    data: { value: items },
    hasMore: { value: hasMore },
    totalCount: { value: typeof totalCount === 'number' ? totalCount : items.length },
    totalCountCapped: { value: totalCountCapped === true },
  }) as Page<T>;
}

/** Walks a list to its end, page by page, asking for the next page only when the loop gets there. */
export async function* iterate<T extends { readonly id: string }, Q extends PageQuery>(
  listPage: (query: Q) => Promise<Page<T>>,
  query: Q,
): AsyncGenerator<T, void, undefined> {
  if (query.ending_before !== undefined) {
    throw new SealwrightError('argument_invalid', 'iterate walks forward only; use starting_after or list()', {
      param: 'ending_before',
    });
  }
  let cursor = query.starting_after;
  for (;;) {
    const page = await listPage({ ...query, starting_after: cursor });
    yield* page;
    if (!page.hasMore) return;
    const last = page[page.length - 1]?.id;
    if (last === undefined || last === cursor) {
      throw new SealwrightError('response_invalid', 'the server says there is more, but its page does not lead on');
    }
    cursor = last;
  }
}
