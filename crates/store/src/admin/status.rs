//! Pending and completed work: queue, failures, rejected rows and runs.

use aggregation::{Kind, Timestamp, UserId};
use diesel::data_types::PgTimestamp;
use diesel::dsl::{self, cardinality, sum};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};
use futures_util::FutureExt;

use super::control::PausedKind;
use crate::error::StoreError;
use crate::kinds::day_end::FutureRows;
use crate::pool::Store;
use crate::schema::{aggregation_queue, aggregation_runs};
use crate::sql::statement::statement;
use crate::sql::time::{NEVER, RawTime, clock_timestamp, from_postgres, to_postgres};
use crate::sql::user_key::UserKey;

/// The queue of one kind, counted in raw rows, not change sets.
#[derive(Clone, Debug, PartialEq)]
pub struct KindStatus {
    /// The kind.
    pub kind: Kind,
    /// Changes not yet claimed, including those in back-off.
    pub pending: i64,
    /// Of those, the ones that can be claimed.
    pub due: i64,
    /// Of those, the ones that wait for their back-off after a failure.
    pub backing_off: i64,
    /// Changes claimed by a worker.
    pub processing: i64,
    /// How many of `processing` have an expired lease, because their worker ended.
    pub expired: i64,
    /// Changes given up after the last attempt.
    pub dead: i64,
    /// Changes dated in the future, because the server's clock was ahead when they were queued or
    /// claimed.
    pub in_future: i64,
    /// Age of the oldest pending change, in seconds by the database's clock.
    pub oldest_pending_seconds: Option<f64>,
    /// Raw rows excluded from the figures.
    pub rejected: i64,
    /// Whether counting ended at its limit, so that there may be more of each of these.
    pub is_capped: bool,
}

/// The backlog of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backlog {
    /// The kind.
    pub kind: Kind,
    /// Changes not yet in the figures: pending and claimed ones, without dead ones.
    pub rows: i64,
    /// How long ago the oldest was queued, in seconds by the database's clock.
    pub oldest_seconds: Option<f64>,
    /// Changes given up after the last attempt.
    pub dead: i64,
}

/// How long changes have waited, without a count of the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueAge {
    /// How long ago the oldest of those that were looked at was queued, in seconds by the database's clock; 0 if
    /// there is none.
    pub oldest_seconds: f64,
    /// Whether all were looked at: else an older one may be behind them.
    pub is_complete: bool,
    /// Changes given up after the last attempt.
    pub dead: i64,
}

/// Changes whose groups failed for the same cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The kind.
    pub kind: String,
    /// The class of the error.
    pub class: String,
    /// SQLSTATE, table and constraint of the failure; `None` if only the class is known.
    pub detail: Option<String>,
    /// Number of rows, including dead ones.
    pub rows: i64,
    /// How many of `rows` are dead.
    pub dead: i64,
    /// Seconds until the first retry: 0 if a row is due, `None` if all rows are dead.
    pub next_retry_seconds: Option<i64>,
    /// How long ago the first of these changes was queued, in seconds.
    pub first_queued_seconds: f64,
    /// How long ago the last of these changes was queued, in seconds.
    pub last_queued_seconds: f64,
    /// The user of one of these changes.
    pub example_user: UserId,
    /// The time of its first raw row.
    pub example_at: Timestamp,
}

/// Rejected rows of the same kind, reason and metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The kind.
    pub kind: String,
    /// The code of the reason.
    pub reason: String,
    /// The metric as the application wrote it; `None` for other kinds, or if the raw row is deleted.
    pub metric: Option<String>,
    /// Number of rows.
    pub rows: i64,
}

/// One run that did work.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Time of its end, or of its last record.
    pub finished_at: Timestamp,
    /// Whether the run had not ended at `finished_at`.
    pub is_running: bool,
    /// Age of `finished_at` in seconds, by the database's clock.
    pub finished_seconds_ago: f64,
    /// Duration of the run in seconds.
    pub seconds: f64,
    /// The command that ran.
    pub command: String,
    /// The name of the worker.
    pub worker: String,
    /// The counts of the run.
    pub counts: RunCounts,
}

