//! Provokes each class of errors on a live server that speaks German, if the host has the language: no
//! class depends on the server's texts.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aggregation::Kind;
use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};
use local_postgres::{LocalPostgres, Shutdown};
use store::{Connected, ErrorClass, StoreError};

use support::{session_settings, start, store};

static SERVER: OnceLock<LocalPostgres> = OnceLock::new();
static NAMES: AtomicU32 = AtomicU32::new(0);

/// The address of the shared test server, with a unique session name.
fn url() -> (String, String) {
    let server = SERVER.get_or_init(|| {
        let server = start(&[("deadlock_timeout", "10ms")]);
        // Without the language, the test still runs, in English.
        let _ = std::process::Command::new("psql")
            .args([
                "-qc",
                "ALTER SYSTEM SET lc_messages = 'de_DE.utf8'",
                "-c",
                "SELECT pg_reload_conf()",
            ])
            .arg(server.url("postgres"))
            .output();
        server
    });
    let name = format!("session{}", NAMES.fetch_add(1, Ordering::SeqCst));
    (format!("{}&application_name={name}", server.url("postgres")), name)
}

async fn connect(url: &str) -> Connected {
    Connected::establish(url, &session_settings()).await.unwrap()
}

async fn session() -> (Connected, String) {
    let (url, name) = url();
    (connect(&url).await, name)
}

async fn error_of(session: &mut Connected, sql: &str) -> StoreError {
    let cause = session.batch_execute(sql).await.expect_err(sql);
    session.error(cause)
}

