//! How many rows a batch takes, as the database bears it.

use serde_json::Value;

use super::{UserLock, assert_all_done, insert_samples, number, run};
use crate::support::samples::insert_minute;
use crate::support::{Database, Ran};

fn sizes(ran: &Ran) -> Vec<u64> {
    ran.events("batch_claimed").iter().map(|batch| number(batch, "rows")).collect()
}

fn change(event: &Value) -> (u64, u64, &str) {
    (number(event, "from"), number(event, "to"), event["reason"].as_str().unwrap())
}

#[tokio::test]
async fn batches_grow_while_the_database_is_quick_up_to_the_most_that_is_configured() {
    let db = Database::new().await;
    // Change sets of one row each, so that a batch of any size can be full.
    for minute in 1..=500 {
        insert_minute(&db, 1, minute).await;
    }

    let ran = run(&db, &[("WORKER__BATCH__SIZE", "50"), ("WORKER__BATCH__MAX_SIZE", "110")]);

    assert_eq!(sizes(&ran), [50, 75, 100, 110, 110, 55]);
    let changes = ran.events("batch_size_changed");
    let changes: Vec<_> = changes.iter().map(change).collect();
    assert_eq!(changes, [(50, 75, "quick"), (75, 100, "quick"), (100, 110, "quick")]);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_lock_that_somebody_holds_for_too_long_makes_batches_smaller() {
    let db = Database::new().await;
    insert_samples(&db, 2, 300).await;
    let lock = UserLock::hold(&db.url, 1).await;

    let settings = [
        ("WORKER__BATCH__SIZE", "150"),
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.05"),
        ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "3600"),
    ];
    let ran = run(&db, &settings);

    let changes = ran.events("batch_size_changed");
    assert_eq!(change(&changes[0]), (150, 75, "timed_out"), "{}", ran.stderr);
    assert_eq!(sizes(&ran)[..2], [150, 50], "of change sets of 50 rows one is at most 75");
    lock.release().await;
    db.execute("UPDATE aggregation_queue SET not_before = now()").await;
    db.run_once();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn where_batches_cannot_be_smaller_the_database_is_given_a_pause() {
    let db = Database::new().await;
    insert_samples(&db, 1, 60).await;
    let lock = UserLock::hold(&db.url, 1).await;

    let settings = [
        ("WORKER__BATCH__SIZE", "50"),
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.05"),
        ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "3600"),
    ];
    let ran = run(&db, &settings);

    let pause = &ran.events("database_busy")[0];
    assert_eq!(pause["reason"], "timed_out");
    assert!((50..=5_000).contains(&number(pause, "pause_ms")), "{pause}");
    lock.release().await;
    db.execute("UPDATE aggregation_queue SET not_before = now()").await;
    db.run_once();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn batches_do_not_grow_while_groups_fail() {
    let db = Database::new().await;
    insert_samples(&db, 1, 300).await;
    db.execute("ALTER TABLE vitals_daily ADD CONSTRAINT refused CHECK (false) NOT VALID").await;

    let settings =
        [("WORKER__BATCH__SIZE", "50"), ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "3600")];
    let ran = run(&db, &settings);

    assert_eq!((ran.code, sizes(&ran)), (3, vec![50; 6]), "{}", ran.stderr);
    assert!(ran.events("batch_size_changed").is_empty(), "{}", ran.stderr);
}

#[tokio::test]
async fn a_group_that_fails_shows_for_how_long_it_held_its_connection() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;

    let settings = [
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.25"),
        ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "3600"),
    ];
    let ran = run(&db, &settings);
    lock.release().await;

    for event in ["batch_done", "run_done"] {
        let event = &ran.events(event)[0];
        assert_eq!(number(event, "groups_failed"), 1, "{event}");
        // It waited for the lock until the time-out, with the connection in its hand.
        assert!(event["held_longest_ms"].as_f64() >= Some(250.0), "{event}");
    }
}
