//! Doing rows again: raw rows of a range, or rows that were given up.

use aggregation::{Kind, Timestamp};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};

use crate::error::StoreError;
use crate::pool::Store;
use crate::statement::statement;
use crate::time::to_postgres;

/// The most rows that one step looks at: it lasts well under a second and holds a connection for
/// no longer.
const STEP: i64 = 10_000;

/// Which rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequeueSelection {
    /// Only this user's.
    pub user_id: Option<i64>,
    /// Only those that touch the time from the first to the second instant.
    pub between: Option<(Timestamp, Timestamp)>,
}

/// The statement for one raw table: walks it in the order of its key and does with what is selected what
/// `$act` says.
macro_rules! walk {
    ($table:literal, $act:expr, $returning:literal, $start:literal, $end:literal) => {
        concat!(
            "WITH page AS MATERIALIZED (
                 SELECT * FROM ",
            $table,
            "
                 WHERE (user_id, id) > ({after_user}, {after_id})
                   AND user_id <= coalesce({only_user}, 9223372036854775807)
                 ORDER BY user_id, id
                 LIMIT {step}
             ), selected AS (
                 ",
            $act,
            " FROM page
                 WHERE ",
            $end,
            " >= coalesce({from}, '-infinity') AND ",
            $start,
            " <= coalesce({before}, 'infinity')
                 ",
            $returning,
            ")
             SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM selected), user_id::bigint, id::bigint
             FROM page
             ORDER BY user_id DESC, id DESC
             LIMIT 1"
        )
    };
}

/// Queues what is selected, as the triggers would.
macro_rules! requeue_from {
    ($table:literal, $kind:literal, $columns:literal, $values:literal, $start:literal, $end:literal) => {
        walk!(
            $table,
            concat!(
                "INSERT INTO aggregation_queue (kind, user_id, raw_id, ",
                $columns,
                ") SELECT '",
                $kind,
                "', user_id, id, ",
                $values
            ),
            "RETURNING 1",
            $start,
            $end
        )
    };
}

macro_rules! requeue_statement {
    ($name:ident, $sql:expr) => {
        statement! {
            struct $name {
                after_user: i64 => BigInt,
                after_id: i64 => BigInt,
                only_user: Option<i64> => Nullable<BigInt>,
                from: Option<PgTimestamp> => Nullable<Timestamptz>,
                before: Option<PgTimestamp> => Nullable<Timestamptz>,
                step: i64 => BigInt,
            } -> (BigInt, BigInt, BigInt, BigInt)
            $sql
        }
    };
}

requeue_statement!(
    RequeueVitals,
    requeue_from!(
        "vitals_raw",
        "vitals",
        "starts_at, ends_at, metric, time_zone, whole_day",
        "aggregation_datable(started_at), aggregation_end(started_at, ended_at), \
         left(metric::text, 1025), left(time_zone::text, 1025), is_daily_total",
        "started_at",
        "greatest(started_at, ended_at)"
    )
);
requeue_statement!(
    RequeueNutrition,
    requeue_from!(
        "nutrition_raw",
        "nutrition",
        "starts_at, ends_at, time_zone",
        "aggregation_datable(eaten_at), aggregation_datable(eaten_at), left(time_zone::text, 1025)",
        "eaten_at",
        "eaten_at"
    )
);
requeue_statement!(
    RequeueLabs,
    requeue_from!(
        "lab_raw",
        "labs",
        "starts_at, ends_at, time_zone",
        "aggregation_datable(collected_at), aggregation_datable(collected_at), left(time_zone::text, 1025)",
        "collected_at",
        "collected_at"
    )
);

requeue_statement!(
    CountVitals,
    walk!("vitals_raw", "SELECT 1", "", "started_at", "greatest(started_at, ended_at)")
);
requeue_statement!(CountNutrition, walk!("nutrition_raw", "SELECT 1", "", "eaten_at", "eaten_at"));
requeue_statement!(CountLabs, walk!("lab_raw", "SELECT 1", "", "collected_at", "collected_at"));

statement! {
    struct CountDead<'a> {
        kind: &'a str => Text,
        only_user: Option<i64> => Nullable<BigInt>,
        from: Option<PgTimestamp> => Nullable<Timestamptz>,
        before: Option<PgTimestamp> => Nullable<Timestamptz>,
    } -> (BigInt)
    "SELECT count(*)
     FROM aggregation_queue
     WHERE kind = {kind} AND not_before = 'infinity' AND state = 'dead'
       AND user_id = coalesce({only_user}, user_id)
       AND ends_at >= coalesce({from}, '-infinity') AND starts_at <= coalesce({before}, 'infinity')"
}

