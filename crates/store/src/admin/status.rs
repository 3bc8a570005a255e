//! Pending and completed work: queue, failures, rejected rows and runs.

use aggregation::{Kind, Timestamp};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};

use crate::error::StoreError;
use crate::kinds::day_end::FutureRows;
use crate::pool::Store;
use crate::sql::statement::statement;
use crate::sql::time::{from_postgres, to_postgres};

/// The queue of one kind, counted in raw rows, not change sets.
#[derive(Clone, Debug, PartialEq)]
pub struct KindStatus {
    /// The kind.
    pub kind: Kind,
    /// Changes not yet claimed, including those in back-off.
    pub pending: i64,
    /// How many of `pending` are in back-off after a failure.
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
}

/// The backlog of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backlog {
    /// The kind.
    pub kind: Kind,
    /// Changes not yet in the figures: pending and claimed ones, without dead ones.
    pub rows: i64,
    /// Age of the oldest change in seconds, by the database's clock. Among due changes, only the next
    /// one is read; among those in back-off, the oldest.
    pub oldest_seconds: Option<f64>,
    /// Changes given up after the last attempt.
    pub dead: i64,
}

/// Changes whose groups failed for the same cause.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Counts of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// The state of the queue and of recent runs.
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
}

statement! {
    struct ReadStatus {} -> (
        Text, BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<Double>, BigInt
    )
    "SELECT kind,
            coalesce(sum(rows) FILTER (WHERE state = 'pending'), 0),
            coalesce(sum(rows) FILTER (WHERE state = 'pending' AND not_before > clock_timestamp()), 0),
            coalesce(sum(rows) FILTER (WHERE state = 'processing'), 0),
            coalesce(sum(rows) FILTER (WHERE state = 'processing'
                                       AND lease_expires_at < clock_timestamp()), 0),
            coalesce(sum(rows) FILTER (WHERE state = 'dead'), 0),
            extract(epoch FROM clock_timestamp() - min(least(queued_at, statement_timestamp()))
                                                       FILTER (WHERE state = 'pending'))::float8,
            coalesce(sum(rows) FILTER (WHERE state <> 'dead'
                                       AND (queued_at > clock_timestamp()
                                            OR lease_expires_at > clock_timestamp() + interval '1 hour')), 0)
     FROM (SELECT *, cardinality(raw_ids) AS rows FROM aggregation_queue) AS queue
     GROUP BY kind"
}

statement! {
    struct CountRejected {} -> (Text, BigInt)
    "SELECT kind, count(*) FROM rejected_rows GROUP BY kind"
}

statement! {
    /// A cause consists of the class and, after the first space, the detail.
    struct ReadFailures { limit: i64 => BigInt } -> (
        Text, Text, Nullable<Text>, BigInt, BigInt, Nullable<BigInt>
    )
    "SELECT kind, split_part(last_error, ' ', 1),
            nullif(substr(last_error, strpos(last_error || ' ', ' ') + 1), ''),
            sum(cardinality(raw_ids)),
            coalesce(sum(cardinality(raw_ids)) FILTER (WHERE state = 'dead'), 0),
            ceil(min(greatest(extract(epoch FROM not_before - clock_timestamp()), 0))
                FILTER (WHERE state <> 'dead' AND isfinite(not_before)))::bigint
     FROM aggregation_queue
     WHERE last_error IS NOT NULL
     GROUP BY kind, last_error
     ORDER BY sum(cardinality(raw_ids)) DESC, kind, last_error
     LIMIT {limit}"
}

statement! {
    /// Both primary keys have the same order, so the join reads only as many rows as the limit.
    struct ReadRejected { most: i64 => BigInt, limit: i64 => BigInt } -> (
        Text, Text, Nullable<Text>, BigInt
    )
    "SELECT r.kind, r.reason, left(v.metric, 100), count(*)
     FROM (SELECT kind, reason, user_id, raw_id FROM rejected_rows LIMIT {most}) AS r
     LEFT JOIN vitals_raw AS v ON r.kind = 'vitals' AND v.user_id = r.user_id AND v.id = r.raw_id
     GROUP BY 1, 2, 3
     ORDER BY count(*) DESC, 1, 2, 3
     LIMIT {limit}"
}

