//! Hours with more rows than a batch: a claim that fills a batch within an hour completes the hour.

use super::{BATCHES_OF_100, Running, UserLock, assert_all_done, number, run, waiting};
use crate::support::Database;

/// Heart rates of user 1, one a second from 10:00 UTC on 2024-05-01: change sets of 50 seconds.
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
    assert_eq!(json["rows_claimed"], 10_800, "coalesced rows are accounted for");
    for batch in ran.events("batch_claimed") {
        assert_eq!(number(&batch, "rows"), 3600, "coalesced rows are marked like all others");
    }
    for batch in ran.events("batch_done") {
        assert_eq!((number(&batch, "rows"), number(&batch, "coalesced")), (3600, 3500));
    }
    assert_all_done(&db).await;
}

#[tokio::test]
async fn coalesced_rows_are_marked_those_of_another_claim_are_left_and_later_changes_are_done_again()
 {
    let db = Database::new().await;
    insert_seconds(&db, 300).await;
    // Another worker's claim that is not committed yet: the last two change sets.
    let other = db.connect().await;
    other
        .batch_execute(
            "BEGIN;
             UPDATE aggregation_queue
             SET state = 'processing', lease_token = 1, lease_expires_at = now() + interval '1 hour'
             WHERE starts_at >= '2024-05-01 10:03:20Z'",
        )
        .await
        .unwrap();
    let app = db.connect().await;
    app.batch_execute("BEGIN; LOCK TABLE vitals_raw IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let worker = one_batch(&db);
    waiting(&db, 1).await;

    let marked =
        "SELECT sum(cardinality(raw_ids)) FROM aggregation_queue WHERE state = 'processing'";
    assert_eq!(db.value::<i64>(marked).await, 200, "a batch of 100 rows, and 100 of the same hour");
    app.batch_execute(
        "UPDATE vitals_raw SET value = 250 WHERE started_at = '2024-05-01 10:03Z'; COMMIT",
    )
    .await
    .unwrap();
    let ran = worker.end();
    other.batch_execute("COMMIT").await.unwrap();

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let done = &ran.events("batch_done")[0];
    assert_eq!((number(done, "rows"), number(done, "coalesced")), (200, 100));
    let left = db
        .query(
            "SELECT sum(cardinality(raw_ids)), state, (min(starts_at) AT TIME ZONE 'UTC')::text
             FROM aggregation_queue GROUP BY state ORDER BY state",
            &[],
        )
        .await;
    let left: Vec<(i64, String, String)> =
        left.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let of = |count, state: &str, from: &str| (count, state.to_owned(), from.to_owned());
    let expected =
        [of(1, "pending", "2024-05-01 10:03:00"), of(100, "processing", "2024-05-01 10:03:20")];
    assert_eq!(left, expected);

    db.execute("UPDATE aggregation_queue SET lease_expires_at = now() WHERE state = 'processing'")
        .await;
    assert_eq!(run(&db, &BATCHES_OF_100).code, 0);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn rows_that_come_after_a_change_of_the_profile_are_not_done_as_it_was_before() {
    let db = Database::new().await;
    insert_seconds(&db, 300).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = one_batch(&db);
    // It has claimed its rows, and knows of no profile.
    waiting(&db, 1).await;
    db.execute("INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'Asia/Tokyo')").await;
    assert_eq!(db.run(&["requeue", "--user", "1"]).code, 0);
    lock.release().await;

    let ran = worker.end();

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.events("group_outdated").len(), 1);
    assert_eq!(run(&db, &BATCHES_OF_100).code, 0);
    let zones = "SELECT string_agg(DISTINCT time_zone, ', ') FROM vitals_daily";
    assert_eq!(db.value::<String>(zones).await, "Asia/Tokyo");
    let verified = db.run(&["verify"]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
}

#[tokio::test]
async fn an_hour_that_fails_fails_with_all_its_rows_and_is_done_once_the_cause_is_gone() {
    let db = Database::new().await;
    insert_seconds(&db, 300).await;
    db.execute("ALTER TABLE vitals_daily ADD CONSTRAINT nobody CHECK (user_id <> 1) NOT VALID")
        .await;

    let ran = one_batch(&db).end();

    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(
        (&ran.json()["rows_claimed"], &ran.json()["rows_failed"]),
        (&300.into(), &300.into())
    );
    let tried = "SELECT sum(cardinality(raw_ids)) FROM aggregation_queue
                 WHERE state = 'pending' AND attempts = 1 AND lease_token IS NULL";
    assert_eq!(db.value::<i64>(tried).await, 300);

    db.execute(
        "ALTER TABLE vitals_daily DROP CONSTRAINT nobody;
         UPDATE aggregation_queue SET not_before = now()",
    )
    .await;
    assert_eq!(run(&db, &BATCHES_OF_100).json()["rows_completed"], 300);
    assert_all_done(&db).await;
}
