//! A user's day: the verdict on each raw row, and its reason.

use serde_json::Value;

use super::client::Visitor;
use super::{VIEWER, served};
use crate::service::http::free_port;
use crate::support::Database;
use crate::support::outside::assert_says;
use crate::support::rows::heart_rate;
use crate::support::running::eventually;

const QUEUED: &str = "SELECT count(*) FROM aggregation_queue";

/// The rows of a day by their ids.
fn row(day: &Value, table: &str, id: i64) -> Value {
    let rows = day["rows"].as_array().unwrap();
    let found = rows.iter().find(|row| row["id"] == id && row["table"] == table);
    found.unwrap_or_else(|| panic!("no row {id} of {table} in {day:#}")).clone()
}

fn verdict(day: &Value, table: &str, id: i64) -> String {
    row(day, table, id)["verdict"].as_str().unwrap().to_owned()
}

fn figure<'d>(day: &'d Value, name: &str, figure: &str) -> &'d Value {
    let figures = day["figures"].as_array().unwrap();
    let found = figures.iter().find(|of| of["name"] == name && of["figure"] == figure);
    found.unwrap_or_else(|| panic!("no {figure} of {name} in {day:#}"))
}

#[tokio::test]
async fn a_workout_shows_its_type_and_the_date_on_which_it_counts() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'UTC');
         INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at, ended_at, workout_type)
         OVERRIDING SYSTEM VALUE VALUES
             (101, 1, 'workouts', 1, 'count', 'watch', '2024-05-01 23:50Z', '2024-05-02 00:30Z', 'Outdoor Run'),
             (102, 1, 'workouts', 1, 'count', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:30Z', NULL)",
    )
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, QUEUED, 0).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    let [first, second] = ["2024-05-01", "2024-05-02"]
        .map(|date| visitor.get(&format!("/api/users/1/days/{date}")).json());
    assert_eq!(verdict(&first, "vitals_daily", 101), "other date");
    assert_eq!(verdict(&first, "vitals_daily", 102), "counts");
    assert_eq!(verdict(&second, "vitals_daily", 101), "counts");
    assert_eq!(row(&second, "vitals_daily", 101)["name"], "workouts (Outdoor Run)");
    for (day, expected) in [(&first, "unknown 1"), (&second, "running 1")] {
        let types = figure(day, "workouts", "by type of workout");
        assert_eq!((&types["stored"], &types["agree"]), (&expected.into(), &true.into()));
    }
    service.stops();
}

#[tokio::test]
async fn each_step_is_counted_cut_outranked_replaced_or_rejected_and_the_sum_is_the_figure() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO user_profiles (user_id, time_zone, source_priority) VALUES (1, 'UTC', '{phone,watch}');
         INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at, ended_at, is_daily_total)
         OVERRIDING SYSTEM VALUE VALUES
             (101, 1, 'steps', 600, '{steps}', 'watch', '2024-05-01 10:00Z', '2024-05-01 11:00Z', false),
             (102, 1, 'steps', 900, '{steps}', 'phone', '2024-05-01 10:30Z', '2024-05-01 11:30Z', false),
             (103, 1, 'steps', 50, '{steps}', 'watch', '2024-05-01 11:00Z', '2024-05-01 11:20Z', false),
             (104, 1, 'steps', 100, '{steps}', 'phone', '2024-04-30 23:30Z', '2024-05-01 00:30Z', false),
             (105, 1, 'steps', 30, '{steps}', 'ring', '2024-05-01 20:00Z', '2024-05-01 20:10Z', false),
             (106, 1, 'steps', 40, '{steps}', 'ring', '2024-05-01 20:00Z', '2024-05-01 20:10Z', false),
             (107, 1, 'steps', 1, 'parsec', 'ring', '2024-05-01 21:00Z', '2024-05-01 21:10Z', false),
             (108, 1, 'steps', 70, '{steps}', 'zband', '2024-05-01 22:00Z', '2024-05-01 22:10Z', false),
             (109, 1, 'steps', 80, '{steps}', 'zband', '2024-05-01 00:00Z', '2024-05-01 00:00Z', true),
             (110, 1, 'steps', 5, '{steps}', 'ring', '2024-05-02 10:00Z', '2024-05-02 10:10Z', false)",
    )
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, QUEUED, 0).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    let day = visitor.get("/api/users/1/days/2024-05-01").json();
    for (id, expected) in [
        (101, "counts in part"),
        (103, "lower priority"),
        (104, "cut at midnight"),
        (105, "duplicate"),
        (106, "counts"),
        (107, "rejected"),
        (108, "replaced"),
    ] {
        assert_eq!(verdict(&day, "vitals_daily", id), expected, "{id}: {day:#}");
    }
    let part = |id| row(&day, "vitals_daily", id)["part"].as_f64().unwrap();
    assert_eq!(
        (part(101), part(102), part(103), part(104), part(106)),
        (300.0, 900.0, 0.0, 50.0, 40.0)
    );
    assert_says(row(&day, "vitals_daily", 101)["why"].as_str().unwrap(), &["row 102 of phone"]);
    assert_says(row(&day, "vitals_daily", 105)["why"].as_str().unwrap(), &["row 106"]);
    assert_says(row(&day, "vitals_daily", 107)["why"].as_str().unwrap(), &["unknown_unit"]);
    assert_says(row(&day, "vitals_daily", 108)["why"].as_str().unwrap(), &["row 109"]);
    assert!(!day["rows"].as_array().unwrap().iter().any(|row| row["id"] == 110), "of another date");

    // The parts of the rows are the total, and the total is what is stored.
    let parts: f64 =
        day["rows"].as_array().unwrap().iter().filter_map(|row| row["part"].as_f64()).sum();
    let stored: f64 = db
        .value("SELECT total FROM vitals_daily WHERE user_id = 1 AND local_date = '2024-05-01' AND metric = 'steps'")
        .await;
    assert!((parts - stored).abs() < 1e-9, "{parts} {stored}");
    let total = figure(&day, "steps", "total");
    assert_eq!((&total["agree"], &total["stored"]), (&true.into(), &total["computed"]));

    // A figure that is not that of the raw rows shows as one.
    db.execute("UPDATE vitals_daily SET total = total + 1 WHERE metric = 'steps'").await;
    let day = visitor.get("/api/users/1/days/2024-05-01").json();
    let total = figure(&day, "steps", "total");
    assert_eq!(total["agree"], false);
    assert_ne!(total["stored"], total["computed"]);
    assert_says(
        &visitor.get("/users/1/days/2024-05-01").body,
        &["The raw rows give other figures now", "differs"],
    );
    service.stops();
}

