//! The dates whose figures are frozen, so that their raw rows may be dropped.

use aggregation::UserId;
use aggregation::sleep::Stage;
use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::profiles::frozen_before;
use crate::queue::queued_rows::queued_rows;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;

/// Earlier than every date with figures.
const BEFORE_ALL: NaiveDate = NaiveDate::from_ymd_opt(-1, 1, 1).expect("a date");

/// Figures that are frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenFigures {
    /// Whose; `None` means all users.
    pub user_id: Option<UserId>,
    /// Those of earlier local dates.
    pub before: NaiveDate,
}

statement! {
    struct ReadFrozen {} -> (Nullable<UserKey>, Date)
    "SELECT NULL::user_key, frozen_before FROM frozen_figures
     UNION ALL SELECT user_id::user_key, frozen_before FROM frozen_figures_of_users
     ORDER BY 1 NULLS FIRST"
}

statement! {
    struct ReadToday {} -> (Date)
    "SELECT (now() AT TIME ZONE 'UTC')::date"
}

statement! {
    /// A local date ends up to 12 hours after its end in UTC.
    struct CountWaiting {
        only_user: Option<UserId> => Nullable<UserKey>,
        from: NaiveDate => Date,
        before: NaiveDate => Date,
    } -> (BigInt)
    concat!(
        "SELECT count(*) FROM ",
        queued_rows!(),
        " WHERE user_id = coalesce({only_user}, user_id)
            AND row_ends_at >= {from}::date::timestamp AT TIME ZONE 'UTC' - interval '14 hours'
            AND row_starts_at < {before}::date::timestamp AT TIME ZONE 'UTC' + interval '12 hours'"
    )
}

statement! {
    /// The first condition leaves out whole change sets, so that their rows are not looked at one by one.
    struct CountRefused {} -> (BigInt)
    concat!(
        "SELECT count(*) FROM ",
        queued_rows!(),
        " WHERE q.starts_at < (",
        frozen_before!("q.user_id"),
        ")::timestamp AT TIME ZONE 'UTC'
            AND row_starts_at < (",
        frozen_before!("q.user_id"),
        ")::timestamp AT TIME ZONE 'UTC'"
    )
}

// The commit need not wait for the disk. A server that crashes and forgets it has also forgotten all later commits,
// those that deleted raw rows among them.
statement! {
    struct FreezeAll { before: NaiveDate => Date } -> ()
    "INSERT INTO frozen_figures (frozen_before) VALUES ({before})
     ON CONFLICT (is_only) DO UPDATE SET frozen_before = excluded.frozen_before, frozen_at = excluded.frozen_at"
}

statement! {
    struct FreezeUser { user_id: UserId => UserKey, before: NaiveDate => Date } -> ()
    "INSERT INTO frozen_figures_of_users (user_id, frozen_before) VALUES ({user_id}, {before})
     ON CONFLICT (user_id) DO UPDATE SET frozen_before = excluded.frozen_before, frozen_at = excluded.frozen_at"
}

statement! {
    struct LiftAll {} -> ()
    "DELETE FROM frozen_figures"
}

statement! {
    struct LiftUser { user_id: UserId => UserKey } -> ()
    "DELETE FROM frozen_figures_of_users WHERE user_id = {user_id}"
}

statement! {
    /// The first date with figures to which no raw row belongs.
    struct ReadDateWithoutRows {
        user_id: UserId => UserKey,
        from: NaiveDate => Date,
        before: NaiveDate => Date,
        sleep: Vec<&'static str> => Array<Text>,
    } -> (Nullable<Date>)
    "WITH asked AS (
         SELECT {user_id} AS user_id, {from}::date AS first, {before}::date AS behind, {sleep}::text[] AS sleep
     ), without_rows AS (
         SELECT d.local_date FROM asked JOIN vitals_daily AS d USING (user_id)
         WHERE d.local_date >= first AND d.local_date < behind
           AND NOT EXISTS (
               SELECT FROM vitals_raw AS r
               WHERE r.user_id = d.user_id AND r.metric = d.metric
                 AND r.started_at >= d.day_start - interval '48 hours' AND r.started_at < d.day_end
                 AND (r.started_at >= d.day_start OR r.ended_at > d.day_start))
         UNION ALL
         SELECT d.local_date FROM asked JOIN sleep_daily AS d USING (user_id)
         WHERE d.local_date >= first AND d.local_date < behind
           AND NOT EXISTS (
               SELECT FROM vitals_raw AS r
               WHERE r.user_id = d.user_id AND r.metric = ANY (asked.sleep)
                 AND r.started_at >= d.reach_start - interval '48 hours' AND r.started_at < d.reach_end
                 AND (r.started_at >= d.reach_start OR r.ended_at > d.reach_start))
         UNION ALL
         SELECT d.local_date FROM asked JOIN nutrition_daily AS d USING (user_id)
         WHERE d.local_date >= first AND d.local_date < behind
           AND NOT EXISTS (
               SELECT FROM nutrition_raw AS r
               WHERE r.user_id = d.user_id AND r.eaten_at >= d.day_start AND r.eaten_at < d.day_end)
         UNION ALL
         SELECT d.local_date FROM asked JOIN lab_daily AS d USING (user_id)
         WHERE d.local_date >= first AND d.local_date < behind
           AND NOT EXISTS (
               SELECT FROM lab_raw AS r
               WHERE r.user_id = d.user_id AND r.collected_at >= d.day_start AND r.collected_at < d.day_end)
     )
     SELECT min(local_date) FROM without_rows"
}

