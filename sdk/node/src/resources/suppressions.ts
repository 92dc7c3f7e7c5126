import { checkCallOptions, pathId, requireList, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import { SealwrightError } from '../errors.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { Transport } from '../transport.js';

/** How an address came to be suppressed. */
export type SuppressionType = 'hard_bounces' | 'complaints' | 'unsubscribes' | 'manual';

/** An address that is not to be written to. */
export interface SuppressionDraft {
  email: string;
  /** Default `manual`. */
  type?: SuppressionType | undefined;
  /** In words of your own, up to 512 characters. */
  reason?: string | undefined;
}

/** An address that is not written to. */
export interface Suppression {
  id: string;
  object: 'suppression';
  email: string;
  type: SuppressionType;
  /** Your words, or the receiving host's. */
  reason?: string;
  /** Id of the message whose bounce or complaint it was. */
  emailId?: string;
  createdAt: string;
}

/** Whether an address is written to; `id`, `type` and `reason` are those of the suppression, if there is one. */
export interface SuppressionCheck {
  object: 'suppression_check';
  /** The address in its simplest form. */
  email: string;
  suppressed: boolean;
  id?: string;
  type?: SuppressionType;
  reason?: string;
}

/** An entry of an import that could not be read. */
export interface RefusedSuppression {
  /** Its place in the list, or among the lines after the header; 0 is the first. */
  index: number;
  param?: string;
  message: string;
}

/** What an import came to. */
export interface SuppressionImport {
  object: 'suppression_import';
  /** Addresses that were not suppressed before. */
  created: number;
  /** Addresses that were; they stay as they are. */
  existing: number;
  /** Entries that were left out. */
  refused: RefusedSuppression[];
}

/** The answer to a deletion. */
export interface DeletedSuppression {
  id: string;
  object: 'suppression';
  deleted: true;
}

/** Narrows a list of suppressions; it is walked forward only. */
export interface SuppressionQuery extends Omit<PageQuery, 'ending_before'> {
  type?: SuppressionType | undefined;
}

/** Narrows an export of suppressions. */
export interface SuppressionExportQuery {
  /** Default `json`. */
  format?: 'json' | 'csv' | undefined;
  type?: SuppressionType | undefined;
  /** Id of the suppression before the first. */
  starting_after?: string | undefined;
}

const EXPORT = '/v1/suppressions/export';
const IMPORT = '/v1/suppressions/import';

/** `client.suppressions` */
export class Suppressions {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Suppresses an address. One that is suppressed already stays as it is, and is what the answer shows. */
  async create(draft: SuppressionDraft, options: CallOptions = {}): Promise<Suppression> {
    requireObject(draft, 'suppressions.create', 'draft');
    checkCallOptions(options, 'suppressions.create');
    const request = { method: 'POST', path: '/v1/suppressions', body: draft, isRepeatable: true, ...options } as const;
    return (await this.#transport.request(request)) as Suppression;
  }

  /** Reads one suppression. */
  async get(id: string, options: CallOptions = {}): Promise<Suppression> {
    checkCallOptions(options, 'suppressions.get');
    const path = `/v1/suppressions/${pathId(id, 'suppressions.get')}`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as Suppression;
  }

  /** Tells whether an address is suppressed. */
  async check(email: string, options: CallOptions = {}): Promise<SuppressionCheck> {
    checkCallOptions(options, 'suppressions.check');
    const route = { method: 'GET', path: '/v1/suppressions/check', isRepeatable: true } as const;
    return (await this.#transport.request({ ...route, query: { email }, ...options })) as SuppressionCheck;
  }

  /** Reads one page of suppressions, newest first. */
  async list(query: SuppressionQuery = {}, options: CallOptions = {}): Promise<Page<Suppression>> {
    requireObject(query, 'suppressions.list', 'query');
    checkCallOptions(options, 'suppressions.list');
    return this.#page('/v1/suppressions', query, options);
  }

  /** Walks all suppressions that match, newest first; `limit` is the size of a page. */
  iterate(query: SuppressionQuery = {}, options: CallOptions = {}): AsyncGenerator<Suppression, void, undefined> {
    return iterate((page: SuppressionQuery) => this.list(page, options), query);
  }

  /**
   * Lets an address be written to again, by its own name or by the suppression's id. Not repeated after a lost connection:
   * a second try would answer `not_found`.
   */
  async delete(idOrEmail: string, options: CallOptions = {}): Promise<DeletedSuppression> {
    checkCallOptions(options, 'suppressions.delete');
    // No id has an @, and every address has. An address stands in the query, where it needs no other form than its own.
    const target =
      typeof idOrEmail === 'string' && idOrEmail.includes('@')
        ? { path: '/v1/suppressions', query: { email: idOrEmail } }
        : { path: `/v1/suppressions/${pathId(idOrEmail, 'suppressions.delete')}` };
    const request = { method: 'DELETE', ...target, isRepeatable: false, ...options } as const;
    return (await this.#transport.request(request)) as DeletedSuppression;
  }

  /**
   * Suppresses up to 1,000 addresses. Entries that can't be read are told in `refused`; the others are imported. After a lost
   * answer it is done again, and then counts as `existing` what the first try has made.
   */
  async import(suppressions: SuppressionDraft[], options: CallOptions = {}): Promise<SuppressionImport> {
    requireList(suppressions, 'suppressions.import', 'suppressions');
    checkCallOptions(options, 'suppressions.import');
    const request = { method: 'POST', path: IMPORT, body: { suppressions }, isRepeatable: true, ...options } as const;
    return (await this.#transport.request(request)) as SuppressionImport;
  }

  /** As `import`, from the text of a CSV file. Its first line names the columns: `email`, and perhaps `type` and `reason`. */
  async importCsv(csv: string, options: CallOptions = {}): Promise<SuppressionImport> {
    if (typeof csv !== 'string') {
      const message = "suppressions.importCsv: csv must be a string, such as readFile(path, 'utf8') gives";
      throw new SealwrightError('argument_invalid', message, { param: 'csv' });
    }
    checkCallOptions(options, 'suppressions.importCsv');
    const text = { mediaType: 'text/csv', content: csv };
    const request = { method: 'POST', path: IMPORT, text, isRepeatable: true, ...options } as const;
    return (await this.#transport.request(request)) as SuppressionImport;
  }

  /** Reads all suppressions that match, newest first: as the text of a CSV file that can be imported, or as an array. */
  async export(query: SuppressionExportQuery & { format: 'csv' }, options?: CallOptions): Promise<string>;
  async export(query?: SuppressionExportQuery & { format?: 'json' | undefined }, options?: CallOptions): Promise<Suppression[]>;
  async export(query: SuppressionExportQuery = {}, options: CallOptions = {}): Promise<string | Suppression[]> {
    requireObject(query, 'suppressions.export', 'query');
    checkCallOptions(options, 'suppressions.export');
    if (query.format === 'csv') return this.#exportCsv(query, options);
    const all: Suppression[] = [];
    for await (const each of iterate((page: SuppressionExportQuery) => this.#page(EXPORT, page, options), query)) all.push(each);
    return all;
  }

  /** Each part is a whole file, so that the names of the columns are kept once. */
  async #exportCsv(query: SuppressionExportQuery, options: CallOptions): Promise<string> {
    const call = { method: 'GET', path: EXPORT, query: { ...query }, isRepeatable: true, ...options } as const;
    let file = '';
    for await (const part of this.#transport.textParts(call, 'text/csv')) {
      file += file === '' ? part : part.slice(part.indexOf('\n') + 1);
    }
    return file;
  }

  #page(path: string, query: SuppressionQuery | SuppressionExportQuery, options: CallOptions): Promise<Page<Suppression>> {
    const route = { method: 'GET', path, isRepeatable: true, ...options } as const;
    return readPage<Suppression, typeof query>((page) => this.#transport.request({ ...route, query: { ...page } }), query);
  }
}
