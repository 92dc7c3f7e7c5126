export { Sealwright, Sealwright as Lettr } from './client.js';
export { SealwrightError } from './errors.js';
export { verifyWebhook } from './verify-webhook.js';

export type { CallOptions, CreateOptions } from './arguments.js';
export type { ClientErrorCode, ErrorCode, ServerErrorCode } from './errors.js';
export type * from './events.js';
export type { Page, PageQuery } from './page.js';
export type {
  AddressInput,
  AttachmentInput,
  Email,
  EmailDraft,
  EmailQuery,
  Emails,
  EmailStatus,
  Metadata,
  SentEmail,
} from './resources/emails.js';
export type {
  CreatedWebhook,
  DeletedWebhook,
  EventPattern,
  Webhook,
  WebhookDraft,
  WebhookQuery,
  Webhooks,
  WebhookStatus,
} from './resources/webhooks.js';
export type { SealwrightOptions } from './settings.js';
export type { VerifyWebhookOptions } from './verify-webhook.js';
