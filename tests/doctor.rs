//! `worker doctor`, for those whose database is well and those whose is not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::support::outside::{PASSWORD, assert_says};
use crate::support::running::{Running, eventually};
use crate::support::{Database, Ran, server, worker_at};

/// Its JSON and its exit code.
fn doctor(command: &mut Command) -> (i32, Value) {
    let ran = Ran::of(command.args(["doctor", "--json"]).output().unwrap());
    assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
    (ran.code, ran.json())
}

/// The check of this name.
fn check<'r>(report: &'r Value, name: &str) -> &'r Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{report:#}"))
}

/// A check has this outcome, and says all of this in what it found and what it advises.
#[track_caller]
fn assert_check(report: &Value, name: &str, outcome: &str, phrases: &[&str]) {
    let check = check(report, name);
    assert_eq!(check["outcome"], outcome, "{check:#}");
    assert_says(&format!("{} {}", check["found"], check["advice"]), phrases);
}

#[tokio::test]
async fn of_a_database_that_is_well_it_says_that_the_worker_can_work() {
    let db = Database::new().await;

    let (code, report) = doctor(&mut db.worker());

    assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)), "{report:#}");
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["outcome"], "ok", "{check}");
    }
    assert_check(&report, "server", "ok", &["PostgreSQL ", "postgres", &db.name]);
    assert_check(&report, "time-outs", "ok", &["statement 30 s", "lock 10 s"]);
    assert_check(&report, "budget", "ok", &["max_connections 200", "pool.max_size is 4"]);
    assert_check(&report, "clock", "ok", &["0.0 s"]);
    let text = db.run(&["doctor"]);
    assert_eq!(text.code, 0);
    assert_says(
        &text.stdout,
        &["ok       schema        \"public\" is up to date", "can work here"],
    );
}

#[tokio::test]
async fn a_schema_that_is_not_there_is_an_error_with_its_cure() {
    let db = Database::empty().await;
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let lacks = format!("lacks {} migrations", std::fs::read_dir(migrations).unwrap().count());
    let (code, report) = doctor(&mut db.worker());
    assert_eq!((code, &report["ok"]), (1, &Value::Bool(false)));
    assert_check(&report, "schema", "error", &[&lacks, "run `worker migrate`"]);
    let text = db.run(&["doctor"]);
    assert_eq!(text.code, 1);
    assert_says(&text.stdout, &["cannot work here", "\n- schema: run `worker migrate`"]);
}

#[tokio::test]
async fn missing_rights_are_named_and_the_grants_that_it_advises_are_enough() {
    let db = Database::new().await;
    // A name that SQL must quote.
    let (role, name) = (format!("\"Poor {}\"", db.name), format!("Poor%20{}", db.name));
    db.execute(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON vitals_raw TO {role}")).await;
    let url = db.url.replace("postgres@", &format!("{name}@"));

    let (code, report) = doctor(&mut worker_at(&url));
    assert_eq!(code, 1);
    let expected = [
        "SELECT on public.__diesel_schema_migrations",
        "SELECT on public.lab_raw",
        "SELECT, INSERT, UPDATE, DELETE on public.vitals_hourly",
    ];
    assert_check(&report, "rights", "error", &expected);
    assert_check(&report, "sessions", "ok", &["hidden", "pg_read_all_stats"]);

    db.execute(check(&report, "rights")["advice"].as_str().unwrap()).await;

    let (code, report) = doctor(&mut worker_at(&url));
    assert_eq!(code, 0, "{report:#}");
    crate::support::samples::insert_samples(&db, 2, 5).await;
    let ran = Ran::of(worker_at(&url).arg("run-once").output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    crate::support::samples::assert_all_done(&db).await;
    db.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_role_that_cannot_even_use_the_schema_is_told_so() {
    let db = Database::new().await;
    let role = format!("barred_{}", db.name);
    db.execute(&format!("CREATE ROLE {role} LOGIN; REVOKE ALL ON SCHEMA public FROM public")).await;
    let url = db.url.replace("postgres@", &format!("{role}@"));
    let (code, report) = doctor(&mut worker_at(&url));
    assert_eq!(code, 1);
    assert_check(
        &report,
        "schema",
        "error",
        &["may be used by this role", "GRANT USAGE ON SCHEMA"],
    );
    db.execute(&format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn triggers_that_do_not_fire_and_a_database_that_takes_no_changes_are_found() {
    let db = Database::new().await;
    db.execute(
        "ALTER TABLE lab_raw DISABLE TRIGGER queue_updated;
         DROP TRIGGER queue_deleted ON vitals_raw",
    )
    .await;
    let (code, report) = doctor(&mut db.worker());
    assert_eq!(code, 1, "{report:#}");
    let lost =
        ["UPDATE of a row of lab_raw", "DELETE of a row of vitals_raw", "does not reach the queue"];
    assert_check(&report, "queueing", "error", &lost);
    let expected = [
        "queue_updated on lab_raw",
        "queue_deleted on vitals_raw (it is missing)",
        "ENABLE TRIGGER",
    ];
    assert_check(&report, "triggers", "warning", &expected);

    db.execute(&format!("ALTER DATABASE {} SET session_replication_role = replica", db.name)).await;
    let (code, report) = doctor(&mut db.worker());
    assert_eq!(code, 1);
    assert_check(&report, "role", "error", &["session_replication_role is replica", "origin"]);

    db.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name)).await;
    let (code, report) = doctor(&mut db.worker());
    assert_eq!(code, 1);
    assert_check(&report, "role", "error", &["read-only", "default_transaction_read_only"]);
}

#[tokio::test]
async fn rows_that_a_policy_hides_are_an_error() {
    let db = Database::new().await;
    let role = format!("hidden_{}", db.name);
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN;
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};
         ALTER TABLE vitals_raw ENABLE ROW LEVEL SECURITY"
    ))
    .await;
    let (code, report) = doctor(&mut worker_at(&db.url.replace("postgres@", &format!("{role}@"))));
    assert_eq!(code, 1);
    assert_check(&report, "row security", "error", &["vitals_raw", "BYPASSRLS"]);
    db.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn an_old_transaction_in_another_database_is_nobodys_business() {
    let (db, other) = (Database::new().await, Database::new().await);
    other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await;
    let old = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{}' AND xact_start < clock_timestamp() - interval '1.1 s'",
        other.name
    );
    eventually(&db, &old, 1).await;
    let (_, report) = doctor(db.worker().env("WORKER__LOG__OLD_TRANSACTION_SECONDS", "1"));
    assert_check(&report, "xmin horizon", "ok", &["no transaction is older"]);
}

