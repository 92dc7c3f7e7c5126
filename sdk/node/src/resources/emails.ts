import { randomUUID } from 'node:crypto';
import { types } from 'node:util';
import { checkCallOptions, checkSendOptions, pathId, requireList, requireObject } from '../arguments.js';
import type { CallOptions, SendOptions } from '../arguments.js';
import { SealwrightError } from '../errors.js';
import type { ErrorCode } from '../errors.js';
import type { WebhookEvent } from '../events.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { QueryValue, Transport } from '../transport.js';
import type { TlsDemand } from './domains.js';
import type { Variables } from './templates.js';

/** What kind of sending a mail belongs to. */
export type EmailStream = 'transactional' | 'broadcast';

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

/** What each attachment tells of itself. */
interface AttachmentFields {
  filename: string;
  /** Default: what is told at the `url`, or `application/octet-stream`. */
  contentType?: string | undefined;
  /** Content id, for `<img src="cid:…">` in the HTML part. */
  cid?: string | undefined;
}

/** A file whose content is at hand. */
interface AttachmentByContent extends AttachmentFields {
  /** Bytes, or a string that **already is** base64. For text write `Buffer.from(text)`. */
  content: Uint8Array | string;
  url?: undefined;
}

/** A file that the server fetches. */
interface AttachmentByUrl extends AttachmentFields {
  /** A public `https` address. It is fetched before the message is accepted, also if that is to leave later. */
  url: string;
  content?: undefined;
}

/** A file that travels with the message. */
export type AttachmentInput = AttachmentByContent | AttachmentByUrl;

/** A message to send. The server checks it; its limits are in the API reference. */
export interface EmailDraft {
  /** An address of a verified sending domain. */
  from: AddressInput;
  /** To, cc and bcc together hold at most 50 addresses. */
  to: AddressInput | AddressInput[];
  /** Needed unless the template of `templateId` has one. */
  subject?: string | undefined;
  html?: string | undefined;
  /** Derived from `html` when absent. */
  text?: string | undefined;
  /** For readers that run AMP, beside `html`. */
  amp?: string | undefined;
  /** A stored template, instead of `html`, `text` and `amp`. */
  templateId?: string | undefined;
  /** Values for the template; without `templateId` the message's own parts are templates then. */
  variables?: Variables | undefined;
  /** Values for one recipient in `to`, by address. Each recipient gets a message of its own, told in `emails` of the answer. */
  recipientVariables?: Record<string, Variables> | undefined;
  /** Writes style sheets into the elements that they style. */
  inlineCss?: boolean | undefined;
  cc?: AddressInput | AddressInput[] | undefined;
  bcc?: AddressInput | AddressInput[] | undefined;
  replyTo?: AddressInput | undefined;
  attachments?: AttachmentInput[] | undefined;
  headers?: Record<string, string> | undefined;
  tags?: string[] | undefined;
  metadata?: Metadata | undefined;
  /** `required`: only over a channel whose other end is proven, or not at all. */
  tls?: TlsDemand | undefined;
  /** `broadcast`: the same goes to many, and waits for mail that one person waits for. */
  stream?: EmailStream | undefined;
  /** When it is to leave, one minute to thirty days ahead. Default: at once. */
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
  /** With `recipientVariables`: each recipient's own message. The other fields are then the first one's. */
  emails?: OwnEmail[];
}

/** One recipient's own message. */
export interface OwnEmail {
  to: string;
  id: string;
  status: EmailStatus;
  suppressionReason?: string;
}

/** Why the server did not accept one message of a batch. */
export interface BatchRefusal {
  code: ErrorCode;
  message: string;
  /** A place within that message. */
  param?: string;
}

/** What the server answers for one message of a batch: it is accepted, or `error` says why not. */
export type BatchItem =
  | (SentEmail & {
      /** Its place in the batch, from 0. */
      index: number;
      error?: undefined;
    })
  | { index: number; error: BatchRefusal };

/** What can be changed of a scheduled message. */
export interface EmailChange {
  /** One minute to thirty days ahead. */
  scheduledAt: Date | string;
}

/** The answer to a cancellation. */
export interface CancelledEmail {
  id: string;
  object: 'email';
  status: 'cancelled';
}

/** A header field of a message, unfolded. */
export interface HeaderField {
  name: string;
  value: string;
}

