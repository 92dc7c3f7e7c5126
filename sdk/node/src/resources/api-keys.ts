import { checkCallOptions, pathId, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { Transport } from '../transport.js';

/** What a key may do. Each resource has a wildcard; `*` is everything and has to be confirmed. */
export type Permission =
  | '*'
  | 'emails:*'
  | 'emails:send'
  | 'emails:read'
  | 'emails:delete'
  | 'domains:*'
  | 'domains:create'
  | 'domains:read'
  | 'domains:update'
  | 'domains:delete'
  | 'suppressions:*'
  | 'suppressions:read'
  | 'suppressions:write'
  | 'templates:*'
  | 'templates:read'
  | 'templates:write'
  | 'relays:*'
  | 'relays:read'
  | 'relays:write'
  | 'webhooks:*'
  | 'webhooks:create'
  | 'webhooks:read'
  | 'webhooks:update'
  | 'webhooks:delete'
  | 'api-keys:*'
  | 'api-keys:create'
  | 'api-keys:read'
  | 'api-keys:update'
  | 'api-keys:delete'
  | 'settings:*'
  | 'settings:read'
  | 'settings:write'
  | 'members:*'
  | 'members:read'
  | 'members:write'
  | (string & {});

/** Whether a key works with real mail or with data of its own that never leaves the server. */
export type KeyMode = 'live' | 'test';

/** How many requests a key may make in a period. */
export interface KeyRateLimit {
  /** 1 to 1,000,000. */
  requests: number;
  period: 'second' | 'minute' | 'hour';
}

/** What can be changed of a key. A list replaces the one before; an empty list of restrictions lifts them. */
export interface ApiKeyChange {
  name?: string | undefined;
  permissions?: Permission[] | undefined;
  /** Says that `*` in `permissions` is meant; without it the server answers `confirmation_required`. */
  allPermissions?: boolean | undefined;
  /** Sending domains that the key may use. Empty: any of the organization's. */
  domainRestrictions?: string[] | undefined;
  /** Addresses and networks that the key may be used from, IPv4 or IPv6. Empty: any. */
  ipRestrictions?: string[] | undefined;
  /** `null`: never. */
  expiresAt?: Date | string | null | undefined;
  /** `null`: the plan's limit alone. */
  rateLimit?: KeyRateLimit | null | undefined;
}

/** A key to create. Left out: it may send e-mail and nothing else. */
export interface ApiKeyDraft extends ApiKeyChange {
  /** Default: the mode of the calling key. */
  mode?: KeyMode | undefined;
  /** What the key begins with. Default `le`. */
  prefix?: 'le' | 'mp' | undefined;
}

/** A key as lists and reads show it: everything but the key itself. */
export interface ApiKey {
  id: string;
  object: 'api_key';
  name: string;
  keyPrefix: string;
  lastFour: string;
  mode: KeyMode;
  permissions: Permission[];
  domainRestrictions: string[];
  ipRestrictions: string[];
  rateLimit: KeyRateLimit | null;
  expiresAt: string | null;
  revokedAt: string | null;
  /** Id of the key that this one was rotated from. */
  replaces: string | null;
  replacedBy: string | null;
  /** When the organization wants it rotated. */
  rotationDueAt: string;
  lastUsedAt: string | null;
  lastUsedIp: string | null;
  lastUsedUserAgent: string | null;
  /** When it was found where it should not be. */
  exposedAt: string | null;
  createdAt: string;
}

/** The answer to a creation: the only one, beside that to a rotation, which shows the key. */
export interface CreatedApiKey extends ApiKey {
  key: string;
}

/** How to rotate. */
export interface Rotation {
  /** Seconds for which the old key goes on working: 0 to 2,592,000 (30 days), default 86,400 (a day). */
  overlap?: number | undefined;
  /** Name of the new key. */
  name?: string | undefined;
}

/** The new key, and until when the old one works. */
export interface RotatedApiKey extends CreatedApiKey {
  replaces: string;
  previous: { id: string; expiresAt: string; lastUsedAt: string | null };
}

/** The answer to a deletion. */
export interface DeletedApiKey {
  id: string;
  object: 'api_key';
  deleted: true;
}

/** `client.apiKeys` */
export class ApiKeys {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Creates a key that may do at most what the calling key may. Keep the answer's `key`: it is not shown again. Not
   * repeated after a lost connection: a second try would make a second key, and the first one could not be told.
   */
  async create(draft: ApiKeyDraft = {}, options: CallOptions = {}): Promise<CreatedApiKey> {
    requireObject(draft, 'apiKeys.create', 'draft');
    checkCallOptions(options, 'apiKeys.create');
    const request = { method: 'POST', path: '/v1/api-keys', body: draft, isRepeatable: false, ...options } as const;
    return (await this.#transport.request(request)) as CreatedApiKey;
  }

  /** Reads one key. */
  async get(id: string, options: CallOptions = {}): Promise<ApiKey> {
    checkCallOptions(options, 'apiKeys.get');
    const path = `/v1/api-keys/${pathId(id, 'apiKeys.get')}`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as ApiKey;
  }

  /** Reads one page of keys, newest first. */
  async list(query: PageQuery = {}, options: CallOptions = {}): Promise<Page<ApiKey>> {
    requireObject(query, 'apiKeys.list', 'query');
    checkCallOptions(options, 'apiKeys.list');
    const route = { method: 'GET', path: '/v1/api-keys', isRepeatable: true, ...options } as const;
    return readPage<ApiKey, PageQuery>((page) => this.#transport.request({ ...route, query: { ...page } }), query);
  }

  /** Walks all keys, newest first; `limit` is the size of a page. */
  iterate(query: Omit<PageQuery, 'ending_before'> = {}, options: CallOptions = {}): AsyncGenerator<ApiKey, void, undefined> {
    return iterate((page: PageQuery) => this.list(page, options), query);
  }

  /** Changes the fields that are given and leaves the others. */
  async update(id: string, change: ApiKeyChange, options: CallOptions = {}): Promise<ApiKey> {
    requireObject(change, 'apiKeys.update', 'change');
    checkCallOptions(options, 'apiKeys.update');
    const path = `/v1/api-keys/${pathId(id, 'apiKeys.update')}`;
    return (await this.#transport.request({ method: 'PATCH', path, body: change, isRepeatable: true, ...options })) as ApiKey;
  }

  /**
   * Deletes a key; it stops working at once. Not repeated after a lost connection: a second try would answer
   * `not_found`. The calling key can't delete itself (`cannot_delete_self`).
   */
  async delete(id: string, options: CallOptions = {}): Promise<DeletedApiKey> {
    checkCallOptions(options, 'apiKeys.delete');
    const path = `/v1/api-keys/${pathId(id, 'apiKeys.delete')}`;
    return (await this.#transport.request({ method: 'DELETE', path, isRepeatable: false, ...options })) as DeletedApiKey;
  }

  /**
   * Creates a key in place of another, which goes on working for `overlap` seconds. Keep the answer's `key`. Not repeated
   * after a lost connection, as a creation is not.
   */
  async rotate(id: string, rotation: Rotation = {}, options: CallOptions = {}): Promise<RotatedApiKey> {
    requireObject(rotation, 'apiKeys.rotate', 'rotation');
    checkCallOptions(options, 'apiKeys.rotate');
    const path = `/v1/api-keys/${pathId(id, 'apiKeys.rotate')}/rotate`;
    const request = { method: 'POST', path, body: rotation, isRepeatable: false, ...options } as const;
    return (await this.#transport.request(request)) as RotatedApiKey;
  }
}
