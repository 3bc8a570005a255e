//! The drain: batch after batch while there is work, the kinds taking turns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregation::Kind;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use store::{ClaimFrom, ErrorClass, StoreError};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::batch::{self, Walked};
use crate::looks::Looks;
use crate::pace::Went;
use crate::report::RunReport;
use crate::setup::Job;

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
    /// No batch begins once it is cancelled.
    pub cancel: CancellationToken,
    /// Whether it ends only when nothing is due at all. Else what a look into a queue full of dead rows
    /// did not reach may be left for the next drain.
    pub until_empty: bool,
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

/// Makes rows due that the server dated in the future while its clock was ahead, and says so. If it
/// cannot, the work finds out why.
pub async fn date_back(job: &Job) {
    let rows = job.store.date_back(job.settings.get().failure_policy.max).await.unwrap_or_default();
    if rows > 0 {
        tracing::warn!(
            event = "rows_dated_back",
            rows,
            "{rows} rows were dated in the future by the server's clock, which was ahead; they are due now"
        );
    }
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
    let mut turns: VecDeque<Turn> = limits.kinds.iter().copied().map(Turn::new).collect();
    let mut trouble = Trouble::new();
    let mut batches = FuturesUnordered::new();
    loop {
        // None begins while those that run have yet to end for a pause.
        while trouble.is_none() && batches.len() < at_once(&turns, job) {
            let begun = report.counts.batches as u32 + batches.len() as u32;
            let is_limit_reached = limits.max_batches.is_some_and(|most| begun >= most)
                || limits.time_budget.is_some_and(|most| started.elapsed() >= most)
                || limits.cancel.is_cancelled();
            if job.stop.is_requested() || is_limit_reached {
                break;
            }
            let Some(turn) = next_turn(&mut turns) else { break };
            batches.push(turn.begin(job));
        }
        let Some(Ended { kind, ended_before, of_batch, walked }) = batches.next().await else {
            if !trouble.is_none() {
                trouble.pass(job).await?;
            } else if turns.iter().all(|turn| turn.empty_since.is_some()) {
                if !limits.until_empty || !job.store.look_everywhere() {
                    return Ok(Drained::Everything);
                }
                turns.iter_mut().for_each(|turn| turn.empty_since = None);
            } else if job.stop.is_requested() {
                report.stopped = true;
                return Ok(Drained::Stopped);
            } else {
                return Ok(Drained::LimitReached);
            }
            continue;
        };
        report.merge(&of_batch);
        on_rows(of_batch.counts.rows_claimed.max(0) as u64);
        let Some(turn) = turns.iter_mut().find(|turn| turn.kind == kind) else { continue };
        match walked {
            Ok(Walked::NothingDue { saw_first }) => turn.found_nothing(saw_first, ended_before),
            Ok(Walked::Done { is_full, pause }) => {
                turn.did_work(is_full);
                trouble.is_over(pause);
            }
            Err(error) => {
                turn.was_interrupted();
                if !job.stop.is_requested() {
                    trouble.meets(error, job);
                }
            }
        }
    }
}

/// What keeps a drain from its next batch.
struct Trouble {
    /// Interruptions in a row.
    backoff: Backoff,
    /// How long a batch that was done asks to rest.
    rest: Option<Duration>,
    /// How long to wait because of an interruption.
    pause: Option<Duration>,
    /// What ends the drain.
    error: Option<StoreError>,
}

impl Trouble {
    const fn new() -> Self {
        Self { backoff: Backoff::drain(), rest: None, pause: None, error: None }
    }

    const fn is_none(&self) -> bool {
        self.rest.is_none() && self.pause.is_none() && self.error.is_none()
    }

    /// A batch was done, and asks for this rest.
    fn is_over(&mut self, rest: Option<Duration>) {
        self.backoff.reset();
        self.rest = self.rest.max(rest);
    }

    /// A batch was interrupted: a pause, unless there have been enough of them or none would help. What befalls
    /// several batches at once is one interruption.
    fn meets(&mut self, error: StoreError, job: &Job) {
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
        if worth_it && self.pause.is_some() {
            return;
        }
        let Some(pause) = worth_it.then(|| self.backoff.record_error()).flatten() else {
            self.error = Some(error);
            return;
        };
        tracing::warn!(
            event = "drain_paused",
            class = error.class().name(),
            sqlstate = error.sqlstate(),
            table = error.table(),
            column = error.column(),
            constraint = error.constraint(),
            pid = error.process(),
            error = %error,
            pause_ms = pause.as_millis() as u64,
            "batch interrupted; rows stay queued; retrying in {:.1} s: {error}",
            pause.as_secs_f64()
        );
        self.pause = Some(pause);
    }

