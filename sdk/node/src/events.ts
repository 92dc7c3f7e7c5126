import type { Metadata } from './resources/emails.js';
import type { SuppressionType } from './resources/suppressions.js';

/** What each event carries beside its own fields. */
interface Envelope<Type extends string, Data> {
  /** The same in every delivery of the event: remember it to act once. */
  id: string;
  type: Type;
  /** RFC 3339, UTC. */
  createdAt: string;
  /** `test` when a test key caused it. */
  mode?: 'live' | 'test';
  data: Data;
}

/** The fields that events about a message as a whole share. */
interface MessageFields {
  emailId: string;
  from: string;
  to: string[];
  subject: string;
  tags?: string[];
  metadata?: Metadata;
}

/** The fields that events about one recipient of one message share. */
interface EmailFields {
  emailId: string;
  to: string;
  subject?: string;
  metadata?: Metadata;
}

/** Why a bounce happened: the first five are permanent, the others may pass. */
export type BounceCategory =
  | 'invalid_address'
  | 'domain_not_found'
  | 'content_rejected'
  | 'policy_related'
  | 'blocked'
  | 'mailbox_full'
  | 'server_error'
  | 'rate_limited';

export type EmailSentEvent = Envelope<'email.sent', MessageFields & { sentAt: string }>;
export type EmailDeliveredEvent = Envelope<'email.delivered', EmailFields & { deliveredAt: string }>;
export type EmailBouncedEvent = Envelope<
  'email.bounced',
  EmailFields & { bounceType: 'hard' | 'soft'; bounceCategory: BounceCategory; message: string; bouncedAt: string }
>;
export type EmailDeferredEvent = Envelope<
  'email.deferred',
  EmailFields & { reason: string; retryCount: number; nextRetryAt: string }
>;
export type EmailOpenedEvent = Envelope<
  'email.opened',
  EmailFields & { openedAt: string; userAgent?: string; ipAddress?: string; isFirstOpen: boolean }
>;
export type EmailClickedEvent = Envelope<
  'email.clicked',
  EmailFields & { url: string; clickedAt: string; userAgent?: string; ipAddress?: string }
>;
export type EmailComplainedEvent = Envelope<'email.complained', EmailFields & { complainedAt: string }>;
export type EmailUnsubscribedEvent = Envelope<
  'email.unsubscribed',
  EmailFields & { unsubscribedAt: string; reason?: string }
>;
export type EmailFailedEvent = Envelope<'email.failed', EmailFields & { message?: string; failedAt?: string }>;
/** The message waits for its time. */
export type EmailScheduledEvent = Envelope<'email.scheduled', MessageFields & { scheduledAt: string }>;
/** The message was taken back before its time. */
export type EmailCancelledEvent = Envelope<'email.cancelled', MessageFields & { cancelledAt: string }>;
export type EmailSuppressedEvent = Envelope<'email.suppressed', EmailFields & { suppressionReason?: string }>;
export type EmailReceivedEvent = Envelope<
  'email.received',
  {
    id: string;
    from: string;
    fromName?: string;
    to: string[];
    cc?: string[];
    subject: string;
    text?: string;
    html?: string;
    attachments: { filename: string; contentType: string; size: number; url: string }[];
    headers: Record<string, string>;
    receivedAt: string;
  }
>;

/** What events about a suppression tell of it. */
interface SuppressionFields {
  email: string;
  type: SuppressionType;
  reason?: string;
  /** The message whose bounce or complaint it was. */
  emailId?: string;
  createdAt: string;
}
/** The address is not written to any more. */
export type SuppressionCreatedEvent = Envelope<'suppression.created', SuppressionFields>;
/** The address may be written to again. */
export type SuppressionDeletedEvent = Envelope<'suppression.deleted', SuppressionFields>;

/** What events about a key tell of it. */
interface KeyFields {
  keyId: string;
  name: string;
  keyPrefix: string;
  lastFour: string;
}
/** `channel` is where the key was seen, `action` what became of it. */
export type ApiKeyExposedEvent = Envelope<
  'api_key.exposed',
  KeyFields & {
    channel: 'url' | 'plaintext_http' | 'browser' | 'mail' | 'report';
    action: 'revoked' | 'expires' | 'notified';
    expiresAt?: string;
  }
>;
export type ApiKeyRotationDueEvent = Envelope<'api_key.rotation_due', KeyFields & { ageDays: number; rotationDueAt: string }>;

/** What events about a domain tell of it. */
interface DomainFields {
  domainId: string;
  name: string;
  /** Hosts of DKIM records that the DNS does not show as they should be. Absent when all are there. */
  missingRecords?: string[];
}
/** The domain may send. */
export type DomainVerifiedEvent = Envelope<'domain.verified', DomainFields>;
/** The domain may send no more, or never could: its key has not been in the DNS for too long. */
export type DomainFailedEvent = Envelope<'domain.failed', DomainFields>;

/** Events about the installation rather than a message, for its operator; `clearedAt` is in `alert.cleared`. */
export type AccountEvent = Envelope<
  'alert.fired' | 'alert.cleared',
  { kind: string; message: string; firedAt: string; clearedAt?: string }
>;

/** The endpoint gets nothing any more: it answered 410, or took nothing for days. Other endpoints hear of it. */
export type WebhookDisabledEvent = Envelope<
  'webhook.disabled',
  { webhookId: string; reason: 'gone' | 'failing' | 'by_owner'; failingSince?: string }
>;

/** All events known to this version. A newer server may send others: keep a `default` branch. */
export type WebhookEvent =
  | EmailSentEvent
  | EmailDeliveredEvent
  | EmailBouncedEvent
  | EmailDeferredEvent
  | EmailOpenedEvent
  | EmailClickedEvent
  | EmailComplainedEvent
  | EmailUnsubscribedEvent
  | EmailFailedEvent
  | EmailScheduledEvent
  | EmailCancelledEvent
  | EmailSuppressedEvent
  | EmailReceivedEvent
  | SuppressionCreatedEvent
  | SuppressionDeletedEvent
  | ApiKeyExposedEvent
  | ApiKeyRotationDueEvent
  | DomainVerifiedEvent
  | DomainFailedEvent
  | AccountEvent
  | WebhookDisabledEvent;

export type WebhookEventType = WebhookEvent['type'];
