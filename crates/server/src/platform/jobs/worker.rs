//! The loop that leases due jobs and hands them to a handler.

use super::{Job, Jobs, Kind, put_back, settle};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{self, JoinSet};

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
        let mut running = Tasks::new(self.platform.clone());
        while !stop.is_set() {
            running.reap();
            let free = self.concurrency_max.saturating_sub(running.len()).min(LEASE_MAX);
            if free < self.lease_min() {
                running.wait_for_one(&mut stop).await;
                continue;
            }
            let jobs = self.lease(free).await;
            let is_all = jobs.len() < free;
            for job in jobs {
                running.spawn(job, &handler);
            }
            if is_all {
                self.rest(&mut running, &mut stop).await;
            }
        }
        running.finish().await;
    }

    /// Runs until stopped; what is leased at once is one call of the handler, and the next lease comes after it: for work that is cheaper
    /// together and has to stay in order.
    pub async fn run_batches<F, Fut>(self, mut stop: Stop, handler: F)
    where
        F: Fn(Vec<Job>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let limit = self.concurrency_max.min(LEASE_MAX);
        while !stop.is_set() {
            let jobs = self.lease(limit).await;
            let is_all = jobs.len() < limit;
            if !jobs.is_empty() {
                jobs.iter().for_each(|job| self.platform.held.add(job));
                let handled = tokio::spawn(handler(jobs.clone())).await;
                jobs.iter().for_each(|job| self.platform.held.remove(job));
                if handled.is_err_and(|error| error.is_panic()) {
                    for job in jobs {
                        give_back(self.platform.clone(), job).await;
                    }
                }
            }
            if is_all {
                let mut none = Tasks::new(self.platform.clone());
                self.rest(&mut none, &mut stop).await;
            }
        }
    }

    async fn lease(&self, limit: usize) -> Vec<Job> {
        let jobs = Jobs::new(self.platform.store.clone(), self.platform.node.clone());
        match jobs.lease(self.kind, limit, 0, self.platform.clock.now()).await {
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

    async fn rest(&self, running: &mut Tasks, stop: &mut Stop) {
        tokio::select! {
            () = self.platform.hints.woken(self.kind) => {}
            () = tokio::time::sleep(self.poll) => {}
            () = running.wait(), if !running.is_empty() => {}
            () = stop.wait() => {}
        }
    }
}

/// The tasks of a worker. Dropping it ends them: what they had not recorded is in doubt or undone, as after a crash.
pub(crate) struct Tasks {
    platform: Platform,
    tasks: JoinSet<()>,
    jobs: HashMap<task::Id, Job>,
}

impl Tasks {
    pub(crate) fn new(platform: Platform) -> Self {
        Self {
            platform,
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Works on a job, which is held until the task has ended.
    pub(crate) fn spawn<F, Fut>(&mut self, job: Job, handler: F)
    where
        F: FnOnce(Job) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.platform.held.add(&job);
        let task = self.tasks.spawn(handler(job.clone()));
        self.jobs.insert(task.id(), job);
    }

    /// Takes note of tasks that have ended.
    pub(crate) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Waits for one of them to end.
    pub(crate) async fn wait(&mut self) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Waits for all of them.
    pub(crate) async fn finish(mut self) {
        while !self.is_empty() {
            self.wait().await;
        }
    }

    async fn wait_for_one(&mut self, stop: &mut Stop) {
        tokio::select! {
            () = self.wait() => {}
            () = stop.wait() => {}
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let id = ended.as_ref().map_or_else(task::JoinError::id, |(id, ())| *id);
        let Some(job) = self.jobs.remove(&id) else { return };
        self.platform.held.remove(&job);
        if ended.is_err_and(|error| error.is_panic()) {
            // Its lease would otherwise last as long as this process.
            tokio::spawn(give_back(self.platform.clone(), job));
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.jobs.values().for_each(|job| self.platform.held.remove(job));
    }
}

async fn give_back(platform: Platform, job: Job) {
    tracing::error!(kind = job.kind.name(), reference = %job.reference, "the handler of a job panicked; it is tried again later");
    let (org, due_at) = (job.org.clone(), platform.clock.now().plus(AFTER_PANIC));
    let unit = async move |tx: &OrgTx| put_back(tx, &job, due_at).await;
    settle(&platform, &org, "job_put_back", unit).await;
}
