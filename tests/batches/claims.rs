//! The rows that a batch takes, and their order.

use super::{
    BATCHES_OF_100, Running, UserLock, assert_all_done, insert_samples, number, run, waiting,
};
use crate::support::Database;
use crate::support::rows::{heart_rate, lab, meal, vital};

#[tokio::test]
async fn a_batch_never_has_more_rows_than_configured() {
    for size in [50, 73, 200] {
        let db = Database::new().await;
        insert_samples(&db, 41, 11).await;

        let text = size.to_string();
        let limits = ["WORKER__BATCH__SIZE", "WORKER__BATCH__MIN_SIZE", "WORKER__BATCH__MAX_SIZE"];
        let ran = run(&db, &limits.map(|limit| (limit, text.as_str())));

        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let rows: Vec<u64> =
            ran.events("batch_claimed").iter().map(|event| number(event, "rows")).collect();
        assert!(rows.iter().all(|rows| *rows <= size), "{rows:?}");
        assert_eq!(rows.iter().sum::<u64>(), 451);
        // Of each user 11 rows, in one change set.
        assert_eq!(rows.len() as u64, 41_u64.div_ceil(size / 11), "batches are full: {rows:?}");
        assert_all_done(&db).await;
    }
}

#[tokio::test]
async fn a_claim_is_committed_before_the_first_group_begins() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    let claimed: i64 = db
        .value(
            "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue
             WHERE state = 'processing' AND lease_token IS NOT NULL
               AND lease_expires_at BETWEEN now() + interval '30 s' AND now() + interval '60 s'",
        )
        .await;
    assert_eq!(claimed, 15);
    let status: Vec<String> = db
        .query("SELECT DISTINCT status FROM raw_row_status", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(status, ["processing"]);

    lock.release().await;
    worker.succeeds();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn interleaved_rows_are_claimed_as_whole_groups() {
    let db = Database::new().await;
    // Each minute every user sends one sample, so that the first 100 rows are 100 users'.
    for minute in 0..20 {
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT u, 'heart_rate', 60, 'bpm', 'watch', at, at
             FROM generate_series(1, 100) AS u,
                  (SELECT timestamptz '2024-05-01 10:00Z' + interval '{minute} minutes' AS at) AS t"
        ))
        .await;
    }

    let ran = run(&db, &BATCHES_OF_100);

    let claimed = ran.events("batch_claimed");
    let groups: Vec<u64> = claimed.iter().map(|event| number(event, "groups")).collect();
    assert_eq!(groups, [5; 20], "20 rows of each of 5 users a batch");
    assert_all_done(&db).await;
}

#[tokio::test]
async fn the_oldest_rows_are_claimed_first() {
    let db = Database::new().await;
    insert_samples(&db, 4, 50).await;
    // The order of arrival is 3, 1, 4, 2; of the raw rows' own times there is none.
    db.execute(
        "UPDATE aggregation_queue
         SET not_before = now() - array_position('{2,4,1,3}', user_id::integer) * interval '1 hour'",
    )
    .await;

    for expected in [3, 1, 4, 2] {
        let before: i64 = db.value("SELECT count(*) FROM vitals_daily").await;
        let mut command = db.worker();
        command.args(["run-once", "--max-batches", "1"]).env("WORKER__BATCH__SIZE", "50");
        assert!(command.output().unwrap().status.success());
        let left = format!("SELECT count(*) FROM aggregation_queue WHERE user_id = {expected}");
        assert_eq!(db.value::<i64>(&left).await, 0, "user {expected} comes next");
        assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_daily").await, before + 1);
    }
    assert_all_done(&db).await;
}

#[tokio::test]
async fn dead_and_backing_off_rows_do_not_stand_in_the_way() {
    let db = Database::new().await;
    insert_samples(&db, 10, 60).await;
    // Users 1 to 4 are dead, 5 to 8 wait, and of user 9 the first change set, 50 rows, is dead, too.
    db.execute(
        "UPDATE aggregation_queue SET state = 'dead', attempts = 5, not_before = 'infinity'
             WHERE user_id <= 4 OR (user_id = 9 AND starts_at < '2024-05-01 10:31Z');
         UPDATE aggregation_queue SET attempts = 1, not_before = now() + interval '1 hour'
             WHERE user_id BETWEEN 5 AND 8;",
    )
    .await;

    let ran = run(&db, &[("WORKER__BATCH__SIZE", "200")]);

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.json()["batches"], 1);
    assert_eq!(ran.json()["rows_completed"], 70);
    assert_eq!(ran.json()["pending_after"], 240);
    let left = db
        .query(
            "SELECT state, sum(cardinality(raw_ids)) FROM aggregation_queue GROUP BY 1 ORDER BY 1",
            &[],
        )
        .await;
    let left: Vec<(String, i64)> = left.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(left, [("dead".to_owned(), 290), ("pending".to_owned(), 240)]);
}

#[tokio::test]
async fn infinite_and_far_times_harm_nobody() {
    let db = Database::new().await;
    insert_samples(&db, 2, 3).await;
    db.insert([
        heart_rate(60).at("infinity").user(3),
        heart_rate(60).between("-infinity", "infinity").user(3),
        heart_rate(60).at("294276-12-31 23:59:59Z").user(3),
        heart_rate(60).at("4713-01-01 00:00Z BC").user(3),
        vital("steps", 60, "count").between("2024-05-01 10:00Z", "infinity").user(3),
        meal("Bread", "lunch").at("infinity").user(3),
        meal("Bread", "lunch").at("-infinity").user(3),
        lab("Glucose", "5").at("294276-01-01").user(3),
        lab("Glucose", "5").at("-infinity").user(3),
    ])
    .await;

    let ran = run(&db, &[]);

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.json()["rows_claimed"], 15);
    assert_eq!(ran.json()["rows_failed"], 0);
    assert_eq!(ran.json()["rows_rejected"], 9, "{}", ran.stdout);
    db.execute("DELETE FROM vitals_raw WHERE user_id = 3").await;
    assert_eq!(run(&db, &[]).code, 0);
    db.execute("DELETE FROM vitals_daily WHERE user_id = 3").await;
    assert_all_done(&db).await;
}
