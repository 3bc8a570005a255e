//! The drain: batch after batch while there is work, the kinds taking turns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aggregation::Kind;
use store::{ClaimFrom, ErrorClass, StoreError};

use crate::batch::{self, Walked};
use crate::pace::Went;
use crate::report::RunReport;
use crate::setup::{Job, PAUSES, spread};

/// While one kind keeps the drain busy, those that had nothing due are asked again so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Each batch takes what has waited for longest, but every so many takes what has just come: so
/// nobody's fresh row waits for somebody else's import of a million.
const NEWEST_EVERY: u32 = 8;

/// Where a drain ends, if not with the last due row.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The kinds to work on, in the order of their turns.
    pub kinds: Vec<Kind>,
    /// The most batches.
    pub max_batches: Option<u32>,
    /// No batch begins after this time.
    pub time_budget: Option<Duration>,
    /// No batch begins once this is set.
    pub enough: Arc<AtomicBool>,
    /// Whether it ends only when nothing is due at all. Else what a look into a queue full of dead rows
    /// did not reach may be left for the next drain.
    pub everything: bool,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is due any more.
    Everything,
    /// It may have no more batches or time.
    LimitReached,
    /// Somebody asked to stop.
    Stopped,
}

/// Works until nothing is due, a limit is reached, or somebody asks to stop.
///
/// `report` holds what was done also when an error ends the drain. `on_rows` is told after each batch how
/// many rows it took.
///
/// # Errors
/// What interrupted the drain for longer than its patience.
pub async fn drain(
    job: &Job,
    limits: &Limits,
    report: &mut RunReport,
    on_rows: impl Fn(u64),
) -> Result<Drained, StoreError> {
    let started = Instant::now();
    let mut interruptions = 0;
    let mut turns: VecDeque<Turn> = limits.kinds.iter().copied().map(Turn::new).collect();
    loop {
        let Some(mut turn) = next_turn(&mut turns) else {
            if !limits.everything || !job.store.look_everywhere() {
                return Ok(Drained::Everything);
            }
            turns.iter_mut().for_each(|turn| turn.empty_since = None);
            continue;
        };
        let out_of_batches =
            limits.max_batches.is_some_and(|most| report.counts.batches as u32 >= most);
        let out_of_time = limits.time_budget.is_some_and(|most| started.elapsed() >= most);
        if job.stop.is_requested() {
            report.stopped = true;
            return Ok(Drained::Stopped);
        }
        if out_of_batches || out_of_time || limits.enough.load(Ordering::Relaxed) {
            return Ok(Drained::LimitReached);
        }
        let before = report.counts.rows_claimed;
        let walked = batch::run(job, turn.kind, turn.claims_from(), report).await;
        on_rows((report.counts.rows_claimed - before).max(0) as u64);
        match walked {
            Ok(Walked::NothingDue) => turn.ended(false),
            Ok(Walked::Done { pause }) => {
                turn.ended(true);
                interruptions = 0;
                if let Some(pause) = pause {
                    rest(pause, job).await;
                }
            }
            Err(_) if job.stop.is_requested() => {}
            Err(error) => {
                // A server that is silent is not asked again on the same connections.
                let worth_it = match error.class() {
                    ErrorClass::NoAnswer => false,
                    // Of the claim, which met somebody's lock, or a table that takes long to read.
                    ErrorClass::Locked | ErrorClass::Timeout => {
                        let went = Went { timeouts: 1, ..Went::default() };
                        job.pace.after(&went, job.settings.get().batch_bounds);
                        true
                    }
                    ErrorClass::Conflict => true,
                    class => class.is_interruption(),
                };
                let pause = PAUSES.get(interruptions).filter(|_| worth_it);
                let Some(pause) = pause else { return Err(error) };
                interruptions += 1;
                pause_after(&error, spread(*pause), job).await;
            }
        }
        turns.push_back(turn);
    }
}

async fn pause_after(error: &StoreError, pause: Duration, job: &Job) {
    tracing::warn!(
        event = "drain_paused",
        class = error.class().name(),
        error = %error,
        pause_ms = pause.as_millis() as u64,
        "trying again after a pause: {error}"
    );
    rest(pause, job).await;
}

async fn rest(pause: Duration, job: &Job) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = job.stop.requested() => {}
    }
    job.heartbeat.beat();
}

/// The turns of one kind.
struct Turn {
    kind: Kind,
    batches: u32,
    /// When nothing of the kind was due, if that was so last time.
    empty_since: Option<Instant>,
}

impl Turn {
    const fn new(kind: Kind) -> Self {
        Self { kind, batches: 0, empty_since: None }
    }

    const fn claims_from(&self) -> ClaimFrom {
        if self.batches % NEWEST_EVERY == NEWEST_EVERY - 1 {
            ClaimFrom::Newest
        } else {
            ClaimFrom::Oldest
        }
    }

    fn ended(&mut self, did_work: bool) {
        if did_work {
            self.batches += 1;
            self.empty_since = None;
        } else {
            self.empty_since = Some(Instant::now());
        }
    }
}

/// The kind whose turn it is: in order, except those that had nothing due a moment ago. None once
/// no kind has anything due.
fn next_turn(turns: &mut VecDeque<Turn>) -> Option<Turn> {
    if turns.iter().all(|turn| turn.empty_since.is_some()) {
        return None;
    }
    let worth_a_look =
        |turn: &Turn| turn.empty_since.is_none_or(|since| since.elapsed() >= LOOK_AGAIN);
    let first = turns.iter().position(worth_a_look)?;
    turns.rotate_left(first);
    turns.pop_front()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_take_turns_and_the_drain_ends_when_none_has_work() {
        let mut turns: VecDeque<Turn> = Kind::ALL.into_iter().map(Turn::new).collect();
        let mut work = [3, 1, 0];
        let mut order = Vec::new();
        while let Some(mut turn) = next_turn(&mut turns) {
            let left = &mut work[turn.kind as usize];
            turn.ended(*left > 0);
            if *left > 0 {
                *left -= 1;
                order.push(turn.kind);
            }
            turns.push_back(turn);
        }
        let [vitals, nutrition, _] = Kind::ALL;
        assert_eq!(order, [vitals, nutrition, vitals, vitals]);
    }

    #[test]
    fn a_kind_that_had_nothing_is_asked_again_while_another_is_busy() {
        let mut idle = Turn::new(Kind::Labs);
        idle.empty_since = Instant::now().checked_sub(LOOK_AGAIN);
        let mut turns = VecDeque::from([Turn::new(Kind::Vitals), idle]);

        let busy = next_turn(&mut turns).unwrap();
        assert_eq!(busy.kind, Kind::Vitals);
        turns.push_back(busy);
        assert_eq!(next_turn(&mut turns).unwrap().kind, Kind::Labs);
    }

    #[test]
    fn one_batch_of_eight_begins_with_the_newest_rows() {
        let mut turn = Turn::new(Kind::Vitals);
        let mut newest = Vec::new();
        for batch in 1..=16 {
            if turn.claims_from() == ClaimFrom::Newest {
                newest.push(batch);
            }
            turn.ended(true);
        }
        assert_eq!(newest, [8, 16]);
    }
}
