import { checkCallOptions, pathId, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import type { WebhookEventType } from '../events.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { Transport } from '../transport.js';

/** An event's name, all events of a kind, or all events. */
export type EventPattern = WebhookEventType | 'email.*' | 'api_key.*' | 'domain.*' | 'suppression.*' | 'alert.*' | 'webhook.*' | '*' | (string & {});

/** Whether deliveries succeed; a disabled endpoint gets none. */
export type WebhookStatus = 'active' | 'failing' | 'disabled';

/** The least version of TLS that is spoken with an endpoint. */
export type WebhookMinTls = '1.2' | '1.3';

/** How requests say who they are from, beside their signatures; `none` takes away what there was. Never shown again. */
export interface WebhookAuth {
  type: 'basic' | 'oauth2' | 'none';
  username?: string | undefined;
  password?: string | undefined;
  /** Where a bearer token is fetched with the client's credentials. */
  tokenUrl?: string | undefined;
  clientId?: string | undefined;
  clientSecret?: string | undefined;
  scope?: string | undefined;
}

/** A webhook endpoint to create. */
export interface WebhookDraft {
  /** An https address that the public internet can reach. */
  url: string;
  events: EventPattern[];
  description?: string | undefined;
  /** `1.3` without it. */
  minTls?: WebhookMinTls | undefined;
  /** Whether events about one message wait for those before them; true without it. */
  ordered?: boolean | undefined;
  /** Header fields of your own, by name. Never shown again. */
  headers?: Record<string, string> | undefined;
  auth?: WebhookAuth | undefined;
}

/** What to change of an endpoint; what is left out stays. */
export interface WebhookChange {
  url?: string | undefined;
  events?: EventPattern[] | undefined;
  description?: string | undefined;
  /** `active` starts it again, without the failures of before. */
  status?: 'active' | 'disabled' | undefined;
  minTls?: WebhookMinTls | undefined;
  ordered?: boolean | undefined;
  /** Header fields in place of those that it has. */
  headers?: Record<string, string> | undefined;
  auth?: WebhookAuth | undefined;
}

/** Why an endpoint is disabled. */
export type WebhookDisabledReason = 'by_owner' | 'gone' | 'failing';

/** A webhook endpoint. */
export interface Webhook {
  id: string;
  object: 'webhook';
  url: string;
  events: string[];
  description?: string | null;
  status: WebhookStatus;
  disabledReason?: WebhookDisabledReason | null;
  /** Attempts in a row that failed. */
  failureCount: number;
  /** Since when it took nothing. */
  failingSince?: string | null;
  lastDeliveryAt?: string | null;
  lastDeliveryStatus?: WebhookDeliveryStatus | null;
  /** When the oldest delivery was made that it has not taken. */
  oldestPendingAt?: string | null;
  /** The number of its last delivery: the header `sealwright-sequence`. */
  sequence: number;
  /** Whether a replay is under way. */
  replaying: boolean;
  minTls: WebhookMinTls;
  ordered: boolean;
  /** Names of its own header fields. */
  headers: string[];
  /** User name or client id. */
  auth?: { type: 'basic' | 'oauth2'; name: string } | null;
  /** Only in the answer to a creation. */
  secret?: string | null;
  /** Until then the secret before this one signs as well. */
  previousSecretExpiresAt?: string | null;
  createdAt: string;
}

/** How a secret is replaced. */
export interface SecretRotation {
  /** How long both secrets sign; a day without it, a week at most. */
  overlapSeconds?: number | undefined;
  /** Somebody else knows the old secret: it signs nothing from now on. */
  compromised?: boolean | undefined;
}

/** An endpoint's new secret, shown this once. */
export interface WebhookSecret {
  id: string;
  object: 'webhook_secret';
  secret: string;
  previousSecretExpiresAt?: string | null;
}

/** What has become of a delivery. */
export type WebhookDeliveryStatus = 'pending' | 'succeeded' | 'failed';

/** What became of one event at one endpoint. */
export interface WebhookDelivery {
  id: string;
  object: 'webhook_delivery';
  eventId: string;
  eventType: WebhookEventType;
  status: WebhookDeliveryStatus;
  sequence: number;
  attempts: number;
  responseCode?: number | null;
  error?: string | null;
  createdAt: string;
  updatedAt: string;
  nextAttemptAt?: string | null;
  /** Every attempt; only where one delivery is read. */
  log?: WebhookAttempt[] | null;
}

/** One request and its answer. */
export interface WebhookAttempt {
  number: number;
  startedAt: string;
  finishedAt: string;
  responseCode?: number | null;
  error?: string | null;
  requestHeaders?: Record<string, string> | null;
  /** What `Lettr-Signature` signs. */
  signedContent?: string | null;
  response?: {
    headers: Record<string, string>;
    body: string;
    truncated: boolean;
    address: string;
    tlsVersion?: string | null;
    elapsedUs: number;
    opening?: { resolveUs: number; connectUs: number; handshakeUs: number } | null;
  } | null;
}

/** Narrows a list of deliveries; it is walked forward only, the latest first. */
export interface WebhookDeliveryQuery extends Omit<PageQuery, 'ending_before'> {
  status?: WebhookDeliveryStatus | undefined;
  event_type?: WebhookEventType | undefined;
}

/** What to send again: one event, or what happened in a time. */
export type WebhookReplay =
  | { eventId: string }
  | { since: string; until?: string | undefined; scope?: 'not_taken' | 'all' | undefined };

/** What is being sent. */
export interface WebhookSent {
  object: 'webhook_replay';
  webhookId: string;
  deliveryId?: string | null;
}

/** The answer to a creation: the only one that shows the secret. */
export interface CreatedWebhook extends Webhook {
  /** Give it to `verifyWebhook` as it is, `whsec_` included. */
  secret: string;
}

/** The answer to a deletion. */
export interface DeletedWebhook {
  id: string;
  object: 'webhook';
  deleted: true;
}

/** Where a list of endpoints begins; it is walked forward only. */
export type WebhookQuery = Omit<PageQuery, 'ending_before'>;

/** `client.webhooks` */
export class Webhooks {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Creates an endpoint. Keep the answer's `secret`: it is not shown again. Not repeated after a lost connection: a
   * second try would make a second endpoint.
   */
  async create(draft: WebhookDraft, options: CallOptions = {}): Promise<CreatedWebhook> {
    requireObject(draft, 'webhooks.create', 'draft');
    checkCallOptions(options, 'webhooks.create');
    const request = { method: 'POST', path: '/v1/webhooks', body: draft, isRepeatable: false, ...options } as const;
    return (await this.#transport.request(request)) as CreatedWebhook;
  }

  /** Reads one endpoint. */
  async get(id: string, options: CallOptions = {}): Promise<Webhook> {
    checkCallOptions(options, 'webhooks.get');
    const path = `/v1/webhooks/${pathId(id, 'webhooks.get')}`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as Webhook;
  }

  /** Reads one page of endpoints, oldest first. */
  async list(query: WebhookQuery = {}, options: CallOptions = {}): Promise<Page<Webhook>> {
    requireObject(query, 'webhooks.list', 'query');
    checkCallOptions(options, 'webhooks.list');
    const route = { method: 'GET', path: '/v1/webhooks', isRepeatable: true, ...options } as const;
    return readPage<Webhook, WebhookQuery>((page) => this.#transport.request({ ...route, query: { ...page } }), query);
  }

  /** Walks all endpoints, oldest first; `limit` is the size of a page. */
  iterate(query: WebhookQuery = {}, options: CallOptions = {}): AsyncGenerator<Webhook, void, undefined> {
    return iterate((page: WebhookQuery) => this.list(page, options), query);
  }

  /** Changes an endpoint; `{ status: 'active' }` starts it again. */
  async update(id: string, change: WebhookChange, options: CallOptions = {}): Promise<Webhook> {
    requireObject(change, 'webhooks.update', 'change');
    checkCallOptions(options, 'webhooks.update');
    const path = `/v1/webhooks/${pathId(id, 'webhooks.update')}`;
    return (await this.#transport.request({ method: 'PATCH', path, body: change, isRepeatable: true, ...options })) as Webhook;
  }

  /**
   * Gives an endpoint a new secret; both sign for a day, or as long as you say. Keep the answer's `secret`: it is not shown again. Not
   * repeated after a lost connection: a second try would be refused.
   */
  async rotateSecret(id: string, rotation: SecretRotation = {}, options: CallOptions = {}): Promise<WebhookSecret> {
    requireObject(rotation, 'webhooks.rotateSecret', 'rotation');
    checkCallOptions(options, 'webhooks.rotateSecret');
    const path = `/v1/webhooks/${pathId(id, 'webhooks.rotateSecret')}/rotate-secret`;
    return (await this.#transport.request({ method: 'POST', path, body: rotation, isRepeatable: false, ...options })) as WebhookSecret;
  }

  /** Sends a sample of an event to one endpoint, signed like any other. */
  async test(id: string, sample: { eventType: WebhookEventType }, options: CallOptions = {}): Promise<WebhookSent> {
    requireObject(sample, 'webhooks.test', 'sample');
    checkCallOptions(options, 'webhooks.test');
    const path = `/v1/webhooks/${pathId(id, 'webhooks.test')}/test`;
    return (await this.#transport.request({ method: 'POST', path, body: sample, isRepeatable: true, ...options })) as WebhookSent;
  }

  /** Reads one page of an endpoint's deliveries, the latest first. */
  async listDeliveries(id: string, query: WebhookDeliveryQuery = {}, options: CallOptions = {}): Promise<Page<WebhookDelivery>> {
    requireObject(query, 'webhooks.listDeliveries', 'query');
    checkCallOptions(options, 'webhooks.listDeliveries');
    const path = `/v1/webhooks/${pathId(id, 'webhooks.listDeliveries')}/deliveries`;
    const route = { method: 'GET', path, isRepeatable: true, ...options } as const;
    return readPage<WebhookDelivery, WebhookDeliveryQuery>(
      (page) => this.#transport.request({ ...route, query: { ...page } }),
      query,
    );
  }

  /** Reads one delivery with every attempt: what was sent, signed and answered. */
  async getDelivery(id: string, deliveryId: string, options: CallOptions = {}): Promise<WebhookDelivery> {
    checkCallOptions(options, 'webhooks.getDelivery');
    const path = deliveryPath(id, deliveryId, 'webhooks.getDelivery');
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as WebhookDelivery;
  }

  /** Tries a delivery at once, whatever became of it; the event's id stays. */
  async retryDelivery(id: string, deliveryId: string, options: CallOptions = {}): Promise<WebhookSent> {
    checkCallOptions(options, 'webhooks.retryDelivery');
    const path = `${deliveryPath(id, deliveryId, 'webhooks.retryDelivery')}/retry`;
    return (await this.#transport.request({ method: 'POST', path, isRepeatable: true, ...options })) as WebhookSent;
  }

  /** Sends again: one event, or what happened in a time. Deliveries come under their own ids: remember `event.id`. */
  async replay(id: string, what: WebhookReplay, options: CallOptions = {}): Promise<WebhookSent> {
    requireObject(what, 'webhooks.replay', 'what');
    checkCallOptions(options, 'webhooks.replay');
    const path = `/v1/webhooks/${pathId(id, 'webhooks.replay')}/replay`;
    return (await this.#transport.request({ method: 'POST', path, body: what, isRepeatable: true, ...options })) as WebhookSent;
  }

  /** Deletes an endpoint for good. Not repeated after a lost connection: a second try would answer `not_found`. */
  async delete(id: string, options: CallOptions = {}): Promise<DeletedWebhook> {
    checkCallOptions(options, 'webhooks.delete');
    const path = `/v1/webhooks/${pathId(id, 'webhooks.delete')}`;
    return (await this.#transport.request({ method: 'DELETE', path, isRepeatable: false, ...options })) as DeletedWebhook;
  }
}

function deliveryPath(id: string, deliveryId: string, method: string): string {
  return `/v1/webhooks/${pathId(id, method)}/deliveries/${pathId(deliveryId, method)}`;
}
