//! Which services are alive.

use aggregation::{Kind, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, Text};

use crate::admin::status::RunCounts;
use crate::error::StoreError;
use crate::pool::Store;
use crate::schema::worker_presence;
use crate::sql::statement::statement;
use crate::sql::time::{RawTime, clock_timestamp};

/// A service that has not said that it is alive for this many of its intervals is not alive.
const MISSED_TIMES: f64 = 3.0;

/// Seconds that a slow network or server may add to that.
const MARGIN_SECONDS: f64 = 2.0;

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
    include_str!("announce.sql")
}

/// A row of `worker_presence`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = worker_presence)]
struct PresenceRow {
    worker: String,
    version: String,
    #[diesel(deserialize_as = RawTime)]
    started_at: Timestamp,
    seen_at: RawTime,
    seen_every: f64,
    concurrency: i32,
    max_rows_per_second: i32,
    rows_claimed: i64,
    rows_completed: i64,
    rows_failed: i64,
    groups_committed: i64,
    batch_kinds: Vec<Option<String>>,
    batch_rows: Vec<Option<i64>>,
    batch_seconds: Vec<Option<f64>>,
    claimed_at: Option<RawTime>,
}

impl PresenceRow {
    fn at(self, now: RawTime) -> Worker {
        let seen_seconds_ago = self.seen_at.seconds_until(now).max(0.0);
        let claimed_seconds_ago = self.claimed_at.map(|at| at.seconds_until(now).max(0.0));
        Worker {
            seen_seconds_ago,
            is_alive: seen_seconds_ago < MISSED_TIMES * self.seen_every + MARGIN_SECONDS,
            batches: Batches {
                running: running(self.batch_kinds, self.batch_rows, self.batch_seconds),
                claimed_seconds_ago,
            },
            worker: self.worker,
            version: self.version,
            started_at: self.started_at,
            concurrency: self.concurrency,
            max_rows_per_second: self.max_rows_per_second,
            rows_claimed: self.rows_claimed,
            rows_completed: self.rows_completed,
            rows_failed: self.rows_failed,
            groups_committed: self.groups_committed,
        }
    }
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
        let leave = diesel::delete(worker_presence::table.find(worker));
        self.execute("presence", leave).await.map(drop)
    }

    /// The services that are alive or ended without saying so, the one seen last first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn workers(&self) -> Result<Vec<Worker>, StoreError> {
        let read = worker_presence::table
            .order(worker_presence::seen_at.desc())
            .limit(MAX_WORKERS)
            .select((PresenceRow::as_select(), clock_timestamp()));
        let rows: Vec<(PresenceRow, RawTime)> = self.load("page", read).await?;
        Ok(rows.into_iter().map(|(row, now)| row.at(now)).collect())
    }
}

fn running(
    kinds: Vec<Option<String>>,
    rows: Vec<Option<i64>>,
    seconds: Vec<Option<f64>>,
) -> Vec<RunningBatch> {
    let batches = kinds.into_iter().zip(rows).zip(seconds);
    let batch = |((kind, rows), seconds): ((Option<String>, _), _)| {
        Some(RunningBatch { kind: kind?.parse().ok()?, rows: rows?, seconds: seconds? })
    };
    batches.filter_map(batch).collect()
}
