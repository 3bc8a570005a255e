//! Lists users and dates from raw rows and figures, without the queue.

use aggregation::sleep::Stage;
use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Bool, Date, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::queue::queued_rows::queued_rows;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;
use crate::verify::session::VerifySession;

/// A user's raw rows that start on one UTC date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawDate {
    /// The UTC date of their start.
    pub date: NaiveDate,
    /// The latest UTC date on which one of them ends.
    pub last: NaiveDate,
    /// Number of rows.
    pub rows: i64,
}

/// A user's raw rows and figures of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Raw rows by date, in order. Rows outside the calendar are left out.
    pub raw: Vec<RawDate>,
    /// Dates with figures, in order.
    pub stored: Vec<NaiveDate>,
}

/// A user, and the kinds of the user's raw rows and figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKinds {
    /// The user.
    pub user_id: UserId,
    /// The kinds, in the order of the request.
    pub kinds: Vec<Kind>,
}

statement! {
    /// The smallest user ids, from this one on, with raw rows, figures or rejected rows of vitals, of
    /// nutrition and of labs, as far as requested. Each table is read by one index entry. The table of
    /// rejected rows is read without the kind, because there may be a million rows of another kind.
    struct LeastUsers { from: UserId => UserKey, kinds: Vec<&'static str> => Array<Text> }
        -> (Nullable<UserKey>, Nullable<UserKey>, Nullable<UserKey>)
    include_str!("least_users.sql")
}

type LeastColumns = (Option<UserId>, Option<UserId>, Option<UserId>);

impl LeastUsers {
    fn new(kinds: &[Kind], from: UserId) -> Self {
        Self { from, kinds: kinds.iter().map(|kind| kind.name()).collect() }
    }

    fn first(rows: &[LeastColumns], asked: &[Kind]) -> Option<UserKinds> {
        let (vitals, nutrition, labs) = rows.first()?;
        let user_id = [vitals, nutrition, labs].into_iter().flatten().min()?;
        let has = |kind: &&Kind| match kind {
            Kind::Vitals => vitals.as_ref() == Some(user_id),
            Kind::Nutrition => nutrition.as_ref() == Some(user_id),
            Kind::Labs => labs.as_ref() == Some(user_id),
        };
        let kinds = asked.iter().filter(has).copied().collect();
        Some(UserKinds { user_id: user_id.clone(), kinds })
    }
}

/// Declares the statements of one kind: its raw table with a row's start and end, and its figures. A row
/// of the result is a date with raw rows, or a date with figures, which has no last date.
macro_rules! of_kind {
    ($name:ident, $estimate:ident, $raw:literal, $start:literal, $end:literal, $figures:literal) => {
        statement! {
            /// The planner's estimate, from its statistics. No rows are read.
            struct $estimate {
                user_id: Option<UserId> => Nullable<UserKey>,
                from: NaiveDate => Date,
                to: NaiveDate => Date,
            } -> (Text)
            concat!(
                "EXPLAIN (FORMAT JSON)
                 SELECT FROM ", $raw, " AS r
                 WHERE ({user_id} IS NULL OR user_id = {user_id})
                   AND ", $start, " >= {from}::date::timestamp AT TIME ZONE 'UTC'
                   AND ", $start, " < ({to}::date + 1)::timestamp AT TIME ZONE 'UTC'"
            )
        }

        statement! {
            /// The bounds are those of the figures' calendar.
            struct $name {
                user_id: UserId => UserKey,
                from: NaiveDate => Date,
                to: NaiveDate => Date,
            } -> (Date, Nullable<Date>, BigInt)
            concat!(
                "WITH asked AS NOT MATERIALIZED (
                     SELECT {user_id} AS user_id, {from}::date AS first, {to}::date AS last
                 )
                 SELECT (", $start, " AT TIME ZONE 'UTC')::date AS date,
                        max((", $end, " AT TIME ZONE 'UTC')::date) AS last,
                        count(*)
                 FROM asked JOIN ", $raw, " AS r USING (user_id)
                 WHERE ", $start, " >= asked.first::timestamp AT TIME ZONE 'UTC'
                   AND ", $start, " < (asked.last + 1)::timestamp AT TIME ZONE 'UTC'
                   AND ", $end, " >= timestamptz '0001-01-01 00:00Z'
                   AND ", $end, " < timestamptz '9999-12-31 00:00Z'
                 GROUP BY 1
                 UNION ALL
                 SELECT DISTINCT f.local_date, NULL::date, 0
                 FROM asked JOIN (", $figures, ") AS f USING (user_id)
                 WHERE f.local_date BETWEEN asked.first AND asked.last
                 ORDER BY 1"
            )
        }
    };
}