statement! {
    /// Dead rows lie at infinity; one that another session is at is left to that session.
    struct RequeueDead<'a> {
        kind: &'a str => Text,
        only_user: Option<i64> => Nullable<BigInt>,
        from: Option<PgTimestamp> => Nullable<Timestamptz>,
        before: Option<PgTimestamp> => Nullable<Timestamptz>,
        step: i64 => BigInt,
    } -> ()
    "WITH asked AS MATERIALIZED (
         SELECT {only_user}::bigint AS only_user, {from}::timestamptz AS lower,
                {before}::timestamptz AS upper
     ), picked AS MATERIALIZED (
         SELECT q.ctid
         FROM aggregation_queue AS q, asked
         WHERE q.kind = {kind} AND q.not_before = 'infinity' AND q.state = 'dead'
           AND q.user_id = coalesce(asked.only_user, q.user_id)
           AND q.ends_at >= coalesce(asked.lower, '-infinity')
           AND q.starts_at <= coalesce(asked.upper, 'infinity')
         LIMIT {step}
         FOR UPDATE OF q SKIP LOCKED
     )
     UPDATE aggregation_queue AS q
     SET state = 'pending', attempts = 0, lost_leases = 0, not_before = clock_timestamp(), last_error = NULL
     FROM picked
     WHERE q.ctid = picked.ctid"
}

/// Walks one raw table and queues the selected rows, or only counts them, a step at a time.
#[derive(Debug)]
pub struct Requeuer {
    kind: Kind,
    selection: RequeueSelection,
    only_count: bool,
    after: Option<(i64, i64)>,
}

impl Requeuer {
    /// At the beginning of the kind's raw table, or of its part of one user.
    pub fn new(kind: Kind, selection: RequeueSelection) -> Self {
        let first_user = selection.user_id.unwrap_or(i64::MIN);
        let before = match first_user.checked_sub(1) {
            Some(user) => (user, i64::MAX),
            None => (i64::MIN, i64::MIN),
        };
        Self { kind, selection, only_count: false, after: Some(before) }
    }

    /// The same walk, which only counts.
    pub fn counting(kind: Kind, selection: RequeueSelection) -> Self {
        Self { only_count: true, ..Self::new(kind, selection) }
    }

    /// Looks at the next rows, committed at once, and says how many it looked at and how many of them
    /// are selected; `None` at the end of the table.
    ///
    /// # Errors
    /// If the database fails; then this step queued nothing and may be done again.
    pub async fn step(&mut self, store: &Store) -> Result<Option<(u64, u64)>, StoreError> {
        let Some((after_user, after_id)) = self.after else { return Ok(None) };
        let only_user = self.selection.user_id;
        let (from, before) = bounds(&self.selection);
        macro_rules! load {
            ($statement:ident) => {{
                let step = STEP;
                let look = $statement { after_user, after_id, only_user, from, before, step };
                store.load("requeue", look).await?
            }};
        }
        let page: Vec<(i64, i64, i64, i64)> = match (self.kind, self.only_count) {
            (Kind::Vitals, false) => load!(RequeueVitals),
            (Kind::Nutrition, false) => load!(RequeueNutrition),
            (Kind::Labs, false) => load!(RequeueLabs),
            (Kind::Vitals, true) => load!(CountVitals),
            (Kind::Nutrition, true) => load!(CountNutrition),
            (Kind::Labs, true) => load!(CountLabs),
        };
        let Some((seen, queued, user_id, id)) = page.into_iter().next() else {
            self.after = None;
            return Ok(None);
        };
        self.after = Some((user_id, id));
        Ok(Some((seen as u64, queued as u64)))
    }
}

impl Store {
    /// How many dead rows are selected.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_dead(
        &self,
        kind: Kind,
        selection: &RequeueSelection,
    ) -> Result<u64, StoreError> {
        let (from, before) = bounds(selection);
        let (kind, only_user) = (kind.name(), selection.user_id);
        let counts: Vec<(i64,)> =
            self.load("requeue", CountDead { kind, only_user, from, before }).await?;
        Ok(counts.iter().map(|(count,)| *count as u64).sum())
    }

    /// Gives some of the dead rows their attempts back, at once due; says how many. `0` when none
    /// are left.
    ///
    /// # Errors
    /// If the database fails; then none was changed.
    pub async fn requeue_dead(
        &self,
        kind: Kind,
        selection: &RequeueSelection,
    ) -> Result<u64, StoreError> {
        let (from, before) = bounds(selection);
        let statement = RequeueDead {
            kind: kind.name(),
            only_user: selection.user_id,
            from,
            before,
            step: STEP,
        };
        Ok(self.execute("requeue", statement).await? as u64)
    }
}

fn bounds(selection: &RequeueSelection) -> (Option<PgTimestamp>, Option<PgTimestamp>) {
    let between = selection.between.map(|(from, before)| (to_postgres(from), to_postgres(before)));
    (between.map(|(from, _)| from), between.map(|(_, before)| before))
}
