import { types } from 'node:util';
import { ConnectionError, SealwrightError, errorClass } from './errors.js';
import { parseRetryAfter, retryDelayMs } from './retry.js';
import type { ClientSettings } from './settings.js';
import { VERSION } from './version.js';

/** Values of query parameters; `undefined` leaves the parameter out. */
export type QueryValue = string | number | boolean | Date | undefined;

/** One call of the HTTP API. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Begins with `/v1/`; segments are already checked. */
  readonly path: string;
  readonly query?: Readonly<Record<string, QueryValue>> | undefined;
  /** Written as JSON. */
  readonly body?: unknown;
  /** A body of another kind, sent as it is. */
  readonly text?: { readonly mediaType: string; readonly content: string } | undefined;
  readonly idempotencyKey?: string | undefined;
  /** Whether doing it twice has the effect of doing it once, so that a lost answer may be asked for again. */
  readonly isRepeatable: boolean;
  /** For routes that ask for no key: then none is sent. */
  readonly isAnonymous?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A call as it goes onto the wire, the same for each try. */
interface WireRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
  readonly idempotencyKey: string | undefined;
  readonly isRepeatable: boolean;
}

/** What came back, read to its end. */
interface Answer {
  readonly response: Response;
  readonly text: string;
}

/** Speaks HTTP for the resources: authorization, time limits, retries, errors. */
export class Transport {
  // A private field, so that printing a client doesn't print its key.
  readonly #settings: ClientSettings;

  constructor(settings: ClientSettings) {
    this.#settings = settings;
  }

  /** Does the call, again where that is safe and useful, and returns the JSON object of the answer. */
  async request(call: Call): Promise<object> {
    const answer = await this.#answer(call, 'application/json');
    return parseAnswer(answer, call.idempotencyKey);
  }

  /** Does a call whose answer is a text of this media type. */
  async requestText(call: Call, mediaType: string): Promise<string> {
    // A refusal is JSON here, too.
    const answer = await this.#answer(call, `${mediaType}, application/json`);
    return textOf(answer, mediaType);
  }

  /** Reads a text that comes in parts, of which each but the last leads on by its `Link`. */
  async *textParts(call: Call, mediaType: string): AsyncGenerator<string, void, undefined> {
    for (let part: Call | undefined = call; part !== undefined; ) {
      const answer = await this.#answer(part, `${mediaType}, application/json`);
      yield textOf(answer, mediaType);
      part = partAfter(part, answer.response);
    }
  }

  async #answer(call: Call, accept: string): Promise<Answer> {
    const request = this.#prepare(call, accept);
    for (let triesMade = 1; ; triesMade += 1) {
      try {
        return await this.#try(request, call.signal);
      } catch (error) {
        const wait = this.#delayAfter(error, triesMade, request);
        if (wait === undefined) throw error;
        await sleep(wait, call.signal, request.idempotencyKey);
      }
    }
  }

  #prepare(call: Call, accept: string): WireRequest {
    const headers: Record<string, string> = {
      Accept: accept,
      'User-Agent': `sealwright-node/${VERSION}`,
    };
    if (call.isAnonymous !== true) headers['Authorization'] = `Bearer ${this.#settings.apiKey}`;
    const { idempotencyKey, isRepeatable } = call;
    if (idempotencyKey !== undefined) headers['Idempotency-Key'] = idempotencyKey;
    let body: string | null = null;
    if (call.body !== undefined) {
      // Once, before the first try: a retry with other bytes would be a conflict, not a replay.
      body = toJson(call.body);
      headers['Content-Type'] = 'application/json';
    } else if (call.text !== undefined) {
      body = call.text.content;
      headers['Content-Type'] = call.text.mediaType;
    }
    const url = this.#settings.baseUrl + call.path + queryString(call.query ?? {});
    return { url, method: call.method, headers, body, idempotencyKey, isRepeatable };
  }

  #delayAfter(error: unknown, triesMade: number, request: WireRequest): number | undefined {
    if (!(error instanceof SealwrightError) || triesMade > this.#settings.maxRetries) return undefined;
    return retryDelayMs(error, triesMade, {
      isRepeatable: request.isRepeatable,
      retryOnRateLimit: this.#settings.retryOnRateLimit,
      random: Math.random,
    });
  }

  async #try(request: WireRequest, signal: AbortSignal | undefined): Promise<Answer> {
    const answer = await this.#exchange(request, signal);
    if (answer.response.ok) return answer;
    throw answeredError(answer, request.idempotencyKey);
  }

  async #exchange(request: WireRequest, signal: AbortSignal | undefined): Promise<Answer> {
    const { fetch, timeoutMs } = this.#settings;
    // Node 18 has no AbortSignal.any, so the caller's signal and the clock meet in a controller of our own.
    const controller = new AbortController();
    let isTimeOver = false;
    const timer = setTimeout(() => {
      isTimeOver = true;
      controller.abort();
    }, timeoutMs);
    const abort = (): void => controller.abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      if (signal?.aborted) throw signal.reason;
      const { method, headers, body } = request;
      // Followed redirects would carry mail to wherever an answer points.
      const response = await fetch(request.url, { method, headers, body, redirect: 'manual', signal: controller.signal });
      return { response, text: await response.text() };
    } catch (cause) {
      const { idempotencyKey } = request;
      if (signal?.aborted) throw abortedError(signal, idempotencyKey);
      if (isTimeOver) {
        throw new ConnectionError('timeout', `no complete answer within ${timeoutMs} ms`, { idempotencyKey });
      }
      throw unansweredError(cause, request);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }
}

