//! Stopping, by a signal or a crash, in the middle of any work.

use local_postgres::Shutdown;

use super::{PROCESSING, QUEUED, SHORT_LEASE};
use crate::support::running::{Running, UserLock, eventually, waiting};
use crate::support::samples::{assert_all_done, insert_samples, untouched};
use crate::support::{Database, server_of_its_own, worker_at};

#[tokio::test]
async fn in_the_middle_of_a_batch_it_finishes_the_group_and_gives_back_the_rest() {
    for signal in ["-TERM", "-INT"] {
        let db = Database::new().await;
        insert_samples(&db, 3, 5).await;
        let lock = UserLock::hold(&db.url, 1).await;
        let service = Running::service(db.worker(), &[]);
        waiting(&db, 1).await;

        service.signal(signal);
        service.logs("stop_requested").await;
        lock.release().await;

        let ran = service.succeeds();
        let done = &ran.events("batch_done")[0];
        assert_eq!((&done["completed"], &done["released"]), (&5.into(), &10.into()), "{done}");
        assert_eq!(db.value::<i64>(PROCESSING).await, 0);
        assert_eq!(untouched(&db).await, 10);
        db.run_once();
        assert_all_done(&db).await;
    }
}

#[tokio::test]
async fn a_group_that_takes_too_long_is_abandoned_and_given_back_in_time() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let settings = [("WORKER__SERVICE__SHUTDOWN_TIMEOUT_SECONDS", "2")];
    let service = Running::service(db.worker(), &settings);
    waiting(&db, 1).await;

    let ran = service.stops();

    assert_eq!(ran.events("batch_interrupted")[0]["class"], "stopped", "{}", ran.stderr);
    assert!(ran.events("stop_overdue").is_empty(), "{}", ran.stderr);
    assert_eq!(db.value::<i64>(PROCESSING).await, 0);
    assert_eq!(untouched(&db).await, 15);
    // Though the user is still locked: the server was told to cancel the statement.
    waiting(&db, 0).await;
    lock.release().await;
    db.run_once();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn run_once_stops_within_the_same_time() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    let _lock = UserLock::hold(&db.url, 1).await;
    let settings = [("WORKER__SERVICE__SHUTDOWN_TIMEOUT_SECONDS", "2")];
    let worker = Running::start(db.worker(), &settings);
    waiting(&db, 1).await;
    let ran = worker.stops();
    assert_eq!((&ran.json()["rows_released"], &ran.json()["stopped"]), (&15.into(), &true.into()));
    assert_eq!(untouched(&db).await, 15);
}

#[tokio::test]
async fn asked_twice_it_leaves_at_once() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let _lock = UserLock::hold(&db.url, 1).await;
    let mut service = Running::service(db.worker(), &[]);
    waiting(&db, 1).await;
    service.signal("-TERM");
    service.logs("stop_requested").await;
    service.signal("-INT");
    assert_eq!(service.child.wait().unwrap().code(), Some(130));
}

#[tokio::test]
async fn without_its_database_it_stops_at_once() {
    let (mut server, url) = server_of_its_own().await;
    server.stop(Shutdown::Fast).unwrap();
    let service = Running::service(worker_at(&url), &[]);
    service.logs("database_unavailable").await;
    let ran = service.stops();
    assert!(ran.events("stop_overdue").is_empty(), "{}", ran.stderr);
    assert_eq!(ran.events("service_stopped").len(), 1);
}

#[tokio::test]
async fn the_rows_of_a_killed_one_are_done_by_another_when_their_lease_is_over() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    let lock = UserLock::hold(&db.url, 2).await;
    let mut killed = Running::service(db.worker(), &SHORT_LEASE);
    waiting(&db, 1).await;
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    lock.release().await;
    assert_eq!(db.value::<i64>(PROCESSING).await, 10, "the first group is done");

    let other = Running::service(db.worker(), &SHORT_LEASE);
    eventually(&db, QUEUED, 0).await;

    other.stops();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_command_that_could_not_stop_in_time_does_not_look_done() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let table = db.connect().await;
    table.batch_execute("BEGIN; LOCK TABLE aggregation_queue").await.unwrap();
    let mut command = db.worker();
    command
        .args(["requeue", "--kind", "vitals"])
        .env("WORKER__SERVICE__SHUTDOWN_TIMEOUT_SECONDS", "1");
    let requeue = Running::spawn(command);
    waiting(&db, 1).await;
    requeue.signal("-TERM");
    let ran = requeue.end();
    assert_eq!((ran.code, ran.stdout.as_str()), (130, ""), "{}", ran.stderr);
    assert_eq!(ran.events("stop_overdue").len(), 1);
}