#[tokio::test]
async fn nights_meals_results_and_pressures_say_what_became_of_their_rows() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO user_profiles (user_id, time_zone, source_priority) VALUES (1, 'UTC', '{watch}');
         INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at, ended_at)
         OVERRIDING SYSTEM VALUE VALUES
             (1, 1, 'sleep_core', 0, '', 'watch', '2024-04-30 23:00Z', '2024-05-01 03:00Z'),
             (2, 1, 'sleep_deep', 0, '', 'watch', '2024-05-01 03:00Z', '2024-05-01 06:00Z'),
             (3, 1, 'sleep_asleep', 0, '', 'phone', '2024-04-30 23:10Z', '2024-05-01 05:50Z'),
             (4, 1, 'sleep_core', 0, '', 'watch', '2024-04-30 20:00Z', '2024-05-04 20:00Z'),
             (5, 1, 'blood_pressure_systolic', 120, 'mmHg', 'cuff', '2024-05-01 08:00:00Z', '2024-05-01 08:00:00Z'),
             (6, 1, 'blood_pressure_diastolic', 80, 'mmHg', 'cuff', '2024-05-01 08:00:01Z', '2024-05-01 08:00:01Z'),
             (7, 1, 'blood_pressure_systolic', 130, 'mmHg', 'cuff', '2024-05-01 09:00:00Z', '2024-05-01 09:00:00Z'),
             (8, 1, 'blood_glucose', 100, 'mg/dL', 'cgm', '2024-05-01 08:00Z', '2024-05-01 08:00Z'),
             (9, 1, 'blood_glucose', 40, 'mg/dL', 'cgm', '2024-05-01 08:05Z', '2024-05-01 08:05Z'),
             (10, 1, 'no_such_metric', 1, 'bpm', 'cgm', '2024-05-01 08:05Z', '2024-05-01 08:05Z');
         UPDATE vitals_raw SET comparator = '<' WHERE id = 9;
         INSERT INTO nutrition_raw (id, user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         OVERRIDING SYSTEM VALUE VALUES
             (1, 1, 'soup', 'lunch', '2024-05-01 12:00Z', 'app', 300),
             (2, 1, 'lead', 'lunch', '2024-05-01 12:00Z', 'app', 1e12),
             (3, 1, 'tea', 'lunch', '2024-05-02 12:00Z', 'app', 3);
         INSERT INTO lab_raw (id, user_id, test_name, value_text, unit, status, collected_at, source)
         OVERRIDING SYSTEM VALUE VALUES
             (1, 1, 'ferritin', '30', 'ug/L', 'final', '2024-05-01 08:00Z', 'lab'),
             (2, 1, 'ferritin', '31', 'ug/L', 'corrected', '2024-05-01 08:00Z', 'lab'),
             (3, 1, 'ferritin', '32', 'ug/L', 'preliminary', '2024-05-01 09:00Z', 'lab'),
             (4, 1, 'ferritin', '33', 'ug/L', 'lost', '2024-05-01 09:00Z', 'lab'),
             (5, 1, 'sodium', '140', 'mmol/L', 'final', '2024-05-01 08:00Z', 'lab'),
             (6, 1, 'sodium', '140', 'mmol/L', 'final', '2024-05-01 08:00Z', 'lab')",
    )
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, QUEUED, 0).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    let day = visitor.get("/api/users/1/days/2024-05-01").json();
    for (table, id, expected) in [
        ("sleep_daily", 1, "counts"),
        ("sleep_daily", 2, "counts"),
        ("sleep_daily", 3, "lower priority"),
        ("blood_pressure_daily", 5, "pair"),
        ("blood_pressure_daily", 6, "pair"),
        ("blood_pressure_daily", 7, "no partner"),
        ("vitals_daily", 8, "counts"),
        ("vitals_daily", 9, "counts in ranges"),
        ("glucose_daily", 9, "counts in ranges"),
        ("rejected_rows", 10, "rejected"),
        ("nutrition_daily", 1, "counts"),
        ("nutrition_daily", 2, "rejected"),
        ("lab_daily", 1, "superseded"),
        ("lab_daily", 2, "counts"),
        ("lab_daily", 3, "status"),
        ("lab_daily", 4, "rejected"),
        ("lab_daily", 5, "duplicate"),
        ("lab_daily", 6, "counts"),
    ] {
        assert_eq!(verdict(&day, table, id), expected, "{table} {id}: {day:#}");
    }
    let others: Vec<_> =
        day["figures"].as_array().unwrap().iter().filter(|of| of["agree"] != true).collect();
    assert!(others.is_empty(), "stored and computed differ: {others:#?}");
    assert_eq!(figure(&day, "nutrition", "energy_kcal")["stored"], "300");
    assert_says(row(&day, "sleep_daily", 3)["why"].as_str().unwrap(), &["watch"]);

    // The views are in the log, and no value, food or test is.
    service.logs("user_day_viewed").await;
    let viewed = &service.events("user_day_viewed")[0];
    assert_eq!((&viewed["user_id"], &viewed["date"]), (&1.into(), &"2024-05-01".into()));
    assert_eq!(viewed["actor"], "viewer from 127.0.0.1");
    let log = service.stops().stderr;
    for secret in ["soup", "ferritin", "140", "no_such_metric"] {
        assert!(!log.contains(&format!("\"{secret}")), "{secret} is in the log");
    }
}

