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

/** Codes of the server; docs/errors.md explains each. */
export type ServerErrorCode =
  | 'invalid_parameter'
  | 'invalid_from'
  | 'invalid_to'
  | 'invalid_json'
  | 'invalid_path'
  | 'api_key_in_url'
  | 'confirmation_required'
  | 'attachment_unreachable'
  | 'domain_unverified'
  | 'unauthorized'
  | 'forbidden'
  | 'forbidden_escalation'
  | 'ip_not_allowed'
  | 'domain_not_allowed'
  | 'origin_not_allowed'
  | 'browser_use_forbidden'
  | 'https_required'
  | 'request_blocked'
  | 'limit_reached'
  | 'not_found'
  | 'method_not_allowed'
  | 'request_timeout'
  | 'idempotency_key_conflict'
  | 'cannot_delete_self'
  | 'key_already_rotated'
  | 'key_revoked'
  | 'already_exists'
  | 'not_scheduled'
  | 'webhook_disabled'
  | 'rotation_in_progress'
  | 'replay_in_progress'
  | 'concurrent_change'
  | 'record_unpublished'
  | 'content_expired'
  | 'request_too_large'
  | 'unsupported_content_type'
  | 'rate_limit_exceeded'
  | 'too_many_failures'
  | 'internal_error'
  | 'storage_unavailable'
  | 'outcome_unknown'
  | 'overloaded';

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

/** What every failure of this package is. It never holds an API key, a webhook secret or a message's content. */
export class SealwrightError extends Error {
  override readonly name: string = 'SealwrightError';
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
  /** Key the failed send carried. Repeating the send with it can't send twice. */
  readonly idempotencyKey: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.param = details.param;
    this.requestId = details.requestId;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
    this.docs = details.docs;
    this.idempotencyKey = details.idempotencyKey;
  }
}

/** The request is at fault (400 and every 4xx without a class of its own). Repeating it changes nothing. */
export class InvalidRequestError extends SealwrightError {
  override readonly name = 'InvalidRequestError';
}

/** The API key is missing, malformed, unknown, revoked or expired (401); the server tells none of these apart. */
export class UnauthorizedError extends SealwrightError {
  override readonly name = 'UnauthorizedError';
}

/** The key is good, but not for this: a permission, an address, a domain or a limit stands against it (403). */
export class ForbiddenError extends SealwrightError {
  override readonly name = 'ForbiddenError';
}

/** Nothing is there under this id, as far as this key can see (404). */
export class NotFoundError extends SealwrightError {
  override readonly name = 'NotFoundError';
}

/** The request contradicts what is there (409). */
export class ConflictError extends SealwrightError {
  override readonly name = 'ConflictError';
}

/** Too many requests (429); `retryAfter` says how many seconds to wait. */
export class RateLimitError extends SealwrightError {
  override readonly name = 'RateLimitError';
}

/** The server, or something in front of it, failed (5xx). */
export class ServerError extends SealwrightError {
  override readonly name = 'ServerError';
}

/** No answer arrived (`network_error`, `tls_error`, `timeout`), so the work may or may not have been done. */
export class ConnectionError extends SealwrightError {
  override readonly name = 'ConnectionError';
}

/** A delivery that `verifyWebhook` refuses; the codes begin with `webhook_`. */
export class WebhookError extends SealwrightError {
  override readonly name = 'WebhookError';
}

const BY_STATUS: Readonly<Record<number, typeof SealwrightError>> = {
  401: UnauthorizedError,
  403: ForbiddenError,
  404: NotFoundError,
  409: ConflictError,
  429: RateLimitError,
};

/** The class of errors answered with this status. A redirect is nobody's error but still not an answer. */
export function errorClass(status: number): typeof SealwrightError {
  if (status < 400) return SealwrightError;
  return BY_STATUS[status] ?? (status < 500 ? InvalidRequestError : ServerError);
}