function toJson(value: unknown): string {
  try {
    return JSON.stringify(value, refuseLoss);
  } catch (cause) {
    if (cause instanceof SealwrightError) throw cause;
    throw new SealwrightError('argument_invalid', 'the argument cannot be written as JSON: it holds a BigInt or itself', { cause });
  }
}

/** JSON writes an invalid Date, NaN and Infinity as `null`, which for an expiry or a limit means "none". */
function refuseLoss(this: Record<string, unknown>, name: string, written: unknown): unknown {
  // What was given: a Date has become text (or null) by the time it is handed over.
  const given = this[name];
  if (types.isDate(given) && Number.isNaN(given.getTime())) {
    throw new SealwrightError('argument_invalid', `${name} is an invalid Date`, { param: name });
  }
  if (typeof given === 'number' && !Number.isFinite(given)) {
    throw new SealwrightError('argument_invalid', `${name} is ${given}, which is not a number that JSON can hold`, { param: name });
  }
  return written;
}

function queryString(query: Readonly<Record<string, QueryValue>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.append(name, value instanceof Date ? toIso(value, name) : String(value));
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

function toIso(date: Date, name: string): string {
  if (Number.isNaN(date.getTime())) {
    throw new SealwrightError('argument_invalid', `${name} is an invalid Date`, { param: name });
  }
  return date.toISOString();
}

function parseAnswer({ response, text }: Answer, idempotencyKey: string | undefined): object {
  const value = parseJsonObject(text);
  if (value !== undefined) return value;
  throw new SealwrightError(
    'response_invalid',
    'the server answered with success but not with a JSON object; does baseUrl point at a Sealwright server?',
    { ...answerFacts(response), idempotencyKey },
  );
}

/** A page of something else must not be taken for the text that was asked for. */
function textOf({ response, text }: Answer, mediaType: string): string {
  const given = response.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  if (given === mediaType) return text;
  throw new SealwrightError(
    'response_invalid',
    `the server answered with success but not with ${mediaType}; does baseUrl point at a Sealwright server?`,
    answerFacts(response),
  );
}

/** The same call from another place on: of a link nothing else is taken, so that none can send the key elsewhere. */
function partAfter(call: Call, response: Response): Call | undefined {
  const link = /<([^>]*)>\s*;\s*rel="?next\b/.exec(response.headers.get('link') ?? '')?.[1];
  if (link === undefined) return undefined;
  const after = new URLSearchParams(link.slice(link.indexOf('?') + 1)).get('starting_after');
  if (after === null || after === call.query?.['starting_after']) {
    throw new SealwrightError('response_invalid', 'the server says there is more, but its link does not lead on', answerFacts(response));
  }
  return { ...call, query: { ...call.query, starting_after: after } };
}

function answeredError({ response, text }: Answer, idempotencyKey: string | undefined): SealwrightError {
  const facts = { ...answerFacts(response), idempotencyKey };
  const AnsweredError = errorClass(response.status);
  const problem = (parseJsonObject(text) as { error?: unknown } | undefined)?.error;
  if (typeof problem !== 'object' || problem === null) {
    // A proxy in between, or not our server at all. Its page isn't repeated: it may be long and may be anything.
    const message = `the server answered with status ${response.status} and without an error object`;
    return new AnsweredError('response_invalid', message, facts);
  }
  const { code, message, param, requestId, docs, retryAfter } = problem as Record<string, unknown>;
  return new AnsweredError(stringOr(code, 'response_invalid'), stringOr(message, `status ${response.status}`), {
    ...facts,
    param: stringOr(param, undefined),
    requestId: stringOr(requestId, facts.requestId),
    docs: stringOr(docs, undefined),
    retryAfter: facts.retryAfter ?? (typeof retryAfter === 'number' && retryAfter >= 0 ? retryAfter : undefined),
  });
}

function answerFacts(response: Response): { status: number; requestId: string | undefined; retryAfter: number | undefined } {
  return {
    status: response.status,
    requestId: response.headers.get('x-request-id') ?? undefined,
    retryAfter: parseRetryAfter(response.headers.get('retry-after'), Date.now()),
  };
}

/** No answer at all: a certificate this machine doesn't trust, or the network. Trying again mends only the latter. */
function unansweredError(cause: unknown, request: WireRequest): SealwrightError {
  const reason = reasonOf(cause);
  const { host } = new URL(request.url);
  const { idempotencyKey } = request;
  if (/CERT|SIGNATURE|ERR_TLS|ERR_SSL|EPROTO/.test(reason)) {
    const message = `the TLS connection to ${host} failed (${reason}); for a CA of your own, start Node with NODE_EXTRA_CA_CERTS=<its PEM file>`;
    return new ConnectionError('tls_error', message, { cause, idempotencyKey });
  }
  return new ConnectionError('network_error', `no answer from ${host} (${reason})`, { cause, idempotencyKey });
}

/** fetch wraps the system's error, whose code says what happened. */
function reasonOf(error: unknown): string {
  for (let link = error, depth = 0; link instanceof Error && depth < 5; link = link.cause, depth += 1) {
    const { code } = link as { code?: unknown };
    if (typeof code === 'string') return code;
  }
  return error instanceof Error ? error.message : 'unknown reason';
}

function abortedError(signal: AbortSignal, idempotencyKey: string | undefined): SealwrightError {
  return new SealwrightError('aborted', 'the call was ended by its signal', { cause: signal.reason, idempotencyKey });
}

function parseJsonObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function stringOr<T>(value: unknown, otherwise: T): string | T {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}

function sleep(ms: number, signal: AbortSignal | undefined, idempotencyKey: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortedError(signal, idempotencyKey));
      return;
    }
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      if (signal?.aborted) reject(abortedError(signal, idempotencyKey));
      else resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener('abort', finish, { once: true });
  });
}