of_kind!(
    OfVitals,
    EstimateVitals,
    "vitals_raw",
    "r.started_at",
    "r.ended_at",
    "SELECT user_id, local_date FROM vitals_daily
     UNION ALL SELECT user_id, local_date FROM sleep_daily
     UNION ALL SELECT user_id, local_date FROM blood_pressure_daily
     UNION ALL SELECT user_id, local_date FROM glucose_daily"
);
of_kind!(
    OfNutrition,
    EstimateNutrition,
    "nutrition_raw",
    "r.eaten_at",
    "r.eaten_at",
    "SELECT user_id, local_date FROM nutrition_daily"
);
of_kind!(
    OfLabs,
    EstimateLabs,
    "lab_raw",
    "r.collected_at",
    "r.collected_at",
    "SELECT user_id, local_date FROM lab_daily"
);

/// A date, the last date on which one of its raw rows ends, and the number of rows.
type DateColumns = (NaiveDate, Option<NaiveDate>, i64);

impl Inventory {
    fn from_rows(rows: Vec<DateColumns>) -> Self {
        let mut inventory = Self::default();
        for (date, last, rows) in rows {
            match last {
                Some(last) => inventory.raw.push(RawDate { date, last, rows }),
                None => inventory.stored.push(date),
            }
        }
        inventory
    }
}

/// The number of rows in the daily and hourly tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FigureCounts {
    /// Rows of `vitals_hourly`.
    pub vitals_hours: i64,
    /// Rows of `vitals_daily`.
    pub vitals_days: i64,
    /// Rows of `blood_pressure_daily`.
    pub blood_pressure_days: i64,
    /// Rows of `nutrition_daily`.
    pub nutrition_days: i64,
    /// Rows of `lab_daily`.
    pub lab_days: i64,
}

statement! {
    struct CountFigures {} -> (BigInt, BigInt, BigInt, BigInt, BigInt)
    "SELECT (SELECT count(*) FROM vitals_hourly), (SELECT count(*) FROM vitals_daily),
            (SELECT count(*) FROM blood_pressure_daily),
            (SELECT count(*) FROM nutrition_daily), (SELECT count(*) FROM lab_daily)"
}

impl Store {
    /// Counts the rows of figures.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_figures(&self) -> Result<FigureCounts, StoreError> {
        let counts: Vec<(i64, i64, i64, i64, i64)> = self.load("figures", CountFigures {}).await?;
        let counts = counts.into_iter().next();
        let (vitals_hours, vitals_days, blood_pressure_days, nutrition_days, lab_days) =
            counts.ok_or(StoreError::Internal("the figures cannot be counted"))?;
        Ok(FigureCounts {
            vitals_hours,
            vitals_days,
            blood_pressure_days,
            nutrition_days,
            lab_days,
        })
    }

    /// The first user from this id on with raw rows or figures of one of the kinds.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_user(
        &self,
        kinds: &[Kind],
        from: UserId,
    ) -> Result<Option<UserKinds>, StoreError> {
        let least = self.load("inventory", LeastUsers::new(kinds, from)).await?;
        Ok(LeastUsers::first(&least, kinds))
    }

    /// A user's raw rows and figures of a kind between two dates, both included.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn inventory(
        &self,
        kind: Kind,
        user_id: &UserId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Inventory, StoreError> {
        Ok(Inventory::from_rows(match kind {
            Kind::Vitals => {
                self.load("inventory", OfVitals { user_id: user_id.clone(), from, to }).await?
            }
            Kind::Nutrition => {
                self.load("inventory", OfNutrition { user_id: user_id.clone(), from, to }).await?
            }
            Kind::Labs => {
                self.load("inventory", OfLabs { user_id: user_id.clone(), from, to }).await?
            }
        }))
    }
}

