//! Processes rows again: raw rows of a range, or dead ones.

use aggregation::{Kind, Timestamp, UserId};
use diesel::data_types::PgTimestamp;
use diesel::dsl::{cardinality, sum};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};

use crate::error::StoreError;
use crate::pool::Store;
use crate::profiles::frozen_before;
use crate::sql::statement::statement;
use crate::sql::time::{LONG_AGO, NEVER, to_postgres};
use crate::sql::user_key::{BoundUser, UserKey};

/// Maximum of raw rows that one step reads. A step takes well under a second and holds a connection only
/// that long.
const STEP: i64 = 10_000;

/// Maximum of dead change sets that one step requeues, for the same reason: up to 50,000 raw rows.
const STEP_OF_SETS: i64 = 1_000;

/// The rows to requeue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequeueSelection {
    /// Only rows of this user.
    pub user_id: Option<UserId>,
    /// Only rows that overlap the time from the first to the second instant.
    pub between: Option<(Timestamp, Timestamp)>,
}

/// Declares the statement that reads one raw table in the order of its key and queues the selected rows
/// in change sets, as the triggers do. Rows of frozen dates are left out: they have not changed, and would be
/// refused. Those are the rows before the end of the last frozen days, and those whose date is frozen in each zone.
macro_rules! requeue_statement {
    ($name:ident, $kind:literal, $table:literal, $start:literal, $end:literal, $metric:literal, $whole_day:literal, $days:literal) => {
        statement! {
            struct $name {
                first_user: UserId => UserKey,
                first_id: i64 => BigInt,
                only_user: Option<UserId> => Nullable<UserKey>,
                from: Option<PgTimestamp> => Nullable<Timestamptz>,
                before: Option<PgTimestamp> => Nullable<Timestamptz>,
                only_count: bool => Bool,
                step: i64 => BigInt,
            } -> (BigInt, BigInt, BigInt, UserKey, BigInt)
            concat!(
                "WITH page AS MATERIALIZED (
                     SELECT raw.user_id::user_key AS user_id, raw.id::bigint AS raw_id, ", $metric, " AS metric,
                            left(raw.time_zone::text, 1025) AS time_zone, ", $whole_day, " AS whole_day,
                            aggregation_datable(", $start, ") AS starts_at,
                            aggregation_end(", $start, ", ", $end, ") AS ends_at,
                            greatest(", $start, ", ", $end, ") >= coalesce({from}, '-infinity')
                                AND ", $start, " <= coalesce({before}, 'infinity') AS is_in_range
                     FROM ", $table, " AS raw
                     WHERE (raw.user_id, raw.id) >= ({first_user}, {first_id})
                       AND raw.user_id <= coalesce({only_user}, (
                           SELECT user_id FROM ", $table, " ORDER BY user_id DESC LIMIT 1))
                     ORDER BY raw.user_id, raw.id
                     LIMIT {step}
                 ), frozen AS MATERIALIZED (
                     SELECT user_id, greatest(
                         frozen_before::timestamp AT TIME ZONE 'UTC' - interval '16 hours',
                         (SELECT max(day_end) FROM (", $days, ") AS days
                          WHERE days.user_id = of_user.user_id
                            AND days.local_date >= of_user.frozen_before - 2
                            AND days.local_date < of_user.frozen_before)) AS open_from
                     FROM (
                         SELECT user_id, ", frozen_before!("users.user_id"), " AS frozen_before
                         FROM (SELECT DISTINCT user_id FROM page) AS users
                     ) AS of_user
                 ), selected AS MATERIALIZED (
                     SELECT *, (row_number() OVER (
                         PARTITION BY user_id, metric, time_zone, whole_day ORDER BY starts_at) - 1) / 50 AS part
                     FROM page JOIN frozen USING (user_id)
                     WHERE is_in_range AND (starts_at < open_from) IS NOT TRUE
                 ), queued AS (
                     INSERT INTO aggregation_queue (kind, user_id, metric, time_zone, whole_day, starts_at,
                         ends_at, raw_ids, row_starts, row_ends)
                     SELECT '", $kind, "', user_id, metric, time_zone, whole_day, min(starts_at),
                            max(ends_at), array_agg(raw_id), array_agg(starts_at),
                            CASE WHEN bool_or(ends_at <> starts_at) THEN array_agg(ends_at) END
                     FROM selected
                     WHERE NOT {only_count}
                     GROUP BY user_id, metric, time_zone, whole_day, part
                 )
                 SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM selected),
                        (SELECT count(*) FROM page JOIN frozen USING (user_id) WHERE is_in_range AND starts_at < open_from),
                        user_id, raw_id
                 FROM page
                 ORDER BY user_id DESC, raw_id DESC
                 LIMIT 1"
            )
        }
    };
}

requeue_statement!(
    RequeueVitals,
    "vitals",
    "vitals_raw",
    "raw.started_at",
    "raw.ended_at",
    "left(raw.metric::text, 1025)",
    "raw.is_daily_total",
    "SELECT user_id, local_date, day_end FROM vitals_daily
     UNION ALL SELECT user_id, local_date, day_end FROM sleep_daily"
);
requeue_statement!(
    RequeueNutrition,
    "nutrition",
    "nutrition_raw",
    "raw.eaten_at",
    "raw.eaten_at",
    "NULL::text",
    "false",
    "SELECT user_id, local_date, day_end FROM nutrition_daily"
);
requeue_statement!(
    RequeueLabs,
    "labs",
    "lab_raw",
    "raw.collected_at",
    "raw.collected_at",
    "NULL::text",
    "false",
    "SELECT user_id, local_date, day_end FROM lab_daily"
);

