//! Lanes: how much may be under way to each destination, and when not at all. Learned from what its hosts answer.
//!
//! A lane begins narrow, widens with every message that is taken, and narrows when the other side asks for less. A destination that
//! can't be reached is left alone for a while, all of its mail with it. Lanes that took nothing lately share a part of all slots, so
//! that however many of them there are, the others keep theirs; and who has waited long for a silent host gives the slot back, because
//! a socket that waits is no work.
//!
//! A destination is a domain until it is known where its mail goes; then all domains whose mail goes to the same hosts, or to the same
//! provider, share one lane, because they share what that takes.
//!
//! What a lane knows is this process's own, and is learned anew after a restart.

use super::heard::Heard;
use super::providers::Provider;
use super::turns::Turns;
use crate::clock::Timestamp;
use crate::id::OrgId;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Deliveries under way on a lane of which nothing is known.
const WIDTH_FIRST: usize = 1;
/// How long a lane counts as proven after it took a message.
const PROVEN_FOR: Duration = Duration::from_secs(600);
/// Of all slots, the part that lanes may have together that are not proven.
const UNPROVEN_SHARE: usize = 4;
/// After this an attempt hangs: it waits for the other side rather than works.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(3);
/// Attempts that may hang, for each slot.
const HANGING_PER_SLOT: usize = 2;
/// The first wait after a destination could not be reached, and the longest: each further one is twice as long.
const UNREACHABLE_FIRST: Duration = Duration::from_secs(15);
const UNREACHABLE_MAX: Duration = Duration::from_secs(30 * 60);
/// The same when it asked for less.
const THROTTLED_FIRST: Duration = Duration::from_secs(5);
const THROTTLED_MAX: Duration = Duration::from_secs(10 * 60);
/// When mail comes back that found its lane stuck, or lanes that took nothing lately crowded: sooner it would find the same.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A lane that nothing happened on is forgotten after this.
const KEPT_FOR: Duration = Duration::from_secs(3600);

struct Lane {
    running: usize,
    /// Of these, attempts that wait for the other side.
    hanging: usize,
    width: usize,
    provider: Option<Arc<Provider>>,
    /// Messages that its provider may be sent now, and since when.
    allowance: (f64, Timestamp),
    taken_at: Option<Timestamp>,
    closed_until: Timestamp,
    /// Waits in a row.
    strikes: u32,
    turns: Turns,
    touched_at: Timestamp,
}

impl Lane {
    fn new(now: Timestamp) -> Self {
        Self {
            running: 0,
            hanging: 0,
            width: WIDTH_FIRST,
            provider: None,
            allowance: (1.0, now),
            taken_at: None,
            closed_until: now,
            strikes: 0,
            turns: Turns::new(now),
            touched_at: now,
        }
    }

    fn is_proven(&self, now: Timestamp) -> bool {
        self.taken_at.is_some_and(|at| now.since(at) < PROVEN_FOR)
    }

    /// Whether all that it has room for waits for the other side: what comes next would wait behind it for as long.
    fn is_stuck(&self) -> bool {
        self.hanging >= self.width
    }

    fn took(&mut self, now: Timestamp, width_max: usize) {
        self.taken_at = Some(now);
        self.strikes = 0;
        self.width = (self.width + 1).min(width_max);
        self.turns.count(now);
    }

    /// Whether its provider may be sent one more: so many a second, and never more than a second's worth at once.
    fn allows(&mut self, now: Timestamp) -> bool {
        let Some(per_second) = self.provider.as_ref().and_then(|provider| provider.per_second) else {
            return true;
        };
        let (left, since) = self.allowance;
        let more = now.since(since).as_secs_f64() * f64::from(per_second);
        self.allowance = ((left + more).min(f64::from(per_second)), now);
        self.allowance.0 >= 1.0
    }

    /// Strikes that come while the lane is closed already are of attempts that began before.
    fn strike(&mut self, now: Timestamp, first: Duration, max: Duration) {
        if now < self.closed_until {
            return;
        }
        let wait = first.saturating_mul(1 << self.strikes.min(16)).min(max);
        self.strikes += 1;
        self.closed_until = now.plus(wait);
    }
}

/// What mail that waits for a lane has to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// The lane took mail lately.
    Proven,
    /// Nothing is known of it.
    Unproven,
    /// The lane is closed for a while, or all that is under way on it hangs: there is no waiting for that here.
    Shut,
}

