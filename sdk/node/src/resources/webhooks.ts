import { checkCallOptions, pathId, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import type { WebhookEventType } from '../events.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { Transport } from '../transport.js';

/** An event's name, all events of a kind, or all events. */
export type EventPattern = WebhookEventType | 'email.*' | 'api_key.*' | 'domain.*' | 'suppression.*' | 'alert.*' | '*' | (string & {});

/** Whether deliveries succeed; a disabled endpoint gets none. */
export type WebhookStatus = 'active' | 'failing' | 'disabled';

/** A webhook endpoint to create. */
export interface WebhookDraft {
  /** An https address that the public internet can reach. */
  url: string;
  events: EventPattern[];
  description?: string | undefined;
}

/** A webhook endpoint. */
export interface Webhook {
  id: string;
  object: 'webhook';
  url: string;
  events: string[];
  description?: string | null;
  status: WebhookStatus;
  createdAt: string;
  lastDeliveryAt?: string | null;
  lastDeliveryStatus?: string | null;
  failureCount?: number;
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

  /** Deletes an endpoint for good. Not repeated after a lost connection: a second try would answer `not_found`. */
  async delete(id: string, options: CallOptions = {}): Promise<DeletedWebhook> {
    checkCallOptions(options, 'webhooks.delete');
    const path = `/v1/webhooks/${pathId(id, 'webhooks.delete')}`;
    return (await this.#transport.request({ method: 'DELETE', path, isRepeatable: false, ...options })) as DeletedWebhook;
  }
}
