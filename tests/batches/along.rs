//! Hours with more rows than a batch: what an hour's computation covers is done, claimed or not.

use super::{BATCHES_OF_100, Running, assert_all_done, eventually, number, run, waiting};
use crate::support::Database;

/// Heart rates of user 1, one a second from 10:00 UTC on 2024-05-01.
async fn insert_seconds(db: &Database, seconds: u32) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60 + n % 40, 'bpm', 'watch', at, at
         FROM generate_series(0, {seconds} - 1) AS n,
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '1 second' AS at) AS t"
    ))
    .await;
}

/// Starts one batch of 100 rows.
fn one_batch(db: &Database) -> Running {
    let mut worker = db.worker();
    worker.args(["run-once", "--max-batches", "1", "--json"]).envs(BATCHES_OF_100);
    Running::spawn(worker)
}

#[tokio::test]
async fn an_hour_with_a_reading_each_second_is_computed_once() {
    let db = Database::new().await;
    insert_seconds(&db, 3 * 3600).await;

    let ran = run(&db, &BATCHES_OF_100);

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let json = ran.json();
    assert_eq!((&json["batches"], &json["rows_completed"]), (&3.into(), &10_800.into()));
    assert_eq!(json["rows_claimed"], 10_800, "what is taken along is accounted for");
    for batch in ran.events("batch_claimed") {
        assert_eq!(number(&batch, "rows"), 100, "no more are marked than a batch has");
    }
    for batch in ran.events("batch_done") {
        assert_eq!((number(&batch, "rows"), number(&batch, "along")), (3600, 3500));
    }
    assert_all_done(&db).await;
}

#[tokio::test]
async fn what_changes_or_is_claimed_while_an_hour_is_computed_is_left_in_the_queue() {
    let db = Database::new().await;
    insert_seconds(&db, 300).await;
    // The worker has chosen what it takes along when it comes to the raw rows.
    let app = db.connect().await;
    app.batch_execute("BEGIN; LOCK TABLE vitals_raw IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let worker = one_batch(&db);
    waiting(&db, 1).await;

    // Another worker's claim that is not committed yet when the rows are taken off the queue.
    let other = db.connect().await;
    other
        .batch_execute(
            "BEGIN;
             UPDATE aggregation_queue
             SET state = 'processing', lease_token = 1, lease_expires_at = now() + interval '1 hour'
             WHERE starts_at >= '2024-05-01 10:04Z'",
        )
        .await
        .unwrap();
    app.batch_execute(
        "UPDATE vitals_raw SET value = 250 WHERE started_at = '2024-05-01 10:03Z'; COMMIT",
    )
    .await
    .unwrap();
    let waits_for_the_claim = "SELECT count(*) FROM pg_locks
        WHERE NOT granted AND locktype = 'transactionid'";
    eventually(&db, waits_for_the_claim, 1).await;
    other.batch_execute("COMMIT").await.unwrap();

    let ran = worker.end();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(number(&ran.events("batch_claimed")[0], "rows"), 100);
    let left = db
        .query(
            "SELECT count(*), min(state), (min(starts_at) AT TIME ZONE 'UTC')::text
             FROM aggregation_queue GROUP BY state ORDER BY state",
            &[],
        )
        .await;
    let left: Vec<(i64, String, String)> =
        left.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let of = |count, state: &str, from: &str| (count, state.to_owned(), from.to_owned());
    let expected =
        [of(1, "pending", "2024-05-01 10:03:00"), of(60, "processing", "2024-05-01 10:04:00")];
    assert_eq!(left, expected);

    db.execute("UPDATE aggregation_queue SET lease_expires_at = now() WHERE state = 'processing'")
        .await;
    assert_eq!(run(&db, &BATCHES_OF_100).code, 0);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn what_a_failing_group_would_have_taken_along_stays_as_it_was() {
    let db = Database::new().await;
    insert_seconds(&db, 300).await;
    db.execute("ALTER TABLE vitals_daily ADD CONSTRAINT nobody CHECK (user_id <> 1) NOT VALID")
        .await;

    let ran = one_batch(&db).end();

    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(
        (&ran.json()["rows_claimed"], &ran.json()["rows_failed"]),
        (&100.into(), &100.into())
    );
    let untouched = crate::support::samples::untouched(&db).await;
    assert_eq!(untouched, 200, "nobody tried them");
}