/// All lanes of a process.
pub(super) struct Lanes {
    lanes: Mutex<Inner>,
    width_max: usize,
    slots: usize,
}

#[derive(Default)]
struct Inner {
    lanes: HashMap<i64, Lane>,
    /// Destinations that go by another's lane or share one, and when they were last seen to.
    joined: HashMap<i64, (i64, Timestamp)>,
    /// Organizations that had more than there was room for.
    orgs: HashMap<OrgId, Turns>,
    /// Attempts that work, on all lanes and on those that are not proven.
    working: usize,
    unproven: usize,
    hanging: usize,
}

/// A place on a lane, and a slot; given back when it is dropped.
pub(super) struct Place {
    lanes: Arc<Lanes>,
    lane: i64,
    is_unproven: bool,
    is_hanging: bool,
}

impl Place {
    /// The attempt has waited for long: the slot is another's, if not too many hang already. The place on the lane stays taken.
    pub(super) fn hang(&mut self) {
        let mut inner = self.lanes.lock();
        if self.is_hanging || inner.hanging >= self.lanes.slots * HANGING_PER_SLOT {
            return;
        }
        inner.leave_slot(self.is_unproven);
        inner.hanging += 1;
        if let Some(lane) = inner.lanes.get_mut(&self.lane) {
            lane.hanging += 1;
        }
        drop(inner);
        self.is_hanging = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.lanes.lock();
        if self.is_hanging {
            inner.hanging -= 1;
        } else {
            inner.leave_slot(self.is_unproven);
        }
        if let Some(lane) = inner.lanes.get_mut(&self.lane) {
            lane.running -= 1;
            lane.hanging -= usize::from(self.is_hanging);
        }
    }
}

impl Inner {
    /// The lane by which a destination's mail goes.
    fn lane_of(&self, destination: i64) -> i64 {
        self.joined
            .get(&destination)
            .map_or(destination, |(lane, _)| *lane)
    }

    fn lane(&mut self, destination: i64, now: Timestamp) -> &mut Lane {
        let lane = self.lane_of(destination);
        self.lanes.entry(lane).or_insert_with(|| Lane::new(now))
    }

    fn leave_slot(&mut self, is_unproven: bool) {
        self.working -= 1;
        self.unproven -= usize::from(is_unproven);
    }
}

