//! The queue: claim, finish, fail, release, renew.
//!
//! Whatever a worker does to claimed rows carries the lease token, so that a worker that was
//! thought dead and comes back can change nothing that another one holds by now. Leases are
//! judged by the database's clock alone.

use std::time::{Duration, Instant};

use aggregation::{Kind, Timestamp};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};

use crate::crash::CrashPoint;
use crate::error::{ErrorClass, StoreError};
use crate::pool::Store;
use crate::profiles::{ProfileVersion, version_of_user};
use crate::raw_text::RawText;
use crate::reach::Since;
use crate::rejected::Verdict;
use crate::retry::RetryPolicy;
use crate::statement::statement;
use crate::time::{from_postgres, to_postgres};
use crate::together::Together;
use crate::transaction::{FailedWrite, GroupTransaction};
use crate::tuple_id::{Tid, TupleId};

/// One claimed row of the queue: a change of a raw row.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The queue's own number of the change.
    pub id: i64,
    /// Where it stood when it was claimed.
    pub place: TupleId,
    /// The user.
    pub user_id: i64,
    /// The raw row that was inserted, changed or deleted.
    pub raw_id: i64,
    /// Its time (for an interval, its start) as it was or is.
    pub starts_at: Timestamp,
    /// The end of its interval.
    pub ends_at: Timestamp,
    /// Vitals: its metric.
    pub metric: Option<String>,
    /// Its own zone.
    pub time_zone: Option<String>,
    /// Vitals: whether it is a daily total.
    pub whole_day: bool,
    /// How often the lease of a worker on it expired.
    pub lost_leases: i32,
}

/// At which end of the queue a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFrom {
    /// With the rows that have been due for longest.
    Oldest,
    /// With those that have just come.
    Newest,
}

/// A claimed batch.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The kind of all its rows.
    pub kind: Kind,
    /// The token that every later step must show.
    pub token: i64,
    /// The rows, at most as many as asked for.
    pub entries: Vec<Entry>,
    /// How many of them another worker had claimed, whose lease has run out.
    pub rescued: u32,
    /// For how long the oldest of these leases had run out.
    pub overdue: Duration,
}

/// What became of rows whose group failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// How many were given up.
    pub dead: u32,
    /// The most attempts that one of the others has had.
    pub attempts: i32,
}

/// By what claimed rows are found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// By the place where they stood when they were claimed: it saves a look into the index for each.
    /// A lease that is renewed moves them, and so does who rewrites the table.
    Place,
    /// By their key.
    Key,
}

/// Where a look begins, by the parameters `oldest` and `ago`: see [`bounds`].
macro_rules! since {
    () => {
        "CASE WHEN {oldest}::timestamptz IS NULL THEN '-infinity'
              ELSE least({oldest}, clock_timestamp() - make_interval(secs => {ago}))
         END AS since"
    };
}

/// Whether a row may be claimed at `(SELECT now FROM asked)`. No lease is longer than an hour, which is
/// the limit of `batch.lease_seconds`: one that ends later was given while the server's clock was ahead,
/// and is void.
macro_rules! due {
    () => {
        "not_before <= (SELECT now FROM asked)
               AND (state = 'pending'
                    OR (state = 'processing'
                        AND (lease_expires_at < (SELECT now FROM asked)
                             OR lease_expires_at > (SELECT now FROM asked) + interval '1 hour')))"
    };
}

