//! The loop that leases due jobs and hands them to a handler.

use super::{Job, Jobs, Kind, postpone, settle};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Jobs leased at once, at most.
const LEASE_MAX: usize = 256;
/// How long a worker rests after the store refused to lease.
const REST_AFTER_ERROR: Duration = Duration::from_secs(1);
/// When a job whose handler panicked is due again.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// Tells workers to stop; each finishes what it holds.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A stop and the hand that pulls it.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether it was pulled.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is pulled; a hand that is gone counts as pulled.
    pub async fn wait(&mut self) {
        // An error means that the sender is gone, which is a stop too.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

/// A worker of one kind of job.
pub struct Worker {
    /// What it stands on.
    pub platform: Platform,
    /// The kind it handles.
    pub kind: Kind,
    /// Jobs under way at once, at most.
    pub concurrency_max: usize,
    /// The wait between two looks for due work.
    pub poll: Duration,
}

impl Worker {
    /// Runs until stopped, each job in a task of its own; returns when the last one is done.
    pub async fn run_each<F, Fut>(self, mut stop: Stop, handler: F)
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let slots = Arc::new(Semaphore::new(self.concurrency_max));
        while !stop.is_set() {
            let free = slots.available_permits().min(LEASE_MAX);
            if free < self.lease_min() {
                self.wait_for_slot(&slots, &mut stop).await;
                continue;
            }
            let jobs = self.lease(free).await;
            let is_all = jobs.len() < free;
            for job in jobs {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                    return;
                };
                let handler = Arc::clone(&handler);
                let platform = self.platform.clone();
                tokio::spawn(async move {
                    let held = job.clone();
                    // A task of its own, so that a handler that panics does not keep its job leased for ever.
                    if tokio::spawn(async move { handler(job).await }).await.is_err() {
                        put_back(&platform, held).await;
                    }
                    drop(slot);
                });
            }
            if is_all {
                self.rest(&mut stop).await;
            }
        }
        // All permits back means that all tasks are done.
        let _ = slots
            .acquire_many(u32::try_from(self.concurrency_max).unwrap_or(u32::MAX))
            .await;
    }

    async fn lease(&self, limit: usize) -> Vec<Job> {
        let jobs = Jobs::new(self.platform.store.clone(), self.platform.node.clone());
        match jobs.lease(self.kind, limit, self.platform.clock.now()).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::error!(kind = self.kind.name(), %error, "due work can't be leased");
                tokio::time::sleep(REST_AFTER_ERROR).await;
                Vec::new()
            }
        }
    }

    /// Free slots to wait for before the next lease: a lease per freed slot would be a commit per job.
    fn lease_min(&self) -> usize {
        (self.concurrency_max / 8).max(1)
    }

    async fn wait_for_slot(&self, slots: &Semaphore, stop: &mut Stop) {
        tokio::select! {
            // The permit is given back at once: only the wait matters.
            permit = slots.acquire_many(u32::try_from(self.lease_min()).unwrap_or(1)) => drop(permit),
            () = stop.wait() => {}
        }
    }

    async fn rest(&self, stop: &mut Stop) {
        tokio::select! {
            () = self.platform.hints.woken(self.kind) => {}
            () = tokio::time::sleep(self.poll) => {}
            () = stop.wait() => {}
        }
    }
}

async fn put_back(platform: &Platform, job: Job) {
    tracing::error!(kind = job.kind.name(), reference = %job.reference, "the handler of a job panicked; it is tried again later");
    let (org, due_at) = (job.org.clone(), platform.clock.now().plus(AFTER_PANIC));
    let unit = async move |tx: &OrgTx| postpone(tx, &job, due_at).await;
    settle(platform, &org, "job_put_back", unit).await;
}
