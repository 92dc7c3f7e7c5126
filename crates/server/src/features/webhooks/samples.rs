//! What a sample of each type of event says: the documented shape, about nobody.

use crate::clock::Timestamp;
use crate::features::events::Type;
use serde_json::{Map, Value, json};

const EMAIL: &str = "email_00000000000000000000000000";
const RECIPIENT: &str = "ada@example.com";

/// The data of a sample. `sample` is true in it, or in the metadata of one about an e-mail.
pub(super) fn data(kind: Type, now: Timestamp) -> Value {
    let at = now.rfc3339();
    let mut own = match kind {
        Type::EmailScheduled => json!({"scheduledAt": at}),
        Type::EmailSent => json!({"sentAt": at}),
        Type::EmailCancelled => json!({"cancelledAt": at}),
        Type::EmailDelivered => json!({"deliveredAt": at, "message": "250 2.0.0 accepted"}),
        Type::EmailDeferred => {
            json!({"reason": "451 4.7.1 try again later", "retryCount": 1, "nextRetryAt": at})
        }
        Type::EmailBounced => json!({"bounceType": "hard", "bounceCategory": "invalid_address",
            "message": "550 5.1.1 no such user", "bouncedAt": at}),
        Type::EmailFailed => json!({"reason": "421 4.4.2 timed out", "failedAt": at}),
        Type::EmailComplained => json!({"complainedAt": at}),
        Type::EmailSuppressed => json!({"suppressionReason": "hard_bounces"}),
        Type::ApiKeyExposed => json!({"channel": "report", "action": "notified"}),
        Type::ApiKeyRotationDue => json!({"ageDays": 90, "rotationDueAt": at}),
        Type::DomainVerified | Type::DomainFailed => {
            json!({"domainId": "dom_00000000000000000000000000", "name": "example.com"})
        }
        Type::SuppressionCreated | Type::SuppressionDeleted => {
            json!({"email": RECIPIENT, "type": "hard_bounces", "createdAt": at})
        }
        Type::AlertFired => json!({"kind": "queue_stalled", "message": "a sample", "firedAt": at}),
        Type::AlertCleared => {
            json!({"kind": "queue_stalled", "message": "a sample", "firedAt": at, "clearedAt": at})
        }
        Type::WebhookDisabled => json!({"webhookId": "wh_00000000000000000000000000", "reason": "gone"}),
    };
    if let Some(fields) = own.as_object_mut() {
        add_shared(kind, fields);
    }
    own
}

/// The fields that types share.
fn add_shared(kind: Type, fields: &mut Map<String, Value>) {
    let shared = match kind.name().split_once('.') {
        Some(("email", "scheduled" | "sent" | "cancelled")) => {
            json!({"emailId": EMAIL, "from": "shop@example.com", "to": [RECIPIENT], "subject": "A sample",
                "metadata": {"sample": true}})
        }
        Some(("email", _)) => {
            json!({"emailId": EMAIL, "to": RECIPIENT, "subject": "A sample", "metadata": {"sample": true}})
        }
        Some(("api_key", _)) => {
            json!({"keyId": "key_00000000000000000000000000", "name": "a sample", "keyPrefix": "le_", "lastFour": "0000",
                "sample": true})
        }
        _ => json!({"sample": true}),
    };
    if let Value::Object(shared) = shared {
        fields.extend(shared);
    }
}
