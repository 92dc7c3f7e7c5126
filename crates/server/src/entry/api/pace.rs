//! How much a caller may ask: quotas of organization and key, tries of strangers, bans of attackers, and the headers that tell.

use super::Problem;
use crate::features::audit::Origin;
use crate::features::keys::{Actor, Caller, Rate};
use crate::limits::{BATCH_EMAILS_MAX, FEED_REQUESTS_A_MINUTE_MAX};
use crate::platform::Platform;
use crate::platform::jobs::Stop;
use crate::platform::quota::{Bucket, Failures, Network, Quota, Quotas, Scores, Standing};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::num::NonZeroU32;
use std::time::Duration;

/// How often what is over is forgotten.
const UPKEEP_EVERY: Duration = Duration::from_secs(3);
/// What a network may ask without a key, on each node.
const STRANGER: Quota = Quota {
    requests: NonZeroU32::MIN.saturating_add(59),
    period: Duration::from_secs(60),
};

/// What may be asked of one relay's feed by networks that proved lately to be its provider's, on each node.
const FEED: Quota = Quota {
    requests: NonZeroU32::MIN.saturating_add(FEED_REQUESTS_A_MINUTE_MAX - 1),
    period: Duration::from_secs(60),
};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const POLICIES: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDINGS: HeaderName = HeaderName::from_static("ratelimit");

/// The limits of a process.
pub(super) struct Paces {
    quotas: Quotas,
    failures: Failures,
    scores: Scores,
}

