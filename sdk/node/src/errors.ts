/** Codes that this package raises itself, without or before an answer of the server. */
export type ClientErrorCode =
  | 'settings_invalid'
  | 'argument_invalid'
  | 'network_error'
  | 'tls_error'
  | 'timeout'
  | 'aborted'
  | 'response_invalid'
  | 'webhook_body_not_raw'
  | 'webhook_body_invalid'
  | 'webhook_header_invalid'
  | 'webhook_secret_missing'
  | 'webhook_signature_mismatch'
  | 'webhook_timestamp_out_of_tolerance';

/** Codes of the server that programs commonly tell apart; its OpenAPI document lists all of them. */
export type ServerErrorCode =
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'invalid_parameter'
  | 'invalid_from'
  | 'invalid_to'
  | 'suppressed'
  | 'content_expired'
  | 'rate_limit_exceeded'
  | 'idempotency_key_conflict'
  | 'idempotency_in_progress'
  | 'https_required'
  | 'api_key_in_url';

/** Open on purpose: a newer server may answer with a code that this version has not heard of. */
export type ErrorCode = ClientErrorCode | ServerErrorCode | (string & {});

/** What is known about a failure beside its code and message. */
export interface ErrorDetails {
  param?: string | undefined;
  requestId?: string | undefined;
  status?: number | undefined;
  retryAfter?: number | undefined;
  docs?: string | undefined;
  idempotencyKey?: string | undefined;
  cause?: unknown;
}

/** The one error type of this package. It never holds an API key, a webhook secret or a message's content. */
export class SealwrightError extends Error {
  /** Stable word to branch on. */
  readonly code: ErrorCode;
  /** The argument or field at fault, as the server or this package names it. */
  readonly param: string | undefined;
  /** Quote it when asking the server's operator about a failure. */
  readonly requestId: string | undefined;
  /** HTTP status; absent when no answer arrived. */
  readonly status: number | undefined;
  /** Seconds to wait before trying again, when the server said so. */
  readonly retryAfter: number | undefined;
  /** Address of the page that explains the code. */
  readonly docs: string | undefined;
  /** Key the failed POST carried. Repeating the call with it can't do the work twice. */
  readonly idempotencyKey: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SealwrightError';
    this.code = code;
    this.param = details.param;
    this.requestId = details.requestId;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
    this.docs = details.docs;
    this.idempotencyKey = details.idempotencyKey;
  }
}
