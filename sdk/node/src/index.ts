export { Sealwright, Sealwright as Lettr } from './client.js';
export {
  ConflictError,
  ConnectionError,
  ForbiddenError,
  InvalidRequestError,
  NotFoundError,
  RateLimitError,
  SealwrightError,
  ServerError,
  UnauthorizedError,
  WebhookError,
} from './errors.js';
export { verifyWebhook } from './verify-webhook.js';

export type { CallOptions, SendOptions } from './arguments.js';
export type { Caller } from './client.js';
export type { ClientErrorCode, ErrorCode, ServerErrorCode } from './errors.js';
export type * from './events.js';
export type { Page, PageQuery } from './page.js';
export type * from './resources/api-keys.js';
export type * from './resources/domains.js';
export type * from './resources/emails.js';
export type * from './resources/secrets.js';
export type * from './resources/settings.js';
export type * from './resources/usage.js';
export type * from './resources/relays.js';
export type * from './resources/suppressions.js';
export type * from './resources/templates.js';
export type * from './resources/webhooks.js';
export type { SealwrightOptions } from './settings.js';
export type { VerifyWebhookOptions } from './verify-webhook.js';
