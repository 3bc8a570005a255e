//! Raw nutrition rows and their daily figures.

use aggregation::UserId;
use std::sync::LazyLock;

use aggregation::local_time::anywhere_on_earth;
use aggregation::nutrition::{ALGORITHM_VERSION, MealType, NUTRIENTS, NutritionDay, RawMeal};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Date, Double, Integer, Nullable, Text, Timestamptz};

use crate::changes::record::changed_dates;
use crate::error::StoreError;
use crate::kinds::day_end::future_count;
use crate::sql::figure_table::FigureTable;
use crate::sql::raw_text::{RawText, short_name, short_text};
use crate::sql::statement::statement;
use crate::sql::time::{RawTime, to_postgres};
use crate::sql::user_key::UserKey;
use crate::transaction::{GroupTransaction, MOST_AT_ONCE, ReadMode};

type MealColumns = (i64, RawText, RawText, RawTime, Option<RawText>, RawText, Vec<Option<f64>>);

static COLUMNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        concat!(
            "id::bigint, ",
            short_text!("food_name"),
            ", ",
            short_name!("meal_type"),
            ", eaten_at, ",
            short_name!("time_zone"),
            ", ",
            short_name!("source"),
            ", ARRAY[{}]::float8[]"
        ),
        NUTRIENTS.join(", ")
    )
});

static READ_MEALS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM nutrition_raw
         WHERE user_id = {{user_id}} AND eaten_at >= {{from}} AND eaten_at < {{to}}
         LIMIT {{most}}",
        *COLUMNS
    )
});

static READ_MEALS_BY_ID: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM nutrition_raw WHERE user_id = {{user_id}} AND id = ANY ({{ids}})",
        *COLUMNS
    )
});

/// The columns of a day whose values form one array, in the array's order.
fn number_columns() -> Vec<String> {
    let mut columns: Vec<String> = NUTRIENTS.iter().map(ToString::to_string).collect();
    columns.extend(MealType::ALL.map(|meal| format!("{}_energy_kcal", meal.name())));
    for part in ["kcal", "percent"] {
        let of = |name: &str| format!("{name}_{part}");
        columns.extend(["carbohydrate", "protein", "fat", "alcohol"].map(of));
    }
    columns
}

/// The columns with the number of items of each meal type.
fn count_columns() -> Vec<String> {
    MealType::ALL.map(|meal| format!("{}_count", meal.name())).to_vec()
}

/// The dates that a write of [`TABLE`] changes.
static UPSERTED: LazyLock<String> = LazyLock::new(|| {
    let columns = [count_columns(), number_columns()].concat();
    let of_day = OF_DAY.into_iter().filter(|column| !INPUTS.contains(column));
    let figures: Vec<&str> = of_day.chain(columns.iter().map(String::as_str)).collect();
    changed_dates("nutrition", "nutrition_daily", &[], &figures)
});

/// The columns of a day beside its key and its numbers.
const OF_DAY: [&str; 9] = [
    "item_count",
    "rejected_count",
    "first_eaten_at",
    "last_eaten_at",
    "time_zone",
    "day_start",
    "day_end",
    "context_fingerprint",
    "algorithm_version",
];

/// Those of them that are no figures.
const INPUTS: [&str; 2] = ["context_fingerprint", "algorithm_version"];

static TABLE: LazyLock<FigureTable> = LazyLock::new(|| {
    let of_day = OF_DAY.into_iter().chain(["is_partial", "future_count"]).map(str::to_owned);
    let columns: Vec<String> = of_day.chain(count_columns()).chain(number_columns()).collect();
    FigureTable::new("nutrition_daily", &["local_date"], None, &columns)
});

static ROW: LazyLock<String> = LazyLock::new(|| {
    let element = |array: &str, count: usize| {
        (1..=count).map(|index| format!("d.{array}[{index}]")).collect::<Vec<_>>().join(", ")
    };
    format!(
        "SELECT d.user_id, d.local_date, d.{}, d.day_end > now(), {}, {}, {}
         FROM (VALUES ({{user_id}}, {{date}}::date, {{item_count}}::integer,
                       {{rejected_count}}::integer, {{first_eaten_at}}::timestamptz,
                       {{last_eaten_at}}::timestamptz, {{time_zone}}::text,
                       {{day_start}}::timestamptz, {{day_end}}::timestamptz,
                       {{context_fingerprint}}::bigint, {{algorithm_version}}::integer,
                       {{meal_counts}}::integer[],
                       {{numbers}}::float8[]))
              AS d (user_id, local_date, {}, meal_counts, numbers)",
        OF_DAY.join(", d."),
        future_count!("d.", "d.item_count"),
        element("meal_counts", count_columns().len()),
        element("numbers", number_columns().len()),
        OF_DAY.join(", "),
    )
});

statement! {
    struct ReadMeals {
        user_id: UserId => UserKey,
        from: PgTimestamp => Timestamptz,
        to: PgTimestamp => Timestamptz,
        most: Option<i64> => Nullable<BigInt>,
    } -> (BigInt, Text, Text, Timestamptz, Nullable<Text>, Text, Array<Nullable<Double>>)
    built &READ_MEALS
}

