//! The batches that the loops of a process work on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aggregation::Kind;
use store::{Batches, RunningBatch};

/// The batches that run, shared by all loops of a process.
#[derive(Clone, Debug, Default)]
pub struct CurrentBatches(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    claimed: u64,
    claimed_at: Option<Instant>,
    running: BTreeMap<u64, Current>,
}

#[derive(Debug)]
struct Current {
    kind: Kind,
    rows: u32,
    since: Instant,
}

/// A batch that runs until this is dropped.
#[derive(Debug)]
pub struct CurrentBatch(CurrentBatches, u64);

impl CurrentBatches {
    /// Records a batch that was claimed.
    pub fn begin(&self, kind: Kind, rows: u32) -> CurrentBatch {
        let since = Instant::now();
        let mut state = self.lock();
        let number = state.claimed;
        state.claimed += 1;
        state.claimed_at = Some(since);
        state.running.insert(number, Current { kind, rows, since });
        CurrentBatch(self.clone(), number)
    }

    /// The batches that run now.
    pub fn now(&self) -> Batches {
        let state = self.lock();
        let running = state.running.values().map(|batch| RunningBatch {
            kind: batch.kind,
            rows: batch.rows.into(),
            seconds: batch.since.elapsed().as_secs_f64(),
        });
        Batches {
            running: running.collect(),
            claimed_seconds_ago: state.claimed_at.map(|at| at.elapsed().as_secs_f64()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CurrentBatch {
    fn drop(&mut self) {
        self.0.lock().running.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_listed_from_its_claim_to_its_end_and_the_last_claim_is_remembered() {
        let batches = CurrentBatches::default();
        assert_eq!(batches.now(), Batches::default());
        let first = batches.begin(Kind::Vitals, 200);
        let second = batches.clone().begin(Kind::Labs, 7);
        let listed = |batches: &CurrentBatches| -> Vec<(Kind, i64)> {
            batches.now().running.iter().map(|batch| (batch.kind, batch.rows)).collect()
        };
        assert_eq!(listed(&batches), [(Kind::Vitals, 200), (Kind::Labs, 7)]);
        drop(first);
        assert_eq!(listed(&batches), [(Kind::Labs, 7)]);
        drop(second);
        assert!(batches.now().running.is_empty() && batches.now().claimed_seconds_ago.is_some());
    }
}
