import { types } from 'node:util';
import { checkCallOptions, checkCreateOptions, pathId, requireObject } from '../arguments.js';
import type { CallOptions, CreateOptions } from '../arguments.js';
import { SealwrightError } from '../errors.js';
import { iterate, toPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { QueryValue, Transport } from '../transport.js';

/** `a@example.com`, `Ann <a@example.com>`, or the two parts apart. */
export type AddressInput = string | { email: string; name?: string | undefined };

/** Where a message is on its way. */
export type EmailStatus =
  | 'queued'
  | 'sent'
  | 'delivered'
  | 'bounced'
  | 'failed'
  | 'scheduled'
  | 'cancelled'
  | 'suppressed';

/** Opaque facts of your own that come back in reads and webhooks. */
export type Metadata = Record<string, string | number | boolean>;

/** A file that travels with the message. */
export interface AttachmentInput {
  filename: string;
  /** Bytes, or a string that **already is** base64. For text write `Buffer.from(text)`. */
  content: Uint8Array | string;
  contentType?: string | undefined;
  /** Content id, for `<img src="cid:…">` in the HTML part. */
  cid?: string | undefined;
}

/** A message to send. The server checks it; its limits are in the API reference. */
export interface EmailDraft {
  /** An address of a verified sending domain. */
  from: AddressInput;
  /** To, cc and bcc together hold at most 50 addresses. */
  to: AddressInput | AddressInput[];
  subject: string;
  html?: string | undefined;
  /** Derived from `html` when absent. */
  text?: string | undefined;
  cc?: AddressInput | AddressInput[] | undefined;
  bcc?: AddressInput | AddressInput[] | undefined;
  replyTo?: AddressInput | undefined;
  attachments?: AttachmentInput[] | undefined;
  headers?: Record<string, string> | undefined;
  tags?: string[] | undefined;
  metadata?: Metadata | undefined;
  /** One minute to thirty days ahead. */
  scheduledAt?: Date | string | undefined;
}

/** What the server answers when it has accepted a message. */
export interface SentEmail {
  id: string;
  object: 'email';
  from: string;
  to: string[];
  subject: string;
  status: EmailStatus;
  createdAt: string;
  scheduledAt?: string;
  suppressionReason?: string;
}

/** A message as lists and reads show it. Absent means not applicable, `null` means known to be empty. */
export interface Email extends SentEmail {
  cc?: string[] | null;
  bcc?: string[] | null;
  html?: string | null;
  text?: string | null;
  tags?: string[];
  metadata?: Metadata;
  messageId?: string;
  opens?: number;
  clicks?: number;
  firstOpenedAt?: string | null;
  lastOpenedAt?: string | null;
  deliveredAt?: string | null;
  bouncedAt?: string | null;
  bounceReason?: string | null;
}

/** Narrows a list of messages. */
export interface EmailQuery extends PageQuery {
  status?: EmailStatus | undefined;
  /** An exact recipient address. */
  to?: string | undefined;
  /** Messages that carry all of these tags. */
  tags?: string[] | undefined;
  from_date?: Date | string | undefined;
  to_date?: Date | string | undefined;
  /** Messages whose metadata holds these values. */
  metadata?: Metadata | undefined;
}

/** `client.emails` */
export class Emails {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Sends or schedules one message. Resolves once the server has stored it durably, before it is delivered. */
  async send(draft: EmailDraft, options: CreateOptions = {}): Promise<SentEmail> {
    requireObject(draft, 'emails.send', 'draft');
    checkCreateOptions(options, 'emails.send');
    const answer = await this.#transport.request({ method: 'POST', path: '/v1/emails', body: toWire(draft), ...options });
    return answer as SentEmail;
  }

  /** Reads one message with what has become of it. */
  async get(id: string, options: CallOptions = {}): Promise<Email> {
    checkCallOptions(options, 'emails.get');
    const path = `/v1/emails/${pathId(id, 'emails.get')}`;
    return (await this.#transport.request({ method: 'GET', path, ...options })) as Email;
  }

  /** Reads one page of messages, newest first. */
  async list(query: EmailQuery = {}, options: CallOptions = {}): Promise<Page<Email>> {
    requireObject(query, 'emails.list', 'query');
    checkCallOptions(options, 'emails.list');
    const request = { method: 'GET', path: '/v1/emails', query: toQuery(query), ...options } as const;
    return toPage<Email>(await this.#transport.request(request));
  }

  /** Walks all messages that match, newest first; `limit` is the size of a page. */
  iterate(query: Omit<EmailQuery, 'ending_before'> = {}, options: CallOptions = {}): AsyncGenerator<Email, void, undefined> {
    return iterate((page: EmailQuery) => this.list(page, options), query);
  }
}

function toWire(draft: EmailDraft): object {
  return {
    ...draft,
    to: toList(draft.to),
    cc: toList(draft.cc),
    bcc: toList(draft.bcc),
    attachments: Array.isArray(draft.attachments) ? draft.attachments.map(toWireAttachment) : draft.attachments,
  };
}

function toList(addresses: AddressInput | AddressInput[] | undefined): AddressInput[] | undefined {
  return addresses === undefined || Array.isArray(addresses) ? addresses : [addresses];
}

function toWireAttachment(attachment: AttachmentInput, index: number): object {
  requireObject(attachment, 'emails.send', `attachments[${index}]`);
  // Left alone: without content the server names what is missing, and it knows more forms than this version.
  if (attachment.content === undefined) return attachment;
  return { ...attachment, content: toBase64(attachment.content, index) };
}

function toBase64(content: unknown, index: number): string {
  if (typeof content === 'string') return content;
  // Not instanceof: bytes made in another realm (a test runner's sandbox, a worker) are bytes too.
  if (types.isUint8Array(content)) {
    return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('base64');
  }
  throw new SealwrightError(
    'argument_invalid',
    'emails.send: attachment content must be a Buffer, a Uint8Array or a base64 string',
    { param: `attachments[${index}].content` },
  );
}

function toQuery(query: EmailQuery): Record<string, QueryValue> {
  const { tags, metadata, ...rest } = query;
  const wire: Record<string, QueryValue> = { ...rest };
  if (tags !== undefined) {
    if (!Array.isArray(tags) || tags.some((tag) => typeof tag !== 'string' || tag.includes(','))) {
      throw new SealwrightError('argument_invalid', 'emails.list: tags must be an array of strings without commas', { param: 'tags' });
    }
    if (tags.length > 0) wire['tags'] = tags.join(',');
  }
  for (const [name, value] of Object.entries(metadata ?? {})) wire[`metadata[${name}]`] = value;
  return wire;
}
