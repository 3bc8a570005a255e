//! Worked examples: the figures in the tables after the program processed a few rows.

mod blood_pressure;
mod clocks;
mod ended_days;
mod glucose;
mod hours;
mod lab_deltas;
mod lab_units;
mod labs;
mod nasty;
mod nutrition;
mod period_views;
mod periods;
mod profiles;
mod rejected;
mod removal;
mod several_days;
mod silence;
mod sleep;
mod sources;
mod units;
mod vitals;
mod workouts;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::support::tables::difference;
use crate::support::{Database, user_ids};

/// A sample or an interval: metric, value, source, start, end.
type Vital<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

/// A database with user 1, who lives in a zone and prefers the first of these sources.
async fn user_in(zone: &str, sources: &str) -> Database {
    let db = Database::new().await;
    db.execute(&format!("INSERT INTO user_profiles VALUES (1, '{zone}', '{{{sources}}}')")).await;
    db
}

/// Inserts vitals of user 1, one after another, in the usual unit of their metric.
async fn insert(db: &Database, vitals: &[Vital<'_>]) {
    for (metric, value, source, start, end) in vitals {
        let unit = match *metric {
            "steps" => "count",
            "heart_rate" | "resting_heart_rate" => "bpm",
            "blood_glucose" => "mg/dL",
            "blood_pressure_systolic" | "blood_pressure_diastolic" => "mmHg",
            other => panic!("no usual unit of {other}"),
        };
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             VALUES (1, '{metric}', '{value}', '{unit}', '{source}', '{start}', '{end}')"
        ))
        .await;
    }
}

/// One column of user 1's only day of this metric.
async fn of_only_day<T: for<'a> FromSql<'a>>(db: &Database, column: &str, metric: &str) -> T {
    let days =
        format!("SELECT {column} FROM vitals_daily WHERE user_id = 1 AND metric = '{metric}'");
    db.value(&days).await
}

/// The totals of user 1's days of this metric, as `date total` in order.
async fn totals(db: &Database, metric: &str) -> Vec<String> {
    lines(
        db,
        &format!(
            "SELECT local_date || ' ' || total FROM vitals_daily
             WHERE user_id = 1 AND metric = '{metric}' ORDER BY local_date"
        ),
    )
    .await
}

/// The only column of a query, of text, in its order; NULL is written so.
async fn lines(db: &Database, sql: &str) -> Vec<String> {
    let rows = db.query(sql, &[]).await;
    let text = |row: &Row| row.get::<_, Option<String>>(0).unwrap_or("NULL".to_owned());
    rows.iter().map(|row| user_ids::in_numbers(&text(row))).collect()
}

/// Every rejected row as `kind id reason`, in order.
async fn rejected(db: &Database) -> Vec<String> {
    lines(
        db,
        "SELECT concat_ws(' ', kind, raw_id, reason) FROM rejected_rows ORDER BY kind, raw_id",
    )
    .await
}

/// Nothing else than what a computation from scratch makes of the same rows and profile, and
/// `verify` agrees.
async fn assert_as_from_scratch(db: &Database) {
    let scratch = profiles::from_scratch(db).await;
    let (lived, anew) = (db.figures_as_text().await, scratch.figures_as_text().await);
    assert_eq!(difference(&lived, &anew), None);
    assert_eq!(db.run(&["verify"]).code, 0);
}