/// The claim, with its heads from one end of the queue: `""` for the oldest, `"DESC"` for the
/// newest.
///
/// The heads are the first due rows, and the other due rows of the heads' users and times fill
/// the batch up, because a group costs nearly the same for one row as for a hundred.
///
/// - Due rows are walked by `not_before`, which for a fresh row is the time of its arrival.
///   A row that waits for its back-off lies ahead, a dead one at infinity, so neither ever
///   blocks a head. A row whose lease ran out is still where it was and is claimed again.
/// - A window of four days holds a user's neighbouring rows of whole local days in nearly
///   all zones; where it cuts a day, the rest is the next batch's.
/// - Each step is MATERIALIZED: a LIMIT that is evaluated twice would claim twice.
/// - The heads begin at the oldest row, or where [`crate::reach`] says; behind those that other claims of the
///   same worker are about to take.
/// - The first head is always in the batch. Its window alone would be taken in order of time, and
///   a user whose window is larger than a batch could keep the head, and everybody behind it,
///   waiting. It may be picked twice; the update takes it once.
/// - Windows come in the order of their first head; the lateral scan is only advanced until
///   the batch is full, and SKIP LOCKED leaves to other workers what they are about to take.
/// - The picked rows are found again by their place, which their lock pins until the end of
///   the statement: joined by key, a planner whose statistics say that the table is empty
///   reads all of it.
/// - A row that still has a lease was held by a worker that ended or stood still. `lost_leases` counts that,
///   so that a row which ends each worker is found out.
/// - A token is a number of the sequence and a number by chance. A server that dies forgets what was
///   committed with `synchronous_commit = off` a moment ago, the numbers that it gave out among it,
///   and gives them out once more, while whoever had them may still be at work.
macro_rules! claim_from {
    ($end:literal) => {
        concat!(
            "WITH asked AS MATERIALIZED (
         SELECT {kind}::text AS kind, {size}::bigint AS size, {passed}::bigint AS passed,
                clock_timestamp() AS now,
                make_interval(secs => {lease_seconds}) AS lease,
                ",
            since!(),
            "
     ), heads AS MATERIALIZED (
         SELECT q.place, q.user_id,
                date_bin('4 days', q.starts_at, timestamptz '2000-01-01 00:00:00+00') AS window_start,
                row_number() OVER () AS turn
         FROM (
             SELECT ctid AS place, user_id, starts_at
             FROM aggregation_queue
             WHERE kind = (SELECT kind FROM asked)
               AND not_before >= (SELECT since FROM asked)
               AND ",
            due!(),
            "
             ORDER BY not_before ",
            $end,
            "
             LIMIT (SELECT size FROM asked) OFFSET (SELECT passed FROM asked)
         ) AS q
     ), windows AS MATERIALIZED (
         SELECT user_id, window_start, min(turn) AS turn
         FROM heads
         GROUP BY user_id, window_start
         ORDER BY turn
     ), first_head AS MATERIALIZED (
         SELECT ctid, lease_expires_at
         FROM aggregation_queue
         WHERE ctid = (SELECT place FROM heads WHERE turn = 1)
           AND ",
            due!(),
            "
         FOR UPDATE SKIP LOCKED
     ), picked AS MATERIALIZED (
         SELECT ctid, lease_expires_at FROM first_head
         UNION ALL
         SELECT filling.ctid, filling.lease_expires_at
         FROM (
             SELECT q.ctid, q.lease_expires_at
             FROM windows AS w
             CROSS JOIN LATERAL (
                 SELECT ctid, lease_expires_at
                 FROM aggregation_queue
                 WHERE user_id = w.user_id
                   AND kind = (SELECT kind FROM asked)
                   AND starts_at >= w.window_start
                   AND starts_at < w.window_start + interval '4 days'
                   AND ",
            due!(),
            "
                 ORDER BY user_id, kind, starts_at, id
                 LIMIT (SELECT size FROM asked)
                 FOR UPDATE SKIP LOCKED
             ) AS q
             LIMIT (SELECT size - (SELECT count(*) FROM first_head) FROM asked)
         ) AS filling
     ), lease AS MATERIALIZED (
         SELECT nextval('aggregation_lease') * 1048576 + floor(random() * 1048576)::bigint AS token
         WHERE EXISTS (SELECT FROM picked)
     )
     UPDATE aggregation_queue AS q
     SET state = 'processing', lease_token = lease.token,
         lease_expires_at = asked.now + asked.lease,
         lost_leases = q.lost_leases + (picked.lease_expires_at IS NOT NULL)::integer
     FROM picked, lease, asked
     WHERE q.ctid = picked.ctid
     RETURNING lease.token, q.id, q.ctid, q.user_id, q.raw_id, q.starts_at, q.ends_at, q.metric,
               q.time_zone, q.whole_day, q.lost_leases, q.not_before,
               extract(epoch FROM asked.now - picked.lease_expires_at)::float8"
        )
    };
}

