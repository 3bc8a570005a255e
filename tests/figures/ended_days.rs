//! Columns of daily rows that depend on the clock: `is_partial` and `future_count`.

use super::lines;
use crate::support::Database;
use crate::support::outside::assert_says;
use crate::support::running::{Running, eventually};
use crate::support::tables::difference;

const TABLES: [&str; 6] = [
    "vitals_daily",
    "sleep_daily",
    "blood_pressure_daily",
    "glucose_daily",
    "nutrition_daily",
    "lab_daily",
];

/// Tables with a `future_count`, and what it is after [`insert_all_kinds`].
const COUNTED: [(&str, i64); 4] =
    [("vitals_daily", 5), ("sleep_daily", 1), ("nutrition_daily", 1), ("lab_daily", 1)];

/// A row of each kind of this user at this time, an SQL expression; two of heart rate.
async fn insert_all_kinds(db: &Database, user: i64, at: &str) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT {user}, metric, value, unit, 'watch', at - length, at
         FROM (SELECT {at}) AS asked (at),
              (VALUES ('heart_rate', 60, 'bpm', interval '0'), ('heart_rate', 70, 'bpm', '0'),
                      ('blood_pressure_systolic', 120, 'mmHg', '0'),
                      ('blood_pressure_diastolic', 80, 'mmHg', '0'),
                      ('blood_glucose', 100, 'mg/dL', '0'), ('sleep_asleep', 60, 'min', '1 hour'))
                  AS v (metric, value, unit, length);
         UPDATE vitals_raw SET started_at = started_at - interval '1 second', ended_at = ended_at - interval '1 second'
         WHERE user_id = {user} AND value = 70;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source)
         VALUES ({user}, 'rice', 'dinner', {at}, 'app');
         INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
         VALUES ({user}, 'iron', '5', 'final', {at}, 'lab')"
    ))
    .await;
}

const YESTERDAY: &str = "date_trunc('day', now(), 'UTC') - interval '12 hours'";
const IN_THREE_DAYS: &str = "date_trunc('day', now(), 'UTC') + interval '84 hours'";

/// Puts rows into the state in which a worker left them that computed them an hour before the end of
/// their day.
async fn computed_before_the_end(db: &Database) {
    for table in TABLES {
        let sql = format!(
            "UPDATE {table} SET is_partial = true, computed_at = day_end - interval '1 hour'"
        );
        db.execute(&sql).await;
    }
}

async fn partial_rows(db: &Database) -> i64 {
    let counts = TABLES.map(|table| format!("SELECT FROM {table} WHERE is_partial"));
    db.value(&format!("SELECT count(*) FROM ({}) AS partial", counts.join(" UNION ALL "))).await
}

