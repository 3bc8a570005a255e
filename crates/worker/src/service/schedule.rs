//! The schedule only wakes the loop that does the work, so runs never overlap.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use aggregation::Kind;
use anyhow::Context;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler};

use crate::config;

/// The kinds that became due since the last [`Ticks::take`].
#[derive(Debug, Default)]
pub struct Ticks {
    kinds: Mutex<BTreeSet<Kind>>,
    notify: Notify,
}

impl Ticks {
    /// Adds a kind that became due.
    pub fn tick(&self, kind: Kind) {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
        self.notify.notify_one();
    }

    /// Takes the kinds that became due.
    pub fn take(&self) -> BTreeSet<Kind> {
        std::mem::take(&mut *self.kinds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a tick; returns at once if one came since the last wait.
    pub async fn next(&self) {
        self.notify.notified().await;
    }
}

/// A running schedule.
pub struct Schedule(JobScheduler);

impl Schedule {
    /// Starts ticking by these patterns, in UTC. In other zones the scheduler keeps the offset of its
    /// start, and is an hour off after the next change of clocks.
    ///
    /// # Errors
    /// If the scheduler cannot be started.
    pub async fn start(patterns: &config::Schedule, ticks: &Arc<Ticks>) -> anyhow::Result<Self> {
        let scheduler = JobScheduler::new().await.context("the schedule cannot be started")?;
        for kind in Kind::ALL {
            let pattern = match kind {
                Kind::Vitals => &patterns.vitals,
                Kind::Nutrition => &patterns.nutrition,
                Kind::Labs => &patterns.labs,
            };
            if pattern.is_empty() {
                continue;
            }
            let ticks = Arc::clone(ticks);
            let job = Job::new_async(pattern.as_str(), move |_, _| {
                let ticks = Arc::clone(&ticks);
                Box::pin(async move {
                    tracing::debug!(event = "tick", kind = %kind, "Schedule of {kind} is due");
                    ticks.tick(kind);
                })
            })
            .with_context(|| format!("schedule.{kind} cannot be used"))?;
            scheduler.add(job).await.context("the schedule cannot be started")?;
        }
        scheduler.start().await.context("the schedule cannot be started")?;
        Ok(Self(scheduler))
    }

    /// Ends the ticks.
    pub async fn stop(mut self) {
        let _ = self.0.shutdown().await;
    }
}