/// Waits until a condition on pg_stat_activity holds.
async fn until(condition: &str) {
    let (mut observer, _) = session().await;
    let check =
        format!("DO $$ BEGIN IF NOT ({condition}) THEN RAISE EXCEPTION 'not yet'; END IF; END $$");
    for _ in 0..2_000 {
        if observer.batch_execute(&check).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {condition}");
}

async fn until_asleep(name: &str) {
    until(&format!(
        "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event = 'PgSleep')"
    ))
    .await;
}

async fn until_gone(name: &str) {
    until(&format!("NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '{name}')"))
        .await;
}

async fn signal(function: &str, name: &str) {
    let (mut other, _) = session().await;
    let sql =
        format!("SELECT {function}(pid) FROM pg_stat_activity WHERE application_name = '{name}'");
    other.batch_execute(&sql).await.unwrap();
}

#[track_caller]
fn assert_class(error: &StoreError, class: ErrorClass) {
    assert_eq!(error.class(), class, "{error:?}");
}

#[track_caller]
fn assert_code(error: &StoreError, code: &str, class: ErrorClass) {
    assert_eq!((error.sqlstate(), error.class()), (Some(code), class), "{error:?}");
}

#[tokio::test]
async fn a_deadlock_is_a_conflict() {
    let ((mut one, _), (mut two, _)) = (session().await, session().await);
    one.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(1)").await.unwrap();
    two.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(2)").await.unwrap();

    let both = tokio::join!(
        one.batch_execute("SELECT pg_advisory_xact_lock(2); ROLLBACK"),
        two.batch_execute("SELECT pg_advisory_xact_lock(1); ROLLBACK"),
    );

    let victim = match both {
        (Err(cause), _) => one.error(cause),
        (_, cause) => two.error(cause.expect_err("one of them is the victim")),
    };
    assert_code(&victim, "40P01", ErrorClass::Conflict);
}

#[tokio::test]
async fn a_serialization_failure_is_a_conflict() {
    let ((mut one, _), (mut two, _)) = (session().await, session().await);
    one.batch_execute("CREATE TABLE balance (n int); INSERT INTO balance VALUES (1)")
        .await
        .unwrap();
    one.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT n FROM balance")
        .await
        .unwrap();
    two.batch_execute("UPDATE balance SET n = 2").await.unwrap();

    let error = error_of(&mut one, "UPDATE balance SET n = 3").await;

    assert_class(&error, ErrorClass::Conflict);
}

#[tokio::test]
async fn a_lock_is_told_from_a_statement_that_takes_too_long_or_is_cancelled() {
    let ((mut holder, _), (mut waiter, name)) = (session().await, session().await);
    holder.batch_execute("SELECT pg_advisory_lock(3)").await.unwrap();
    waiter.batch_execute("SET lock_timeout = '10ms'").await.unwrap();
    let error = error_of(&mut waiter, "SELECT pg_advisory_lock(3)").await;
    assert_code(&error, "55P03", ErrorClass::Locked);

    let mut short = session_settings();
    short.statement_timeout = Duration::from_millis(100);
    let mut slow = Connected::establish(&url().0, &short).await.unwrap();
    let error = error_of(&mut slow, "SELECT pg_sleep(60)").await;
    assert_code(&error, "57014", ErrorClass::Timeout);

    let (error, ()) = tokio::join!(error_of(&mut waiter, "SELECT pg_sleep(60)"), async {
        until_asleep(&name).await;
        signal("pg_cancel_backend", &name).await;
    });
    assert_code(&error, "57014", ErrorClass::Cancelled);
}

#[tokio::test]
async fn a_terminated_session_is_a_lost_connection() {
    let (mut busy, name) = session().await;
    let (error, ()) = tokio::join!(error_of(&mut busy, "SELECT pg_sleep(60)"), async {
        until_asleep(&name).await;
        signal("pg_terminate_backend", &name).await;
    });
    assert_class(&error, ErrorClass::ConnectionLost);
    assert_class(&error_of(&mut busy, "SELECT 1").await, ErrorClass::ConnectionLost);

    let (mut idle, name) = session().await;
    signal("pg_terminate_backend", &name).await;
    until_gone(&name).await;
    assert_class(&error_of(&mut idle, "SELECT 1").await, ErrorClass::ConnectionLost);
}

#[tokio::test]
async fn a_session_that_idles_in_a_transaction_is_a_lost_connection() {
    for commit in [false, true] {
        let (mut idle, name) = session().await;
        idle.batch_execute("SET idle_in_transaction_session_timeout = '10ms'").await.unwrap();
        AnsiTransactionManager::begin_transaction(&mut *idle).await.unwrap();
        until_gone(&name).await;

        let error = if commit {
            let cause = AnsiTransactionManager::commit_transaction(&mut *idle).await.unwrap_err();
            idle.error(cause)
        } else {
            error_of(&mut idle, "SELECT 1").await
        };
        assert_class(&error, ErrorClass::ConnectionLost);

        // The remaining connection fails as well.
        let _ = AnsiTransactionManager::rollback_transaction(&mut *idle).await;
        let again = AnsiTransactionManager::begin_transaction(&mut *idle).await.unwrap_err();
        assert_class(&idle.error(again), ErrorClass::ConnectionLost);
    }
}

#[tokio::test]
async fn a_server_that_stops_is_a_lost_connection() {
    let mut server = start(&[]);
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        server.start_again().unwrap();
        let url = server.url("postgres");
        let (mut busy, mut idle) = (connect(&url).await, connect(&url).await);
        let mut observer = connect(&url).await;
        let running = tokio::spawn(async move { error_of(&mut busy, "SELECT pg_sleep(60)").await });
        observer
            .batch_execute(
                "DO $$ BEGIN
                     WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')
                     LOOP PERFORM pg_stat_clear_snapshot(); END LOOP;
                 END $$",
            )
            .await
            .unwrap();

        server.stop(how).unwrap();

        assert_class(&running.await.unwrap(), ErrorClass::ConnectionLost);
        assert_class(&error_of(&mut idle, "SELECT 1").await, ErrorClass::ConnectionLost);
    }
}