fn finds_no_difference(db: &Database) {
    let ran = db.run(&["verify"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test]
async fn a_day_that_has_ended_is_no_longer_partial_though_none_of_its_rows_changes() {
    let db = Database::new().await;
    insert_all_kinds(&db, 1, YESTERDAY).await;
    insert_all_kinds(&db, 2, "now()").await;
    db.run_once();
    db.execute("DELETE FROM aggregation_queue").await;
    computed_before_the_end(&db).await;
    finds_no_difference(&db);
    let before = db.figures_as_text().await;
    let moments = "SELECT DISTINCT computed_at::text FROM vitals_daily ORDER BY 1";
    let computed = lines(&db, moments).await;

    let ran = db.run(&["run-once"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let [event] = ran.events("days_ended").try_into().unwrap();
    assert_eq!(event["rows"], 4 + 1 + 1 + 1 + 1 + 1);

    for table in TABLES {
        let partial =
            format!("SELECT DISTINCT concat(user_id, ' ', is_partial) FROM {table} ORDER BY 1");
        assert_eq!(lines(&db, &partial).await, ["1 f", "2 t"], "{table}");
    }
    assert_eq!(difference(&before, &db.figures_as_text().await), None, "figures are untouched");
    assert_eq!(
        lines(&db, moments).await,
        computed,
        "they are of the time at which they were computed"
    );
    finds_no_difference(&db);
    assert!(db.run(&["run-once"]).events("days_ended").is_empty(), "there is nothing more to mark");
}

#[tokio::test]
async fn the_service_marks_days_that_have_ended() {
    let db = Database::new().await;
    insert_all_kinds(&db, 1, YESTERDAY).await;
    db.run_once();
    computed_before_the_end(&db).await;
    let service = Running::of(&db);
    for table in TABLES {
        eventually(&db, &format!("SELECT count(*) FROM {table} WHERE is_partial"), 0).await;
    }
    service.logs("days_ended").await;
    service.stops();
}

#[tokio::test]
async fn thousands_of_days_that_end_at_once_are_all_marked() {
    let db = Database::new().await;
    insert_all_kinds(&db, 1, YESTERDAY).await;
    db.run_once();
    db.execute(
        "INSERT INTO vitals_daily
         SELECT (jsonb_populate_record(NULL::vitals_daily, to_jsonb(d) || jsonb_build_object('user_id', n::user_key, 'is_partial', true))).*
         FROM (SELECT * FROM vitals_daily LIMIT 1) AS d, generate_series(2, 2501) AS n",
    )
    .await;
    let ran = db.run(&["run-once"]);
    assert_eq!(ran.events("days_ended")[0]["rows"], 2_500);
    assert_eq!(partial_rows(&db).await, 0);
}

#[tokio::test]
async fn a_row_that_a_group_is_writing_is_left_to_it_and_marked_the_next_time() {
    let db = Database::new().await;
    for user in 1..=2 {
        insert_all_kinds(&db, user, YESTERDAY).await;
    }
    db.run_once();
    computed_before_the_end(&db).await;
    let group = db.connect().await;
    let write =
        "BEGIN; UPDATE vitals_daily SET mean = 99 WHERE user_id = 1 AND metric = 'heart_rate'";
    group.batch_execute(write).await.unwrap();

    let ran = db.run(&["run-once"]);
    assert_eq!(ran.code, 0, "it does not wait for the group: {ran:?}");
    let left = "SELECT concat_ws(' ', user_id, metric) FROM vitals_daily WHERE is_partial";
    assert_eq!(lines(&db, left).await, ["1 heart_rate"]);

    group.batch_execute("COMMIT").await.unwrap();
    db.run_once();
    let row = "SELECT concat_ws(' ', is_partial, mean) FROM vitals_daily
               WHERE user_id = 1 AND metric = 'heart_rate'";
    assert_eq!(lines(&db, row).await, ["f 99"]);
}

#[tokio::test]
async fn a_day_that_has_not_ended_and_is_not_called_partial_is_a_difference() {
    let db = Database::new().await;
    insert_all_kinds(&db, 1, "now() + interval '1 minute'").await;
    db.run_once();
    finds_no_difference(&db);
    for table in TABLES {
        db.execute(&format!("UPDATE {table} SET is_partial = false")).await;
        let ran = db.run(&["verify", "--repair"]);
        assert_eq!(ran.code, 0, "{table}: {ran:?}");
        let wrong: i64 =
            db.value(&format!("SELECT count(*) FROM {table} WHERE NOT is_partial")).await;
        assert_eq!(wrong, 0, "{table}");
    }
}

#[tokio::test]
async fn rows_dated_in_the_future_count_in_the_figures_and_are_told() {
    let db = Database::new().await;
    insert_all_kinds(&db, 1, YESTERDAY).await;
    insert_all_kinds(&db, 2, "now()").await;
    db.run_once();
    assert!(!db.run(&["status"]).stdout.contains("future"));
    assert_eq!(db.run(&["status", "--json"]).json()["future"]["rows"], 0);

    insert_all_kinds(&db, 1, IN_THREE_DAYS).await;
    insert_all_kinds(&db, 3, IN_THREE_DAYS).await;
    db.run_once();

    for (table, rows) in COUNTED {
        let counts = format!(
            "SELECT concat_ws(' ', user_id, sum(future_count)) FROM {table} GROUP BY user_id ORDER BY user_id"
        );
        let future = [format!("1 {rows}"), "2 0".to_owned(), format!("3 {rows}")];
        assert_eq!(lines(&db, &counts).await, future, "{table}");
    }
    let mean: f64 =
        db.value("SELECT mean FROM vitals_daily WHERE user_id = 3 AND metric = 'heart_rate'").await;
    assert_eq!(mean, 65.0);
    let status = db.run(&["status"]);
    assert_says(&status.stdout, &["16 rows are dated more than a day in the future, of 2 users"]);
    let future = &db.run(&["status", "--json"]).json()["future"];
    assert_eq!((&future["rows"], &future["users"]), (&16.into(), &2.into()));
    let date: String =
        db.value(&format!("SELECT (({IN_THREE_DAYS}) AT TIME ZONE 'UTC')::date::text")).await;
    let dates = ["--from", &date, "--to", &date];
    let page = db.run(&[&["report", "--user", "3", "--html", "-"], dates.as_slice()].concat());
    assert_says(&page.stdout, &["Rows dated in the future", "8 rows of these days"]);
    finds_no_difference(&db);
}

#[tokio::test]
async fn a_date_of_the_future_that_has_passed_is_none_any_more() {
    let db = Database::new().await;
    insert_all_kinds(&db, 1, YESTERDAY).await;
    db.run_once();
    // As a worker left them that computed them two days before the day began.
    computed_before_the_end(&db).await;
    for (table, _) in COUNTED {
        let rows = match table {
            "vitals_daily" => "sample_count + censored_count",
            "sleep_daily" => "segment_count",
            "nutrition_daily" => "item_count",
            _ => "result_count",
        };
        let sql = format!(
            "UPDATE {table} SET future_count = {rows}, computed_at = day_start - interval '2 days'"
        );
        db.execute(&sql).await;
    }
    finds_no_difference(&db);
    db.run_once();
    for (table, _) in COUNTED {
        let left: i64 =
            db.value(&format!("SELECT count(*) FROM {table} WHERE future_count > 0")).await;
        assert_eq!(left, 0, "{table}");
    }
    finds_no_difference(&db);
}
