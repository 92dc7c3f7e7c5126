//! The dispatcher: leases due deliveries and gives each a slot when its lane has a place.
//!
//! Leased jobs wait in memory for their lane, a few of each; what finds no room goes back to the store with a date. So destinations that
//! are slow or dead, however many, take neither slots nor room from the others, and the queue of the store stays the only queue.

use super::Delivery;
use super::lanes::{HANGS_AFTER, Lanes, Outlook, Place};
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::platform::jobs::{Job, Jobs, Kind, Priority, Stop, Tasks};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Leased jobs that wait for their lane, at most.
const WAITING_MAX: usize = 2_048;
/// Of one organization.
const WAITING_OF_ORG_MAX: usize = WAITING_MAX / 2;
/// Of whatever room there is, the part that mail may fill whose lane took nothing lately: however many slow destinations there are, mail
/// for the others finds room.
const UNPROVEN_PART: usize = 2;
/// Of one organization on one lane.
const WAITING_ON_LANE_MAX: usize = 256;
/// Of mail that can wait for other mail.
const WAITING_LATER_MAX: usize = WAITING_MAX / 2;
/// Of as many places that become free, one goes to mail that can wait, while other mail waits, too.
const LATER_TURN: u32 = 9;
/// Jobs leased at once, at most.
const LEASE_MAX: usize = 256;
/// How long a dispatcher rests after the store refused to lease.
const REST_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Why a job can't wait here.
enum NoRoom {
    OfOrg(Job),
    OnLane(Job),
}

/// Jobs that are leased and wait. Organizations take turns, and so do the lanes of each.
#[derive(Default)]
struct Waiting {
    orgs: HashMap<OrgId, OrgWaiting>,
    order: VecDeque<OrgId>,
    count: usize,
}

#[derive(Default)]
struct OrgWaiting {
    lanes: HashMap<i64, VecDeque<Job>>,
    order: VecDeque<i64>,
    count: usize,
}

impl OrgWaiting {
    fn push(&mut self, job: Job, outlook: Outlook) -> Result<(), NoRoom> {
        if outlook == Outlook::Unproven && self.count >= WAITING_OF_ORG_MAX / UNPROVEN_PART {
            return Err(NoRoom::OnLane(job));
        }
        if self.count >= WAITING_OF_ORG_MAX {
            return Err(NoRoom::OfOrg(job));
        }
        let lane = self.lanes.entry(job.part).or_default();
        if lane.len() >= WAITING_ON_LANE_MAX {
            return Err(NoRoom::OnLane(job));
        }
        if lane.is_empty() {
            self.order.push_back(job.part);
        }
        lane.push_back(job);
        self.count += 1;
        Ok(())
    }

    /// The next job that has a place.
    fn next(&mut self, lanes: &Arc<Lanes>, now: Timestamp) -> Option<(Job, Place)> {
        for _ in 0..self.order.len() {
            let destination = self.order.pop_front()?;
            let Some(place) = lanes.enter(destination, now) else {
                self.order.push_back(destination);
                continue;
            };
            let lane = self.lanes.get_mut(&destination)?;
            let job = lane.pop_front();
            if lane.is_empty() {
                self.lanes.remove(&destination);
            } else {
                self.order.push_back(destination);
            }
            self.count -= 1;
            return job.map(|job| (job, place));
        }
        None
    }
}

impl Waiting {
    fn push(&mut self, job: Job, outlook: Outlook) -> Result<(), NoRoom> {
        let org = job.org.clone();
        let waiting = self.orgs.entry(org.clone()).or_default();
        let was_empty = waiting.count == 0;
        waiting.push(job, outlook)?;
        if was_empty {
            self.order.push_back(org);
        }
        self.count += 1;
        Ok(())
    }

