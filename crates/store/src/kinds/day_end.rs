//! The columns of daily rows that depend on the database's clock: `is_partial` and `future_count`.
//!
//! A group sets both columns when it writes a row. After that, no raw row need touch the day again. So
//! [`Store::mark_ended_days`] sets them to false and 0 when the day has ended.

use aggregation::UserId;
use chrono::NaiveDate;
use diesel::sql_types::{BigInt, Bool, Date};

use crate::error::StoreError;
use crate::pool::Store;
use crate::snapshot::Snapshot;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;

/// The expression for `future_count`: the number of rows if their day begins more than a day after the
/// database's clock, else 0. The day of tolerance allows for slightly wrong clocks and for wrong zones.
macro_rules! future_count {
    ($day:literal, $rows:literal) => {
        concat!(
            "CASE WHEN ",
            $day,
            "day_start > now() + interval '1 day' THEN ",
            $rows,
            " ELSE 0 END"
        )
    };
}
pub(crate) use future_count;

/// The tables with a `future_count`, and the expression that counts their rows.
const COUNTED: [(&str, &str); 4] = [
    ("vitals_daily", "s.sample_count + s.censored_count"),
    ("sleep_daily", "s.segment_count"),
    ("nutrition_daily", "s.item_count"),
    ("lab_daily", "s.result_count"),
];

/// The condition that `is_partial` or `future_count` of a stored row `s` contradicts the clock. Two values are correct:
/// the one at the time of computation, and, once the day has ended, the one that
/// [`Store::mark_ended_days`] writes. A transaction's `now()` precedes its snapshot, so it may be
/// earlier than an update that the snapshot contains.
pub(crate) fn contradicts_clock(table: &str) -> String {
    let partial = "CASE WHEN s.is_partial THEN s.day_end <= s.computed_at
                        ELSE s.day_end > greatest(s.computed_at, clock_timestamp()) END";
    let Some((_, rows)) = COUNTED.into_iter().find(|(counted, _)| *counted == table) else {
        return partial.to_owned();
    };
    format!(
        "{partial}
         OR (s.future_count <> CASE WHEN s.day_start > s.computed_at + interval '1 day'
                                    THEN {rows} ELSE 0 END
             AND NOT (s.future_count = 0 AND s.day_end <= clock_timestamp()))"
    )
}

/// Marks ended days in one table. The statement is short, however large the table is.
///
/// It skips rows that a group has locked, so no deadlock can arise; the next call handles them. If a
/// group has replaced a row since the statement began, the lock checks the new version and skips the
/// row, because the version that the statement saw is gone.
macro_rules! mark {
    ($name:literal, $table:literal, $more:literal) => {
        concat!(
            $name,
            " AS (
             UPDATE ",
            $table,
            " SET is_partial = false",
            $more,
            " WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM ",
            $table,
            " WHERE is_partial AND day_end <= now()
                 ORDER BY day_end
                 LIMIT 1000
                 FOR UPDATE SKIP LOCKED))
             RETURNING 1)"
        )
    };
}

statement! {
    struct MarkEnded {} -> (BigInt, Bool)
    concat!(
        "WITH ", mark!("vitals", "vitals_daily", ", future_count = 0"),
        ", ", mark!("sleep", "sleep_daily", ", future_count = 0"),
        ", ", mark!("blood_pressure", "blood_pressure_daily", ""),
        ", ", mark!("glucose", "glucose_daily", ""),
        ", ", mark!("nutrition", "nutrition_daily", ", future_count = 0"),
        ", ", mark!("lab", "lab_daily", ", future_count = 0"),
        " SELECT sum(marked)::bigint, bool_or(marked = 1000)
         FROM (SELECT count(*) AS marked FROM vitals UNION ALL SELECT count(*) FROM sleep
               UNION ALL SELECT count(*) FROM blood_pressure UNION ALL SELECT count(*) FROM glucose
               UNION ALL SELECT count(*) FROM nutrition UNION ALL SELECT count(*) FROM lab) AS tables"
    )
}

/// Rows dated in the future, by user. The index on the ends of partial days finds them.
macro_rules! future {
    ($of_table:literal) => {
        concat!(
            "SELECT user_id, local_date, future_count FROM ",
            $of_table,
            " WHERE is_partial AND future_count > 0 AND day_end > now() + interval '1 day'
               AND day_start > now() + interval '1 day'"
        )
    };
    () => {
        concat!(
            "(",
            future!("vitals_daily"),
            " UNION ALL ",
            future!("sleep_daily"),
            " UNION ALL ",
            future!("nutrition_daily"),
            " UNION ALL ",
            future!("lab_daily"),
            ")"
        )
    };
}

statement! {
    struct CountFuture {} -> (BigInt, BigInt)
    concat!(
        "SELECT coalesce(sum(future_count), 0)::bigint, count(DISTINCT user_id) FROM ",
        future!(), " AS future"
    )
}

statement! {
    struct CountFutureOf {
        user_id: UserId => UserKey,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (BigInt)
    concat!(
        "SELECT coalesce(sum(future_count), 0)::bigint FROM ", future!(), " AS future
         WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}"
    )
}

/// The result of marking ended days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedDays {
    /// Rows set to non-partial.
    pub rows: i64,
    /// Whether more rows may remain.
    pub has_more: bool,
}

/// Accepted raw rows dated in the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FutureRows {
    /// Number of rows.
    pub rows: i64,
    /// Number of their users.
    pub users: i64,
}

impl Store {
    /// Sets `is_partial` to false and `future_count` to 0 in rows whose day has ended, in at most 1,000
    /// rows of each table. Any number of workers may call this at once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn mark_ended_days(&self) -> Result<EndedDays, StoreError> {
        let rows: Vec<(i64, bool)> = self.load("day_end", MarkEnded {}).await?;
        let (rows, has_more) = rows.first().copied().unwrap_or_default();
        Ok(EndedDays { rows, has_more })
    }

    /// The number of raw rows dated more than a day after the database's clock.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn future_rows(&self) -> Result<FutureRows, StoreError> {
        let rows: Vec<(i64, i64)> = self.load("status", CountFuture {}).await?;
        let (rows, users) = rows.first().copied().unwrap_or_default();
        Ok(FutureRows { rows, users })
    }
}

/// The number of one user's raw rows between two dates that lie more than a day after the database's
/// clock.
pub(crate) async fn future_rows_of(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<i64, StoreError> {
    let rows: Vec<(i64,)> = snapshot.load(CountFutureOf { user_id, from, to }).await?;
    Ok(rows.first().map_or(0, |(rows,)| *rows))
}