statement! {
    struct ReadRuns { limit: i64 => BigInt } -> (
        Timestamptz, Bool, Double, Double, Text, Text,
        Integer, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt
    )
    "SELECT finished_at, is_running,
            greatest(0, extract(epoch FROM clock_timestamp() - finished_at))::float8,
            extract(epoch FROM finished_at - started_at)::float8,
            command, worker, batches, rows_claimed, rows_completed, rows_rejected, rows_failed,
            rows_released, groups_committed, groups_failed
     FROM aggregation_runs
     ORDER BY finished_at DESC
     LIMIT {limit}"
}

statement! {
    struct CountPending {} -> (Text, BigInt)
    "SELECT kind, sum(cardinality(raw_ids)) FROM aggregation_queue WHERE state = 'pending' GROUP BY kind"
}

/// The age in seconds of the oldest change of a kind (at least 0), and the number of dead rows. The next
/// due change is read from one end of the index. A change in back-off may be older: it is at its due
/// time in the index. Dead rows are at infinity.
macro_rules! oldest_and_dead {
    () => {
        "extract(epoch FROM clock_timestamp() - least(
                (SELECT least(q.queued_at, statement_timestamp())
                 FROM aggregation_queue AS q
                 WHERE q.kind = of.kind AND q.not_before < 'infinity'
                 ORDER BY q.not_before
                 LIMIT 1),
                (SELECT min(least(q.queued_at, statement_timestamp()))
                 FROM aggregation_queue AS q
                 WHERE q.kind = of.kind AND q.not_before > statement_timestamp()
                   AND q.not_before < 'infinity' AND q.state = 'pending')
            ))::float8 AS oldest,
            (SELECT coalesce(sum(cardinality(q.raw_ids)), 0) FROM aggregation_queue AS q
             WHERE q.kind = of.kind AND q.not_before = 'infinity') AS dead
         FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)"
    };
}

statement! {
    struct ReadBacklog {} -> (Text, BigInt, Nullable<Double>, BigInt)
    concat!(
        "SELECT of.kind,
                (SELECT coalesce(sum(cardinality(q.raw_ids)), 0) FROM aggregation_queue AS q
                 WHERE q.kind = of.kind AND q.not_before < 'infinity'),
            ",
        oldest_and_dead!()
    )
}

statement! {
    /// Does not count the backlog, so a queue too large to count still reports its age.
    struct ReadOldest {} -> (Double, BigInt)
    concat!(
        "SELECT coalesce(max(kind.oldest), 0)::float8, sum(kind.dead)::bigint
         FROM (SELECT ",
        oldest_and_dead!(),
        ") AS kind"
    )
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
        former: Option<i64> => Nullable<BigInt>,
    } -> (BigInt)
    "WITH former AS (
         DELETE FROM aggregation_runs
         WHERE finished_at < now() - interval '30 days' OR id = {former}
     )
     INSERT INTO aggregation_runs (
         started_at, command, worker, batches, rows_claimed, rows_completed, rows_rejected,
         rows_failed, rows_released, groups_committed, groups_failed, is_running)
     VALUES ({started_at}, {command}, {worker}, {batches}, {rows_claimed}, {rows_completed},
             {rows_rejected}, {rows_failed}, {rows_released}, {groups_committed}, {groups_failed},
             {is_running})
     RETURNING id"
}

statement! {
    struct CountInFuture {} -> (BigInt)
    "SELECT coalesce(sum(cardinality(q.raw_ids)), 0)
     FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
     JOIN aggregation_queue AS q ON q.kind = of.kind
     WHERE q.not_before > statement_timestamp() AND q.not_before < 'infinity'
       AND q.queued_at > statement_timestamp()"
}

statement! {
    struct Clock {} -> (Timestamptz)
    "SELECT clock_timestamp()"
}