impl Store {
    /// An estimate of the raw rows of a kind that start between two dates, of one user or of all. It
    /// costs next to nothing, and may be far from the real number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn estimate_raw_rows(
        &self,
        kind: Kind,
        user_id: Option<UserId>,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<u64, StoreError> {
        let plans: Vec<(String,)> = match kind {
            Kind::Vitals => self.load("inventory", EstimateVitals { user_id, from, to }).await?,
            Kind::Nutrition => {
                self.load("inventory", EstimateNutrition { user_id, from, to }).await?
            }
            Kind::Labs => self.load("inventory", EstimateLabs { user_id, from, to }).await?,
        };
        let plan = plans.into_iter().next().and_then(|(plan,)| serde_json::from_str(&plan).ok());
        let rows = |plan: serde_json::Value| plan.pointer("/0/Plan/Plan Rows")?.as_u64();
        Ok(plan.and_then(rows).unwrap_or_default())
    }
}

impl VerifySession<'_> {
    /// As [`Store::next_user`], on the session's connection.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_user(
        &mut self,
        kinds: &[Kind],
        from: UserId,
    ) -> Result<Option<UserKinds>, StoreError> {
        self.close().await?;
        let least = self.transaction().read(LeastUsers::new(kinds, from)).await?;
        Ok(LeastUsers::first(&least, kinds))
    }
}

/// The time range of changes that are not in the figures yet.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// The UTC date of their earliest start.
    pub first: NaiveDate,
    /// The UTC date of their latest end.
    pub last: NaiveDate,
    /// Whether they are of sleep, whose sessions may last for days.
    pub is_sleep: bool,
    /// Whether they are dead.
    pub is_dead: bool,
}

statement! {
    struct ReadPending<'a> {
        user_id: UserId => UserKey,
        kind: &'a str => Text,
        sleep: Vec<&'static str> => Array<Text>,
    } -> (Date, Date, Bool, Bool)
    concat!(
        "SELECT DISTINCT (row_starts_at AT TIME ZONE 'UTC')::date, (row_ends_at AT TIME ZONE 'UTC')::date,
                coalesce(metric = ANY ({sleep}::text[]), false), state = 'dead'
         FROM ",
        queued_rows!(),
        " WHERE user_id = {user_id} AND kind = {kind}"
    )
}

impl GroupTransaction<'_> {
    /// The user's changes of this kind that are not in the figures yet, including dead ones.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pending(&mut self) -> Result<Vec<Pending>, StoreError> {
        let read = ReadPending {
            user_id: self.user_id(),
            kind: self.kind().name(),
            sleep: Stage::ALL.map(Stage::metric).to_vec(),
        };
        let rows: Vec<(NaiveDate, NaiveDate, bool, bool)> = self.read(read).await?;
        let pending = |(first, last, is_sleep, is_dead)| Pending { first, last, is_sleep, is_dead };
        Ok(rows.into_iter().map(pending).collect())
    }

    /// As [`Store::inventory`], for the transaction's user and kind, and in its snapshot.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn inventory(
        &mut self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Inventory, StoreError> {
        let (kind, user_id) = (self.kind(), self.user_id());
        Ok(Inventory::from_rows(match kind {
            Kind::Vitals => self.read(OfVitals { user_id, from, to }).await?,
            Kind::Nutrition => self.read(OfNutrition { user_id, from, to }).await?,
            Kind::Labs => self.read(OfLabs { user_id, from, to }).await?,
        }))
    }
}
