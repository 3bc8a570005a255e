//! Rows that the server dated in the future while its clock was ahead.

use crate::support::Database;
use crate::support::outside::assert_says;
use crate::support::running::{Running, eventually};

/// Each row in a change set of its own.
const ROWS: &str = "
    INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'Europe/Berlin');
    DO $$ BEGIN FOR i IN 0..9 LOOP
        INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
        SELECT 1, 'heart_rate', 60 + i, 'bpm', 'Watch', at, at
        FROM (SELECT timestamptz '2024-03-05 08:00Z' + i * interval '1 min' AS at) AS t;
    END LOOP; END $$";

/// Triggers and a claim write rows while the clock is 400 days ahead. Then the clock is set right.
const AHEAD: &str = "
    UPDATE aggregation_queue
    SET queued_at = now() + interval '400 days', not_before = now() + interval '400 days'
    WHERE starts_at < '2024-03-05 08:05Z';
    UPDATE aggregation_queue
    SET state = 'processing', lease_token = 1,
        lease_expires_at = now() + interval '400 days', not_before = now() + interval '400 days',
        queued_at = now() + interval '400 days'
    WHERE starts_at >= '2024-03-05 08:05Z' AND starts_at < '2024-03-05 08:08Z'";

async fn ahead() -> Database {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.execute(AHEAD).await;
    db
}

const DONE: &str = "SELECT count(*) FROM vitals_daily WHERE sample_count = 10";

#[tokio::test]
async fn rows_that_a_clock_that_was_ahead_has_dated_in_the_future_are_told_and_done() {
    let db = ahead().await;

    let status = db.run(&["status", "--json"]).json();
    let vitals = &status["kinds"]["vitals"];
    assert_eq!((&vitals["in_future"], &vitals["pending"]), (&8.into(), &7.into()), "{vitals}");
    assert!(vitals["oldest_pending_seconds"].as_f64().unwrap() >= 0.0, "{vitals}");
    assert_says(&db.run(&["status"]).stdout, &["8 rows are dated in the future", "run-once"]);
    let doctor = db.run(&["doctor"]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    assert_says(&doctor.stdout, &["8 rows are dated in the future", "NTP"]);

    let run = db.run(&["run-once", "--json"]);
    assert_eq!(run.events("rows_dated_back")[0]["rows"], 8, "{run:?}");
    assert_eq!(run.json()["rows_completed"], 10);
    assert_eq!(db.value::<i64>(DONE).await, 1);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 0);
}

#[tokio::test]
async fn the_service_does_them_when_it_starts() {
    let db = ahead().await;
    let service = Running::service(db.worker(), &[]);
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    let ran = service.stops();
    assert_eq!(ran.events("rows_dated_back").len(), 1);
    assert_eq!(db.value::<i64>(DONE).await, 1);
}

#[tokio::test]
async fn the_age_of_a_row_of_the_future_is_0_and_none_is_no_age() {
    let db = ahead().await;
    db.execute("DELETE FROM aggregation_queue WHERE queued_at <= now()").await;
    let vitals = &db.run(&["status", "--json"]).json()["kinds"]["vitals"];
    let age = vitals["oldest_pending_seconds"].as_f64().unwrap();
    assert!((0.0..60.0).contains(&age), "{vitals}");
    db.execute("DELETE FROM aggregation_queue WHERE state = 'pending'").await;
    let vitals = &db.run(&["status", "--json"]).json()["kinds"]["vitals"];
    assert!(vitals["oldest_pending_seconds"].is_null(), "{vitals}");
}

#[tokio::test]
async fn a_lease_that_was_given_while_the_clock_was_ahead_is_void() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.execute(
        "UPDATE aggregation_queue SET state = 'processing', lease_token = 1,
                lease_expires_at = now() + interval '400 days'",
    )
    .await;
    assert_eq!(db.run_once()["rows_completed"], 10);
    assert_eq!(db.value::<i64>(DONE).await, 1);
}

#[tokio::test]
async fn rows_that_wait_for_their_back_off_or_were_given_up_and_leases_that_hold_stay_as_they_are()
{
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.execute(
        "UPDATE aggregation_queue SET attempts = 1, not_before = now() + interval '59 minutes'
         WHERE starts_at < '2024-03-05 08:03Z';
         UPDATE aggregation_queue SET state = 'dead', attempts = 5, not_before = 'infinity'
         WHERE starts_at >= '2024-03-05 08:03Z' AND starts_at < '2024-03-05 08:06Z';
         UPDATE aggregation_queue SET state = 'processing', lease_token = 1,
                                      lease_expires_at = now() + interval '59 minutes'
         WHERE starts_at >= '2024-03-05 08:06Z'",
    )
    .await;
    let run = db.run(&["run-once", "--json"]);
    assert!(run.events("rows_dated_back").is_empty(), "{run:?}");
    assert_eq!(run.json()["rows_claimed"], 0);

    // A failure that was recorded while the clock was ahead.
    db.execute(
        "UPDATE aggregation_queue SET not_before = now() + interval '400 days'
         WHERE state = 'pending' AND attempts = 1",
    )
    .await;
    assert_eq!(db.run_once()["rows_completed"], 3);
}