    /// Waits until it has passed. No batch runs meanwhile: nobody would attend to it.
    ///
    /// # Errors
    /// What it is, if it does not pass.
    async fn pass(&mut self, job: &Job) -> Result<(), StoreError> {
        job.suspects.interruption_is_over();
        let pause = self.pause.take().max(self.rest.take());
        if let Some(error) = self.error.take().filter(|_| !job.stop.is_requested()) {
            return Err(error);
        }
        if let Some(pause) = pause {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = job.stop.requested() => {}
            }
            job.heartbeat.beat();
        }
        Ok(())
    }
}

/// The turns of one kind.
struct Turn {
    kind: Kind,
    /// Of the batches that run: at the oldest rows, and at the newest.
    looks: [Arc<Looks>; 2],
    /// Batches that did work.
    batches: u32,
    /// Batches that run.
    running: u32,
    /// Batches that may have given rows back.
    ended: u32,
    /// Whether the last one was as large as it may be, so that there is work for another beside it.
    is_plenty: bool,
    /// When nothing of the kind was due, if that was so last time.
    empty_since: Option<Instant>,
}

/// How a batch of a turn ended.
struct Ended {
    kind: Kind,
    /// The batches of its kind that may have given rows back when it began.
    ended_before: u32,
    /// What it did.
    of_batch: RunReport,
    walked: Result<Walked, StoreError>,
}

impl Turn {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            looks: Default::default(),
            batches: 0,
            running: 0,
            ended: 0,
            is_plenty: false,
            empty_since: None,
        }
    }

    /// Begins a batch.
    fn begin<'j>(&mut self, job: &'j Job) -> impl Future<Output = Ended> + use<'j> {
        let (kind, from, ended_before) = (self.kind, self.claims_from(), self.ended);
        let [oldest, newest] = &self.looks;
        let looks = Arc::clone(if from == ClaimFrom::Oldest { oldest } else { newest });
        self.running += 1;
        async move {
            let mut of_batch = RunReport::default();
            let walked = batch::run(job, kind, from, &looks, &mut of_batch).await;
            Ended { kind, ended_before, of_batch, walked }
        }
    }

    /// Those that run have their place in the order, too: of those at once, one begins with the newest.
    const fn claims_from(&self) -> ClaimFrom {
        if (self.batches + self.running) % NEWEST_EVERY == NEWEST_EVERY - 1 {
            ClaimFrom::Newest
        } else {
            ClaimFrom::Oldest
        }
    }

    /// A batch was done, or begun and given back.
    const fn did_work(&mut self, is_full: bool) {
        self.running -= 1;
        self.ended += 1;
        self.batches += 1;
        self.is_plenty = is_full;
        self.empty_since = None;
    }

    /// Nothing was due for a batch that began after so many had ended. That proves nothing if it passed over
    /// the first rows, or if others have ended since, which may have given rows back.
    fn found_nothing(&mut self, saw_first: bool, ended_before: u32) {
        self.running -= 1;
        self.is_plenty = false;
        if saw_first && self.ended == ended_before && self.running == 0 {
            self.empty_since = Some(Instant::now());
        }
    }

    const fn was_interrupted(&mut self) {
        self.running -= 1;
        self.ended += 1;
        self.is_plenty = false;
        self.empty_since = None;
    }

    /// Whether a batch of it may begin: none runs, or there is work for more than one; and it had
    /// something due a moment ago.
    fn is_worth_a_look(&self) -> bool {
        (self.running == 0 || self.is_plenty)
            && self.empty_since.is_none_or(|since| since.elapsed() >= LOOK_AGAIN)
    }
}

/// How many batches may run: more than one only where one of the kinds has work for more than one.
fn at_once(turns: &VecDeque<Turn>, job: &Job) -> usize {
    if turns.iter().any(|turn| turn.is_plenty) {
        job.settings.get().concurrency as usize
    } else {
        1
    }
}