impl Lanes {
    /// Lanes of up to `width_max` deliveries, of `slots` in all.
    pub(super) fn new(width_max: usize, slots: usize) -> Arc<Self> {
        Arc::new(Self {
            lanes: Mutex::default(),
            width_max: width_max.max(1),
            slots: slots.max(1),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every slot is taken.
    pub(super) fn is_full(&self) -> bool {
        self.lock().working >= self.slots
    }

    fn unproven_has_room(&self, inner: &Inner) -> bool {
        inner.unproven < (self.slots / UNPROVEN_SHARE).max(1)
    }

    /// A place on the lane to this destination, if it is open and has room.
    pub(super) fn enter(self: &Arc<Self>, destination: i64, now: Timestamp) -> Option<Place> {
        let mut inner = self.lock();
        let is_full = inner.working >= self.slots;
        let unproven_has_room = self.unproven_has_room(&inner);
        let key = inner.lane_of(destination);
        let lane = inner.lane(destination, now);
        lane.touched_at = now;
        let is_unproven = !lane.is_proven(now);
        let is_shut = now < lane.closed_until || lane.running >= lane.width || !lane.allows(now);
        if is_full || is_shut || (is_unproven && !unproven_has_room) {
            return None;
        }
        lane.running += 1;
        lane.allowance.0 -= 1.0;
        inner.working += 1;
        inner.unproven += usize::from(is_unproven);
        drop(inner);
        Some(Place {
            lanes: Arc::clone(self),
            lane: key,
            is_unproven,
            is_hanging: false,
        })
    }

    /// What mail for this destination has to expect.
    pub(super) fn outlook(&self, destination: i64, now: Timestamp) -> Outlook {
        let inner = self.lock();
        match inner.lanes.get(&inner.lane_of(destination)) {
            Some(lane) if now < lane.closed_until || lane.is_stuck() => Outlook::Shut,
            Some(lane) if lane.is_proven(now) => Outlook::Proven,
            Some(_) | None => Outlook::Unproven,
        }
    }

    /// Until when the lane is closed, if it is.
    pub(super) fn closed_until(&self, destination: i64, now: Timestamp) -> Option<Timestamp> {
        let inner = self.lock();
        let until = inner.lanes.get(&inner.lane_of(destination))?.closed_until;
        (now < until).then_some(until)
    }

    /// Opens a lane that is closed: the operator knows better.
    pub(super) fn open(&self, destination: i64, now: Timestamp) {
        let mut inner = self.lock();
        let lane = inner.lane_of(destination);
        if let Some(lane) = inner.lanes.get_mut(&lane) {
            (lane.closed_until, lane.strikes) = (now, 0);
            lane.turns.reset(now);
        }
    }

    /// When mail that finds its lane full, stuck or closed should come back.
    pub(super) fn turn(&self, destination: i64, now: Timestamp) -> Timestamp {
        let mut inner = self.lock();
        let is_crowded = !self.unproven_has_room(&inner);
        let lane = inner.lane(destination, now);
        let earliest = if lane.is_stuck() || (is_crowded && !lane.is_proven(now)) {
            lane.closed_until.max(now.plus(AGAIN_AFTER))
        } else {
            lane.closed_until
        };
        lane.turns.give(earliest, now)
    }

    /// When mail of an organization that has enough waiting should come back.
    pub(super) fn turn_of_org(&self, org: &OrgId, now: Timestamp) -> Timestamp {
        let mut inner = self.lock();
        let turns = inner.orgs.entry(org.clone()).or_insert_with(|| Turns::new(now));
        turns.give(now, now)
    }

    /// It is known where the destination's mail goes: from now on by the lane of its provider, or of these hosts; tells whether that is news.
    pub(super) fn join(
        &self,
        destination: i64,
        hosts: &[&str],
        provider: Option<&Arc<Provider>>,
        now: Timestamp,
    ) -> bool {
        let mut hosts = hosts.to_vec();
        hosts.sort_unstable();
        let mut key = DefaultHasher::new();
        match provider {
            Some(provider) => provider.name.hash(&mut key),
            None => hosts.hash(&mut key),
        }
        let lane = key.finish().cast_signed();
        let mut inner = self.lock();
        let before = inner.joined.insert(destination, (lane, now));
        inner.lane(destination, now).provider = provider.cloned();
        before.is_none_or(|(before, _)| before != lane)
    }

    /// It is not known any more where the destination's mail goes: what is heard of it says nothing of others.
    pub(super) fn part(&self, destination: i64) {
        self.lock().joined.remove(&destination);
    }

    /// Learns from an attempt.
    pub(super) fn heard(&self, org: &OrgId, destination: i64, heard: Heard, now: Timestamp) {
        let mut inner = self.lock();
        if let Some(turns) = inner.orgs.get_mut(org) {
            turns.count(now);
        }
        let lane = inner.lane(destination, now);
        let of_provider = lane.provider.as_ref().and_then(|provider| provider.connections);
        let width_max = of_provider.map_or(self.width_max, |most| most.min(self.width_max));
        match heard {
            Heard::Taken => lane.took(now, width_max),
            Heard::Answered => lane.strikes = 0,
            Heard::Throttled => {
                lane.width = (lane.width / 2).max(1);
                lane.strike(now, THROTTLED_FIRST, THROTTLED_MAX);
            }
            Heard::Unreachable => {
                lane.width = 1;
                lane.strike(now, UNREACHABLE_FIRST, UNREACHABLE_MAX);
            }
        }
    }

    /// Forgets lanes that nothing happened on; tells how many there are, and how many of them are closed.
    pub(super) fn sweep(&self, now: Timestamp) -> (usize, usize) {
        let mut inner = self.lock();
        inner
            .lanes
            .retain(|_, lane| lane.running > 0 || now.since(lane.touched_at) < KEPT_FOR);
        inner.joined.retain(|_, (_, at)| now.since(*at) < KEPT_FOR);
        let closed = inner
            .lanes
            .values()
            .filter(|lane| now < lane.closed_until)
            .count();
        (inner.lanes.len(), closed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::providers::Providers;
    use super::*;
    use crate::id::Id as _;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn heard(lanes: &Lanes, destination: i64, heard: Heard, now: Timestamp) {
        let org = OrgId::generate(at(0), [0; 10]);
        lanes.heard(&org, destination, heard, now);
    }

    fn is_shut(lanes: &Lanes, destination: i64, now: Timestamp) -> bool {
        lanes.outlook(destination, now) == Outlook::Shut
    }

    fn fill(lanes: &Arc<Lanes>, destination: i64, now: Timestamp) -> Vec<Place> {
        std::iter::from_fn(|| lanes.enter(destination, now)).collect()
    }

    #[test]
    fn a_lane_widens_with_what_is_taken_up_to_its_highest_width() {
        let lanes = Lanes::new(10, 400);
        assert_eq!(fill(&lanes, 1, at(0)).len(), WIDTH_FIRST);
        for _ in 0..100 {
            heard(&lanes, 1, Heard::Taken, at(1));
        }
        assert_eq!(fill(&lanes, 1, at(1)).len(), 10);
        assert_eq!(
            fill(&lanes, 2, at(1)).len(),
            WIDTH_FIRST,
            "another lane has its own"
        );
    }

    #[test]
    fn mail_does_not_wait_for_a_lane_whose_attempts_all_hang() {
        let lanes = Lanes::new(10, 400);
        assert_eq!(lanes.outlook(1, at(0)), Outlook::Unproven);
        heard(&lanes, 1, Heard::Taken, at(0));
        let mut places = fill(&lanes, 1, at(0));
        assert_eq!((places.len(), lanes.outlook(1, at(0))), (2, Outlook::Proven));
        places[0].hang();
        assert_eq!(lanes.outlook(1, at(4)), Outlook::Proven);
        places[1].hang();
        assert_eq!(lanes.outlook(1, at(4)), Outlook::Shut);
        assert!(
            lanes.turn(1, at(4)) >= at(14),
            "what would find the same is not asked at once"
        );
        places.pop();
        assert_eq!(lanes.outlook(1, at(4)), Outlook::Proven);
    }

    #[test]
    fn domains_of_one_provider_share_its_lane_and_what_it_takes() {
        let providers = Providers::new(Some(
            "[p]\nmx = [\"*.p.example\"]\nconnections = 3\nper_second = 5\n",
        ))
        .unwrap();
        let provider = providers.of("mx1.p.example");
        let lanes = Lanes::new(64, 400);
        for destination in 1..=4 {
            lanes.join(destination, &["mx1.p.example"], provider, at(0));
        }
        lanes.join(5, &["mx.other.example"], None, at(0));
        for _ in 0..20 {
            heard(&lanes, 1, Heard::Taken, at(0));
            heard(&lanes, 5, Heard::Taken, at(0));
        }
        let places: Vec<Place> = (1..=4).flat_map(|lane| lanes.enter(lane, at(60))).collect();
        assert_eq!(
            places.len(),
            3,
            "as many connections as the provider takes, of all its domains"
        );
        drop(places);
        let enter = |destination: i64, at| lanes.enter(destination, at).is_some();
        let sent = |second| (1..=40).filter(|n| enter(n % 4 + 1, at(second))).count();
        assert_eq!(
            (sent(120), sent(120), sent(121), sent(122)),
            (5, 0, 5, 5),
            "so many a second, whatever was not sent before"
        );
        assert_eq!(fill(&lanes, 5, at(122)).len(), 21, "others are not bound by that");
        heard(&lanes, 2, Heard::Unreachable, at(130));
        assert!(is_shut(&lanes, 3, at(131)) && !is_shut(&lanes, 5, at(131)));
        lanes.part(4);
        heard(&lanes, 4, Heard::Unreachable, at(200));
        assert!(
            is_shut(&lanes, 4, at(201)) && !is_shut(&lanes, 3, at(201)),
            "whose hosts are not known is alone"
        );
    }

    #[test]
    fn domains_with_the_same_mail_hosts_share_a_lane_in_any_order_of_them() {
        let lanes = Lanes::new(64, 400);
        lanes.join(1, &["a.host.example", "b.host.example"], None, at(0));
        lanes.join(2, &["b.host.example", "a.host.example"], None, at(0));
        lanes.join(3, &["a.host.example"], None, at(0));
        heard(&lanes, 1, Heard::Unreachable, at(0));
        assert_eq!(
            [1, 2, 3].map(|destination| is_shut(&lanes, destination, at(1))),
            [true, true, false]
        );
    }

    #[test]
    fn a_destination_that_asks_for_less_gets_half_after_a_while() {
        let lanes = Lanes::new(64, 400);
        for _ in 0..20 {
            heard(&lanes, 1, Heard::Taken, at(0));
        }
        heard(&lanes, 1, Heard::Throttled, at(0));
        heard(&lanes, 1, Heard::Throttled, at(1));
        assert!(lanes.enter(1, at(4)).is_none());
        assert_eq!(
            fill(&lanes, 1, at(5)).len(),
            5,
            "a quarter of 21: it said so twice"
        );
    }

    #[test]
    fn a_destination_out_of_reach_is_left_alone_for_longer_and_longer() {
        let lanes = Lanes::new(64, 400);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..10 {
            heard(&lanes, 1, Heard::Unreachable, now);
            heard(&lanes, 1, Heard::Unreachable, now.plus(Duration::from_secs(1)));
            let mut wait = Duration::ZERO;
            while is_shut(&lanes, 1, now.plus(wait)) {
                assert!(lanes.enter(1, now.plus(wait)).is_none());
                wait += Duration::from_secs(5);
            }
            waits.push(wait.as_secs());
            now = now.plus(wait);
            assert_eq!(
                fill(&lanes, 1, now).len(),
                1,
                "one of them looks whether it is there again"
            );
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
        heard(&lanes, 1, Heard::Taken, now);
        heard(&lanes, 1, Heard::Unreachable, now);
        assert_eq!(lanes.closed_until(1, now), Some(now.plus(UNREACHABLE_FIRST)));
        lanes.open(1, now);
        assert_eq!(lanes.closed_until(1, now), None, "the operator opened it");
        heard(&lanes, 1, Heard::Unreachable, now);
        assert!(
            is_shut(&lanes, 1, now.plus(Duration::from_secs(14)))
                && !is_shut(&lanes, 1, now.plus(Duration::from_secs(15)))
        );
    }

    #[test]
    fn any_number_of_lanes_that_take_nothing_leave_three_quarters_to_the_others() {
        let lanes = Lanes::new(64, 100);
        let dead: Vec<Place> = (0..1000).flat_map(|lane| lanes.enter(lane, at(0))).collect();
        assert_eq!(dead.len(), 25);
        for _ in 0..100 {
            heard(&lanes, 5_000, Heard::Taken, at(0));
        }
        let live = fill(&lanes, 5_000, at(0));
        assert_eq!((live.len(), lanes.is_full()), (64, false));
        drop((dead, live));
        let again: Vec<Place> = (0..1000).flat_map(|lane| lanes.enter(lane, at(0))).collect();
        assert_eq!(again.len(), 25, "places are given back");
    }

    #[test]
    fn who_waits_for_a_silent_host_gives_its_slot_back_but_not_its_place() {
        let lanes = Lanes::new(64, 100);
        let mut silent = Vec::new();
        for _ in 0..20 {
            let mut more: Vec<Place> = (0..1000).flat_map(|lane| lanes.enter(lane, at(0))).collect();
            more.iter_mut().for_each(Place::hang);
            silent.extend(more);
        }
        assert_eq!(
            silent.len(),
            225,
            "200 that hang, and 25 that found no room for that"
        );
        assert!(lanes.enter(0, at(0)).is_none(), "its place is taken");
        drop(silent);
        let inner = lanes.lock();
        assert_eq!((inner.working, inner.unproven, inner.hanging), (0, 0, 0));
    }

    #[test]
    fn mail_that_finds_its_lane_full_comes_back_in_turn_at_the_lanes_pace() {
        let lanes = Lanes::new(64, 400);
        for second in 0..60 {
            for _ in 0..100 {
                heard(&lanes, 1, Heard::Taken, at(second));
            }
        }
        let turns: Vec<Timestamp> = (0..10_000).map(|_| lanes.turn(1, at(60))).collect();
        assert!(turns.is_sorted());
        let span = turns[9_999].since(at(60)).as_secs();
        assert!(
            (45..=60).contains(&span),
            "10,000 at 100/s have their turn within {span} s"
        );
        assert!(lanes.turn(2, at(60)) <= at(62));
        heard(&lanes, 2, Heard::Unreachable, at(60));
        assert!(lanes.turn(2, at(60)) >= at(75));
    }
}