#[tokio::test]
async fn rows_that_wait_show_and_a_day_without_anything_says_so() {
    let db = Database::new().await;
    assert_eq!(db.run(&["pause", "vitals"]).code, 0);
    db.insert([heart_rate(60).at("2024-05-01 10:00Z")]).await;
    let port = free_port();
    let service = served(&db, &port).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    let day = visitor.get("/users/1/days/2024-05-01").body;
    assert_says(
        &day,
        &["1 changed raw row waits", "nothing is stored", "The raw rows give other figures now"],
    );
    let empty = visitor.get("/users/2/days/2024-05-01").body;
    assert_says(&empty, &["neither figures nor raw rows", "the user has no profile"]);
    service.stops();
}

#[tokio::test]
async fn a_day_whose_figures_are_frozen_says_so_and_its_differences_are_no_faults() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60 + n, 'bpm', 'watch', at, at
         FROM generate_series(0, 1) AS n, LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '1 hour' AS at) AS t",
    )
    .await;
    db.run_once();
    assert_eq!(db.run(&["freeze", "--before", "2024-05-03"]).code, 0);
    db.execute("DELETE FROM vitals_raw WHERE value = 60").await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, QUEUED, 0).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    let day = visitor.get("/api/users/1/days/2024-05-01").json();
    assert_eq!(day["is_frozen"], true);
    assert_eq!(figure(&day, "heart_rate", "samples")["stored"], "2");
    let page = visitor.get("/users/1/days/2024-05-01").body;
    assert_says(
        &page,
        &["The figures of this date are frozen", "the raw rows that are left give other figures"],
    );
    assert!(!page.contains(">differs<"), "{page}");
    assert_eq!(visitor.get("/api/users/1/days/2024-05-03").json()["is_frozen"], false);
    service.stops();
}
