//! From the queue to the wire, with receiving hosts that behave well and badly.

mod lanes;
mod lint;
mod outcomes;
mod process;
mod routes;
mod sources;
mod transport;

use sealwright::clock::Clock;
use sealwright::platform::dev::sink::{Moment, SinkScript, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A clock that stands at the present until it is moved.
fn standing_clock() -> Clock {
    Clock::manual(Clock::System.now())
}

/// The first final dots get these verdicts; all later ones are accepted.
fn at_the_dots(verdicts: Vec<Verdict>) -> SinkScript {
    let next = Arc::new(AtomicUsize::new(0));
    SinkScript::new(move |moment| match moment {
        Moment::Message { .. } => {
            let index = next.fetch_add(1, Ordering::SeqCst);
            verdicts.get(index).cloned().unwrap_or(Verdict::Accept)
        }
        _ => Verdict::Accept,
    })
}
