import { randomUUID } from 'node:crypto';
import { types } from 'node:util';
import { checkCallOptions, checkSendOptions, pathId, requireObject } from '../arguments.js';
import type { CallOptions, SendOptions } from '../arguments.js';
import { SealwrightError } from '../errors.js';
import type { WebhookEvent } from '../events.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { QueryValue, Transport } from '../transport.js';

/** `a@example.com`, `Ann <a@example.com>`, or the two parts apart. */
export type AddressInput = string | { email: string; name?: string | undefined };

/** Where a message is on its way. */
export type EmailStatus =
  | 'queued'
  | 'deferred'
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

/** Fields that each send of a client begins with, see `SealwrightOptions.defaults`. */
export type EmailDefaults = Partial<EmailDraft>;

/** A message to send by a client whose defaults already tell some of its fields. */
export type DraftBeside<Defaults> = Omit<EmailDraft, keyof Defaults> & Partial<EmailDraft>;

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

/** What has become of a message for one of its recipients. */
export interface RecipientState {
  recipient: string;
  kind: 'to' | 'cc' | 'bcc';
  status: EmailStatus;
  updatedAt: string;
}

/** A message as lists and reads show it. Absent means not applicable, `null` means known to be empty. */
export interface Email extends SentEmail {
  cc?: string[] | null;
  bcc?: string[] | null;
  replyTo?: string[];
  mode?: 'live' | 'test';
  html?: string | null;
  text?: string | null;
  /** Whether the content can still be read; told by `get`, as are recipients and events. */
  contentAvailable?: boolean;
  recipients?: RecipientState[];
  /** The timeline, oldest first, in the words of the webhooks. */
  events?: WebhookEvent[];
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

/** One step of an SMTP dialogue. */
export interface AttemptStep {
  verb: string;
  /** How long the step took. */
  ms: number;
  code?: number;
  reply: string;
}

/** One try to hand a message to one destination domain. */
export interface Attempt {
  id: string;
  object: 'attempt';
  number: number;
  /** `in_doubt`: the content left and no reply was recorded, so it may have been taken; it was tried again. */
  state: 'started' | 'finished' | 'in_doubt';
  startedAt: string;
  finishedAt?: string;
  facts?: {
    host?: string;
    address?: string;
    tls?: { version: string; cipher: string; verified: boolean } | null;
    steps?: AttemptStep[];
    recipients?: { recipient: string; reply: string }[];
  };
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
export class Emails<Defaults extends EmailDefaults = object> {
  readonly #transport: Transport;
  readonly #defaults: EmailDefaults;

  constructor(transport: Transport, defaults: EmailDefaults) {
    this.#transport = transport;
    this.#defaults = defaults;
  }

  /** Sends or schedules one message. Resolves once the server has stored it durably, before it is delivered. */
  async send(draft: DraftBeside<Defaults>, options: SendOptions = {}): Promise<SentEmail> {
    requireObject(draft, 'emails.send', 'draft');
    checkSendOptions(options, 'emails.send');
    const { idempotencyKey = randomUUID(), signal } = options;
    const body = toWire(withDefaults(draft, this.#defaults));
    const request = { method: 'POST', path: '/v1/emails', body, isRepeatable: true, idempotencyKey, signal } as const;
    return (await this.#transport.request(request)) as SentEmail;
  }

  /** Reads one message with what has become of it. */
  async get(id: string, options: CallOptions = {}): Promise<Email> {
    checkCallOptions(options, 'emails.get');
    const path = `/v1/emails/${pathId(id, 'emails.get')}`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as Email;
  }

  /** Reads each try to deliver a message, with the SMTP dialogue step by step. */
  async attempts(id: string, options: CallOptions = {}): Promise<Page<Attempt>> {
    checkCallOptions(options, 'emails.attempts');
    const path = `/v1/emails/${pathId(id, 'emails.attempts')}/attempts`;
    return readPage<Attempt, object>(() => this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options }), {});
  }

  /** Reads one page of messages, newest first. */
  async list(query: EmailQuery = {}, options: CallOptions = {}): Promise<Page<Email>> {
    requireObject(query, 'emails.list', 'query');
    checkCallOptions(options, 'emails.list');
    const route = { method: 'GET', path: '/v1/emails', isRepeatable: true, ...options } as const;
    return readPage<Email, EmailQuery>((page) => this.#transport.request({ ...route, query: toQuery(page) }), query);
  }

  /** Walks all messages that match, newest first; `limit` is the size of a page. */
  iterate(query: Omit<EmailQuery, 'ending_before'> = {}, options: CallOptions = {}): AsyncGenerator<Email, void, undefined> {
    return iterate((page: EmailQuery) => this.list(page, options), query);
  }
}

/**
 * The draft's own fields win. Its content replaces the default content as a whole: an HTML part of today beside a text
 * part of always would be two messages in one.
 */
function withDefaults(draft: EmailDefaults, defaults: EmailDefaults): EmailDefaults {
  const given = Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== undefined)) as EmailDefaults;
  if (given.html === undefined && given.text === undefined) return { ...defaults, ...given };
  return { ...defaults, html: undefined, text: undefined, ...given };
}

function toWire(draft: EmailDefaults): object {
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
