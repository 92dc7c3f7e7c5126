import { checkCallOptions, pathId, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { Transport } from '../transport.js';

/** Whether a domain may send; `failed` once its key has not been in the DNS for too long. */
export type DomainStatus = 'pending' | 'verified' | 'failed';

/** The type of a record, as zone files write it. */
export type DnsRecordType = 'TXT' | 'CNAME' | 'MX';

/** What a record is for. */
export type DnsRecordPurpose = 'dkim' | 'spf' | 'dmarc' | 'return_path' | 'tracking' | 'inbound';

/** What the DNS shows of a record: what it should, nothing, or something else; `pending` until that is known. */
export type DnsRecordStatus = 'pending' | 'verified' | 'missing' | 'failed';

/** A record to publish, and what the DNS showed of it at the last look. */
export interface DnsRecord {
  type: DnsRecordType;
  host: string;
  value: string;
  /** The preference of an MX. */
  priority?: number | null;
  purpose: DnsRecordPurpose;
  /** Whether the domain can't send, or not for long, without it. */
  required: boolean;
  status: DnsRecordStatus;
  verified: boolean;
  /** What is there, if that is worth knowing. */
  found?: string[];
  /** What to do, in a sentence. */
  advice?: string | null;
}

/** Which way mail of a domain leaves: to its recipients' hosts, or through relays. */
export type DomainRoute = 'direct' | 'relay' | 'direct_then_relay' | 'relay_then_direct';

/** How mail has to travel: as well protected as the receiver allows, or only to a proven other end. */
export type TlsDemand = 'opportunistic' | 'required';

/** A domain to add. */
export interface DomainDraft {
  /** Such as `example.com` or `mail.example.com`. Subdomains count apart. */
  name: string;
  /** The server's own region; it refuses another. */
  region?: string | undefined;
  type?: 'sending' | undefined;
  /** How all its mail has to travel. */
  tls?: TlsDemand | undefined;
}

/** What can be changed of a domain; what is left out stays. */
export interface DomainChange {
  /** Whether mail bears a second signature, by Ed25519. It needs three further records. */
  ed25519?: boolean | undefined;
  /** How mail that is accepted from now on has to travel. */
  tls?: TlsDemand | undefined;
  /** Which way its mail leaves. It holds within a minute. */
  route?: DomainRoute | undefined;
}

/** A sending domain with its records. */
export interface Domain {
  id: string;
  object: 'domain';
  /** In A-labels: `xn--…` for what has other letters than ASCII. */
  name: string;
  status: DomainStatus;
  region: string;
  dnsRecords: DnsRecord[];
  /** Of the key that signs now. */
  dkimStatus: DnsRecordStatus;
  spfStatus: DnsRecordStatus;
  dmarcStatus: DnsRecordStatus;
  returnPathStatus: DnsRecordStatus;
  /** `none`, `quarantine` or `reject`, as published for the domain or above it. */
  dmarcPolicy?: string | null;
  ed25519: boolean;
  tls: TlsDemand;
  route: DomainRoute;
  /** The selector that signs, and since when. */
  dkimSelector?: string | null;
  dkimRotatedAt?: string | null;
  /** When it was first verified. */
  verifiedAt?: string | null;
  /** When the DNS was last asked. */
  checkedAt?: string | null;
  createdAt: string;
}

/** A domain right after the DNS was asked. */
export interface DomainVerification extends Domain {
  /** Whether the domain may send. */
  verified: boolean;
  /** Records that the DNS does not show as they should be, required or not. */
  missingRecords: DnsRecord[];
}

/** What became of the mail that was accepted in the last days, by recipient. */
export interface ReputationPeriod {
  days: number;
  /** Delivered, bounced, or given up. */
  sent: number;
  delivered: number;
  /** Refused for good, at once or by a report that came later. */
  bounced: number;
  complained: number;
  /** From 0 to 1. */
  bounceRate: number;
  /** From 0 to 1. */
  spamRate: number;
}

/** `good` from a score of 80, `fair` from 50. */
export type ReputationStatus = 'good' | 'fair' | 'poor';

/** How mail from a domain is received. */
export interface DomainReputation {
  object: 'domain_reputation';
  domainId: string;
  name: string;
  /** From 0 to 100, of the worse period. */
  score: number;
  status: ReputationStatus;
  /** Of 30 days, as `spamRate` is. */
  bounceRate: number;
  spamRate: number;
  /** The last 7 days, and the last 30. */
  periods: ReputationPeriod[];
}

/** The answer to a deletion. */
export interface DeletedDomain {
  id: string;
  object: 'domain';
  deleted: true;
}

/** Narrows a list of domains; it is walked forward only. */
export interface DomainQuery extends Omit<PageQuery, 'ending_before'> {
  status?: DomainStatus | undefined;
}

/** `client.domains` */
export class Domains {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Adds a domain; the answer's `dnsRecords` are what its owner publishes. Not repeated after a lost connection: a second
   * try would answer `already_exists`.
   */
  async create(draft: DomainDraft, options: CallOptions = {}): Promise<Domain> {
    requireObject(draft, 'domains.create', 'draft');
    checkCallOptions(options, 'domains.create');
    const request = { method: 'POST', path: '/v1/domains', body: draft, isRepeatable: false, ...options } as const;
    return (await this.#transport.request(request)) as Domain;
  }

  /** Reads one domain, with what the DNS showed at the last look. */
  async get(id: string, options: CallOptions = {}): Promise<Domain> {
    checkCallOptions(options, 'domains.get');
    const path = `/v1/domains/${pathId(id, 'domains.get')}`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as Domain;
  }

  /** Reads one page of domains, newest first. */
  async list(query: DomainQuery = {}, options: CallOptions = {}): Promise<Page<Domain>> {
    requireObject(query, 'domains.list', 'query');
    checkCallOptions(options, 'domains.list');
    const route = { method: 'GET', path: '/v1/domains', isRepeatable: true, ...options } as const;
    return readPage<Domain, DomainQuery>((page) => this.#transport.request({ ...route, query: { ...page } }), query);
  }

  /** Walks all domains that match, newest first; `limit` is the size of a page. */
  iterate(query: DomainQuery = {}, options: CallOptions = {}): AsyncGenerator<Domain, void, undefined> {
    return iterate((page: DomainQuery) => this.list(page, options), query);
  }

  /** Changes how mail of the domain is signed, and which way it leaves. */
  async update(id: string, change: DomainChange, options: CallOptions = {}): Promise<Domain> {
    requireObject(change, 'domains.update', 'change');
    checkCallOptions(options, 'domains.update');
    const path = `/v1/domains/${pathId(id, 'domains.update')}`;
    return (await this.#transport.request({ method: 'PATCH', path, body: change, isRepeatable: true, ...options })) as Domain;
  }

  /** Asks the DNS about every record now, which may take half a minute. What is not right comes with advice, not as an error. */
  async verify(id: string, options: CallOptions = {}): Promise<DomainVerification> {
    checkCallOptions(options, 'domains.verify');
    const path = `/v1/domains/${pathId(id, 'domains.verify')}/verify`;
    return (await this.#transport.request({ method: 'POST', path, isRepeatable: true, ...options })) as DomainVerification;
  }

  /**
   * Takes a domain away; nothing more is accepted from it. Not repeated after a lost connection: a second try would answer
   * `not_found`.
   */
  async delete(id: string, options: CallOptions = {}): Promise<DeletedDomain> {
    checkCallOptions(options, 'domains.delete');
    const path = `/v1/domains/${pathId(id, 'domains.delete')}`;
    return (await this.#transport.request({ method: 'DELETE', path, isRepeatable: false, ...options })) as DeletedDomain;
  }

  /**
   * Lets the next DKIM key sign, which the server else does by itself. `record_unpublished` while the DNS does not show it.
   * Not repeated after a lost connection: a second try would take the turn of yet another key.
   */
  async rotateDkim(id: string, options: CallOptions = {}): Promise<Domain> {
    checkCallOptions(options, 'domains.rotateDkim');
    const path = `/v1/domains/${pathId(id, 'domains.rotateDkim')}/rotate-dkim`;
    return (await this.#transport.request({ method: 'POST', path, isRepeatable: false, ...options })) as Domain;
  }

  /** Reads the domain's records as a zone file, as name servers and DNS hosts import them. */
  async dns(id: string, options: CallOptions = {}): Promise<string> {
    checkCallOptions(options, 'domains.dns');
    const path = `/v1/domains/${pathId(id, 'domains.dns')}/dns`;
    return this.#transport.requestText({ method: 'GET', path, isRepeatable: true, ...options }, 'text/dns');
  }

  /** Reads how mail from the domain is received: what bounced, what was complained of, and what both come to. */
  async getReputation(id: string, options: CallOptions = {}): Promise<DomainReputation> {
    checkCallOptions(options, 'domains.getReputation');
    const path = `/v1/domains/${pathId(id, 'domains.getReputation')}/reputation`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as DomainReputation;
  }
}
