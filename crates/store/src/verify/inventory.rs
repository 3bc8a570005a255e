//! Which users and dates there are, from raw rows and from figures, without the queue.

use aggregation::Kind;
use aggregation::sleep::Stage;
use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Bool, Date, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::queue::queued_rows::queued_rows;
use crate::sql::statement::statement;
use crate::transaction::GroupTransaction;
use crate::verify::tables::VerifyTables;

/// The raw rows of a user that start on one date in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawDate {
    /// The date in UTC.
    pub date: NaiveDate,
    /// The last date in UTC on which one of them ends.
    pub last: NaiveDate,
    /// How many there are.
    pub rows: i64,
}

/// What a user has of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Raw rows by date, in order. Rows that no calendar can date are left out.
    pub raw: Vec<RawDate>,
    /// Dates with figures, in order.
    pub stored: Vec<NaiveDate>,
}

/// A user, and the kinds of which that user has raw rows or figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKinds {
    /// The user.
    pub user_id: i64,
    /// The kinds, in the order in which they were asked for.
    pub kinds: Vec<Kind>,
}

statement! {
    /// The least users from this number on who have raw rows, figures or rejected rows of vitals, of nutrition
    /// and of labs, where they are asked for. Each table is asked for one entry of its index; that of rejected
    /// rows for those of any kind, as there may be a million of another one.
    struct LeastUsers { from: i64 => BigInt, kinds: Vec<&'static str> => Array<Text> }
        -> (Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>)
    include_str!("least_users.sql")
}

type LeastColumns = (Option<i64>, Option<i64>, Option<i64>);

impl LeastUsers {
    fn new(kinds: &[Kind], from: i64) -> Self {
        Self { from, kinds: kinds.iter().map(|kind| kind.name()).collect() }
    }

    fn first(rows: &[LeastColumns], asked: &[Kind]) -> Option<UserKinds> {
        let (vitals, nutrition, labs) = *rows.first()?;
        let user_id = [vitals, nutrition, labs].into_iter().flatten().min()?;
        let has = |kind: &&Kind| match kind {
            Kind::Vitals => vitals == Some(user_id),
            Kind::Nutrition => nutrition == Some(user_id),
            Kind::Labs => labs == Some(user_id),
        };
        Some(UserKinds { user_id, kinds: asked.iter().filter(has).copied().collect() })
    }
}

/// Declares the statements of one kind: its raw table with start and end of a row, and its figures.
/// A row of it is a date with raw rows, or one with figures, which has no last date.
macro_rules! of_kind {
    ($name:ident, $estimate:ident, $raw:literal, $start:literal, $end:literal, $figures:literal) => {
        statement! {
            /// What the planner expects, from its statistics: nothing is read.
            struct $estimate {
                user_id: Option<i64> => Nullable<BigInt>,
                from: NaiveDate => Date,
                to: NaiveDate => Date,
            } -> (Text)
            concat!(
                "EXPLAIN (FORMAT JSON)
                 SELECT FROM ", $raw, " AS r
                 WHERE ({user_id}::bigint IS NULL OR user_id = {user_id}::bigint)
                   AND ", $start, " >= {from}::date::timestamp AT TIME ZONE 'UTC'
                   AND ", $start, " < ({to}::date + 1)::timestamp AT TIME ZONE 'UTC'"
            )
        }

        statement! {
            /// The bounds are what the calendar of the figures can date.
            struct $name {
                user_id: i64 => BigInt,
                from: NaiveDate => Date,
                to: NaiveDate => Date,
            } -> (Date, Nullable<Date>, BigInt)
            concat!(
                "WITH asked AS NOT MATERIALIZED (
                     SELECT {user_id}::bigint AS user_id, {from}::date AS first, {to}::date AS last
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

/// A date, the last one on which a raw row of it ends, and how many there are.
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

/// How many rows the daily and hourly tables hold.
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
    /// How many rows of figures there are.
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

    /// The first user from this number on that has raw rows or figures of one of the kinds.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_user(
        &self,
        kinds: &[Kind],
        from: i64,
    ) -> Result<Option<UserKinds>, StoreError> {
        let least = self.load("inventory", LeastUsers::new(kinds, from)).await?;
        Ok(LeastUsers::first(&least, kinds))
    }

    /// What a user has of a kind between two dates, both included.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn inventory(
        &self,
        kind: Kind,
        user_id: i64,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Inventory, StoreError> {
        Ok(Inventory::from_rows(match kind {
            Kind::Vitals => self.load("inventory", OfVitals { user_id, from, to }).await?,
            Kind::Nutrition => self.load("inventory", OfNutrition { user_id, from, to }).await?,
            Kind::Labs => self.load("inventory", OfLabs { user_id, from, to }).await?,
        }))
    }
}

impl Store {
    /// About how many raw rows of a kind start between two dates, of one user or of all. It may be
    /// far from the truth; it costs next to nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn estimate_raw_rows(
        &self,
        kind: Kind,
        user_id: Option<i64>,
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

impl VerifyTables<'_> {
    /// As [`Store::next_user`], on the connection of these tables.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_user(
        &mut self,
        kinds: &[Kind],
        from: i64,
    ) -> Result<Option<UserKinds>, StoreError> {
        self.close().await?;
        let least = self.stored().read(LeastUsers::new(kinds, from)).await?;
        Ok(LeastUsers::first(&least, kinds))
    }
}

/// When changes lie that are not in the figures yet.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// The date in UTC on which they start.
    pub first: NaiveDate,
    /// The date in UTC on which they end.
    pub last: NaiveDate,
    /// Whether they are of sleep, sessions of which may go on for days.
    pub is_sleep: bool,
    /// Whether their attempts are spent, so that nothing is done about them.
    pub is_dead: bool,
}

statement! {
    struct ReadPending<'a> {
        user_id: i64 => BigInt,
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
    /// The user's changes of this kind that are not in the figures yet, dead ones among them.
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

    /// As [`Store::inventory`], of the transaction's user and kind, seen by the transaction.
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
