//! Transactions that commit in another order than they began.

use super::{changes, changes_now, days};
use crate::support::Database;
use crate::support::running::{Running, UserLock, waiting};
use crate::support::samples::insert_samples;

/// A change of a session of the test.
const CHANGE: &str = "INSERT INTO figure_changes (epoch, user_id, local_date, kind) VALUES (1, 99, '2024-01-01', 'labs')";

#[tokio::test]
async fn a_change_that_is_committed_late_is_never_missed() {
    let db = Database::new().await;
    // Its transaction has the lower id and the lower number.
    let late = db.connect().await;
    late.batch_execute(&format!("BEGIN; {CHANGE}")).await.unwrap();
    insert_samples(&db, 2, 1).await;
    db.run_once();
    assert_eq!(db.value::<i64>("SELECT count(*) FROM figure_changes").await, 2);
    assert_eq!(changes_now(&db, "").0, [], "a change may still appear before them");
    late.batch_execute("COMMIT").await.unwrap();
    let (all, _) = changes(&db, "").await;
    assert_eq!(all[0], days(&[(99, "2024-01-01", "labs")])[0]);
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn each_change_is_read_once_while_groups_and_others_commit_out_of_order() {
    let db = Database::new().await;
    let mut cursor = String::new();
    let mut read = Vec::new();
    for round in 1..=4 {
        // The worker's first group waits for its user's lock, while the others commit.
        let lock = UserLock::hold(&db.url, 1).await;
        let late = db.connect().await;
        late.batch_execute(&format!("BEGIN; {CHANGE}")).await.unwrap();
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT u, 'heart_rate', 60 + {round}, 'bpm', 'watch', at, at
             FROM generate_series(1, 3) AS u, (SELECT timestamptz '2024-05-01 10:00Z' AS at) AS t"
        ))
        .await;
        let worker = Running::of(&db);
        waiting(&db, 1).await;
        let (seen, next) = changes_now(&db, &cursor);
        read.extend(seen);
        cursor = next;
        lock.release().await;
        worker.succeeds();
        let (seen, next) = changes_now(&db, &cursor);
        read.extend(seen);
        cursor = next;
        late.batch_execute(if round % 2 == 0 { "ROLLBACK" } else { "COMMIT" }).await.unwrap();
        let (seen, next) = changes_now(&db, &cursor);
        read.extend(seen);
        cursor = next;
    }
    read.extend(changes(&db, &cursor).await.0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM figure_changes").await, read.len() as i64);
    let of = |user: i64| read.iter().filter(|(id, ..)| *id == user).count();
    assert_eq!([1, 2, 3, 99].map(of), [4, 4, 4, 2]);
}

#[tokio::test]
async fn after_a_restore_into_a_younger_cluster_a_consumer_goes_on_with_its_cursor() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    db.run_once();
    // As a dump of a cluster has it that has begun more transactions.
    db.execute("UPDATE figure_changes SET transaction_id = '999999999'").await;
    let (restored, cursor) = changes_now(&db, "");
    assert_eq!(restored, [], "until a worker connects, they look unfinished");
    assert_eq!(cursor, "");

    insert_samples(&db, 2, 1).await;
    db.run_once();
    let (all, _) = changes(&db, "").await;
    let expected = [(1, "2024-05-01", "vitals"), (2, "2024-05-01", "vitals")];
    assert_eq!(all, days(&expected), "the second value of user 1 is a re-send");
    let old: String = db
        .value("SELECT cursor FROM figure_changes_settled WHERE transaction_id = '999999999'")
        .await;
    assert_eq!(changes(&db, &old).await.0, days(&expected[1..]));

    // On another timeline, too, as after a failover.
    db.execute("UPDATE figure_feed SET timeline = 'FFFFFFFF'").await;
    insert_samples(&db, 3, 1).await;
    db.run_once();
    assert_eq!(db.value::<i32>("SELECT max(epoch) FROM figure_changes").await, 3);
}

#[tokio::test]
async fn a_cursor_of_another_database_is_refused() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    db.run_once();
    for cursor in ["1-999999999-1", "7-1-1"] {
        let ran = db.run(&["changes", "--after", cursor]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("read the figures of all days once"), "{}", ran.stderr);
    }
    let ran = db.run(&["changes", "--after", "yesterday"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("such as 1-7451-12"), "{}", ran.stderr);
    let error =
        db.client.query("SELECT * FROM figure_changes_since('x', 1)", &[]).await.unwrap_err();
    assert!(error.as_db_error().unwrap().hint().unwrap().contains("an empty text"));
}
