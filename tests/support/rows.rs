//! Builders of raw rows: user 1, the source `watch`, `app` or `lab`, and one row for each value.

use std::fmt::Write;

use super::Database;

/// A raw row, with its columns as SQL.
#[derive(Clone, Debug)]
pub struct RawRow {
    table: &'static str,
    /// The column of the row's time.
    time: &'static str,
    columns: Vec<(&'static str, String)>,
}

/// A row of `vitals_raw`.
pub fn vital(metric: &str, value: impl Into<f64>, unit: &str) -> RawRow {
    let row = RawRow::new("vitals_raw", "started_at", "watch");
    row.text("metric", metric).sql("value", &format!("{:?}", value.into())).text("unit", unit)
}

/// A heart rate in beats a minute.
pub fn heart_rate(value: impl Into<f64>) -> RawRow {
    vital("heart_rate", value, "bpm")
}

/// A glucose reading in mg/dL.
pub fn glucose(value: impl Into<f64>) -> RawRow {
    vital("blood_glucose", value, "mg/dL")
}

/// A stage of sleep, such as `core`.
pub fn sleep(stage: &str) -> RawRow {
    vital(&format!("sleep_{stage}"), 1, "min")
}

/// A row of `nutrition_raw`.
pub fn meal(food_name: &str, meal_type: &str) -> RawRow {
    let row = RawRow::new("nutrition_raw", "eaten_at", "app");
    row.text("food_name", food_name).text("meal_type", meal_type)
}

/// A final result, a row of `lab_raw`.
pub fn lab(test_name: &str, value_text: &str) -> RawRow {
    let row = RawRow::new("lab_raw", "collected_at", "lab");
    row.text("test_name", test_name).text("value_text", value_text).text("status", "final")
}

impl RawRow {
    fn new(table: &'static str, time: &'static str, source: &str) -> Self {
        let row = Self { table, time, columns: Vec::new() };
        row.sql("user_id", "1").text("source", source)
    }

    /// Its time; a vital also ends then.
    pub fn at(self, at: &str) -> Self {
        let time = self.time;
        let row = self.text(time, at);
        if row.table == "vitals_raw" { row.text("ended_at", at) } else { row }
    }

    /// The interval of a vital.
    pub fn between(self, start: &str, end: &str) -> Self {
        self.at(start).text("ended_at", end)
    }

    /// The user, by the number that the tests' databases accept as an id of each type.
    pub fn user(self, user: i64) -> Self {
        self.sql("user_id", &user.to_string())
    }

    pub fn source(self, source: &str) -> Self {
        self.text("source", source)
    }

    pub fn unit(self, unit: &str) -> Self {
        self.text("unit", unit)
    }

    pub fn zone(self, zone: &str) -> Self {
        self.text("time_zone", zone)
    }

    /// Any column with a number.
    pub fn number(self, column: &'static str, value: impl Into<f64>) -> Self {
        self.sql(column, &format!("{:?}", value.into()))
    }

    /// Any column with a text.
    pub fn text(self, column: &'static str, text: &str) -> Self {
        self.sql(column, &format!("'{}'", text.replace('\'', "''")))
    }

    /// Sets or replaces a column.
    fn sql(mut self, column: &'static str, sql: &str) -> Self {
        self.columns.retain(|(name, _)| *name != column);
        self.columns.push((column, sql.to_owned()));
        self
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("{} ({})", self.table, names.join(", "))
    }

    fn values(&self) -> String {
        let values: Vec<&str> = self.columns.iter().map(|(_, value)| value.as_str()).collect();
        format!("({})", values.join(", "))
    }
}

impl Database {
    /// Inserts raw rows in one transaction: a statement for each run of rows with the same columns.
    pub async fn insert(&self, rows: impl IntoIterator<Item = RawRow>) {
        let mut sql = String::new();
        let mut names = String::new();
        for row in rows {
            if row.names() == names {
                sql.push(',');
            } else {
                names = row.names();
                write!(sql, ";\nINSERT INTO {names} VALUES").unwrap();
            }
            write!(sql, " {}", row.values()).unwrap();
        }
        self.execute(&sql).await;
    }
}
