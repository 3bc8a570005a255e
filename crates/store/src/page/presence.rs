//! Which services are alive.

use aggregation::{Kind, Timestamp};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};

use crate::admin::status::RunCounts;
use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;
use crate::sql::time::from_postgres;

/// The services that are listed at most.
const MAX_WORKERS: i64 = 200;

/// A batch that a service works on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningBatch {
    /// Its kind.
    pub kind: Kind,
    /// Its raw rows.
    pub rows: i64,
    /// For how long it has run, in seconds.
    pub seconds: f64,
}

/// The batches of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batches {
    /// Those that run, the oldest first.
    pub running: Vec<RunningBatch>,
    /// How long ago the last one was claimed, in seconds; `None` if there was none.
    pub claimed_seconds_ago: Option<f64>,
}

/// The entry of a service about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// name@host:process.
    pub worker: String,
    /// The version of the program.
    pub version: &'static str,
    /// For how long it has run, in seconds.
    pub up_seconds: f64,
    /// After how many seconds it says so again.
    pub seen_every: f64,
    /// How many batches run at once.
    pub concurrency: i32,
    /// The limit that it obeys; 0 is none.
    pub max_rows_per_second: i32,
    /// Its counts since its start.
    pub counts: RunCounts,
    /// Its batches.
    pub batches: Batches,
}

/// A service, as another one sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// name@host:process.
    pub worker: String,
    /// The version of the program.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// For how long it has not been seen, in seconds by the database's clock.
    pub seen_seconds_ago: f64,
    /// Whether it was seen so recently that it is alive.
    pub is_alive: bool,
    /// How many batches run at once.
    pub concurrency: i32,
    /// The limit that it obeys; 0 is none.
    pub max_rows_per_second: i32,
    /// Rows that it claimed since its start.
    pub rows_claimed: i64,
    /// Of those, the ones whose change is in the figures.
    pub rows_completed: i64,
    /// Of those, the ones whose group failed.
    pub rows_failed: i64,
    /// Groups committed since its start.
    pub groups_committed: i64,
    /// Its batches when it was seen last.
    pub batches: Batches,
}

statement! {
    /// Gives back the limit that the database sets, if it sets one.
    struct Announce<'a> {
        worker: &'a str => Text,
        version: &'a str => Text,
        up_seconds: f64 => Double,
        seen_every: f64 => Double,
        concurrency: i32 => Integer,
        max_rows_per_second: i32 => Integer,
        rows_claimed: i64 => BigInt,
        rows_completed: i64 => BigInt,
        rows_failed: i64 => BigInt,
        groups_committed: i64 => BigInt,
        batch_kinds: Vec<&'a str> => Array<Text>,
        batch_rows: Vec<i64> => Array<BigInt>,
        batch_seconds: Vec<f64> => Array<Double>,
        claimed_seconds_ago: Option<f64> => Nullable<Double>,
    } -> (Nullable<Integer>)
    "WITH old AS (
         DELETE FROM worker_presence
         WHERE seen_at < now() - interval '1 day' AND worker <> {worker}
     ), seen AS (
         INSERT INTO worker_presence (worker, version, started_at, seen_every, concurrency,
             max_rows_per_second, rows_claimed, rows_completed, rows_failed, groups_committed,
             batch_kinds, batch_rows, batch_seconds, claimed_at)
         VALUES ({worker}, {version}, now() - make_interval(secs => {up_seconds}),
             {seen_every}, {concurrency}, {max_rows_per_second}, {rows_claimed}, {rows_completed},
             {rows_failed}, {groups_committed}, {batch_kinds}, {batch_rows}, {batch_seconds},
             now() - make_interval(secs => {claimed_seconds_ago}))
         ON CONFLICT (worker) DO UPDATE SET
             version = excluded.version, seen_at = now(), seen_every = excluded.seen_every,
             concurrency = excluded.concurrency, max_rows_per_second = excluded.max_rows_per_second,
             rows_claimed = excluded.rows_claimed, rows_completed = excluded.rows_completed,
             rows_failed = excluded.rows_failed, groups_committed = excluded.groups_committed,
             batch_kinds = excluded.batch_kinds, batch_rows = excluded.batch_rows,
             batch_seconds = excluded.batch_seconds, claimed_at = excluded.claimed_at
     )
     SELECT (SELECT max_rows_per_second FROM worker_throttle)"
}