statement! {
    /// Dead change sets have an infinite `not_before`. A set locked by another session is left to that
    /// session.
    struct RequeueDead<'a> {
        kind: &'a str => Text,
        only_user: Option<UserId> => Nullable<UserKey>,
        from: Option<PgTimestamp> => Nullable<Timestamptz>,
        before: Option<PgTimestamp> => Nullable<Timestamptz>,
        step: i64 => BigInt,
    } -> (Integer)
    include_str!("requeue_dead.sql")
}

/// The rows of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequeueStep {
    /// Those that were read.
    pub read: u64,
    /// Those that are selected.
    pub selected: u64,
    /// Those that are left out because the figures of their dates are frozen.
    pub frozen: u64,
}

/// Reads one raw table step by step, and queues or only counts the selected rows.
#[derive(Debug)]
pub struct Requeuer {
    kind: Kind,
    selection: RequeueSelection,
    only_count: bool,
    next: Next,
}

/// The row with which the next step begins.
#[derive(Debug)]
enum Next {
    First,
    At(UserId, i64),
    End,
}

impl Requeuer {
    /// Starts at the beginning of the kind's raw table, or of the selected user's part.
    pub fn new(kind: Kind, selection: RequeueSelection) -> Self {
        Self { kind, selection, only_count: false, next: Next::First }
    }

    /// Creates a requeuer that only counts the selected rows.
    pub fn counting(kind: Kind, selection: RequeueSelection) -> Self {
        Self { only_count: true, ..Self::new(kind, selection) }
    }

    /// Reads the next rows and commits; `None` at the end of the table.
    ///
    /// # Errors
    /// If the database fails; then this step queued nothing and may be repeated.
    pub async fn step(&mut self, store: &Store) -> Result<Option<RequeueStep>, StoreError> {
        let only_user = self.selection.user_id.clone();
        let (first_user, first_id) = match (&self.next, &only_user) {
            (Next::End, _) => return Ok(None),
            (Next::At(user, id), _) => (user.clone(), *id),
            (Next::First, Some(user)) => (user.clone(), i64::MIN),
            (Next::First, None) => (store.user_id_type().await?.least(), i64::MIN),
        };
        let (from, before) = bounds(&self.selection);
        let only_count = self.only_count;
        macro_rules! load {
            ($statement:ident) => {{
                let step = STEP;
                let walk =
                    $statement { first_user, first_id, only_user, from, before, only_count, step };
                store.load("requeue", walk).await?
            }};
        }
        let page: Vec<(i64, i64, i64, UserId, i64)> = match self.kind {
            Kind::Vitals => load!(RequeueVitals),
            Kind::Nutrition => load!(RequeueNutrition),
            Kind::Labs => load!(RequeueLabs),
        };
        let Some((read, selected, frozen, user_id, id)) = page.into_iter().next() else {
            self.next = Next::End;
            return Ok(None);
        };
        self.next = match (id.checked_add(1), user_id.next()) {
            (Some(id), _) => Next::At(user_id, id),
            (None, Some(user)) => Next::At(user, i64::MIN),
            (None, None) => Next::End,
        };
        let (read, selected, frozen) = (read as u64, selected as u64, frozen as u64);
        Ok(Some(RequeueStep { read, selected, frozen }))
    }
}

impl Store {
    /// The number of raw rows in the selected dead change sets.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_dead(
        &self,
        kind: Kind,
        selection: &RequeueSelection,
    ) -> Result<u64, StoreError> {
        use crate::schema::aggregation_queue as q;
        let (from, before) = bounds(selection);
        let dead = q::table
            .filter(q::kind.eq(kind.name()).and(q::state.eq("dead")).and(q::not_before.eq(NEVER)))
            .filter(q::ends_at.ge(from.unwrap_or(LONG_AGO)))
            .filter(q::starts_at.le(before.unwrap_or(NEVER)))
            .select(sum(cardinality(q::raw_ids)));
        let counts: Vec<Option<i64>> = match selection.user_id.clone() {
            Some(user) => self.load("requeue", dead.filter(q::user_id.eq(BoundUser(user)))).await?,
            None => self.load("requeue", dead).await?,
        };
        Ok(counts.into_iter().flatten().sum::<i64>() as u64)
    }

    /// Resets the attempts of some of the selected dead change sets and makes them due at once. Returns
    /// the number of their raw rows, `0` when none is left. A set is requeued whole, even if only some
    /// of its rows overlap the selected time.
    ///
    /// # Errors
    /// If the database fails; then no set was changed.
    pub async fn requeue_dead(
        &self,
        kind: Kind,
        selection: &RequeueSelection,
    ) -> Result<u64, StoreError> {
        let (from, before) = bounds(selection);
        let statement = RequeueDead {
            kind: kind.name(),
            only_user: selection.user_id.clone(),
            from,
            before,
            step: STEP_OF_SETS,
        };
        let rows: Vec<(i32,)> = self.load("requeue", statement).await?;
        Ok(rows.into_iter().map(|(rows,)| rows as u64).sum())
    }
}

fn bounds(selection: &RequeueSelection) -> (Option<PgTimestamp>, Option<PgTimestamp>) {
    let between = selection.between.map(|(from, before)| (to_postgres(from), to_postgres(before)));
    (between.map(|(from, _)| from), between.map(|(_, before)| before))
}
