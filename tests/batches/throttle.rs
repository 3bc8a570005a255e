//! A limit on the rows that are claimed each second.

use super::{Running, eventually, insert_samples};
use crate::support::Database;
use crate::support::outside::Scratch;
use crate::support::samples::assert_all_done;

/// Batches of 50 rows, and a limit by which the second one begins after most of a minute.
const ONE_ROW_A_SECOND: [(&str, &str); 4] = [
    ("WORKER__BATCH__SIZE", "50"),
    ("WORKER__BATCH__MIN_SIZE", "50"),
    ("WORKER__BATCH__MAX_SIZE", "50"),
    ("WORKER__BATCH__MAX_ROWS_PER_SECOND", "1"),
];

#[tokio::test]
async fn a_run_with_a_limit_of_rows_each_second_claims_no_batch_before_its_time() {
    let db = Database::new().await;
    insert_samples(&db, 8, 50).await;

    let mut worker = db.worker();
    worker.args(["run-once", "--json", "--time-budget", "2"]).envs(ONE_ROW_A_SECOND);
    let ran = Running::spawn(worker).end();

    assert_eq!(ran.code, 0, "{ran:?}");
    let json = ran.json();
    assert_eq!((&json["batches"], &json["rows_completed"]), (&1.into(), &50.into()));
    assert_eq!(json["pending_after"], 350);
}

#[tokio::test]
async fn the_command_line_decides_over_the_configured_limit() {
    let db = Database::new().await;
    insert_samples(&db, 8, 50).await;

    let mut worker = db.worker();
    worker.args(["run-once", "--json", "--max-rows-per-second", "0"]).envs(ONE_ROW_A_SECOND);
    let ran = Running::spawn(worker).end();

    assert_eq!(ran.json()["rows_completed"], 400);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_batch_that_waits_for_the_limit_begins_when_a_reload_lifts_it() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let with_limit = |rows: u32| {
        let sizes = "size = 50\nmin_size = 50\nmax_size = 50";
        scratch.file("worker.toml", format!("[batch]\n{sizes}\nmax_rows_per_second = {rows}\n"))
    };
    let mut command = db.worker();
    command.arg("--config").arg(with_limit(1));
    let service = Running::service(command, &[]);
    service.logs("database_ready").await;
    insert_samples(&db, 8, 50).await;
    service.logs("batch_done").await;

    with_limit(0);
    service.signal("-HUP");

    assert_all_done_eventually(&db).await;
    let ran = service.stops();
    assert_eq!(ran.events("reloaded")[0]["changed"], "batch.max_rows_per_second");
}

async fn assert_all_done_eventually(db: &Database) {
    eventually(db, "SELECT count(*) FROM aggregation_queue", 0).await;
    assert_all_done(db).await;
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_the_limit() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &ONE_ROW_A_SECOND);
    service.logs("database_ready").await;
    insert_samples(&db, 8, 50).await;
    service.logs("batch_done").await;

    let ran = service.stops();

    assert_eq!(ran.events("batch_done").len(), 1);
    assert!(ran.events("stop_overdue").is_empty());
}
