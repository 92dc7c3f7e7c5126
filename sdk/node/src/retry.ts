import type { SealwrightError } from './errors.js';

/** First wait of the exponential back-off; doubles with each try. */
export const BACKOFF_FIRST_MS = 500;
/** No back-off of our own waits longer. */
export const BACKOFF_MAX_MS = 8_000;
/** A server that asks for a longer wait gets its answer thrown to the caller, who knows whether waiting makes sense. */
export const RETRY_AFTER_MAX_SECONDS = 60;
/** Spread on top of `Retry-After`, so that clients told the same second don't return in the same millisecond. */
export const RETRY_AFTER_SPREAD_MS = 100;

/** What the decision depends on beside the error. */
export interface RetryPolicy {
  /** Doing the call twice has the effect of doing it once, as with a GET or a send under its idempotency key. */
  readonly isRepeatable: boolean;
  readonly retryOnRateLimit: boolean;
  /** A number in [0, 1); an argument so that tests can hold it still. */
  readonly random: () => number;
}

/**
 * How long to wait before the next try, or `undefined` for "give up".
 *
 * `triesMade` counts from 1. Errors fall into two sorts: the server said it has not done the work (408, 429, 503), or nobody
 * knows (connection lost, time over, a gateway's 502 or 504, a 503 `outcome_unknown`). The second sort is tried again only
 * where doing it twice is harmless.
 */
export function retryDelayMs(error: SealwrightError, triesMade: number, policy: RetryPolicy): number | undefined {
  if (!mayRetry(error, policy)) return undefined;
  if (error.retryAfter !== undefined) {
    if (error.retryAfter > RETRY_AFTER_MAX_SECONDS) return undefined;
    return error.retryAfter * 1000 + policy.random() * RETRY_AFTER_SPREAD_MS;
  }
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (triesMade - 1));
  return ceiling / 2 + (policy.random() * ceiling) / 2;
}

function mayRetry(error: SealwrightError, policy: RetryPolicy): boolean {
  switch (error.status) {
    case undefined:
      return policy.isRepeatable && (error.code === 'network_error' || error.code === 'timeout');
    case 408:
      return true;
    case 429:
      return policy.retryOnRateLimit;
    case 503:
      return policy.isRepeatable || error.code !== 'outcome_unknown';
    case 502:
    case 504:
      return policy.isRepeatable;
    default:
      return false;
  }
}

/** Seconds of a `Retry-After` header: a number, or the distance to an HTTP date (RFC 9110 §10.2.3). */
export function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const at = /^[A-Z][a-z]{2}, /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - nowMs) / 1000));
}