/// A row of `aggregation_runs`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = aggregation_runs)]
struct RunRow {
    #[diesel(deserialize_as = RawTime)]
    started_at: Timestamp,
    #[diesel(deserialize_as = RawTime)]
    finished_at: Timestamp,
    is_running: bool,
    command: String,
    worker: String,
    #[diesel(embed)]
    counts: RunCounts,
}

impl RunRow {
    fn at(self, now: RawTime) -> Run {
        let Self { started_at, finished_at, is_running, command, worker, counts } = self;
        Run {
            finished_at,
            is_running,
            finished_seconds_ago: RawTime(finished_at).seconds_until(now).max(0.0),
            seconds: RawTime(started_at).seconds_until(RawTime(finished_at)),
            command,
            worker,
            counts,
        }
    }
}

/// The result of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = aggregation_runs)]
pub struct RunCounts {
    /// Batches claimed.
    pub batches: i32,
    /// Raw rows claimed: completed + rejected + failed + released.
    pub rows_claimed: i64,
    /// Raw rows whose change is in the figures.
    pub rows_completed: i64,
    /// Raw rows that were processed and excluded from the figures.
    pub rows_rejected: i64,
    /// Raw rows whose group failed.
    pub rows_failed: i64,
    /// Raw rows released because the work was interrupted.
    pub rows_released: i64,
    /// Groups committed.
    pub groups_committed: i64,
    /// Groups rolled back.
    pub groups_failed: i64,
}

/// Maximum of causes and reasons listed separately. The others are only in the sums.
pub const MAX_GROUPS: i64 = 100;

/// Maximum of rejected rows whose metric is looked up, which takes about a second. The others are only
/// in the sums.
pub const MAX_REJECTED_READ: i64 = 10_000;

/// Change sets of a kind that failed and are read to be grouped: a twentieth of a second's work. The others are
/// only in the sums.
pub const MAX_FAILED_SETS: i64 = 10_000;

/// The due change sets of a kind that are read for the age of the oldest: some milliseconds' work.
const MAX_SETS_READ: i64 = 2_000;

/// The state of the database's work.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Each kind's queue.
    pub kinds: Vec<KindStatus>,
    /// Failures by cause, by descending frequency, limited to [`MAX_GROUPS`].
    pub failures: Vec<Failure>,
    /// Rejected rows by reason, by descending frequency, limited to [`MAX_GROUPS`].
    pub rejected: Vec<Rejected>,
    /// The last runs that did work, latest first.
    pub runs: Vec<Run>,
    /// Raw rows dated in the future.
    pub future: FutureRows,
    /// Kinds of which no worker claims rows.
    pub paused: Vec<PausedKind>,
}

/// Without a limit, all are counted.
const ALL: i64 = i64::MAX;

statement! {
    /// Of each kind `most` change sets are counted, those that are due first, and as many dead ones, which lie
    /// at infinity.
    struct ReadStatus { most: i64 => BigInt } -> (
        Text, BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<Double>, BigInt, BigInt, BigInt
    )
    include_str!("read_status.sql")
}

statement! {
    struct CountRejected { most: i64 => BigInt } -> (Text, BigInt)
    "SELECT kind, count(*) FROM (SELECT kind FROM rejected_rows LIMIT {most}) AS rejected GROUP BY kind"
}

statement! {
    /// A cause consists of the class and, after the first space, the detail.
    struct ReadFailures { most: i64 => BigInt, limit: i64 => BigInt } -> (
        Text, Text, Nullable<Text>, BigInt, BigInt, Nullable<BigInt>, Double, Double, UserKey, Timestamptz
    )
    include_str!("read_failures.sql")
}

statement! {
    /// Both primary keys have the same order, so the join reads only as many rows as the limit.
    struct ReadRejected { most: i64 => BigInt, limit: i64 => BigInt } -> (
        Text, Text, Nullable<Text>, BigInt
    )
    include_str!("read_rejected.sql")
}

statement! {
    struct ReadBacklog {} -> (Text, BigInt, Nullable<Double>, BigInt)
    include_str!("read_backlog.sql")
}

statement! {
    /// Of each kind `most` change sets are read, in the order of their turns, and all that wait for their back-off.
    /// The next in turn need not be the oldest: one that has failed comes behind those that were queued meanwhile.
    /// The backlog is not counted: a queue that takes too long to count still tells its age.
    struct ReadAge {
        most: i64 => BigInt,
    } -> (Double, Bool, BigInt)
    include_str!("read_age.sql")
}