/** What a message says. */
export interface EmailContent {
  object: 'email_content';
  /** `null` when there is no such part. */
  html?: string | null;
  text?: string | null;
  /** As they are written, in their order; without the signature, which is made when the message leaves. */
  headers: HeaderField[];
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
    /** What the channel had to guarantee. */
    guarantee?: 'clear' | 'opportunistic' | 'encrypted' | 'pkix' | 'dane';
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
    const body = toWire(withDefaults(draft, this.#defaults), 'emails.send');
    const request = { method: 'POST', path: '/v1/emails', body, isRepeatable: true, idempotencyKey, signal } as const;
    return (await this.#transport.request(request)) as SentEmail;
  }

  /**
   * Sends or schedules 1 to 100 messages, and tells of each, in their order, whether it was accepted. What is refused does
   * not stop the rest. One idempotency key is for the whole: send what was refused, once mended, with another.
   */
  async sendBatch(drafts: DraftBeside<Defaults>[], options: SendOptions = {}): Promise<BatchItem[]> {
    requireList(drafts, 'emails.sendBatch', 'drafts');
    checkSendOptions(options, 'emails.sendBatch');
    const { idempotencyKey = randomUUID(), signal } = options;
    const body = drafts.map((draft, index) => toWire(withDefaults(draft, this.#defaults), 'emails.sendBatch', `drafts[${index}].`));
    const request = { method: 'POST', path: '/v1/emails/batch', body, isRepeatable: true, idempotencyKey, signal } as const;
    const { data } = (await this.#transport.request(request)) as { data?: unknown };
    if (Array.isArray(data)) return data as BatchItem[];
    throw new SealwrightError('response_invalid', 'the server answered a batch without "data"', { idempotencyKey });
  }

  /** Gives a scheduled message another time; `not_scheduled` once it was let go or cancelled. */
  async update(id: string, change: EmailChange, options: CallOptions = {}): Promise<Email> {
    requireObject(change, 'emails.update', 'change');
    checkCallOptions(options, 'emails.update');
    const path = `/v1/emails/${pathId(id, 'emails.update')}`;
    return (await this.#transport.request({ method: 'PATCH', path, body: change, isRepeatable: true, ...options })) as Email;
  }

  /**
   * Takes a scheduled message back; `not_scheduled` once it was let go or cancelled. Not repeated after a lost connection: a
   * second try could not tell whether the first has cancelled it.
   */
  async cancel(id: string, options: CallOptions = {}): Promise<CancelledEmail> {
    checkCallOptions(options, 'emails.cancel');
    const path = `/v1/emails/${pathId(id, 'emails.cancel')}/cancel`;
    return (await this.#transport.request({ method: 'POST', path, isRepeatable: false, ...options })) as CancelledEmail;
  }

  /** Reads one message with what has become of it. */
  async get(id: string, options: CallOptions = {}): Promise<Email> {
    checkCallOptions(options, 'emails.get');
    const path = `/v1/emails/${pathId(id, 'emails.get')}`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as Email;
  }

  /** Reads a message's timeline by itself, oldest first. */
  async events(id: string, options: CallOptions = {}): Promise<Page<WebhookEvent>> {
    checkCallOptions(options, 'emails.events');
    const path = `/v1/emails/${pathId(id, 'emails.events')}/events`;
    const ask = (): Promise<object> => this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options });
    return readPage<WebhookEvent, object>(ask, {});
  }

  /** Reads what a message says; `content_expired` once that was forgotten. */
  async content(id: string, options: CallOptions = {}): Promise<EmailContent> {
    checkCallOptions(options, 'emails.content');
    const path = `/v1/emails/${pathId(id, 'emails.content')}/content`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as EmailContent;
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
  if ([given.html, given.text, given.templateId].every((content) => content === undefined)) return { ...defaults, ...given };
  return { ...defaults, html: undefined, text: undefined, amp: undefined, templateId: undefined, ...given };
}

/** The draft as the server takes it; `place` is where in the arguments of `call` it stands. */
function toWire(draft: EmailDefaults, call: string, place = ''): object {
  const { attachments } = draft;
  const wireAttachment = (attachment: AttachmentInput, index: number): object =>
    toWireAttachment(attachment, call, `${place}attachments[${index}]`);
  return {
    ...draft,
    to: toList(draft.to),
    cc: toList(draft.cc),
    bcc: toList(draft.bcc),
    attachments: Array.isArray(attachments) ? attachments.map(wireAttachment) : attachments,
  };
}

function toList(addresses: AddressInput | AddressInput[] | undefined): AddressInput[] | undefined {
  return addresses === undefined || Array.isArray(addresses) ? addresses : [addresses];
}

function toWireAttachment(attachment: AttachmentInput, call: string, place: string): object {
  requireObject(attachment, call, place);
  // Left alone: the server fetches it, or names what is missing.
  if (attachment.content === undefined) return attachment;
  return { ...attachment, content: toBase64(attachment.content, call, place) };
}

function toBase64(content: unknown, call: string, place: string): string {
  if (typeof content === 'string') return content;
  // Not instanceof: bytes made in another realm (a test runner's sandbox, a worker) are bytes too.
  if (types.isUint8Array(content)) {
    return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('base64');
  }
  throw new SealwrightError(
    'argument_invalid',
    `${call}: attachment content must be a Buffer, a Uint8Array or a base64 string`,
    { param: `${place}.content` },
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
