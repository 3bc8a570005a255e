//! A session of the worker's ends: while idle, between two statements, during one.

use super::gate::Gate;
use super::proof::{assert_exact_at_no_attempt, insert_rows, remembering};
use super::{
    QUEUED, assert_interrupted_once, end_sessions, service, sessions, speak_another_language,
};
use crate::support::Database;
use crate::support::outside::Scratch;
use crate::support::running::{Running, UserLock, eventually, waiting};

#[tokio::test]
async fn sessions_that_ended_while_idle_are_replaced_before_they_are_used() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let scratch = Scratch::new();
    // It asks for nothing by itself, so that nothing is interrupted.
    let settings = |poll: &str| {
        format!(
            "[schedule]\npoll_seconds = {poll}\nvitals = \"\"\nnutrition = \"\"\nlabs = \"\"\n\
             [service]\nobserve_seconds = 3600\n[log]\nlevel = \"debug\""
        )
    };
    let mut command = db.worker();
    command.arg("--config").arg(scratch.file("worker.toml", settings("3600"))).arg("run");
    let service = Running::spawn(command);
    eventually(&db, QUEUED, 0).await;
    // The server's clock says that the drain has come to its end.
    let busy = sessions("(state <> 'idle' OR state_change > now() - interval '1 s')");
    eventually(&db, &busy, 0).await;

    end_sessions(&db, "state = 'idle'").await;
    insert_rows(&db, 1).await;
    scratch.file("worker.toml", settings("0.02"));
    service.signal("-HUP");
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let ended = ran.events("idle_connection_ended");
    assert!(!ended.is_empty(), "{}", ran.stderr);
    assert!(ended.iter().all(|event| event["class"] == "connection_lost"), "{ended:?}");
    for unfounded in ["batch_interrupted", "database_unavailable", "group_failed"] {
        assert!(ran.events(unfounded).is_empty(), "{unfounded} in {}", ran.stderr);
    }
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_session_that_ends_between_two_statements_costs_no_attempt() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let service = service(&db.url, &[]);
    waiting(&db, 1).await;

    // The server answers the reads, and then the session ends before the writes.
    service.freeze();
    lock.release().await;
    eventually(&db, &sessions("state = 'idle in transaction'"), 1).await;
    end_sessions(&db, "state = 'idle in transaction'").await;
    service.signal("-CONT");
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_interrupted_once(&ran, "connection_lost");
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_session_that_ends_during_a_statement_costs_no_attempt() {
    ends_during_a_statement(&remembering().await).await;
}

#[tokio::test]
async fn nor_does_it_where_the_server_speaks_another_language() {
    let db = remembering().await;
    speak_another_language(&db).await;
    ends_during_a_statement(&db).await;
}

async fn ends_during_a_statement(db: &Database) {
    insert_rows(db, 0).await;
    let gate = Gate::in_statement(db, "vitals_daily").await;
    let service = service(&db.url, &[]);
    waiting(db, 1).await;

    end_sessions(db, "wait_event_type = 'Lock'").await;
    service.logs("batch_interrupted").await;
    gate.open().await;
    eventually(db, QUEUED, 0).await;

    let ran = service.stops();
    assert_interrupted_once(&ran, "connection_lost");
    assert_exact_at_no_attempt(db, &ran).await;
}