#[tokio::test]
async fn a_row_that_a_constraint_refuses_is_refused() {
    let (mut session, _) = session().await;
    session
        .batch_execute(
            "CREATE TABLE refusing (
                 n int PRIMARY KEY, c int NOT NULL CHECK (c > 0), parent int REFERENCES refusing,
                 r int4range, d int UNIQUE DEFERRABLE INITIALLY DEFERRED,
                 EXCLUDE USING gist (r WITH &&));
             INSERT INTO refusing VALUES (1, 1, NULL, '[1,5]', 1)",
        )
        .await
        .unwrap();
    for sql in [
        "INSERT INTO refusing VALUES (1, 1)",
        "INSERT INTO refusing VALUES (2, 0)",
        "INSERT INTO refusing VALUES (2, NULL)",
        "INSERT INTO refusing VALUES (2, 1, 99)",
        "INSERT INTO refusing VALUES (2, 1, NULL, '[3,9]')",
        "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'restrict_violation'; END $$",
    ] {
        let error = error_of(&mut session, sql).await;
        assert_class(&error, ErrorClass::Refused);
        assert!(!error.to_string().contains("99"), "{error}");
    }

    // COMMIT refuses the row.
    AnsiTransactionManager::begin_transaction(&mut *session).await.unwrap();
    session.batch_execute("INSERT INTO refusing VALUES (2, 1, NULL, NULL, 1)").await.unwrap();
    let cause = AnsiTransactionManager::commit_transaction(&mut *session).await.unwrap_err();
    let error = session.error(cause);
    assert_code(&error, "23505", ErrorClass::Refused);
    assert_eq!(error.constraint(), Some("refusing_d_key"));
    assert_eq!(error.label(), "refused 23505 refusing refusing_d_key");
}

#[tokio::test]
async fn whatever_else_a_statement_meets_is_an_error_of_the_database() {
    let (mut session, _) = session().await;
    for sql in [
        "SELECT 1 / 0",
        "DO $$ BEGIN PERFORM 'x'::int; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'an app''s trigger'; END $$",
        // Text of another class, in a message of the application.
        "DO $$ BEGIN RAISE EXCEPTION 'no deadlock detected by the app'; END $$",
    ] {
        assert_class(&error_of(&mut session, sql).await, ErrorClass::Database);
    }
}