impl Store {
    /// The figures that are frozen: first those of all users.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn frozen_figures(&self) -> Result<Vec<FrozenFigures>, StoreError> {
        let rows: Vec<(Option<UserId>, NaiveDate)> = self.load("freeze", ReadFrozen {}).await?;
        Ok(rows.into_iter().map(|(user_id, before)| FrozenFigures { user_id, before }).collect())
    }

    /// Today's date in UTC, by the database's clock.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn today(&self) -> Result<NaiveDate, StoreError> {
        let rows: Vec<(NaiveDate,)> = self.load("freeze", ReadToday {}).await?;
        let today = rows.into_iter().next().map(|(today,)| today);
        today.ok_or(StoreError::Internal("the database returned no date"))
    }

    /// The number of changed raw rows of one user or all, from a date (`None` means from the first) up to that before
    /// which figures are to be frozen, that wait in the queue or are dead. In some zone they belong to these dates.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_waiting(
        &self,
        only_user: Option<UserId>,
        from: Option<NaiveDate>,
        before: NaiveDate,
    ) -> Result<i64, StoreError> {
        let from = from.unwrap_or(BEFORE_ALL);
        let count = CountWaiting { only_user, from, before };
        let rows: Vec<(i64,)> = self.load("freeze", count).await?;
        Ok(rows.iter().map(|(rows,)| rows).sum())
    }

    /// The number of changed raw rows in the queue that lie on frozen dates, and will be refused unless they are
    /// deletions.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_frozen_rows(&self) -> Result<i64, StoreError> {
        let rows: Vec<(i64,)> = self.load("freeze", CountRefused {}).await?;
        Ok(rows.iter().map(|(rows,)| rows).sum())
    }

    /// Freezes the figures of one user or all before a date; `None` ends that.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn freeze(
        &self,
        user_id: Option<UserId>,
        before: Option<NaiveDate>,
    ) -> Result<(), StoreError> {
        match (user_id, before) {
            (None, Some(before)) => self.execute("freeze", FreezeAll { before }).await?,
            (None, None) => self.execute("freeze", LiftAll {}).await?,
            (Some(user_id), Some(before)) => {
                self.execute("freeze", FreezeUser { user_id, before }).await?
            }
            (Some(user_id), None) => self.execute("freeze", LiftUser { user_id }).await?,
        };
        Ok(())
    }

    /// The first date of a user from `from` (`None` means the first) up to that before `before` with figures of a
    /// metric or kind without any raw row.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn date_without_raw_rows(
        &self,
        user_id: UserId,
        from: Option<NaiveDate>,
        before: NaiveDate,
    ) -> Result<Option<NaiveDate>, StoreError> {
        let from = from.unwrap_or(BEFORE_ALL);
        let sleep = Stage::ALL.map(Stage::metric).to_vec();
        let read = ReadDateWithoutRows { user_id, from, before, sleep };
        let rows: Vec<(Option<NaiveDate>,)> = self.load("freeze", read).await?;
        Ok(rows.into_iter().find_map(|(date,)| date))
    }
}