macro_rules! claim_statement {
    ($name:ident, $end:literal) => {
        statement! {
            struct $name<'a> {
                kind: &'a str => Text,
                size: i64 => BigInt,
                passed: i64 => BigInt,
                lease_seconds: f64 => Double,
                oldest: Option<PgTimestamp> => Nullable<Timestamptz>,
                ago: f64 => Double,
            } -> (BigInt, EntrySql, Timestamptz, Nullable<Double>)
            claim_from!($end)
        }
    };
}

claim_statement!(ClaimOldest, "");
claim_statement!(ClaimNewest, "DESC");

statement! {
    /// Due rows of a user that nobody has claimed. From now on nobody can.
    struct FindAlong<'a> {
        user_id: i64 => BigInt,
        kind: &'a str => Text,
        from: PgTimestamp => Timestamptz,
        to: PgTimestamp => Timestamptz,
        most: i64 => BigInt,
    } -> (EntrySql)
    "SELECT id, ctid, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day,
            lost_leases
     FROM aggregation_queue
     WHERE user_id = {user_id} AND kind = {kind} AND starts_at >= {from} AND starts_at < {to}
       AND state = 'pending' AND not_before <= (SELECT clock_timestamp())
     ORDER BY user_id, kind, starts_at, id
     LIMIT {most}
     FOR UPDATE SKIP LOCKED"
}

statement! {
    /// One look into the index for each kind; the order makes it that, whatever the statistics say.
    struct FirstDue {
        oldest: Option<PgTimestamp> => Nullable<Timestamptz>,
        ago: f64 => Double,
    } -> (Nullable<Timestamptz>)
    concat!(
        "WITH asked AS MATERIALIZED (
             SELECT clock_timestamp() AS now,
                ",
        since!(),
        "
         )
         SELECT (
             SELECT min(q.not_before)
             FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
             CROSS JOIN LATERAL (
                 SELECT q.not_before FROM aggregation_queue AS q
                 WHERE q.kind = of.kind AND q.not_before >= (SELECT since FROM asked) AND ",
        due!(),
        "
                 ORDER BY q.not_before
                 LIMIT 1
             ) AS q
         )"
    )
}

/// Takes rows off the queue that are found by `$same`, and nothing but in the transaction that writes the
/// figures.
macro_rules! take_off {
    ($done:literal, $same:literal) => {
        concat!(
            "DELETE FROM aggregation_queue AS q
             USING ",
            $done,
            "
             WHERE ",
            $same,
            "
               AND q.lease_token = {token} AND q.state = 'processing'
               AND current_setting('dayfold.group', true) = 'begun'
             RETURNING true"
        )
    };
}

statement! {
    struct TakeOff {
        token: i64 => BigInt,
        places: Vec<TupleId> => Array<Tid>,
        ids: Vec<i64> => Array<BigInt>,
    } -> ()
    take_off!(
        "unnest({places}::tid[], {ids}::bigint[]) AS done (place, id)",
        "q.ctid = done.place AND q.id = done.id"
    )
}

statement! {
    struct TakeOffByKey {
        kind: &'static str => Text,
        user_id: i64 => BigInt,
        token: i64 => BigInt,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
    } -> ()
    take_off!(
        "unnest({starts_at}::timestamptz[], {ids}::bigint[]) AS done (starts_at, id)",
        "q.user_id = {user_id} AND q.kind = {kind}
           AND q.starts_at = done.starts_at AND q.id = done.id"
    )
}