statement! {
    struct ReadMealsById {
        user_id: UserId => UserKey,
        ids: Vec<i64> => Array<BigInt>,
    } -> (BigInt, Text, Text, Timestamptz, Nullable<Text>, Text, Array<Nullable<Double>>)
    built &READ_MEALS_BY_ID
}

statement! {
    struct DayRow {
        user_id: UserId => UserKey,
        date: NaiveDate => Date,
        item_count: i32 => Integer,
        rejected_count: i32 => Integer,
        first_eaten_at: Option<PgTimestamp> => Nullable<Timestamptz>,
        last_eaten_at: Option<PgTimestamp> => Nullable<Timestamptz>,
        time_zone: String => Text,
        day_start: PgTimestamp => Timestamptz,
        day_end: PgTimestamp => Timestamptz,
        context_fingerprint: i64 => BigInt,
        algorithm_version: i32 => Integer,
        meal_counts: Vec<i32> => Array<Integer>,
        numbers: Vec<Option<f64>> => Array<Nullable<Double>>,
    } -> ()
    built &ROW
}

statement! {
    struct DeleteDay {
        user_id: UserId => UserKey,
        date: NaiveDate => Date,
    } -> ()
    "DELETE FROM nutrition_daily WHERE user_id = {user_id} AND local_date = {date}
     RETURNING local_date"
}

/// The table of its days.
pub(crate) fn table() -> &'static FigureTable {
    &TABLE
}

impl GroupTransaction<'_> {
    /// Visits every row that can belong to a date in any zone, and says whether it did: there may be too many to be
    /// read in this way. They are in no order, and few of them in memory, as an app may send any number of them.
    ///
    /// # Errors
    /// If the database fails, or the visitor does.
    pub async fn visit_meals(
        &mut self,
        date: NaiveDate,
        reading: ReadMode,
        mut visit: impl FnMut(RawMeal) -> Result<(), StoreError> + Send,
    ) -> Result<bool, StoreError> {
        let (from, to) = anywhere_on_earth(date);
        let read = ReadMeals {
            user_id: self.user_id(),
            from: to_postgres(from),
            to: to_postgres(to),
            most: reading.limit(MOST_AT_ONCE),
        };
        self.visit_rows((reading, MOST_AT_ONCE), "meals", read, |columns| visit(meal(columns)?))
            .await
    }

    /// Reads single raw rows by id. Deleted rows are absent from the result.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read_meals_by_id(&mut self, ids: Vec<i64>) -> Result<Vec<RawMeal>, StoreError> {
        let read = ReadMealsById { user_id: self.user_id(), ids };
        self.read(read).await?.into_iter().map(meal).collect()
    }

    /// Writes the figures of a date, or deletes them if the date has no rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_nutrition(
        &mut self,
        date: NaiveDate,
        day: Option<&NutritionDay>,
        context_fingerprint: i64,
    ) -> Result<(), StoreError> {
        let user_id = self.user_id();
        let Some(day) = day else {
            let delete = DeleteDay { user_id, date };
            self.write_figures("gone_nutrition", delete, "SELECT local_date FROM gone_nutrition");
            return Ok(());
        };
        let row = DayRow {
            user_id,
            date,
            item_count: day.item_count,
            rejected_count: day.rejected_count,
            first_eaten_at: day.first_eaten_at.map(to_postgres),
            last_eaten_at: day.last_eaten_at.map(to_postgres),
            time_zone: day.time_zone.clone(),
            day_start: to_postgres(day.day_start),
            day_end: to_postgres(day.day_end),
            context_fingerprint,
            algorithm_version: ALGORITHM_VERSION,
            meal_counts: day.meals.iter().map(|meal| meal.item_count).collect(),
            numbers: numbers(day),
        };
        self.write_rows("nutrition", (&TABLE, row), &UPSERTED);
        Ok(())
    }
}

/// The values of [`number_columns`].
fn numbers(day: &NutritionDay) -> Vec<Option<f64>> {
    let mut numbers = day.totals.to_vec();
    numbers.extend(day.meals.iter().map(|meal| meal.energy_kcal));
    let macros = &day.macros;
    numbers.extend([
        macros.carbohydrate_kcal,
        macros.protein_kcal,
        macros.fat_kcal,
        macros.alcohol_kcal,
        macros.carbohydrate_percent,
        macros.protein_percent,
        macros.fat_percent,
        macros.alcohol_percent,
    ]);
    numbers
}

fn meal(columns: MealColumns) -> Result<RawMeal, StoreError> {
    let (id, food_name, meal_type, eaten_at, time_zone, source, nutrients) = columns;
    Ok(RawMeal {
        id,
        food_name: food_name.into(),
        meal_type: meal_type.into(),
        eaten_at: eaten_at.0,
        time_zone: time_zone.map(String::from),
        source: source.into_source(),
        nutrients: nutrients
            .try_into()
            .map_err(|_| StoreError::Internal("a raw meal with missing nutrients"))?,
    })
}