statement! {
    struct Leave<'a> { worker: &'a str => Text } -> ()
    "DELETE FROM worker_presence WHERE worker = {worker}"
}

statement! {
    struct ReadWorkers { most: i64 => BigInt } -> (
        Text, Text, Timestamptz, Double, Bool, Integer, Integer, BigInt, BigInt, BigInt, BigInt,
        Array<Text>, Array<BigInt>, Array<Double>, Nullable<Double>
    )
    "SELECT worker, version, started_at,
            greatest(0, extract(epoch FROM clock_timestamp() - seen_at))::float8,
            seen_at > clock_timestamp() - make_interval(secs => 3 * seen_every + 2),
            concurrency, max_rows_per_second, rows_claimed, rows_completed, rows_failed,
            groups_committed, batch_kinds, batch_rows, batch_seconds,
            greatest(0, extract(epoch FROM clock_timestamp() - claimed_at))::float8
     FROM worker_presence
     ORDER BY seen_at DESC
     LIMIT {most}"
}

impl Store {
    /// Says that a service is alive. Returns the limit on rows each second that the database sets for all
    /// services, if it sets one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn announce(&self, presence: &Presence) -> Result<Option<i32>, StoreError> {
        let Batches { running, claimed_seconds_ago } = &presence.batches;
        let statement = Announce {
            worker: &presence.worker,
            version: presence.version,
            up_seconds: presence.up_seconds,
            seen_every: presence.seen_every,
            concurrency: presence.concurrency,
            max_rows_per_second: presence.max_rows_per_second,
            rows_claimed: presence.counts.rows_claimed,
            rows_completed: presence.counts.rows_completed,
            rows_failed: presence.counts.rows_failed,
            groups_committed: presence.counts.groups_committed,
            batch_kinds: running.iter().map(|batch| batch.kind.name()).collect(),
            batch_rows: running.iter().map(|batch| batch.rows).collect(),
            batch_seconds: running.iter().map(|batch| batch.seconds).collect(),
            claimed_seconds_ago: *claimed_seconds_ago,
        };
        let rows: Vec<(Option<i32>,)> = self.load("presence", statement).await?;
        Ok(rows.into_iter().find_map(|(limit,)| limit))
    }

    /// Says that a service has ended.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn leave(&self, worker: &str) -> Result<(), StoreError> {
        self.execute("presence", Leave { worker }).await.map(|_| ())
    }

    /// The services that are alive or ended without saying so, the one seen last first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn workers(&self) -> Result<Vec<Worker>, StoreError> {
        type Columns = (
            String,
            String,
            PgTimestamp,
            f64,
            bool,
            i32,
            i32,
            i64,
            i64,
            i64,
            i64,
            Vec<String>,
            Vec<i64>,
            Vec<f64>,
            Option<f64>,
        );
        let rows: Vec<Columns> = self.load("page", ReadWorkers { most: MAX_WORKERS }).await?;
        let worker = |row: Columns| Worker {
            worker: row.0,
            version: row.1,
            started_at: from_postgres(row.2),
            seen_seconds_ago: row.3,
            is_alive: row.4,
            concurrency: row.5,
            max_rows_per_second: row.6,
            rows_claimed: row.7,
            rows_completed: row.8,
            rows_failed: row.9,
            groups_committed: row.10,
            batches: Batches {
                running: running(&row.11, &row.12, &row.13),
                claimed_seconds_ago: row.14,
            },
        };
        Ok(rows.into_iter().map(worker).collect())
    }
}

fn running(kinds: &[String], rows: &[i64], seconds: &[f64]) -> Vec<RunningBatch> {
    let batches = kinds.iter().zip(rows).zip(seconds);
    let batch = |((kind, rows), seconds): ((&String, &i64), &f64)| {
        Some(RunningBatch { kind: kind.parse().ok()?, rows: *rows, seconds: *seconds })
    };
    batches.filter_map(batch).collect()
}
