//! Several services on one database.

use super::QUEUED;
use crate::support::Database;
use crate::support::running::{PATIENT, Running, UserLock, eventually, number, waiting};
use crate::support::samples::{assert_all_done, insert_minute};

#[tokio::test]
async fn four_of_them_do_every_row_once_while_rows_arrive_and_change() {
    let db = Database::new().await;
    db.execute(
        "CREATE SEQUENCE changes;
         CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN PERFORM nextval(''changes'') FROM unnest(NEW.raw_ids); RETURN NEW; END';
         CREATE TRIGGER counted BEFORE INSERT ON aggregation_queue
             FOR EACH ROW EXECUTE FUNCTION count_change()",
    )
    .await;
    let services: Vec<Running> = (0..4).map(|_| Running::service(db.worker(), &[])).collect();
    for minute in 0..150 {
        insert_minute(&db, 20, minute).await;
        if minute % 10 == 9 {
            let user = minute % 20 + 1;
            db.execute(&format!(
                "UPDATE vitals_raw SET value = value + 1 WHERE user_id = {user};
                 DELETE FROM vitals_raw WHERE user_id = {user}
                   AND started_at = timestamptz '2024-05-01 10:00Z' + interval '{minute} minutes'"
            ))
            .await;
        }
    }
    eventually(&db, QUEUED, 0).await;

    let ends: Vec<_> = services.into_iter().map(Running::stops).collect();

    let sum = |field: &str| -> u64 {
        ends.iter().map(|ran| number(&ran.events("service_stopped")[0], field)).sum()
    };
    let changes: i64 = db.value("SELECT last_value FROM changes").await;
    assert_eq!(sum("completed"), changes as u64, "none twice");
    assert_eq!(sum("failed"), 0);
    for ran in &ends {
        assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
    }
    assert_all_done(&db).await;
}

#[tokio::test]
async fn one_that_was_suspended_beyond_its_lease_changes_nothing_when_it_wakes() {
    let db = Database::new().await;
    insert_minute(&db, 20, 0).await;
    let lock = UserLock::hold(&db.url, 20).await;
    let suspended = Running::service(db.worker(), &[]);
    waiting(&db, 1).await;
    suspended.signal("-STOP");
    db.execute("UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'").await;
    lock.release().await;
    waiting(&db, 0).await;

    // The suspended one's transaction has the lock of the last user by now; the other one has
    // its row.
    let other = Running::service(db.worker(), &[]);
    waiting(&db, 1).await;
    suspended.signal("-CONT");
    suspended.logs("batch_interrupted").await;
    eventually(&db, QUEUED, 0).await;

    let woken = suspended.stops();
    assert_eq!(woken.events("batch_interrupted")[0]["class"], "lease_lost", "{}", woken.stderr);
    let done = |ran: &crate::support::Ran| number(&ran.events("service_stopped")[0], "completed");
    assert_eq!(done(&woken) + done(&other.stops()), 20);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_tick_that_comes_while_a_run_is_on_starts_no_second_one() {
    let db = Database::new().await;
    insert_minute(&db, 20, 0).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let settings = [
        ("WORKER__SCHEDULE__VITALS", "* * * * * *"),
        ("WORKER__SCHEDULE__LABS", "* * * * * *"),
        ("WORKER__LOG__LEVEL", "debug"),
    ];
    let service = Running::service(db.worker(), &[&PATIENT[..], &settings].concat());
    waiting(&db, 1).await;
    insert_minute(&db, 20, 1).await;

    let before = service.events("tick").len();
    service.logs_times("tick", before + 4).await;

    assert_eq!(service.events("batch_claimed").len(), 1);
    waiting(&db, 1).await;
    lock.release().await;
    eventually(&db, QUEUED, 0).await;
    service.stops();
    assert_all_done(&db).await;
}