#[tokio::test]
async fn a_server_without_a_free_place_is_a_lost_connection_and_says_why() {
    let server = start(&[("max_connections", "6"), ("superuser_reserved_connections", "3")]);
    let mut superuser = connect(&server.url("postgres")).await;
    for sql in [
        "CREATE ROLE limited LOGIN CONNECTION LIMIT 1",
        "CREATE ROLE app LOGIN",
        "CREATE DATABASE narrow CONNECTION LIMIT 1",
    ] {
        superuser.batch_execute(sql).await.unwrap();
    }
    let of = |role: &str, database: &str| {
        server.url(database).replacen("postgres@", &format!("{role}@"), 1)
    };
    for (url, says, places) in [
        (of("limited", "postgres"), "too many connections for role", 1),
        (of("app", "narrow"), "too many connections for database", 1),
        (of("app", "postgres"), "remaining connection slots are reserved", 2),
        (of("postgres", "postgres"), "too many clients already", 5),
    ] {
        let store = store(&url).await;
        let own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'dayfold-test'";
        superuser.batch_execute(own).await.unwrap();
        let mut others = Vec::new();
        while others.len() < places {
            // The store's own connection may still be closing.
            match Connected::establish(&url, &session_settings()).await {
                Ok(connection) => others.push(connection),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }

        let error = store.clock().await.unwrap_err();

        assert_eq!(error.class(), ErrorClass::ConnectionLost, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        drop((store, others));
        superuser
            .batch_execute(
                "DO $$ BEGIN
                     WHILE (SELECT count(*) FROM pg_stat_activity
                            WHERE backend_type = 'client backend') > 1
                     LOOP PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01); END LOOP;
                 END $$",
            )
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_is_exhausted_and_a_server_that_is_gone_a_lost_connection() {
    let mut server = start(&[]);
    let store = store(&server.url("postgres")).await;
    store::migrate(&store, Duration::from_secs(10)).await.unwrap();
    let held = store.begin_group(Kind::Vitals, &1.into()).await.unwrap();
    let error = store.clock().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::PoolExhausted, "{error}");
    assert!(error.to_string().contains("held by group for"), "{error}");
    drop(held);
    store.clock().await.unwrap();

    server.stop(Shutdown::Fast).unwrap();

    let error = store.clock().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::ConnectionLost, "{error}");
}

#[tokio::test]
async fn a_database_that_is_not_as_it_must_be_is_the_environment_and_not_the_row() {
    let (mut session, _) = session().await;
    session.batch_execute("CREATE ROLE stranger; CREATE TABLE of_others (n int)").await.unwrap();
    for (before, sql) in [
        ("SET ROLE stranger", "UPDATE of_others SET n = 1"),
        ("SET ROLE stranger", "CREATE TABLE public.mine (n int)"),
        ("SET default_transaction_read_only = on", "INSERT INTO of_others VALUES (1)"),
        ("", "SELECT n FROM nowhere"),
        ("", "SELECT m FROM of_others"),
        ("", "UPDATE of_others SET m = 1"),
        ("", "SELECT unheard_of(1)"),
        ("", "SELECT 'x'::int"),
        ("", "SELECT '1' + 1.5 + now()"),
        ("", "INSERT INTO of_others VALUES (now())"),
        ("", "SELECT now()::integer"),
        ("", "SELECT FROM pg_temp_999.nowhere"),
    ] {
        session.batch_execute(before).await.unwrap();
        let error = error_of(&mut session, sql).await;
        assert_class(&error, ErrorClass::Environment);
        session.batch_execute("RESET ROLE; RESET default_transaction_read_only").await.unwrap();
    }
    let quoted = "DO $$ BEGIN RAISE EXCEPTION 'the relation to 71.5 does not exist'; END $$";
    assert_class(&error_of(&mut session, quoted).await, ErrorClass::Database);
}

#[tokio::test]
async fn each_code_has_its_class_and_a_function_of_the_app_may_raise_any() {
    use ErrorClass::{
        Conflict, ConnectionLost, Database, Environment, LeaseLost, Locked, Outdated, Refused,
        StaleSession,
    };
    let (mut session, _) = session().await;
    for (code, class) in [
        ("08006", ConnectionLost),
        ("0A000", StaleSession),
        ("22012", Database),
        ("22P02", Database),
        ("23514", Refused),
        ("25006", Environment),
        ("26000", StaleSession),
        ("3F000", Environment),
        ("40001", Conflict),
        ("42501", Environment),
        ("42804", Environment),
        ("42846", Environment),
        ("42P01", Environment),
        ("42P05", StaleSession),
        ("44000", Refused),
        ("53100", Environment),
        ("53200", Environment),
        ("53400", Environment),
        ("55P03", Locked),
        ("57P03", ConnectionLost),
        ("58030", Environment),
        ("58P01", Environment),
        ("DF001", LeaseLost),
        ("DF002", Outdated),
        ("DF003", Database),
        ("P0001", Database),
        ("XX000", Database),
        ("XX001", Environment),
        ("XX002", Environment),
        ("ZZ999", Database),
    ] {
        let raise = format!(
            "DO $$ BEGIN RAISE 'permission denied: 71.5'
             USING ERRCODE = '{code}', TABLE = 'of_the_app', CONSTRAINT = '71.5'; END $$"
        );
        let error = error_of(&mut session, &raise).await;
        assert_code(&error, code, class);
        assert_eq!((error.table(), error.constraint()), (Some("of_the_app"), None));
        assert!(!error.to_string().contains("71.5"), "{error}");
        assert!(error.to_string().contains(code), "{error}");
    }
    let (mut other, _) = self::session().await;
    let process = error_of(&mut other, "SELECT 1 / 0").await.process();
    assert_ne!(process, error_of(&mut session, "SELECT 1 / 0").await.process());
}

#[tokio::test]
async fn a_plan_that_does_not_fit_the_schema_any_more_is_a_stale_session() {
    let (mut one, mut two) = (session().await.0, session().await.0);
    one.batch_execute(
        "CREATE TABLE changing (n integer); PREPARE s900 AS SELECT n FROM changing; EXECUTE s900",
    )
    .await
    .unwrap();
    two.batch_execute("ALTER TABLE changing ALTER COLUMN n TYPE bigint").await.unwrap();
    assert_code(&error_of(&mut one, "EXECUTE s900").await, "0A000", ErrorClass::StaleSession);
    assert_code(&error_of(&mut one, "EXECUTE s901").await, "26000", ErrorClass::StaleSession);
    let again = error_of(&mut one, "PREPARE s900 AS SELECT 1").await;
    assert_code(&again, "42P05", ErrorClass::StaleSession);
}