/// The kind whose turn it is: in order, except those that had nothing due a moment ago. None once
/// no kind has anything due, or where all are at work already.
fn next_turn(turns: &mut VecDeque<Turn>) -> Option<&mut Turn> {
    if turns.iter().all(|turn| turn.empty_since.is_some()) {
        return None;
    }
    let first = turns.iter().position(Turn::is_worth_a_look)?;
    turns.rotate_left(first + 1);
    turns.back_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Turn {
        /// Begins a batch, of which nobody does anything; what it claims from, and after how many that have
        /// ended.
        fn began(&mut self) -> (ClaimFrom, u32) {
            let beginning = (self.claims_from(), self.ended);
            self.running += 1;
            beginning
        }
    }

    #[test]
    fn kinds_take_turns_and_the_drain_ends_when_none_has_work() {
        let mut turns: VecDeque<Turn> = Kind::ALL.into_iter().map(Turn::new).collect();
        let mut work = [3, 1, 0];
        let mut order = Vec::new();
        while let Some(turn) = next_turn(&mut turns) {
            let (_, before) = turn.began();
            let left = &mut work[turn.kind as usize];
            if *left > 0 {
                *left -= 1;
                order.push(turn.kind);
                turn.did_work(false);
            } else {
                turn.found_nothing(true, before);
            }
        }
        let [vitals, nutrition, _] = Kind::ALL;
        assert_eq!(order, [vitals, nutrition, vitals, vitals]);
    }

    #[test]
    fn a_kind_that_had_nothing_is_asked_again_while_another_is_busy() {
        let mut idle = Turn::new(Kind::Labs);
        idle.empty_since = Instant::now().checked_sub(LOOK_AGAIN);
        let mut turns = VecDeque::from([Turn::new(Kind::Vitals), idle]);
        assert_eq!(next_turn(&mut turns).unwrap().kind, Kind::Vitals);
        assert_eq!(next_turn(&mut turns).unwrap().kind, Kind::Labs);
    }

    #[test]
    fn one_batch_of_eight_begins_with_the_newest_rows() {
        for at_once in 1..=8 {
            let mut turn = Turn::new(Kind::Vitals);
            let mut newest = Vec::new();
            for batch in 1..=16 {
                if turn.began().0 == ClaimFrom::Newest {
                    newest.push(batch);
                }
                if turn.running == at_once {
                    turn.did_work(true);
                }
            }
            assert_eq!(newest, [8, 16]);
        }
    }

    #[test]
    fn a_second_batch_begins_only_beside_one_after_a_full_one() {
        let mut turns = VecDeque::from([Turn::new(Kind::Vitals)]);
        next_turn(&mut turns).unwrap().began();
        assert!(next_turn(&mut turns).is_none(), "how much there is is not known yet");

        turns[0].did_work(true);
        for _ in 0..3 {
            next_turn(&mut turns).unwrap().began();
        }
        turns[0].did_work(false);
        assert!(next_turn(&mut turns).is_none());
        turns[0].did_work(true);
        turns[0].was_interrupted();
        assert!(!turns[0].is_plenty);
        assert!(next_turn(&mut turns).is_some(), "none runs");
    }

    #[test]
    fn a_batch_that_passed_over_the_first_rows_and_found_nothing_ends_no_drain() {
        let mut turns = VecDeque::from([Turn::new(Kind::Vitals)]);
        let (_, before) = turns[0].began();
        turns[0].found_nothing(false, before);
        assert!(next_turn(&mut turns).is_some());
    }

    #[test]
    fn a_batch_that_found_nothing_beside_one_that_was_interrupted_ends_no_drain() {
        let mut turns = VecDeque::from([Turn::new(Kind::Vitals)]);
        let turn = &mut turns[0];
        let (_, (_, before)) = (turn.began(), turn.began());
        turn.was_interrupted();
        turn.found_nothing(true, before);
        assert!(next_turn(&mut turns).is_some(), "what the first one held is due again");
    }

    #[test]
    fn a_batch_that_found_nothing_while_another_held_everything_ends_no_drain() {
        let mut turns = VecDeque::from([Turn::new(Kind::Vitals)]);
        let turn = &mut turns[0];
        turn.began();
        turn.did_work(true);
        let ((_, before), _) = (turn.began(), turn.began());
        // One found nothing, because the other one had claimed all, some of which it then gave back.
        turn.did_work(false);
        turn.found_nothing(true, before);
        assert!(next_turn(&mut turns).is_some());
        let (_, before) = turns[0].began();
        turns[0].found_nothing(true, before);
        assert!(next_turn(&mut turns).is_none());
    }
}
