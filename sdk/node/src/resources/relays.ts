import { checkCallOptions, pathId, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { Transport } from '../transport.js';

/** Whose account a relay is. */
export type RelayProvider = 'resend' | 'postmark' | 'ses' | 'sendgrid' | 'mailgun' | 'smtp';

/** How a relay does; `failing` while its provider does not take the credentials. */
export type RelayStatus = 'active' | 'failing' | 'disabled';

/** What gives power over an account. The server never answers it. */
export interface RelayCredentials {
  /** Resend, SendGrid and Mailgun. */
  apiKey?: string | null | undefined;
  /** Postmark. */
  serverToken?: string | null | undefined;
  /** SES. */
  accessKeyId?: string | null | undefined;
  /** SES. */
  secretAccessKey?: string | null | undefined;
  /** SMTP: the server's name, for which its certificate has to be valid. */
  host?: string | null | undefined;
  /** SMTP. */
  port?: number | null | undefined;
  /** SMTP: from the first octet (mostly port 465), or by STARTTLS (587). */
  tls?: 'implicit' | 'starttls' | null | undefined;
  /** SMTP. */
  username?: string | null | undefined;
  /** SMTP. */
  password?: string | null | undefined;
}

/** An account at another provider to send through. */
export interface RelayDraft {
  name: string;
  provider: RelayProvider;
  credentials: RelayCredentials;
  /** SES (`eu-central-1`) and Mailgun (`us`, `eu`) only. */
  region?: string | undefined;
  /** Which of the account's domains sends: Mailgun only. */
  sendingDomain?: string | undefined;
  /** 0 to 100; lower ones are asked first. 10 without it. */
  priority?: number | undefined;
  /** 1 to 100: the share among those of the same priority. 1 without it. */
  weight?: number | undefined;
  /** Whose mail it carries; that of all domains without it. */
  domains?: string[] | undefined;
  /** Whether it is given mail; true without it. */
  enabled?: boolean | undefined;
  /** What shows that events come from the provider. The server never answers it. */
  feedSecret?: string | undefined;
}

/** What can be changed of a relay; what is left out stays. */
export interface RelayChange {
  name?: string | undefined;
  /** Other credentials of the same account. */
  credentials?: RelayCredentials | undefined;
  priority?: number | undefined;
  weight?: number | undefined;
  /** Empty for mail of all domains. */
  domains?: string[] | undefined;
  enabled?: boolean | undefined;
  /** Another secret of its feed. */
  feedSecret?: string | undefined;
}

/** An account at another provider, without its credentials. */
export interface Relay {
  id: string;
  object: 'relay';
  name: string;
  provider: RelayProvider;
  region?: string | null;
  sendingDomain?: string | null;
  priority: number;
  weight: number;
  /** Empty when it carries mail of all domains. */
  domains: string[];
  enabled: boolean;
  status: RelayStatus;
  /** Since when its provider does not take the credentials. */
  failingSince?: string | null;
  createdAt: string;
}

/** What a trial of a relay's credentials showed. */
export interface RelayTest {
  id: string;
  object: 'relay_test';
  /** Whether the provider takes the credentials; missing when it could not say. */
  ok?: boolean | null;
  message: string;
}

/** The answer to a deletion. */
export interface DeletedRelay {
  id: string;
  object: 'relay';
  deleted: true;
}

/** Narrows a list of relays; it is walked forward only. */
export type RelayQuery = Omit<PageQuery, 'ending_before'>;

/** `client.relays` */
export class Relays {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Adds an account. Not repeated after a lost connection: a second try would add a second relay. */
  async create(draft: RelayDraft, options: CallOptions = {}): Promise<Relay> {
    requireObject(draft, 'relays.create', 'draft');
    checkCallOptions(options, 'relays.create');
    const request = { method: 'POST', path: '/v1/relays', body: draft, isRepeatable: false, ...options } as const;
    return (await this.#transport.request(request)) as Relay;
  }

  /** Reads one relay. */
  async get(id: string, options: CallOptions = {}): Promise<Relay> {
    checkCallOptions(options, 'relays.get');
    const path = `/v1/relays/${pathId(id, 'relays.get')}`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as Relay;
  }

  /** Reads one page of relays, by priority. */
  async list(query: RelayQuery = {}, options: CallOptions = {}): Promise<Page<Relay>> {
    requireObject(query, 'relays.list', 'query');
    checkCallOptions(options, 'relays.list');
    const route = { method: 'GET', path: '/v1/relays', isRepeatable: true, ...options } as const;
    return readPage<Relay, RelayQuery>((page) => this.#transport.request({ ...route, query: { ...page } }), query);
  }

  /** Walks all relays, by priority; `limit` is the size of a page. */
  iterate(query: RelayQuery = {}, options: CallOptions = {}): AsyncGenerator<Relay, void, undefined> {
    return iterate((page: RelayQuery) => this.list(page, options), query);
  }

  /** Changes a relay, its credentials too. */
  async update(id: string, change: RelayChange, options: CallOptions = {}): Promise<Relay> {
    requireObject(change, 'relays.update', 'change');
    checkCallOptions(options, 'relays.update');
    const path = `/v1/relays/${pathId(id, 'relays.update')}`;
    return (await this.#transport.request({ method: 'PATCH', path, body: change, isRepeatable: true, ...options })) as Relay;
  }

  /** Asks the provider whether it takes the credentials; nothing is sent. */
  async test(id: string, options: CallOptions = {}): Promise<RelayTest> {
    checkCallOptions(options, 'relays.test');
    const path = `/v1/relays/${pathId(id, 'relays.test')}/test`;
    return (await this.#transport.request({ method: 'POST', path, isRepeatable: true, ...options })) as RelayTest;
  }

  /**
   * Deletes a relay with its credentials; mail that only it may have taken is given up. Not repeated after a lost connection: a second
   * try would answer `not_found`.
   */
  async delete(id: string, options: CallOptions = {}): Promise<DeletedRelay> {
    checkCallOptions(options, 'relays.delete');
    const path = `/v1/relays/${pathId(id, 'relays.delete')}`;
    return (await this.#transport.request({ method: 'DELETE', path, isRepeatable: false, ...options })) as DeletedRelay;
  }
}
