//! In which order a mail's ways are tried, and when another one may be.
//!
//! A way is directly to the destination's hosts, or through a relay. The rule that no mail is taken twice: another way is tried only after
//! an answer that says *not taken*. Where it is not known whether a way took the mail, the mail is **in doubt**: from then on only the
//! same way is tried, under the same key where the provider has one, until it takes the mail or the mail expires. The way is in the job's
//! row before the request leaves, so that a crash changes nothing of this.

use crate::features::domains::Route;
use crate::id::{Id as _, RelayId};
use std::collections::VecDeque;

const DIRECT: &str = "direct";

/// One way for a mail to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// To the hosts of its destination.
    Direct,
    /// Through a relay.
    Relay(RelayId),
}

impl Way {
    /// The way as a job keeps it.
    pub(super) fn word(&self) -> &str {
        match self {
            Self::Direct => DIRECT,
            Self::Relay(id) => id.as_str(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            DIRECT => Some(Self::Direct),
            id => RelayId::parse(id).map(Self::Relay),
        }
    }

    /// The way that may have taken a job's mail. A job that was marked before ways were kept went directly.
    pub(super) fn in_doubt(is_started: bool, via: Option<&str>) -> Option<Self> {
        match via {
            Some(text) => Self::parse(text),
            None => is_started.then_some(Self::Direct),
        }
    }
}

/// What a way's answer says of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// For each recipient it is decided, or was before.
    Done,
    /// Not taken; another way may be.
    NotTaken,
    /// It may have been taken.
    InDoubt,
}

/// The ways of one attempt.
pub(super) struct Ways {
    left: VecDeque<Way>,
}

impl Ways {
    /// The ways of a domain's route, with its relays in their order; of mail that is in doubt, that way alone.
    pub(super) fn new(route: Route, doubt: Option<Way>, relays: Vec<RelayId>) -> Self {
        let relays = relays.into_iter().map(Way::Relay);
        let left = match (doubt, route) {
            (Some(way), _) => [way].into(),
            (None, Route::Direct) => [Way::Direct].into(),
            (None, Route::Relay) => relays.collect(),
            (None, Route::DirectThenRelay) => [Way::Direct].into_iter().chain(relays).collect(),
            (None, Route::RelayThenDirect) => relays.chain([Way::Direct]).collect(),
        };
        Self { left }
    }

    /// The next way to try.
    pub(super) fn next(&mut self) -> Option<Way> {
        self.left.pop_front()
    }

    /// Takes in what the last one answered.
    pub(super) fn heard(&mut self, answered: Answered) {
        match answered {
            Answered::NotTaken => {}
            Answered::Done | Answered::InDoubt => self.left.clear(),
        }
    }
}

/// The way that stays in doubt after an attempt: the one that was before it, or the one that became so.
pub(super) fn still_in_doubt(before: Option<&Way>, last: Option<(&Way, Answered)>) -> Option<Way> {
    let became = last.filter(|(_, answered)| *answered == Answered::InDoubt);
    before.or(became.map(|(way, _)| way)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What a way does with a request, and what is heard of it.
    #[derive(Debug, Clone, Copy)]
    enum Turn {
        Takes,
        TakesUnheard,
        LosesUnheard,
        Declines,
        Refuses,
    }

    /// When the process dies in an attempt; after a request and before its outcome is on record is one moment.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Crash {
        Never,
        AfterMark,
        AfterRequest,
    }

    fn turn() -> impl Strategy<Value = (Turn, Crash)> {
        let turns = prop_oneof![
            Just(Turn::Takes),
            Just(Turn::TakesUnheard),
            Just(Turn::LosesUnheard),
            Just(Turn::Declines),
            Just(Turn::Refuses),
        ];
        let crashes = prop_oneof![
            5 => Just(Crash::Never),
            1 => Just(Crash::AfterMark),
            2 => Just(Crash::AfterRequest),
        ];
        (turns, crashes)
    }

    fn route() -> impl Strategy<Value = Route> {
        proptest::sample::select(Route::ALL.to_vec())
    }

    /// The job's row, and what the world has: how often each way took the mail.
    #[derive(Default)]
    struct World {
        is_started: bool,
        via: Option<String>,
        is_done: bool,
        taken: BTreeMap<String, u32>,
        doubts: u32,
        doubtful_takes: u32,
    }

    impl World {
        /// One lease of the job, as delivery carries it out.
        fn attempt(
            &mut self,
            route: Route,
            relays: &[RelayId],
            turns: &mut impl Iterator<Item = (Turn, Crash)>,
        ) {
            let before = Way::in_doubt(self.is_started, self.via.as_deref());
            self.doubts += u32::from(before.is_some());
            let mut ways = Ways::new(route, before.clone(), relays.to_vec());
            let mut last = None;
            while let Some(way) = ways.next() {
                let Some((turn, crash)) = turns.next() else { return };
                (self.is_started, self.via) = (true, Some(way.word().to_owned()));
                if crash == Crash::AfterMark {
                    return;
                }
                let answered = match turn {
                    Turn::Takes | Turn::Refuses => Answered::Done,
                    Turn::TakesUnheard | Turn::LosesUnheard => Answered::InDoubt,
                    Turn::Declines => Answered::NotTaken,
                };
                if matches!(turn, Turn::Takes | Turn::TakesUnheard) {
                    *self.taken.entry(way.word().to_owned()).or_default() += 1;
                    self.doubtful_takes += u32::from(before.is_some());
                }
                if crash == Crash::AfterRequest {
                    return;
                }
                ways.heard(answered);
                last = Some((way, answered));
            }
            let last = last.as_ref().map(|(way, answered)| (way, *answered));
            if last.is_some_and(|(_, answered)| answered == Answered::Done) {
                self.is_done = true;
                return;
            }
            let doubt = still_in_doubt(before.as_ref(), last);
            (self.is_started, self.via) = (false, doubt.map(|way| way.word().to_owned()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Over all answers and crashes: one way at most ever takes the mail, and it takes it again only in an attempt that knew of the
        /// doubt before it began.
        #[test]
        fn no_mail_is_taken_twice_but_by_a_way_that_is_in_doubt(
            route in route(),
            count in 0_u8..4,
            turns in proptest::collection::vec(turn(), 1..24),
        ) {
            let relay = |n| RelayId::generate(Timestamp::from_micros(0), [n; 10]);
            let relays: Vec<RelayId> = (0..count).map(relay).collect();
            let (mut world, mut turns) = (World::default(), turns.into_iter().peekable());
            while turns.peek().is_some() && !world.is_done {
                let before = turns.len();
                world.attempt(route, &relays, &mut turns);
                if turns.len() == before {
                    break; // no way to try
                }
            }
            prop_assert!(world.taken.len() <= 1, "taken by {:?}", world.taken);
            let copies: u32 = world.taken.values().sum();
            prop_assert!(copies <= 1 + world.doubtful_takes, "{copies} copies, {} in doubt", world.doubtful_takes);
            prop_assert!(world.doubtful_takes == 0 || world.doubts > 0);
        }
    }

    #[test]
    fn a_job_that_was_marked_before_ways_were_kept_went_directly() {
        let relay = RelayId::generate(Timestamp::from_micros(0), [7; 10]);
        for (is_started, via, expected) in [
            (false, None, None),
            (true, None, Some(Way::Direct)),
            (true, Some("direct"), Some(Way::Direct)),
            (false, Some(relay.as_str()), Some(Way::Relay(relay.clone()))),
        ] {
            assert_eq!(Way::in_doubt(is_started, via), expected, "{is_started} {via:?}");
        }
    }
}
