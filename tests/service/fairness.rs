//! Who waits for whom while there is more to do than can be done at once.

use crate::support::Database;
use crate::support::rows::{heart_rate, lab, meal};
use crate::support::running::{Running, number};

/// One user's import of many rows, all within a few days, all arriving in one moment.
async fn import(db: &Database, user_id: i64, rows: u32) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT {user_id}, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM generate_series(1, {rows}) AS r,
              LATERAL (SELECT timestamptz '2024-05-02 00:00Z' + r * interval '1 minute' AS at) AS t"
    ))
    .await;
}

async fn days_of(db: &Database, user_id: i64) -> i64 {
    db.value(&format!("SELECT count(*) FROM vitals_daily WHERE user_id = {user_id}")).await
}

#[tokio::test]
async fn a_fresh_row_does_not_wait_for_somebody_elses_import() {
    let db = Database::new().await;
    import(&db, 1, 5_000).await;
    import(&db, 2, 1).await;

    let ran = db.run(&["run-once", "--json", "--max-batches", "8"]);

    assert!(ran.json()["pending_after"].as_i64().unwrap() > 3_000, "{}", ran.stdout);
    assert_eq!(days_of(&db, 2).await, 1);
}

#[tokio::test]
async fn the_row_that_waits_longest_is_in_the_next_batch_however_many_rows_lie_around_it() {
    let db = Database::new().await;
    // The oldest of user 1 is the last of its window; user 2 is next.
    db.insert([heart_rate(60).at("2024-05-05 23:59Z")]).await;
    import(&db, 2, 1).await;
    import(&db, 1, 5_000).await;

    db.run(&["run-once", "--max-batches", "1"]);
    let oldest = "SELECT count(*) FROM aggregation_queue WHERE starts_at = '2024-05-05 23:59Z'";
    assert_eq!(db.value::<i64>(oldest).await, 0, "the oldest is done first");
    db.run(&["run-once", "--max-batches", "1"]);
    assert_eq!(days_of(&db, 2).await, 1, "then the next oldest");
}

#[tokio::test]
async fn a_backlog_of_one_kind_does_not_hold_up_the_others() {
    let db = Database::new().await;
    import(&db, 1, 2_000).await;
    db.insert([
        lab("glucose", "5").unit("mmol/L").at("2024-05-01 10:00Z"),
        meal("soup", "dinner").at("2024-05-01 10:00Z").number("energy_kcal", 100),
    ])
    .await;

    let ran = db.run(&["run-once", "--json", "--max-batches", "3"]);

    let kinds: Vec<String> =
        ran.events("batch_done").iter().map(|batch| batch["kind"].to_string()).collect();
    assert_eq!(kinds, ["\"vitals\"", "\"nutrition\"", "\"labs\""]);
}

#[tokio::test]
async fn a_backlog_longer_than_the_time_budget_is_worked_off_without_a_poll() {
    let db = Database::new().await;
    import(&db, 1, 20_000).await;
    let settings = [
        ("WORKER__SCHEDULE__POLL_SECONDS", "0"),
        ("WORKER__SCHEDULE__VITALS", "* * * * * *"),
        ("WORKER__SERVICE__TIME_BUDGET_SECONDS", "1"),
        ("WORKER__BATCH__SIZE", "50"),
    ];
    let service = Running::service(db.worker(), &settings);
    crate::support::running::eventually(&db, super::QUEUED, 0).await;
    let ran = service.stops();
    assert_eq!(number(&ran.events("service_stopped")[0], "completed"), 20_000);
}