statement! {
    /// They have been locked since they were found, so that this waits for nobody and finds them all.
    struct TakeOffAlong {
        places: Vec<TupleId> => Array<Tid>,
        ids: Vec<i64> => Array<BigInt>,
    } -> ()
    "DELETE FROM aggregation_queue AS q
     USING unnest({places}::tid[], {ids}::bigint[]) AS done (place, id)
     WHERE q.ctid = done.place AND q.id = done.id AND q.state = 'pending'
       AND current_setting('dayfold.group', true) = 'begun'"
}

statement! {
    /// It fails where a row is missing, or the profile has changed, so that COMMIT can be sent with it:
    /// after a statement that failed, that is a ROLLBACK.
    struct AreAllGone {
        count: i64 => BigInt,
        user_id: i64 => BigInt,
        profile: i64 => BigInt,
    } -> ()
    concat!(
        "SELECT 1 / (count(*) = {count} AND ",
        version_of_user!(),
        " = {profile})::integer FROM gone"
    )
}

statement! {
    struct CountClaimed<'a> {
        kind: &'a str => Text,
        token: i64 => BigInt,
        user_ids: Vec<i64> => Array<BigInt>,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
    } -> (BigInt)
    "SELECT count(*)
     FROM unnest({user_ids}::bigint[], {starts_at}::timestamptz[], {ids}::bigint[])
              AS held (user_id, starts_at, id)
     JOIN aggregation_queue AS q
       ON q.user_id = held.user_id AND q.kind = {kind}
      AND q.starts_at = held.starts_at AND q.id = held.id
     WHERE q.lease_token = {token} AND q.state = 'processing'"
}

statement! {
    struct FailEntries<'a> {
        kind: &'a str => Text,
        token: i64 => BigInt,
        user_ids: Vec<i64> => Array<BigInt>,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
        max_attempts: i32 => Integer,
        backoff_first: f64 => Double,
        backoff_max: f64 => Double,
        error: &'a str => Text,
    } -> (Bool, Integer)
    "UPDATE aggregation_queue AS q
     SET attempts = q.attempts + 1,
         state = CASE WHEN q.attempts + 1 >= policy.max_attempts THEN 'dead' ELSE 'pending' END,
         not_before = CASE
             WHEN q.attempts + 1 >= policy.max_attempts THEN timestamptz 'infinity'
             ELSE clock_timestamp() + make_interval(secs => least(
                 policy.backoff_max, policy.backoff_first * power(2, least(q.attempts, 30))))
         END,
         lease_token = NULL, lease_expires_at = NULL, last_error = {error}
     FROM unnest({user_ids}::bigint[], {starts_at}::timestamptz[], {ids}::bigint[])
              AS failed (user_id, starts_at, id),
          (SELECT {max_attempts}::integer AS max_attempts,
                  {backoff_first}::double precision AS backoff_first,
                  {backoff_max}::double precision AS backoff_max) AS policy
     WHERE q.user_id = failed.user_id AND q.kind = {kind}
       AND q.starts_at = failed.starts_at AND q.id = failed.id
       AND q.lease_token = {token} AND q.state = 'processing'
     RETURNING q.state = 'dead', q.attempts"
}

statement! {
    struct GiveUpEntries<'a> {
        kind: &'a str => Text,
        token: i64 => BigInt,
        user_ids: Vec<i64> => Array<BigInt>,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
    } -> ()
    "UPDATE aggregation_queue AS q
     SET state = 'dead', not_before = 'infinity', lease_token = NULL, lease_expires_at = NULL,
         last_error = 'lease_expired'
     FROM unnest({user_ids}::bigint[], {starts_at}::timestamptz[], {ids}::bigint[])
              AS given_up (user_id, starts_at, id)
     WHERE q.user_id = given_up.user_id AND q.kind = {kind}
       AND q.starts_at = given_up.starts_at AND q.id = given_up.id
       AND q.lease_token = {token} AND q.state = 'processing'"
}

