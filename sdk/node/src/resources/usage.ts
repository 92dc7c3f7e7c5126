import { checkCallOptions, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import type { Transport } from '../transport.js';

/** Which days to count: at most 31. */
export interface UsageQuery {
  /** The first day, `2026-01-31` (UTC); six days before the last unless given. */
  fromDate?: string | undefined;
  /** The last day (UTC); today unless given. */
  toDate?: string | undefined;
}

/** The recipients of the e-mails that were accepted on one day, by what became of them. */
export interface UsageDay {
  /** The day (UTC). */
  date: string;
  emails: number;
  /** Recipients of these e-mails: always the sum of the eight below. */
  accepted: number;
  scheduled: number;
  inFlight: number;
  /** As in flight, after an attempt of which nobody knows whether the mail was taken. */
  inDoubt: number;
  delivered: number;
  bounced: number;
  failed: number;
  suppressed: number;
  cancelled: number;
  /** `false` means that a recipient was lost; it never should be. */
  balanced: boolean;
}

/** What became of what was accepted. */
export interface UsageReport {
  object: 'usage';
  /** The days on which something was accepted, oldest first. */
  data: UsageDay[];
}

/** `client.usage` */
export class Usage {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Counts what became of the recipients of each day, in the key's mode. */
  async get(query: UsageQuery = {}, options: CallOptions = {}): Promise<UsageReport> {
    requireObject(query, 'usage.get', 'query');
    checkCallOptions(options, 'usage.get');
    const request = { method: 'GET', path: '/v1/usage', query: { ...query }, isRepeatable: true, ...options } as const;
    return (await this.#transport.request(request)) as UsageReport;
  }
}
