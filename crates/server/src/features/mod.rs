//! The rules, a folder per feature. Each calls only features listed above it; work flows down the list through jobs.

pub mod alerts;
pub mod audit;
pub mod delivery;
pub mod domains;
pub mod emails;
pub mod events;
pub mod keys;
pub mod notices;
pub mod orgs;
pub mod people;
pub mod relays;
pub mod reputation;
pub mod returns;
pub mod sessions;
pub mod suppressions;
pub mod templates;
pub mod usage;
pub mod webhooks;

use crate::platform::store::StatementText;

/// Every statement of the data's schema, for the test that prepares all of them on both engines.
pub fn statements() -> impl Iterator<Item = &'static StatementText> {
    [
        crate::platform::jobs::STATEMENTS,
        crate::platform::store::MAINTENANCE,
        crate::platform::quota::STATEMENTS,
        audit::STATEMENTS,
        orgs::STATEMENTS,
        events::STATEMENTS,
        alerts::STATEMENTS,
        people::STATEMENTS,
        keys::STATEMENTS,
        sessions::STATEMENTS,
        domains::STATEMENTS,
        suppressions::STATEMENTS,
        templates::STATEMENTS,
        relays::STATEMENTS,
        emails::STATEMENTS,
        usage::STATEMENTS,
        returns::STATEMENTS,
        reputation::STATEMENTS,
        notices::STATEMENTS,
        delivery::STATEMENTS,
        delivery::SOURCE_STATEMENTS,
        webhooks::STATEMENTS,
    ]
    .into_iter()
    .flatten()
}