statement! {
    struct ReleaseEntries<'a> {
        kind: &'a str => Text,
        token: i64 => BigInt,
        pause_seconds: Option<f64> => Nullable<Double>,
        user_ids: Vec<i64> => Array<BigInt>,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
    } -> ()
    "UPDATE aggregation_queue AS q
     SET state = 'pending', lease_token = NULL, lease_expires_at = NULL,
         not_before = coalesce(
             clock_timestamp() + make_interval(secs => {pause_seconds}), q.not_before)
     FROM unnest({user_ids}::bigint[], {starts_at}::timestamptz[], {ids}::bigint[])
              AS released (user_id, starts_at, id)
     WHERE q.user_id = released.user_id AND q.kind = {kind}
       AND q.starts_at = released.starts_at AND q.id = released.id
       AND q.lease_token = {token} AND q.state = 'processing'"
}

statement! {
    struct RenewLease<'a> {
        kind: &'a str => Text,
        token: i64 => BigInt,
        lease_seconds: f64 => Double,
        user_ids: Vec<i64> => Array<BigInt>,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
    } -> ()
    "UPDATE aggregation_queue AS q
     SET lease_expires_at = clock_timestamp() + make_interval(secs => {lease_seconds})
     FROM unnest({user_ids}::bigint[], {starts_at}::timestamptz[], {ids}::bigint[])
              AS held (user_id, starts_at, id)
     WHERE q.user_id = held.user_id AND q.kind = {kind}
       AND q.starts_at = held.starts_at AND q.id = held.id
       AND q.lease_token = {token} AND q.state = 'processing'"
}

statement! {
    /// Rows whose turn would come too late because the server's clock was ahead when they were written.
    /// A row is never queued in the future, and never waits for longer than the longest back-off.
    ///
    /// Of each kind this walks the index from now on, past the rows that wait for their back-off, and
    /// ends before the dead ones at infinity: where nothing is wrong it reads no row that is due.
    struct DateBack {
        longest_wait: f64 => Double,
        step: i64 => BigInt,
    } -> ()
    "WITH asked AS MATERIALIZED (
         SELECT clock_timestamp() AS now, make_interval(secs => {longest_wait}) AS longest
     ), picked AS MATERIALIZED (
         SELECT late.place
         FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
         CROSS JOIN LATERAL (
             SELECT q.ctid AS place
             FROM aggregation_queue AS q
             WHERE q.kind = of.kind AND q.not_before > (SELECT now FROM asked)
               AND q.not_before < 'infinity'
               AND (q.queued_at > (SELECT now FROM asked)
                    OR q.not_before > (SELECT now + longest FROM asked))
             LIMIT {step}
             FOR UPDATE SKIP LOCKED
         ) AS late
     )
     UPDATE aggregation_queue AS q
     SET not_before = asked.now, queued_at = least(q.queued_at, asked.now)
     FROM picked, asked
     WHERE q.ctid = picked.place"
}

/// The token of the claim, an entry, since when it has been due, and for how many seconds the lease of
/// another worker on it has run out.
type ClaimedColumns = (i64, EntryColumns, PgTimestamp, Option<f64>);
type EntryColumns =
    (i64, TupleId, i64, i64, PgTimestamp, PgTimestamp, Option<RawText>, Option<RawText>, bool, i32);
type EntrySql = (
    BigInt,
    Tid,
    BigInt,
    BigInt,
    Timestamptz,
    Timestamptz,
    Nullable<Text>,
    Nullable<Text>,
    Bool,
    Integer,
);

impl From<EntryColumns> for Entry {
    fn from(columns: EntryColumns) -> Self {
        let (id, place, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day, lost) =
            columns;
        let (starts_at, ends_at) = (from_postgres(starts_at), from_postgres(ends_at));
        let (metric, time_zone) = (metric.map(String::from), time_zone.map(String::from));
        Self {
            id,
            place,
            user_id,
            raw_id,
            starts_at,
            ends_at,
            metric,
            time_zone,
            whole_day,
            lost_leases: lost,
        }
    }
}