/// Where a caller stands with each of its quotas, by the quota's name.
#[derive(Clone)]
pub(super) struct Standings(Vec<(&'static str, Quota, Standing)>);

impl Paces {
    /// Nobody has asked for anything yet.
    pub(super) fn new(platform: &Platform, ban_first: Duration) -> Self {
        let metrics = &platform.metrics;
        Self {
            quotas: Quotas::new(platform.store.clone(), platform.clock.clone(), metrics),
            failures: Failures::new(metrics),
            scores: Scores::new(metrics, ban_first),
        }
    }

    /// Forgets what is over, until stopped.
    pub(super) async fn run(&self, platform: &Platform, mut stop: Stop) {
        while !stop.is_set() {
            let now = platform.clock.now();
            self.failures.sweep(now);
            self.scores.sweep(now);
            if let Err(error) = self.quotas.upkeep(now).await {
                tracing::warn!(%error, "quotas can't be shared with other nodes for now; this one admits its share");
            }
            tokio::select! {
                () = tokio::time::sleep(UPKEEP_EVERY) => {}
                () = stop.wait() => {}
            }
        }
    }

    /// Refuses networks that are shut out for what they sent before, but not a credential that was good from there: nobody is locked
    /// out by a stranger behind the same address.
    pub(super) fn hear(&self, platform: &Platform, origin: &Origin, credential: &str) -> Result<(), Problem> {
        let (Some(network), now) = (network(origin), platform.clock.now()) else {
            return Ok(());
        };
        if self.failures.knows(network, credential.as_bytes(), now) {
            return Ok(());
        }
        let heard = self.scores.may_ask(network, now);
        heard.map_err(|wait| Problem::request_blocked(wait.seconds()))
    }

    /// Notes a refusal that looks like an attack, unless it comes with a credential that was good from there.
    pub(super) fn suspect(&self, platform: &Platform, origin: &Origin, credential: &str, points: u32) {
        let (Some(network), now) = (network(origin), platform.clock.now()) else {
            return;
        };
        if points == 0 || self.failures.knows(network, credential.as_bytes(), now) {
            return;
        }
        if self.scores.add(network, points, now).is_some() {
            tracing::warn!("a network is shut out for a while: its requests look like attacks");
        }
    }

    /// Lets a stranger ask, not too often.
    pub(super) async fn stranger(&self, platform: &Platform, origin: &Origin) -> Result<Standings, Problem> {
        let bucket = network(origin).map_or_else(
            || Bucket::here("nowhere", &[]),
            |network| Bucket::of_network("stranger", network),
        );
        let standing = self.quotas.admit(&bucket, STRANGER, platform.clock.now()).await;
        refuse(Standings(vec![("network", STRANGER, standing)]))
    }

    /// Lets anybody ask on a route that needs no key: as a relay's provider where a request to this feed from this network was one lately,
    /// as a stranger everywhere else.
    pub(super) async fn anyone(
        &self,
        platform: &Platform,
        origin: &Origin,
        path: &str,
    ) -> Result<Standings, Problem> {
        let now = platform.clock.now();
        let proved = network(origin).is_some_and(|network| self.failures.knows(network, &feed_of(path), now));
        if !proved {
            return self.stranger(platform, origin).await;
        }
        let bucket = Bucket::here("feed", path.as_bytes());
        let standing = self.quotas.admit(&bucket, FEED, now).await;
        refuse(Standings(vec![("feed", FEED, standing)]))
    }

    /// Notes that a request to this feed came from its provider.
    pub(super) fn heard(&self, platform: &Platform, origin: &Origin, path: &str) {
        if let Some(network) = network(origin) {
            let now = platform.clock.now();
            self.failures.succeeded(network, &feed_of(path), now);
        }
    }

    /// Whether a credential from this network is looked at at all.
    pub(super) fn may_try(
        &self,
        platform: &Platform,
        origin: &Origin,
        credential: &str,
    ) -> Result<(), Problem> {
        let Some(network) = network(origin) else {
            return Ok(());
        };
        let now = platform.clock.now();
        let tried = self.failures.may_try(network, credential.as_bytes(), now);
        tried.map_err(|wait| Problem::too_many_failures(wait.seconds()))
    }

    /// Notes whether it was good.
    pub(super) fn tried(&self, platform: &Platform, origin: &Origin, credential: &str, is_good: bool) {
        let Some(network) = network(origin) else { return };
        let now = platform.clock.now();
        if is_good {
            self.failures.succeeded(network, credential.as_bytes(), now);
        } else {
            self.failures.failed(network, now);
        }
    }

    /// Charges a request to the caller's organization and to its key, if that has a limit of its own: to both or to neither.
    pub(super) async fn charge(&self, platform: &Platform, caller: &Caller) -> Result<Standings, Problem> {
        let (names, buckets) = buckets(caller);
        let standings = self.quotas.admit_all(&buckets, platform.clock.now()).await;
        let quotas = buckets.into_iter().map(|(_, quota)| quota);
        let named = names.into_iter().zip(quotas).zip(standings);
        refuse(Standings(
            named
                .map(|((name, quota), standing)| (name, quota, standing))
                .collect(),
        ))
    }

    /// Charges what comes in one request as so many, beside that request: to both or to neither.
    pub(super) fn charge_batch(
        &self,
        platform: &Platform,
        caller: &Caller,
        requests: NonZeroU32,
    ) -> Result<Standings, Problem> {
        let (names, buckets) = buckets(caller);
        let now = platform.clock.now();
        let standings = self.quotas.admit_batch(&buckets, requests, BATCH_EMAILS_MAX, now);
        let named = names.into_iter().zip(standings);
        refuse(Standings(
            named
                .map(|(name, (quota, standing))| (name, quota, standing))
                .collect(),
        ))
    }
}

/// The buckets of a caller, and their names: its organization's, and its key's if that has a limit of its own.
fn buckets(caller: &Caller) -> (Vec<&'static str>, Vec<(Bucket, Quota)>) {
    let org = Quota::per_second(caller.org_per_second);
    let (mut names, mut buckets) = (vec![caller.plan.name()], vec![(Bucket::of_org(&caller.org), org)]);
    if let (Some(rate), Actor::Key(key)) = (caller.restrictions.rate, &caller.actor) {
        names.push("key");
        buckets.push((Bucket::of_key(key), quota(rate)));
    }
    (names, buckets)
}

/// A feed among credentials. None that comes in a header can pass for it: headers hold no NUL.
fn feed_of(path: &str) -> Vec<u8> {
    [b"feed\0", path.as_bytes()].concat()
}

fn network(origin: &Origin) -> Option<Network> {
    origin.address.map(|address| Network::from(*address.expose()))
}

fn quota(rate: Rate) -> Quota {
    Quota {
        requests: rate.requests,
        period: rate.period(),
    }
}

/// A refusal tells where the caller stands, too.
fn refuse(standings: Standings) -> Result<Standings, Problem> {
    let wait = standings
        .0
        .iter()
        .filter_map(|(.., standing)| standing.retry_after)
        .max();
    match wait {
        None => Ok(standings),
        Some(wait) => Err(Problem::rate_limit_exceeded(wait.seconds(), standings)),
    }
}

impl Standings {
    /// Both families of headers: the contract's (`X-RateLimit-*`, unix seconds) and draft-ietf-httpapi-ratelimit-headers-10.
    pub(super) fn write(&self, headers: &mut HeaderMap, now_s: i64) {
        let all: Vec<Standing> = self.0.iter().map(|(.., standing)| *standing).collect();
        let Some(tightest) = Standing::tightest(&all) else {
            return;
        };
        headers.insert(LIMIT, HeaderValue::from(tightest.limit));
        headers.insert(REMAINING, HeaderValue::from(tightest.remaining));
        headers.insert(
            RESET,
            HeaderValue::from(now_s.saturating_add(seconds(tightest.reset_after))),
        );
        let join = |text: fn(&(&'static str, Quota, Standing)) -> String| {
            let texts: Vec<_> = self.0.iter().map(text).collect();
            HeaderValue::from_str(&texts.join(", ")).ok()
        };
        let policies = join(|(name, quota, _)| {
            format!(
                "\"{name}\";q={};w={}",
                quota.requests,
                quota.period.as_secs().max(1)
            )
        });
        let standings = join(|(name, _, standing)| {
            format!(
                "\"{name}\";r={};t={}",
                standing.remaining,
                seconds(standing.reset_after)
            )
        });
        for (name, value) in [(POLICIES, policies), (STANDINGS, standings)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }

    pub(super) fn tell(&self, platform: &Platform, response: &mut Response) {
        self.write(response.headers_mut(), platform.clock.now().seconds());
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