    /// Takes a job that has a place; organizations take turns.
    fn admit(&mut self, lanes: &Arc<Lanes>, now: Timestamp) -> Option<(Job, Place)> {
        for _ in 0..self.order.len() {
            if lanes.is_full() {
                return None;
            }
            let org = self.order.pop_front()?;
            let Some(waiting) = self.orgs.get_mut(&org) else {
                continue;
            };
            let next = waiting.next(lanes, now);
            self.count -= usize::from(next.is_some());
            if waiting.count == 0 {
                self.orgs.remove(&org);
            } else {
                self.order.push_back(org);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// Takes everything that waits for a lane that is closed or stuck.
    fn shut(&mut self, lanes: &Lanes, now: Timestamp) -> Vec<Job> {
        let mut shut = Vec::new();
        for waiting in self.orgs.values_mut() {
            let before = shut.len();
            waiting.lanes.retain(|destination, jobs| {
                let is_shut = lanes.outlook(*destination, now) == Outlook::Shut;
                if is_shut {
                    shut.extend(jobs.drain(..));
                }
                !is_shut
            });
            waiting
                .order
                .retain(|destination| waiting.lanes.contains_key(destination));
            waiting.count -= shut.len() - before;
        }
        self.orgs.retain(|_, waiting| waiting.count > 0);
        self.order.retain(|org| self.orgs.contains_key(org));
        self.count -= shut.len();
        shut
    }

    fn into_jobs(self) -> impl Iterator<Item = Job> {
        let orgs = self.orgs.into_values();
        orgs.flat_map(|waiting| waiting.lanes.into_values().flatten())
    }
}

/// Mail that somebody waits for, and mail that can wait for it.
#[derive(Default)]
struct Streams {
    first: Waiting,
    later: Waiting,
    turn: u32,
}

impl Streams {
    fn count(&self) -> usize {
        self.first.count + self.later.count
    }

    fn push(&mut self, job: Job, outlook: Outlook) -> Result<(), NoRoom> {
        if outlook == Outlook::Unproven && self.count() >= WAITING_MAX / UNPROVEN_PART {
            return Err(NoRoom::OnLane(job));
        }
        match job.priority {
            Priority::First => self.first.push(job, outlook),
            Priority::Later if self.later.count >= WAITING_LATER_MAX => Err(NoRoom::OfOrg(job)),
            Priority::Later => self.later.push(job, outlook),
        }
    }

    /// Takes jobs that have a place.
    fn admitted(&mut self, lanes: &Arc<Lanes>, now: Timestamp) -> Vec<(Job, Place)> {
        let mut admitted = Vec::new();
        loop {
            self.turn = self.turn.wrapping_add(1);
            let (one, other) = match self.turn % LATER_TURN {
                0 => (&mut self.later, &mut self.first),
                _ => (&mut self.first, &mut self.later),
            };
            match one.admit(lanes, now).or_else(|| other.admit(lanes, now)) {
                Some(next) => admitted.push(next),
                None => return admitted,
            }
        }
    }

    fn shut(&mut self, lanes: &Lanes, now: Timestamp) -> Vec<Job> {
        let mut shut = self.first.shut(lanes, now);
        shut.extend(self.later.shut(lanes, now));
        shut
    }

    fn into_jobs(self) -> impl Iterator<Item = Job> {
        self.first.into_jobs().chain(self.later.into_jobs())
    }
}

impl Delivery {
    /// Delivers what is due until stopped; returns when the last delivery under way has its outcome.
    pub(super) async fn dispatch(self: Arc<Self>, mut stop: Stop) {
        let jobs = Jobs::new(self.platform.store.clone(), self.platform.node.clone());
        let mut tasks = Tasks::new(self.platform.clone());
        let mut waiting = Streams::default();
        // Whether there may be due work that is not leased yet.
        let mut may_be_more = true;
        while !stop.is_set() {
            tasks.reap();
            let room = WAITING_MAX.saturating_sub(waiting.count()).min(LEASE_MAX);
            let has_room = room >= LEASE_MAX / 4;
            if may_be_more && has_room {
                let leased = self.lease(&jobs, room).await;
                may_be_more = leased.len() >= room - room / LATER_TURN as usize;
                self.sort(&jobs, leased, &mut waiting, &mut tasks).await;
            }
            let now = self.platform.clock.now();
            for (job, place) in waiting.admitted(&self.lanes, now) {
                self.start(&mut tasks, job, Some(place));
            }
            if !may_be_more || !has_room {
                may_be_more |= self.rest(&mut tasks, &mut stop).await;
            }
        }
        // Their leases are given back with the others of this node.
        waiting
            .into_jobs()
            .for_each(|job| self.platform.held.remove(&job));
        tasks.finish().await;
    }

    fn start(self: &Arc<Self>, tasks: &mut Tasks, job: Job, place: Option<Place>) {
        let delivery = Arc::clone(self);
        tasks.spawn(job, move |job| async move {
            let mut place = place;
            let mut attempt = std::pin::pin!(delivery.attempt(job));
            if timeout(HANGS_AFTER, attempt.as_mut()).await.is_err() {
                if let Some(place) = &mut place {
                    place.hang();
                }
                attempt.await;
            }
        });
    }

    async fn lease(&self, jobs: &Jobs, room: usize) -> Vec<Job> {
        let now = self.platform.clock.now();
        match jobs
            .lease(Kind::Deliver, room, room / LATER_TURN as usize, now)
            .await
        {
            Ok(leased) => leased,
            Err(error) => {
                tracing::error!(%error, "due deliveries can't be leased");
                tokio::time::sleep(REST_AFTER_ERROR).await;
                Vec::new()
            }
        }
    }

    /// Lets leased jobs wait for their lanes; what has no room, or whose lane is closed or stuck, is given back with a date.
    async fn sort(self: &Arc<Self>, jobs: &Jobs, leased: Vec<Job>, waiting: &mut Streams, tasks: &mut Tasks) {
        let now = self.platform.clock.now();
        let dated = |job: Job| {
            let turn = self.lanes.turn(job.part, now);
            (job, turn)
        };
        let mut back: Vec<(Job, Timestamp)> = waiting.shut(&self.lanes, now).into_iter().map(dated).collect();
        for job in leased {
            self.platform.held.add(&job);
            let is_expired = now > job.created_at.plus(self.options.expire_after);
            match self.lanes.outlook(job.part, now) {
                // Its time is over, and that has to be said: this attempt is its last.
                Outlook::Shut if is_expired => self.start(tasks, job, None),
                Outlook::Shut => back.push(dated(job)),
                outlook => back.extend(match waiting.push(job, outlook) {
                    Ok(()) => None,
                    Err(NoRoom::OnLane(job)) => Some(dated(job)),
                    Err(NoRoom::OfOrg(job)) => {
                        let turn = self.lanes.turn_of_org(&job.org, now);
                        Some((job, turn))
                    }
                }),
            }
        }
        if back.is_empty() {
            return;
        }
        back.iter().for_each(|(job, _)| self.platform.held.remove(job));
        if let Err(error) = jobs.put_back_all(back).await {
            tracing::error!(%error, "deliveries could not be put off; their leases are found and given back");
        }
    }

    /// Waits until something may have changed; tells whether there may be more due work.
    async fn rest(&self, tasks: &mut Tasks, stop: &mut Stop) -> bool {
        tokio::select! {
            () = self.platform.hints.woken(Kind::Deliver) => true,
            () = tokio::time::sleep(self.options.poll) => true,
            () = tasks.wait(), if !tasks.is_empty() => false,
            () = stop.wait() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id as _;

    fn job(org: u8, part: i64) -> Job {
        let at = Timestamp::from_micros(0);
        Job {
            org: OrgId::generate(at, [org; 10]),
            kind: Kind::Deliver,
            reference: String::new(),
            part,
            priority: Priority::First,
            attempt: 0,
            epoch: 1,
            started_attempt: None,
            started_via: None,
            created_at: at,
        }
    }

    /// How many jobs find room, each for a destination of its own.
    fn room(streams: &mut Streams, org: u8, outlook: Outlook) -> usize {
        let jobs = (0..).map(|part| job(org, part));
        jobs.take_while(|job| streams.push(job.clone(), outlook).is_ok())
            .count()
    }

    #[test]
    fn mail_to_unproven_lanes_leaves_half_of_the_room_to_the_others() {
        let mut streams = Streams::default();
        assert_eq!(room(&mut streams, 1, Outlook::Unproven), WAITING_OF_ORG_MAX / 2);
        assert_eq!(room(&mut streams, 2, Outlook::Unproven), WAITING_OF_ORG_MAX / 2);
        assert_eq!(
            room(&mut streams, 3, Outlook::Unproven),
            0,
            "not more than half of all"
        );
        assert_eq!(room(&mut streams, 1, Outlook::Proven), WAITING_OF_ORG_MAX / 2);
        assert_eq!(room(&mut streams, 3, Outlook::Proven), WAITING_OF_ORG_MAX);
    }
}
