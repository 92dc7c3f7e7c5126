import { refuseUnknown } from './arguments.js';
import { SealwrightError } from './errors.js';
import type { EmailDefaults } from './resources/emails.js';

/** Longest wait for one try, unless the caller says otherwise. */
export const DEFAULT_TIMEOUT_MS = 30_000;
/** Largest accepted `timeoutMs`: ten minutes. */
export const MAX_TIMEOUT_MS = 600_000;
/** Tries after the first, unless the caller says otherwise. */
export const DEFAULT_MAX_RETRIES = 3;
/** Largest accepted `maxRetries`. */
export const MAX_RETRIES = 10;

/** What the constructor takes beside the API key. */
export interface SealwrightOptions<Defaults extends EmailDefaults = EmailDefaults> {
  /** Address of your server, with or without a trailing `/v1`. Default: the environment's `SEALWRIGHT_BASE_URL`. */
  baseUrl?: string | undefined;
  /** Longest wait for one try in milliseconds, reading the answer included: 1 to 600000, default 30000. */
  timeoutMs?: number | undefined;
  /** Tries after the first: 0 to 10, default 3. */
  maxRetries?: number | undefined;
  /** Whether 429 is waited out (by `Retry-After`) and tried again. Default true. */
  retryOnRateLimit?: boolean | undefined;
  /** Replaces the global `fetch`, for instance to go through a proxy. It must honour `signal`. */
  fetch?: typeof globalThis.fetch | undefined;
  /**
   * Fields that each `emails.send` begins with, such as `{ from: 'Shop <shop@example.com>' }`. A field of the message
   * replaces its default; a message with `html` or `text` of its own takes neither from here.
   */
  defaults?: Defaults | undefined;
}

const OPTION_NAMES = ['baseUrl', 'timeoutMs', 'maxRetries', 'retryOnRateLimit', 'fetch', 'defaults'] as const;

/** The checked settings of one client. */
export interface ClientSettings {
  readonly apiKey: string;
  /** No trailing slash, no `/v1`. */
  readonly baseUrl: string;
  readonly timeoutMs: number;
  readonly maxRetries: number;
  readonly retryOnRateLimit: boolean;
  readonly fetch: typeof globalThis.fetch;
  readonly defaults: EmailDefaults;
}

/** Checks what the constructor was given and fills the gaps from the environment. */
export function resolveSettings(
  apiKey: string | undefined,
  options: SealwrightOptions,
  environment: Record<string, string | undefined>,
): ClientSettings {
  refuseUnknown(options, OPTION_NAMES, 'new Sealwright');
  const fetch = options.fetch ?? globalThis.fetch;
  if (typeof fetch !== 'function') {
    throw invalid('fetch', 'there is no global fetch: use Node 18 or later, or pass the option "fetch"');
  }
  return {
    apiKey: resolveApiKey(apiKey ?? environment['SEALWRIGHT_API_KEY']),
    baseUrl: resolveBaseUrl(options.baseUrl ?? environment['SEALWRIGHT_BASE_URL']),
    timeoutMs: integerWithin('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, 1, MAX_TIMEOUT_MS),
    maxRetries: integerWithin('maxRetries', options.maxRetries ?? DEFAULT_MAX_RETRIES, 0, MAX_RETRIES),
    retryOnRateLimit: boolean('retryOnRateLimit', options.retryOnRateLimit ?? true),
    fetch,
    defaults: { ...object('defaults', options.defaults ?? {}) },
  };
}

function resolveApiKey(apiKey: unknown): string {
  if (apiKey === undefined || apiKey === '') {
    throw invalid('apiKey', 'no API key: pass it as first argument or set SEALWRIGHT_API_KEY');
  }
  // fetch would refuse such a header too, but its message repeats the value.
  if (typeof apiKey !== 'string' || !/^[\x21-\x7e]+$/.test(apiKey)) {
    throw invalid('apiKey', 'the API key must be printable ASCII without spaces or line breaks; does it end in a newline?');
  }
  return apiKey;
}

function resolveBaseUrl(baseUrl: unknown): string {
  if (baseUrl === undefined || baseUrl === '') {
    throw invalid(
      'baseUrl',
      'which server? Pass { baseUrl: "https://mail.example.com" } or set SEALWRIGHT_BASE_URL; "sealwright dev" prints its own',
    );
  }
  const url = parseUrl(baseUrl);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    throw invalid('baseUrl', 'baseUrl must begin with https://; the server revokes keys that arrive over plain http');
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw invalid('baseUrl', 'baseUrl must be an origin and, at most, a path: no user, password, query or fragment');
  }
  return url.origin + url.pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
}

function parseUrl(text: unknown): URL {
  try {
    if (typeof text === 'string') return new URL(text);
  } catch {
    // Not an address: refused below like any other value that isn't one.
  }
  throw invalid('baseUrl', 'baseUrl is not an address; it looks like "https://mail.example.com"');
}

/** Plain http stays possible on the machine itself, for tests against a local stand-in. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function integerWithin(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw invalid(name, `${name} must be a whole number from ${min} to ${max}`);
  }
  return value;
}

function boolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(name, `${name} must be true or false`);
  return value;
}

function object(name: string, value: object): object {
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(name, `${name} must be an object`);
  return value;
}

function invalid(param: string, message: string): SealwrightError {
  return new SealwrightError('settings_invalid', message, { param });
}
