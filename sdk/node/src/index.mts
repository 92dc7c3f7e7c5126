// The names are listed rather than starred: a missing one then fails the build, not the importing program.
export {
  ConflictError,
  ConnectionError,
  ForbiddenError,
  InvalidRequestError,
  Lettr,
  NotFoundError,
  RateLimitError,
  Sealwright,
  SealwrightError,
  ServerError,
  UnauthorizedError,
  WebhookError,
  verifyWebhook,
} from './index.js';
export type * from './index.js';
