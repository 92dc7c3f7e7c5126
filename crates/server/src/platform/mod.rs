//! The ground floor: it knows no feature.
//!
//! `store` keeps rows, `vault` seals values and draws randomness, `jobs` does work later, `net` is the only way out,
//! `quota` says who may ask how often, `dev` catches mail during development. [`Platform`] is what a feature is given.

pub mod dev;
pub mod jobs;
pub mod net;
pub mod quota;
pub mod store;
pub mod vault;

use crate::clock::Clock;
use crate::id::NodeId;
use crate::metrics::Metrics;
use std::sync::Arc;

/// What every feature stands on; cheap to clone.
#[derive(Clone)]
pub struct Platform {
    /// Organizations' rows.
    pub store: store::Store,
    /// Their keys.
    pub vault: vault::Vault,
    /// The time.
    pub clock: Clock,
    /// This process among its peers.
    pub node: NodeId,
    /// Wakes workers of this process when work was added.
    pub hints: Arc<jobs::Hints>,
    /// Leases that this process works on.
    pub held: Arc<jobs::Held>,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
}
