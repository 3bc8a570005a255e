//! Others at the same database: deadlocks, locks held for long, slow triggers, old transactions.

use super::gate::{Gate, USER};
use super::proof::{
    assert_exact, assert_exact_at_no_attempt, insert_rows, remembering, users_with_attempts,
};
use super::{QUEUED, service};
use crate::support::Ran;
use crate::support::running::{UserLock, eventually, number, waiting};

/// The log has each failure of the user's group with its class, and no other group failed.
#[track_caller]
fn assert_only_the_user_failed(ran: &Ran, class: &str) {
    let failed = ran.events("group_failed");
    assert!(!failed.is_empty(), "{}", ran.stderr);
    for event in &failed {
        assert_eq!((&event["class"], &event["user_id"]), (&class.into(), &USER.into()), "{event}");
        assert_eq!(number(event, "dead"), 0);
    }
    assert!(ran.events("batch_interrupted").is_empty(), "{}", ran.stderr);
    let stopped = &ran.events("service_stopped")[0];
    assert_eq!(number(stopped, "completed"), 21);
    assert_eq!(number(stopped, "failed"), 5 * failed.len() as u64);
}

#[tokio::test]
async fn the_victim_of_a_deadlock_runs_its_group_again_at_no_attempt() {
    let db = remembering().await;
    // The sooner the worker looks for a deadlock; the other session never does.
    db.execute(&format!("ALTER DATABASE {} SET deadlock_timeout = '10ms'", db.name)).await;
    insert_rows(&db, 0).await;
    db.run_once();
    let gate = Gate::before_row(&db, "vitals_daily").await;
    insert_rows(&db, 1).await;
    let service = service(&db.url, &[]);
    // It has taken the user's rows off the queue and will write the day.
    waiting(&db, 1).await;

    let other = db.connect().await;
    let locked = |table: &str| format!("SELECT 1 FROM {table} WHERE user_id = {USER} FOR UPDATE");
    other.batch_execute("BEGIN; SET LOCAL deadlock_timeout = '1 h'").await.unwrap();
    other.batch_execute(&locked("vitals_daily")).await.unwrap();
    let the_queue = locked("aggregation_queue");
    let crosswise = tokio::spawn(async move {
        other.batch_execute(&the_queue).await.unwrap();
        other
    });
    let crossed = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'
                     AND query LIKE 'SELECT 1 FROM aggregation_queue%'";
    eventually(&db, crossed, 1).await;
    gate.open().await;
    // Only the worker's rollback lets the other have both.
    let other = crosswise.await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let told = ran.events("group_retried");
    // Run again at once, it may take the queue's rows a second time before the other wakes.
    assert!((1..=2).contains(&told.len()), "{}", ran.stderr);
    for told in told {
        assert_eq!((&told["class"], &told["user_id"]), (&"conflict".into(), &USER.into()));
    }
    for unfounded in ["group_failed", "batch_interrupted", "drain_paused"] {
        assert!(ran.events(unfounded).is_empty(), "{unfounded} in {}", ran.stderr);
    }
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_delays_its_user_only() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let lock = UserLock::hold(&db.url, USER).await;
    let settings =
        [("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.2"), ("WORKER__BATCH__MAX_ATTEMPTS", "100")];
    let service = service(&db.url, &settings);

    service.logs("group_failed").await;
    eventually(&db, QUEUED, 5).await;
    lock.release().await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_only_the_user_failed(&ran, "locked");
    assert_exact_at_no_attempt(&db, &ran).await;
}

/// The first failure of a group, with a short time-out for locks.
async fn first_failure(url: &str) -> serde_json::Value {
    let service = service(url, &[("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.2")]);
    service.logs("group_failed").await;
    service.events("group_failed").swap_remove(0)
}

#[tokio::test]
async fn an_app_that_holds_the_lock_of_a_user_is_named_with_its_age() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let app = db.connect().await;
    app.batch_execute("SET application_name = 'billing'").await.unwrap();
    let lock = format!("SELECT pg_advisory_lock({})", UserLock::KEY);
    app.execute(&lock, &[&USER]).await.unwrap();
    let pid: i32 = app.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);

    let failed = first_failure(&db.url).await;

    let message = failed["message"].as_str().unwrap();
    let holder = format!("held by process {pid} (billing, idle, session open for ");
    assert!(message.contains(&holder), "{failed:#}");
    assert_eq!(failed["user_id"], USER);
}

#[tokio::test]
async fn a_prepared_transaction_that_holds_the_lock_of_a_user_is_told() {
    let binaries = local_postgres::Binaries::find().unwrap();
    let settings = [("max_prepared_transactions", "2")];
    let server = local_postgres::LocalPostgres::start_with(&binaries, &settings).unwrap();
    let url = server.url("postgres");
    let migrated = crate::support::worker_at(&url).arg("migrate").output().unwrap();
    assert!(migrated.status.success());
    let db = crate::support::database(&url).await;
    insert_rows(&db, 0).await;
    let app = db.connect().await;
    app.batch_execute("BEGIN").await.unwrap();
    let lock = format!("SELECT pg_advisory_xact_lock({})", UserLock::KEY);
    app.execute(&lock, &[&USER]).await.unwrap();
    app.batch_execute("PREPARE TRANSACTION 'forgotten'").await.unwrap();

    let failed = first_failure(&url).await;

    let message = failed["message"].as_str().unwrap();
    assert!(
        message.contains("held by a prepared transaction (transaction open for "),
        "{failed:#}"
    );
    db.execute("ROLLBACK PREPARED 'forgotten'").await;
    assert_eq!(db.run(&["run-once"]).code, 0);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_delays_its_user_only() {
    let db = remembering().await;
    // A trigger of the app's that takes its time while there is a row in `slow`.
    db.execute(&format!(
        "CREATE TABLE slow AS SELECT 1;
         CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_sleep(600) FROM slow; RETURN NULL; END $$;
         CREATE TRIGGER take_time AFTER INSERT OR UPDATE ON vitals_daily FOR EACH ROW
         WHEN (NEW.user_id = {USER}) EXECUTE FUNCTION take_time()"
    ))
    .await;
    insert_rows(&db, 0).await;
    let settings = [
        ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "0.5"),
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.4"),
        ("WORKER__BATCH__MAX_ATTEMPTS", "100"),
    ];
    let service = service(&db.url, &settings);

    service.logs("group_failed").await;
    eventually(&db, QUEUED, 5).await;
    db.execute("DELETE FROM slow").await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_only_the_user_failed(&ran, "timeout");
    assert_eq!(users_with_attempts(&db).await, [USER]);
    assert_exact(&db, &ran).await;
}

#[tokio::test]
async fn an_old_transaction_elsewhere_changes_no_figure() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let old = db.connect().await;
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let seen = async || old.query_one(QUEUED, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(seen().await, 21);
    let service = service(&db.url, &[("WORKER__LOG__OLD_TRANSACTION_SECONDS", "1")]);
    for round in 1..=3 {
        insert_rows(&db, round).await;
        db.execute("UPDATE vitals_raw SET value = value + 0.5 WHERE user_id = 1").await;
        eventually(&db, QUEUED, 0).await;
    }

    service.logs("old_transaction").await;
    assert_eq!(seen().await, 21, "no row that it sees can be cleaned away");
    let ran = service.stops();
    for unfounded in ["group_failed", "batch_interrupted", "database_unavailable"] {
        assert!(ran.events(unfounded).is_empty(), "{unfounded} in {}", ran.stderr);
    }
    assert!(!ran.events("batch_done").is_empty());
    assert_exact_at_no_attempt(&db, &ran).await;
}