impl Store {
    /// The queue of each kind, and the last `runs` runs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn status(&self, runs: u32) -> Result<Status, StoreError> {
        type KindColumns = (String, i64, i64, i64, i64, i64, Option<f64>, i64);
        let queue: Vec<KindColumns> = self.load("status", ReadStatus {}).await?;
        let rejected: Vec<(String, i64)> = self.load("status", CountRejected {}).await?;
        let kinds = Kind::ALL
            .into_iter()
            .map(|kind| {
                let row = queue.iter().find(|row| row.0 == kind.name());
                let count = |of: fn(&KindColumns) -> i64| row.map_or(0, of);
                KindStatus {
                    kind,
                    pending: count(|row| row.1),
                    backing_off: count(|row| row.2),
                    processing: count(|row| row.3),
                    expired: count(|row| row.4),
                    dead: count(|row| row.5),
                    in_future: count(|row| row.7),
                    oldest_pending_seconds: row.and_then(|row| row.6),
                    rejected: rejected.iter().find(|r| r.0 == kind.name()).map_or(0, |r| r.1),
                }
            })
            .collect();
        Ok(Status {
            kinds,
            failures: self.read_failures().await?,
            rejected: self.read_rejected().await?,
            runs: self.read_runs(runs).await?,
            future: self.future_rows().await?,
        })
    }

    /// The number of pending changes of these kinds, including those in back-off.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pending(&self, kinds: &[Kind]) -> Result<i64, StoreError> {
        let rows: Vec<(String, i64)> = self.load("status", CountPending {}).await?;
        let asked = |name: &str| kinds.iter().any(|kind| kind.name() == name);
        Ok(rows.iter().filter(|(kind, _)| asked(kind)).map(|(_, count)| count).sum())
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

    /// The age in seconds of the oldest change not yet in the figures (0 if there is none), and the
    /// number of dead changes. Among due changes, only the next one is read, which may be a claimed one.
    /// Among those in back-off, the oldest is read.
    /// # Errors
    /// If the database fails.
    pub async fn oldest_and_dead(&self) -> Result<(f64, i64), StoreError> {
        let rows: Vec<(f64, i64)> = self.load("backlog", ReadOldest {}).await?;
        let [found] = rows.as_slice() else {
            return Err(StoreError::Internal("the age of the oldest change could not be read"));
        };
        Ok(*found)
    }

    /// The number of changes queued at a future time, because the server's clock was ahead. They are due
    /// at that time, so only rows that are not due are read.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_in_future(&self) -> Result<i64, StoreError> {
        let rows: Vec<(i64,)> = self.load("status", CountInFuture {}).await?;
        Ok(rows.into_iter().map(|(count,)| count).sum())
    }

    /// The database's clock.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clock(&self) -> Result<Timestamp, StoreError> {
        let rows: Vec<(PgTimestamp,)> = self.load("status", Clock {}).await?;
        let [(now,)] = rows.as_slice() else {
            return Err(StoreError::Internal("the database returned no time"));
        };
        Ok(from_postgres(*now))
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
            former,
        };
        let ids: Vec<(i64,)> = self.load("status", record).await?;
        Ok(ids.into_iter().next().map(|(id,)| id))
    }

    async fn read_failures(&self) -> Result<Vec<Failure>, StoreError> {
        type Columns = (String, String, Option<String>, i64, i64, Option<i64>);
        let rows: Vec<Columns> = self.load("status", ReadFailures { limit: MAX_GROUPS }).await?;
        let failure = |(kind, class, detail, rows, dead, next_retry_seconds): Columns| Failure {
            kind,
            class,
            detail,
            rows,
            dead,
            next_retry_seconds,
        };
        Ok(rows.into_iter().map(failure).collect())
    }

    async fn read_rejected(&self) -> Result<Vec<Rejected>, StoreError> {
        let read = ReadRejected { most: MAX_REJECTED_READ, limit: MAX_GROUPS };
        let rows: Vec<(String, String, Option<String>, i64)> = self.load("status", read).await?;
        let rejected = |(kind, reason, metric, rows)| Rejected { kind, reason, metric, rows };
        Ok(rows.into_iter().map(rejected).collect())
    }

    async fn read_runs(&self, limit: u32) -> Result<Vec<Run>, StoreError> {
        type RunColumns =
            (PgTimestamp, bool, f64, f64, String, String, i32, i64, i64, i64, i64, i64, i64, i64);
        let rows: Vec<RunColumns> =
            self.load("status", ReadRuns { limit: i64::from(limit) }).await?;
        Ok(rows
            .into_iter()
            .map(|row| Run {
                finished_at: from_postgres(row.0),
                is_running: row.1,
                finished_seconds_ago: row.2,
                seconds: row.3,
                command: row.4,
                worker: row.5,
                counts: RunCounts {
                    batches: row.6,
                    rows_claimed: row.7,
                    rows_completed: row.8,
                    rows_rejected: row.9,
                    rows_failed: row.10,
                    rows_released: row.11,
                    groups_committed: row.12,
                    groups_failed: row.13,
                },
            })
            .collect())
    }
}