statement! {
    struct RecordRun<'a> {
        started_at: PgTimestamp => Timestamptz,
        command: &'a str => Text,
        worker: &'a str => Text,
        batches: i32 => Integer,
        rows_claimed: i64 => BigInt,
        rows_completed: i64 => BigInt,
        rows_rejected: i64 => BigInt,
        rows_failed: i64 => BigInt,
        rows_released: i64 => BigInt,
        groups_committed: i64 => BigInt,
        groups_failed: i64 => BigInt,
        is_running: bool => Bool,
    } -> (BigInt)
    include_str!("record_run.sql")
}

statement! {
    /// Citus plans no INSERT with a WITH clause, so these are two statements.
    struct ForgetRuns { former: Option<i64> => Nullable<BigInt> } -> ()
    "DELETE FROM aggregation_runs WHERE finished_at < now() - interval '30 days' OR id = {former}"
}

impl Store {
    /// The queue of each kind, and the last `runs` runs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn status(&self, runs: u32) -> Result<Status, StoreError> {
        Ok(Status {
            kinds: self.count_kinds(ALL).await?,
            failures: self.failures().await?,
            rejected: self.rejected().await?,
            runs: self.runs(runs).await?,
            future: self.future_rows().await?,
            paused: self.paused().await?,
        })
    }

    /// Each kind's queue and its rejected rows, of which no more than about `most` are counted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_kinds(&self, most: i64) -> Result<Vec<KindStatus>, StoreError> {
        type KindColumns = (String, i64, i64, i64, i64, i64, Option<f64>, i64, i64, i64);
        let queue: Vec<KindColumns> = self.load("status", ReadStatus { most }).await?;
        let rejected: Vec<(String, i64)> = self.load("status", CountRejected { most }).await?;
        let all_rejected: i64 = rejected.iter().map(|(_, rows)| rows).sum();
        let of = |kind: Kind| {
            let row = queue.iter().find(|row| row.0 == kind.name());
            let count = |of: fn(&KindColumns) -> i64| row.map_or(0, of);
            KindStatus {
                kind,
                pending: count(|row| row.1),
                due: count(|row| row.8),
                backing_off: count(|row| row.2),
                processing: count(|row| row.3),
                expired: count(|row| row.4),
                dead: count(|row| row.5),
                in_future: count(|row| row.7),
                oldest_pending_seconds: row.and_then(|row| row.6),
                rejected: rejected.iter().find(|r| r.0 == kind.name()).map_or(0, |r| r.1),
                is_capped: count(|row| row.9) >= most || all_rejected >= most,
            }
        };
        Ok(Kind::ALL.into_iter().map(of).collect())
    }

    /// The number of pending changes of these kinds, including those in back-off.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pending(&self, kinds: &[Kind]) -> Result<i64, StoreError> {
        let count_pending = aggregation_queue::table
            .filter(aggregation_queue::state.eq("pending"))
            .group_by(aggregation_queue::kind)
            .select((aggregation_queue::kind, sum(cardinality(aggregation_queue::raw_ids))));
        let rows: Vec<(String, Option<i64>)> = self.load("status", count_pending).await?;
        let asked = |name: &str| kinds.iter().any(|kind| kind.name() == name);
        Ok(rows.iter().filter(|(kind, _)| asked(kind)).filter_map(|(_, count)| *count).sum())
    }

    /// The backlog of each kind, read from the queue's index only, so it may be polled often.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        let rows: Vec<(String, i64, Option<f64>, i64)> =
            self.load("backlog", ReadBacklog {}).await?;
        let of = |kind: Kind| {
            let row = rows.iter().find(|row| row.0 == kind.name());
            Backlog {
                kind,
                rows: row.map_or(0, |row| row.1),
                oldest_seconds: row.and_then(|row| row.2),
                dead: row.map_or(0, |row| row.3),
            }
        };
        Ok(Kind::ALL.into_iter().map(of).collect())
    }

    /// How long the changes have waited that are not in the figures yet, and how many were given up.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn queue_age(&self) -> Result<QueueAge, StoreError> {
        let ages: Vec<(f64, bool, i64)> =
            self.load("backlog", ReadAge { most: MAX_SETS_READ }).await?;
        let [(oldest_seconds, is_complete, dead)] = ages.as_slice() else {
            return Err(StoreError::Internal("the queue says nothing of its oldest change"));
        };
        Ok(QueueAge { oldest_seconds: *oldest_seconds, is_complete: *is_complete, dead: *dead })
    }

    /// The number of changes queued at a future time, because the server's clock was ahead. They are due
    /// at that time, so only rows that are not due are read.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_in_future(&self) -> Result<i64, StoreError> {
        use crate::schema::aggregation_queue as q;
        let in_future = q::table
            .filter(q::kind.eq_any(Kind::ALL.map(Kind::name)))
            .filter(q::not_before.gt(dsl::now).and(q::not_before.lt(NEVER)))
            .filter(q::queued_at.gt(dsl::now))
            .select(sum(cardinality(q::raw_ids)));
        let rows: Vec<Option<i64>> = self.load("status", in_future).boxed().await?;
        Ok(rows.into_iter().flatten().sum())
    }

    /// The database's clock.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clock(&self) -> Result<Timestamp, StoreError> {
        let rows: Vec<RawTime> = self.load("status", diesel::select(clock_timestamp())).await?;
        let [RawTime(now)] = rows.as_slice() else {
            return Err(StoreError::Internal("the database's clock shows no time"));
        };
        Ok(*now)
    }

    /// Records a run that did work, and deletes records older than 30 days. A run in progress is
    /// recorded repeatedly, each time replacing its `former` record. Returns the id of the record.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_run(
        &self,
        started_at: Timestamp,
        command: &str,
        worker: &str,
        counts: &RunCounts,
        (is_running, former): (bool, Option<i64>),
    ) -> Result<Option<i64>, StoreError> {
        let record = RecordRun {
            started_at: to_postgres(started_at),
            command,
            worker,
            batches: counts.batches,
            rows_claimed: counts.rows_claimed,
            rows_completed: counts.rows_completed,
            rows_rejected: counts.rows_rejected,
            rows_failed: counts.rows_failed,
            rows_released: counts.rows_released,
            groups_committed: counts.groups_committed,
            groups_failed: counts.groups_failed,
            is_running,
        };
        let ids: Vec<(i64,)> = self.load("status", record).await?;
        self.execute("status", ForgetRuns { former }).await?;
        Ok(ids.into_iter().next().map(|(id,)| id))
    }

    /// Failures by cause in descending frequency, at most [`MAX_GROUPS`] of at most [`MAX_FAILED_SETS`] sets
    /// of each kind.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn failures(&self) -> Result<Vec<Failure>, StoreError> {
        type Columns =
            (String, String, Option<String>, i64, i64, Option<i64>, f64, f64, UserId, PgTimestamp);
        let read = ReadFailures { most: MAX_FAILED_SETS, limit: MAX_GROUPS };
        let rows: Vec<Columns> = self.load("status", read).await?;
        let failure = |row: Columns| Failure {
            kind: row.0,
            class: row.1,
            detail: row.2,
            rows: row.3,
            dead: row.4,
            next_retry_seconds: row.5,
            first_queued_seconds: row.6,
            last_queued_seconds: row.7,
            example_user: row.8,
            example_at: from_postgres(row.9),
        };
        Ok(rows.into_iter().map(failure).collect())
    }

    /// Rejected rows by reason and metric in descending frequency, at most [`MAX_GROUPS`] of
    /// [`MAX_REJECTED_READ`] rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rejected(&self) -> Result<Vec<Rejected>, StoreError> {
        let read = ReadRejected { most: MAX_REJECTED_READ, limit: MAX_GROUPS };
        let rows: Vec<(String, String, Option<String>, i64)> = self.load("status", read).await?;
        let rejected = |(kind, reason, metric, rows)| Rejected { kind, reason, metric, rows };
        Ok(rows.into_iter().map(rejected).collect())
    }

    /// The last runs that did work, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn runs(&self, limit: u32) -> Result<Vec<Run>, StoreError> {
        let read = aggregation_runs::table
            .order(aggregation_runs::finished_at.desc())
            .limit(i64::from(limit))
            .select((RunRow::as_select(), clock_timestamp()));
        let rows: Vec<(RunRow, RawTime)> = self.load("status", read).await?;
        Ok(rows.into_iter().map(|(row, now)| row.at(now)).collect())
    }
}