impl Store {
    /// Whether a row of any kind is due.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn any_due(&self) -> Result<bool, StoreError> {
        let began = Instant::now();
        let since = self.reach(None).at(began);
        let (oldest, ago) = bounds(since);
        let first: Vec<(Option<PgTimestamp>,)> =
            self.load("poll", FirstDue { oldest, ago }).await?;
        let first = first.into_iter().find_map(|(first,)| first);
        self.reach(None).looked(since, began, Instant::now(), first);
        Ok(first.is_some())
    }

    /// Has the next look for due rows of each kind begin at the beginning of the queue, and says whether
    /// the last one did not, because one that did took long.
    pub fn look_everywhere(&self) -> bool {
        Kind::ALL.into_iter().filter(|kind| self.reach(Some(*kind)).look_everywhere()).count() > 0
    }

    /// Marks up to `size` due rows of `kind` as processing, committed at once: nothing stays
    /// open. `None` if no row is due. The heads of `place` such batches are passed over.
    ///
    /// # Errors
    /// If the database fails; then nothing is claimed.
    pub async fn claim(
        &self,
        kind: Kind,
        from: ClaimFrom,
        size: u32,
        place: u32,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let (kind_name, size, lease_seconds) = (kind.name(), i64::from(size), lease.as_secs_f64());
        let passed = size * i64::from(place);
        let began = Instant::now();
        let since = match from {
            ClaimFrom::Oldest => self.reach(Some(kind)).at(began),
            ClaimFrom::Newest => None,
        };
        let (oldest, ago) = bounds(since);
        let claimed: Result<Vec<ClaimedColumns>, StoreError> = match from {
            ClaimFrom::Oldest => {
                let claim =
                    ClaimOldest { kind: kind_name, size, passed, lease_seconds, oldest, ago };
                self.load("claim", claim).await
            }
            ClaimFrom::Newest => {
                let claim =
                    ClaimNewest { kind: kind_name, size, passed, lease_seconds, oldest, ago };
                self.load("claim", claim).await
            }
        };
        let timed_out = claimed.as_ref().is_err_and(|error| error.class() == ErrorClass::Timeout);
        if from == ClaimFrom::Oldest && place == 0 && (claimed.is_ok() || timed_out) {
            let rows = claimed.as_deref().unwrap_or_default();
            let first = rows.iter().map(|(_, _, due, _)| *due).min_by_key(|due| due.0);
            self.reach(Some(kind)).looked(since, began, Instant::now(), first);
        }
        let rows = claimed?;
        let [(token, ..), ..] = rows.as_slice() else { return Ok(None) };
        CrashPoint::AfterClaim.pass();
        let token = *token;
        let overdue: Vec<f64> = rows.iter().filter_map(|(.., overdue)| *overdue).collect();
        let rescued = overdue.len() as u32;
        let overdue = Duration::from_secs_f64(overdue.into_iter().fold(0.0, f64::max));
        let entries = rows.into_iter().map(|(_, columns, ..)| columns.into()).collect();
        Ok(Some(Claim { kind, token, entries, rescued, overdue }))
    }

    /// Makes rows due that were dated in the future while the server's clock was ahead, and says how many
    /// they were. `longest_wait` is the longest back-off of a row that failed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn date_back(&self, longest_wait: Duration) -> Result<u64, StoreError> {
        const STEP: usize = 10_000;
        let mut dated_back = 0;
        loop {
            let longest_wait = longest_wait.as_secs_f64();
            let step = self.execute("queue", DateBack { longest_wait, step: STEP as i64 }).await?;
            dated_back += step as u64;
            if step < STEP {
                return Ok(dated_back);
            }
        }
    }

    /// Records a failed attempt of claimed rows, in a transaction of its own: they wait for
    /// their back-off, or are dead after the last attempt. `label` is [`StoreError::label`].
    ///
    /// # Errors
    /// If the database fails; then the lease runs out and the rows are claimed again.
    pub async fn fail(
        &self,
        kind: Kind,
        token: i64,
        entries: &[Entry],
        label: &str,
        policy: RetryPolicy,
    ) -> Result<Failed, StoreError> {
        let (user_ids, starts_at, ids) = keys(entries);
        let statement = FailEntries {
            kind: kind.name(),
            token,
            user_ids,
            starts_at,
            ids,
            max_attempts: policy.max_attempts,
            backoff_first: policy.first.as_secs_f64(),
            backoff_max: policy.max.as_secs_f64(),
            error: label,
        };
        CrashPoint::BeforeFail.pass();
        let rows: Vec<(bool, i32)> = self.load("fail", statement).await?;
        CrashPoint::AfterFail.pass();
        let mut failed = Failed::default();
        for (is_dead, attempts) in rows {
            if is_dead {
                failed.dead += 1;
            } else {
                failed.attempts = failed.attempts.max(attempts);
            }
        }
        Ok(failed)
    }

    /// Marks claimed rows as dead, because the worker ended each time while it held them.
    ///
    /// # Errors
    /// If the database fails; then the lease runs out and the rows are claimed again.
    pub async fn give_up(
        &self,
        kind: Kind,
        token: i64,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        let (user_ids, starts_at, ids) = keys(entries);
        let statement = GiveUpEntries { kind: kind.name(), token, user_ids, starts_at, ids };
        self.execute("fail", statement).await?;
        Ok(())
    }

    /// Gives claimed rows back: interrupted is not failed, no attempt is counted. Without a pause they
    /// are as they were; with one they are not claimed for that time, so that rows whose group is
    /// interrupted each time do not hold up all behind them.
    ///
    /// # Errors
    /// If the database fails; then the lease runs out and the rows are claimed again.
    pub async fn release(
        &self,
        kind: Kind,
        token: i64,
        entries: &[Entry],
        pause: Option<Duration>,
    ) -> Result<(), StoreError> {
        let (user_ids, starts_at, ids) = keys(entries);
        let pause_seconds = pause.map(|pause| pause.as_secs_f64());
        if pause.is_none() {
            // They may lie before the oldest row that has been seen meanwhile.
            self.reach(Some(kind)).look_everywhere();
            self.reach(None).look_everywhere();
        }
        let kind = kind.name();
        let statement = ReleaseEntries { kind, token, pause_seconds, user_ids, starts_at, ids };
        CrashPoint::BeforeRelease.pass();
        self.execute("release", statement).await?;
        CrashPoint::AfterRelease.pass();
        Ok(())
    }

    /// Holds claimed rows for another `lease` from now.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker has any of them by now.
    pub async fn renew(
        &self,
        kind: Kind,
        token: i64,
        entries: &[Entry],
        lease: Duration,
    ) -> Result<(), StoreError> {
        let (user_ids, starts_at, ids) = keys(entries);
        let statement = RenewLease {
            kind: kind.name(),
            token,
            lease_seconds: lease.as_secs_f64(),
            user_ids,
            starts_at,
            ids,
        };
        let renewed = self.execute("renew", statement).await?;
        if renewed == entries.len() { Ok(()) } else { Err(StoreError::LeaseLost) }
    }
}

