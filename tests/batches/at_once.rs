//! Several batches at the same time in one worker.

use super::{Running, UserLock, assert_all_done, number, waiting};
use crate::support::Database;
use crate::support::outside::assert_says;

/// Two batches at once, of 50 rows each.
const TWO: [(&str, &str); 4] = [
    ("WORKER__BATCH__CONCURRENCY", "2"),
    ("WORKER__BATCH__SIZE", "50"),
    ("WORKER__BATCH__MIN_SIZE", "50"),
    ("WORKER__BATCH__MAX_SIZE", "50"),
];

/// A batch of heart rates of each of the users, one user after the other.
async fn insert_batches(db: &Database, users: u32) {
    for user in 1..=users {
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT {user}, 'heart_rate', 60 + n % 40, 'bpm', 'watch', at, at
             FROM generate_series(1, 50) AS n,
                  LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '1 minute' AS at) AS t"
        ))
        .await;
    }
}

/// A worker with batches of two users. Each batch waits for a user's lock: one for that of user 2,
/// one for that of another user, but not the first.
async fn two_at_work(db: &Database) -> (Running, Vec<UserLock>) {
    insert_batches(db, 5).await;
    let mut locks = Vec::new();
    for user in 2..=5 {
        locks.push(UserLock::hold(&db.url, user).await);
    }
    let worker = Running::start(db.worker(), &TWO);
    waiting(db, 2).await;
    (worker, locks)
}

async fn release(locks: Vec<UserLock>) {
    for lock in locks {
        lock.release().await;
    }
}

#[tokio::test]
async fn a_second_batch_runs_beside_the_first_and_neither_waits_for_the_other() {
    let db = Database::new().await;
    let (worker, mut locks) = two_at_work(&db).await;
    let of_second = locks.remove(0);

    // All others are done meanwhile beside the one that waits.
    release(locks).await;
    crate::support::running::eventually(
        &db,
        "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue",
        50,
    )
    .await;
    of_second.release().await;

    let ran = worker.succeeds();
    assert_eq!((&ran.json()["batches"], &ran.json()["rows_completed"]), (&5.into(), &250.into()));
    for batch in ran.events("batch_claimed") {
        assert_eq!(number(&batch, "rows"), 50, "they do not share rows in crumbs: {}", ran.stderr);
    }
    let in_use = ran.events("batch_claimed").iter().map(|batch| number(batch, "pool.in_use")).max();
    assert_eq!(in_use, Some(1), "the second is claimed while the first holds its connection");
    assert_all_done(&db).await;
}

#[tokio::test]
async fn asked_to_stop_it_ends_both_and_gives_the_rest_back() {
    let db = Database::new().await;
    let (worker, locks) = two_at_work(&db).await;

    worker.signal("-TERM");
    worker.logs("stop_requested").await;
    release(locks).await;

    let ran = worker.end();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!((&ran.json()["batches"], &ran.json()["rows_completed"]), (&3.into(), &150.into()));
    assert_eq!(crate::support::samples::untouched(&db).await, 100);
    db.run_once();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn an_interruption_of_both_makes_each_pause_once_and_costs_no_attempt() {
    let db = Database::new().await;
    let (worker, locks) = two_at_work(&db).await;

    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'",
    )
    .await;
    worker.logs("drain_paused").await;
    release(locks).await;

    let ran = worker.succeeds();
    assert_eq!(ran.json()["rows_completed"], 250, "{}", ran.stderr);
    assert_eq!(ran.json()["rows_failed"], 0, "{}", ran.stderr);
    assert_eq!(ran.events("batch_interrupted").len(), 2, "{}", ran.stderr);
    assert_eq!(ran.events("drain_paused").len(), 2, "{}", ran.stderr);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn no_more_batches_begin_than_are_asked_for() {
    let db = Database::new().await;
    insert_batches(&db, 5).await;
    let mut worker = db.worker();
    worker.args(["run-once", "--max-batches", "2", "--json"]).envs(TWO);
    let ran = Running::spawn(worker).end();
    assert_eq!((&ran.json()["batches"], &ran.json()["rows_completed"]), (&2.into(), &100.into()));
}

#[tokio::test]
async fn a_connection_is_left_beside_the_batches() {
    let db = Database::new().await;
    let mut worker = db.worker();
    worker.arg("run-once").env("WORKER__BATCH__CONCURRENCY", "4");
    let ran = crate::support::Ran::of(worker.output().unwrap());
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_says(&ran.stderr, &["batch.concurrency = 4", "must be less than pool.max_size = 4"]);
}
