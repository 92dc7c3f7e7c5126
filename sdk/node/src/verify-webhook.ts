import { createHmac, timingSafeEqual } from 'node:crypto';
import { types } from 'node:util';
import { refuseUnknown } from './arguments.js';
import type { ClientErrorCode } from './errors.js';
import { SealwrightError, WebhookError } from './errors.js';
import type { WebhookEvent } from './events.js';

/** How far a delivery's time may lie from ours, unless the caller says otherwise. */
export const DEFAULT_TOLERANCE_SECONDS = 300;
/** A real header has one or two signatures and some 150 characters. */
export const MAX_HEADER_CHARS = 1024;

/** Options of `verifyWebhook`. */
export interface VerifyWebhookOptions {
  /** How many seconds the delivery's time may lie before or after `now`. Default 300. */
  toleranceSeconds?: number | undefined;
  /** The time to compare with: a `Date`, or milliseconds as of `Date.now()`. For tests and for stored deliveries. */
  now?: Date | number | undefined;
}

/**
 * Returns the event of a webhook delivery, or throws a `WebhookError` if it does not come from your server.
 *
 * `rawBody` is the request's body as received, before any JSON parser. `header` is the value of `Lettr-Signature`.
 * `secret` is the endpoint's secret as shown at its creation. The types admit `undefined` because headers and
 * environment variables may be missing; what is missing is refused.
 */
export function verifyWebhook(
  rawBody: string | Uint8Array,
  header: string | string[] | null | undefined,
  secret: string | undefined,
  options: VerifyWebhookOptions = {},
): WebhookEvent {
  const { toleranceSeconds, nowSeconds } = resolveOptions(options);
  const body = rawBytes(rawBody);
  const { timestamp, signatures } = parseHeader(header);
  if (typeof secret !== 'string' || secret === '') {
    throw refusal('webhook_secret_missing', 'no webhook secret: pass the string that was shown when the endpoint was created');
  }
  if (!isSignedBy(secret, timestamp, body, signatures)) {
    throw refusal(
      'webhook_signature_mismatch',
      "no signature matches: another endpoint's secret, or a body that was changed on its way here (parsed and rewritten, re-encoded)",
    );
  }
  // After the signature, so that this message is only given for genuine deliveries, where it helps.
  if (!(Math.abs(nowSeconds - Number(timestamp)) <= toleranceSeconds)) {
    throw refusal(
      'webhook_timestamp_out_of_tolerance',
      `the delivery is signed for a time more than ${toleranceSeconds} s from now: replayed, or a clock is wrong`,
    );
  }
  return parseEvent(body);
}

function resolveOptions(options: VerifyWebhookOptions): { toleranceSeconds: number; nowSeconds: number } {
  refuseUnknown(options, ['toleranceSeconds', 'now'], 'verifyWebhook');
  const toleranceSeconds = options.toleranceSeconds ?? DEFAULT_TOLERANCE_SECONDS;
  const nowSeconds = Number(options.now ?? Date.now()) / 1000;
  // Infinity or NaN would switch the check off, or every delivery.
  for (const [param, value] of Object.entries({ toleranceSeconds, now: nowSeconds })) {
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
      throw new SealwrightError('argument_invalid', `verifyWebhook: ${param} must be a finite number, not negative`, { param });
    }
  }
  return { toleranceSeconds, nowSeconds };
}

function rawBytes(rawBody: unknown): Uint8Array {
  if (typeof rawBody === 'string') return Buffer.from(rawBody, 'utf8');
  if (types.isUint8Array(rawBody)) return rawBody;
  const found =
    rawBody === undefined || rawBody === null
      ? 'there is no body; in Express that means no parser ran for this route'
      : 'the body has been parsed already';
  throw refusal(
    'webhook_body_not_raw',
    `${found}. The signature covers the bytes as received, so pass them as a string or Buffer: in Express give this route ` +
      "express.raw({ type: 'application/json' }), before and instead of express.json(); elsewhere use await request.text()",
  );
}

interface SignatureHeader {
  /** As written: these characters are what was signed. */
  readonly timestamp: string;
  readonly signatures: readonly Buffer[];
}

/** Reads `t=<unix seconds>,v1=<64 hex digits>[,v1=…]`. Schemes other than `v1` are left to later versions. */
function parseHeader(header: unknown): SignatureHeader {
  if (Array.isArray(header)) throw badHeader('is an array; a delivery has one such header, and which of several is signed cannot be known');
  if (typeof header !== 'string' || header === '') throw badHeader("is missing; read it as req.headers['lettr-signature']");
  if (header.length > MAX_HEADER_CHARS) throw badHeader(`has more than ${MAX_HEADER_CHARS} characters`);

  let timestamp: string | undefined;
  const signatures: Buffer[] = [];
  for (const element of header.split(',')) {
    const [, name, value] = /^[ \t]*([a-z][a-z0-9]*)=([!-~]+)[ \t]*$/.exec(element) ?? [];
    if (name === undefined || value === undefined) throw badHeader('is not a list of name=value');
    if (name === 't') {
      if (timestamp !== undefined) throw badHeader('has more than one t');
      if (!/^(0|[1-9][0-9]{0,11})$/.test(value)) throw badHeader('has a t that is not a time in unix seconds');
      timestamp = value;
    } else if (name === 'v1') {
      if (!/^[0-9a-f]{64}$/.test(value)) throw badHeader('has a v1 that is not 64 lower-case hex digits');
      signatures.push(Buffer.from(value, 'hex'));
    }
  }
  if (timestamp === undefined) throw badHeader('has no t');
  if (signatures.length === 0) throw badHeader('has no v1');
  return { timestamp, signatures };
}

function isSignedBy(secret: string, timestamp: string, body: Uint8Array, signatures: readonly Buffer[]): boolean {
  const expected = createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest();
  let isMatch = false;
  // Each one is compared, and in constant time: how long it takes tells nothing about the right value.
  for (const signature of signatures) isMatch = timingSafeEqual(expected, signature) || isMatch;
  return isMatch;
}

function parseEvent(body: Uint8Array): WebhookEvent {
  let event: unknown;
  try {
    event = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    throw refusal('webhook_body_invalid', 'the signature is right, but the body is not JSON in UTF-8');
  }
  const { id, type, createdAt, data } = Object(event) as Record<string, unknown>;
  const isEvent = [id, type, createdAt].every((field) => typeof field === 'string') && typeof data === 'object' && data !== null;
  if (!isEvent) {
    throw refusal('webhook_body_invalid', 'the signature is right, but the body is not an event with id, type, createdAt and data');
  }
  return event as WebhookEvent;
}

function badHeader(problem: string): WebhookError {
  return refusal('webhook_header_invalid', `the Lettr-Signature header ${problem}`);
}

function refusal(code: ClientErrorCode, message: string): WebhookError {
  return new WebhookError(code, message);
}