#[tokio::test]
async fn more_connections_than_there_ever_could_be_are_an_error() {
    let db = Database::new().await;
    let (code, report) = doctor(db.worker().env("WORKER__POOL__MAX_SIZE", "100"));
    assert_eq!(code, 0, "{report:#}");
    let role = format!("few_{}", db.name);
    db.execute(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 2")).await;
    db.execute(&format!("GRANT SELECT ON __diesel_schema_migrations TO {role}")).await;
    let url = db.url.replace("postgres@", &format!("{role}@"));
    let (code, report) = doctor(&mut worker_at(&url));
    assert_eq!(code, 1);
    assert_check(
        &report,
        "budget",
        "error",
        &["the role may have 2", "pool.max_size to 2 or less"],
    );
    db.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn an_old_transaction_is_found_by_the_doctor_and_told_of_by_the_service() {
    let db = Database::new().await;
    let holder = db.connect().await;
    let name = format!("forgetful_{}", db.name);
    holder
        .batch_execute(&format!(
            "SET application_name = {name}; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
        ))
        .await
        .unwrap();
    let old = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE application_name = '{name}' AND xact_start < clock_timestamp() - interval '1.1 s'"
    );
    eventually(&db, &old, 1).await;

    let early = ("WORKER__LOG__OLD_TRANSACTION_SECONDS", "1");
    let (code, report) = doctor(db.worker().env(early.0, early.1));
    assert_eq!(code, 0);
    assert_check(&report, "xmin horizon", "warning", &[&name, "process", "pg_terminate_backend"]);

    let service = Running::service(db.worker(), &[early]);
    let told =
        |events: Vec<Value>| events.iter().filter(|event| event["name"] == name.as_str()).count();
    crate::support::outside::eventually("it is told of", || {
        told(service.events("old_transaction")) == 1
    });
    // It is looked for ten times a second, and told of once.
    crate::support::samples::insert_samples(&db, 1, 5).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    let ran = service.stops();
    assert_eq!(told(ran.events("old_transaction")), 1);
}

#[tokio::test]
async fn a_way_that_is_barred_is_told_with_the_place_where_it_ends() {
    let nowhere = format!("postgresql://me:{PASSWORD}@nowhere.invalid/app");
    let (code, report) = doctor(&mut worker_at(&nowhere));
    assert_eq!(code, 1);
    assert_check(&report, "name", "error", &["nowhere.invalid", "correct the host"]);

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = format!("postgresql://me:{PASSWORD}@127.0.0.1:{port}/app");
    let (code, report) = doctor(&mut worker_at(&closed));
    assert_eq!(code, 1);
    let place = format!("127.0.0.1:{port}");
    assert_check(&report, "network", "error", &[&place, "refused", "start PostgreSQL there"]);

    let (code, report) = doctor(&mut worker_at(""));
    assert_eq!(code, 1);
    assert_check(&report, "configuration", "error", &["no database is configured", "DATABASE_URL"]);
}

#[tokio::test]
async fn something_else_than_postgresql_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let web = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 8];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let (code, report) = doctor(&mut worker_at(&format!("postgresql://me@127.0.0.1:{port}/app")));
    assert_eq!(code, 1);
    assert_check(&report, "network", "error", &["not PostgreSQL's", "is it PostgreSQL"]);
    web.join().unwrap();
}

#[tokio::test]
async fn one_of_several_hosts_that_is_down_is_a_warning() {
    let db = Database::new().await;
    let folder = server().socket_directory().display();
    let several = format!("host=/nowhere,{folder} user=postgres dbname={}", db.name);
    let (code, report) = doctor(&mut worker_at(&several));
    assert_eq!(code, 0, "{report:#}");
    assert_check(&report, "network", "warning", &["/nowhere/.s.PGSQL.5432"]);
}

#[tokio::test]
async fn status_shows_the_servers_sessions_if_asked() {
    let db = Database::new().await;
    db.execute("SET application_name = 'the app@host:1'; BEGIN").await;
    let shown = db.run(&["status", "--sessions", "--json"]).json();
    let sessions = shown["sessions"].as_array().unwrap();
    let app = sessions.iter().find(|of| of["application"] == "the app").unwrap();
    assert_eq!((&app["state"], &app["count"]), (&"idle in transaction".into(), &1.into()));
    let text = db.run(&["status", "--sessions"]).stdout;
    assert_says(&text, &["sessions", "longest transaction", "the app"]);
    assert!(db.run(&["status", "--json"]).json().get("sessions").is_none());
}

#[tokio::test]
async fn a_table_that_is_gone_is_named_though_its_migration_was_applied() {
    let db = Database::new().await;
    db.execute("DROP TABLE nutrition_daily CASCADE").await;
    let ran = db.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_says(&ran.stdout, &["lacks nutrition_daily", "backup"]);
}
