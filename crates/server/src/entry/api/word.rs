//! The words of the wire. Which ones there are is said once, by the types that mean them; reading, writing and the document ask those.

use super::json::OWN_WORDS;
use crate::features::delivery::Category;
use crate::features::domains::{self, RecordPurpose, RecordType, Shows};
use crate::features::emails::{AttemptState, Kind, Status, Stream};
use crate::features::events::Type;
use crate::features::keys::Period;
use crate::features::orgs::{ExposurePolicy, Plan};
use crate::features::people::{Algorithm, Permissions, Role};
use crate::features::relays;
use crate::features::reputation;
use crate::features::suppressions;
use crate::features::webhooks::{self, DeliveryStatus, Health};
use crate::mode::Mode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;

/// What can be said with words of a list.
pub(super) trait Vocabulary {
    /// The list's name in the document.
    const NAME: &'static str;

    /// The list.
    fn words() -> Vec<String>;
}

/// A type of which each value is a word.
pub(super) trait Spoken: Vocabulary + Copy {
    /// The word.
    fn word(self) -> &'static str;

    /// The value that a word means.
    fn heard(word: &str) -> Option<Self>;
}

/// A value that is a word on the wire.
#[derive(Clone, Copy)]
pub(super) struct Word<T>(pub(super) T);

impl<T: Spoken> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.word())
    }
}

impl<'de, T: Spoken> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let refused = || D::Error::custom(format!("{OWN_WORDS}expected one of {}", T::words().join(", ")));
        T::heard(&text).map(Self).ok_or_else(refused)
    }
}

impl<T: Vocabulary> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": T::words() })
    }
}

macro_rules! spoken {
    ($($type:ty = $name:literal;)*) => {$(
        impl Vocabulary for $type {
            const NAME: &'static str = $name;
            fn words() -> Vec<String> {
                Self::ALL.into_iter().map(|value| value.name().to_owned()).collect()
            }
        }

        impl Spoken for $type {
            fn word(self) -> &'static str {
                self.name()
            }
            fn heard(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == word)
            }
        }
    )*};
}

spoken! {
    Algorithm = "SessionAlgorithm";
    AttemptState = "AttemptState";
    Category = "BounceCategory";
    DeliveryStatus = "WebhookDeliveryStatus";
    domains::Route = "DomainRoute";
    domains::Status = "DomainStatus";
    ExposurePolicy = "KeyExposurePolicy";
    Health = "WebhookStatus";
    webhooks::Disabled = "WebhookDisabledReason";
    webhooks::Scope = "WebhookReplayScope";
    Kind = "RecipientKind";
    Mode = "Mode";
    Period = "RatePeriod";
    Plan = "Plan";
    RecordPurpose = "DnsRecordPurpose";
    RecordType = "DnsRecordType";
    relays::Kind = "RelayProvider";
    relays::Status = "RelayStatus";
    reputation::Status = "ReputationStatus";
    Role = "Role";
    Shows = "DnsRecordStatus";
    Status = "EmailStatus";
    suppressions::Type = "SuppressionType";
    Type = "EventType";
    domains::Tls = "TlsDemand";
    Stream = "EmailStream";
}

/// A permission as keys and members have it.
pub(super) struct Permission;

impl Vocabulary for Permission {
    const NAME: &'static str = "Permission";
    fn words() -> Vec<String> {
        Permissions::vocabulary()
    }
}

/// A permission as it may be asked for: other products' words, too.
pub(super) struct AskedPermission;

impl Vocabulary for AskedPermission {
    const NAME: &'static str = "AskedPermission";
    fn words() -> Vec<String> {
        let aliases = Permissions::aliases().map(str::to_owned);
        Permissions::vocabulary().into_iter().chain(aliases).collect()
    }
}

/// Which events an endpoint wants.
pub(super) struct EventPattern;

impl Vocabulary for EventPattern {
    const NAME: &'static str = "EventPattern";
    fn words() -> Vec<String> {
        webhooks::event_patterns()
    }
}