impl Store {
    /// Whether all these rows are still those of the claim.
    async fn holds(&self, kind: Kind, token: i64, entries: &[Entry]) -> Result<bool, StoreError> {
        let (user_ids, starts_at, ids) = keys(entries);
        let count = CountClaimed { kind: kind.name(), token, user_ids, starts_at, ids };
        let held: Vec<(i64,)> = self.load("claim", count).await?;
        Ok(held.first().is_some_and(|(held,)| *held == entries.len() as i64))
    }
}

impl GroupTransaction<'_> {
    /// At most so many due rows of the user that start in this span and that nobody has claimed; nobody
    /// will, before the transaction ends.
    ///
    /// To be asked before the raw rows are read: what is read afterwards shows the change behind each
    /// of them, so that figures computed from it are as good as done for them, too.
    ///
    /// # Errors
    /// If the database fails, or the lock of the user is not granted in time.
    pub async fn find_along(
        &mut self,
        (from, to): (Timestamp, Timestamp),
        most: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let (user_id, kind) = (self.user_id(), self.kind().name());
        let (from, to) = (to_postgres(from), to_postgres(to));
        let rows: Vec<(EntryColumns,)> =
            self.read(FindAlong { user_id, kind, from, to, most: most.into() }).await?;
        Ok(rows.into_iter().map(|(columns,)| columns.into()).collect())
    }

    /// Takes the group's rows off the queue, lists those that were rejected, and commits all that with
    /// the group's figures. Returns for how long the connection was held.
    ///
    /// Exactly the rows that were claimed: if the raw row has changed since, the change has a
    /// row of its own in the queue and is done again. And what was found `along`.
    ///
    /// # Errors
    /// As [`GroupTransaction::commit`]. [`StoreError::LeaseLost`] if another worker has any of the rows
    /// by now, [`StoreError::Outdated`] if the user's profile is no longer of this version,
    /// [`StoreError::Moved`] if the rows are no longer at their places; then nothing is committed.
    pub async fn finish(
        mut self,
        token: i64,
        entries: &[Entry],
        along: &[Entry],
        verdicts: &[Verdict],
        profile: ProfileVersion,
        found_by: FoundBy,
    ) -> Result<Duration, StoreError> {
        self.record_verdicts(verdicts);
        if !along.is_empty() {
            let (places, ids) = along.iter().map(|entry| (entry.place, entry.id)).unzip();
            self.write_part("along", TakeOffAlong { places, ids });
        }
        let (store, kind, user_id) = (self.store(), self.kind(), self.user_id());
        let all_gone = AreAllGone { count: entries.len() as i64, user_id, profile: profile.0 };
        let last = match found_by {
            FoundBy::Place => {
                let places = entries.iter().map(|entry| entry.place).collect();
                let ids = entries.iter().map(|entry| entry.id).collect();
                Together::with("gone", TakeOff { token, places, ids }, all_gone)
            }
            FoundBy::Key => {
                let (_, starts_at, ids) = keys(entries);
                let kind = kind.name();
                let gone = TakeOffByKey { kind, user_id, token, starts_at, ids };
                Together::with("gone", gone, all_gone)
            }
        };
        if let Err(error) = self.write_last(last).await {
            return Err(self.rolled_back(error).await);
        }
        let FailedWrite { error, is_last } = match self.try_commit().await {
            Ok(held) => return Ok(held),
            Err(failed) => failed,
        };
        // A division by zero has no class of its own.
        if !is_last || error.class() != ErrorClass::Database {
            return Err(error);
        }
        // Where one of these questions fails, nothing is known but that.
        if !store.holds(kind, token, entries).await? {
            return Err(StoreError::LeaseLost);
        }
        if store.profile_version(user_id).await? != profile {
            return Err(StoreError::Outdated);
        }
        Err(if found_by == FoundBy::Place { StoreError::Moved } else { error })
    }
}

/// Where a look begins, as the statements have it: in seconds, and nothing for the beginning.
fn bounds(since: Option<Since>) -> (Option<PgTimestamp>, f64) {
    (since.map(|since| since.oldest), since.map_or(0.0, |since| since.ago.as_secs_f64()))
}

fn keys(entries: &[Entry]) -> (Vec<i64>, Vec<PgTimestamp>, Vec<i64>) {
    (
        entries.iter().map(|entry| entry.user_id).collect(),
        entries.iter().map(|entry| to_postgres(entry.starts_at)).collect(),
        entries.iter().map(|entry| entry.id).collect(),
    )
}
