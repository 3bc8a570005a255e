//! Start, with and without the database, and the days in between.

use serde_json::Value;
use std::net::TcpListener;

use local_postgres::Shutdown;

use super::{QUEUED, SHORT_LEASE};
use crate::support::outside::{PASSWORD, Scratch, assert_says, refused};
use crate::support::rows::lab;
use crate::support::running::{Running, eventually, number};
use crate::support::samples::{assert_all_done, insert_minute, insert_samples};
use crate::support::{Database, Ran, database, server_of_its_own, worker_at};

#[tokio::test]
async fn fresh_rows_are_in_the_figures_without_anyone_asking() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &[]);
    service.logs("database_ready").await;
    for round in 1..=3 {
        insert_minute(&db, 4, round).await;
        eventually(&db, QUEUED, 0).await;
    }

    let ran = service.stops();

    assert_eq!(number(&ran.events("service_stopped")[0], "completed"), 12);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn with_the_default_settings_a_fresh_row_needs_nothing_else() {
    let db = Database::new().await;
    let mut command = db.worker();
    command.arg("run");
    let service = Running::spawn(command);
    service.logs("database_ready").await;
    insert_samples(&db, 2, 3).await;
    eventually(&db, QUEUED, 0).await;
    service.stops();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn without_a_poll_the_schedule_alone_wakes_it() {
    let db = Database::new().await;
    let settings = [
        ("WORKER__SCHEDULE__POLL_SECONDS", "0"),
        ("WORKER__SCHEDULE__VITALS", "* * * * * *"),
        ("WORKER__SCHEDULE__NUTRITION", ""),
        ("WORKER__SCHEDULE__LABS", ""),
    ];
    let service = Running::service(db.worker(), &settings);
    service.logs("database_ready").await;
    db.insert([lab("glucose", "5").unit("mmol/L").at("2024-05-01 10:00Z")]).await;
    insert_samples(&db, 2, 3).await;

    eventually(&db, "SELECT count(*) FROM aggregation_queue WHERE kind = 'vitals'", 0).await;
    insert_samples(&db, 1, 2).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue WHERE kind = 'vitals'", 0).await;

    service.stops();
    assert_eq!(db.value::<i64>(QUEUED).await, 1, "labs have no schedule");
}

#[tokio::test]
async fn it_starts_without_its_database_and_becomes_ready_by_itself() {
    let (mut server, url) = server_of_its_own().await;
    insert_samples(&database(&url).await, 3, 5).await;
    server.stop(Shutdown::Fast).unwrap();

    let service = Running::service(worker_at(&url), &[]);
    service.logs("database_unavailable").await;
    let why = service.events("database_unavailable")[0].clone();
    assert_says(&why["cause"].to_string(), &["cannot connect to the database", "socket"]);
    server.start_again().unwrap();
    service.logs("database_ready").await;

    let db = database(&url).await;
    eventually(&db, QUEUED, 0).await;
    service.stops();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_database_that_goes_away_is_found_again_and_no_attempt_is_counted() {
    let (mut server, url) = server_of_its_own().await;
    // Rows that a crash of the server leaves claimed come back by their lease.
    let service = Running::service(worker_at(&url), &SHORT_LEASE);
    service.logs("database_ready").await;
    for (times, how) in [Shutdown::Fast, Shutdown::Immediate].into_iter().enumerate() {
        server.stop(how).unwrap();
        service.logs_times("database_unavailable", times + 1).await;
        server.start_again().unwrap();
        service.logs_times("database_ready", times + 2).await;
        let db = database(&url).await;
        insert_minute(&db, 15, times as u32).await;
        eventually(&db, QUEUED, 0).await;
    }
    let ran = service.stops();
    assert_eq!(number(&ran.events("service_stopped")[0], "failed"), 0);
    assert_all_done(&database(&url).await).await;
}

#[tokio::test]
async fn it_waits_for_the_schema_it_needs() {
    let db = Database::empty().await;
    let service = Running::service(db.worker(), &[]);
    service.logs("database_unavailable").await;
    let why = service.events("database_unavailable")[0].clone();
    assert_says(&why["cause"].to_string(), &["schema is too old", "worker migrate"]);

    assert_eq!(db.run(&["migrate"]).code, 0);

    service.logs("database_ready").await;
    insert_samples(&db, 1, 1).await;
    eventually(&db, QUEUED, 0).await;
    service.stops();
}

#[tokio::test]
async fn a_newer_schema_ends_the_work_until_the_worker_is_newer_too() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &[]);
    service.logs("database_ready").await;
    db.execute(
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000');
         ALTER TABLE vitals_daily RENAME COLUMN mean TO average",
    )
    .await;
    insert_samples(&db, 2, 5).await;
    service.logs("database_unavailable").await;
    crate::support::outside::eventually("the cause is the schema", || {
        let told = service.events("database_unavailable");
        told.last().unwrap()["cause"].to_string().contains("newer than this worker")
    });

    db.execute(
        "DELETE FROM __diesel_schema_migrations WHERE version = '99991231000000';
         ALTER TABLE vitals_daily RENAME COLUMN average TO mean;
         UPDATE aggregation_queue SET not_before = now()",
    )
    .await;
    eventually(&db, QUEUED, 0).await;
    service.logs_times("database_ready", 2).await;
    let ran = service.stops();
    assert_eq!(number(&ran.events("service_stopped")[0], "failed"), 0);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_database_that_refuses_the_work_is_not_called_ready_again_and_again() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    db.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name)).await;
    let service = Running::service(db.worker(), &[("WORKER__SCHEDULE__POLL_SECONDS", "0.02")]);
    // The claim fails each time; two rounds of connecting are seen by their pauses.
    service.logs_times("drain_paused", 6).await;
    assert_eq!(service.events("database_ready").len(), 1, "when it could be connected to");
    assert_eq!(service.events("database_unavailable").len(), 1, "the same cause is told once");

    db.execute(&format!("ALTER DATABASE {} RESET default_transaction_read_only", db.name)).await;
    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;
    service.stops();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_tick_whose_run_fails_is_not_lost() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    db.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name)).await;
    let scratch = Scratch::new();
    let settings = "[schedule]\npoll_seconds = 0\nnutrition = \"\"\nlabs = \"\"\nvitals = ";
    let file = scratch.file("worker.toml", format!("{settings}\"* * * * * *\""));
    let mut command = db.worker();
    command.arg("--config").arg(file).arg("run");
    let service = Running::spawn(command);
    service.logs("drain_paused").await;

    // From here on nothing ticks any more, for years.
    scratch.file("worker.toml", format!("{settings}\"0 0 0 29 2 *\""));
    service.signal("-HUP");
    service.logs("reloaded").await;
    service.logs("database_unavailable").await;
    db.execute(&format!("ALTER DATABASE {} RESET default_transaction_read_only", db.name)).await;
    eventually(&db, QUEUED, 0).await;
    service.stops();
}

#[tokio::test]
async fn without_a_poll_a_database_that_goes_away_is_found_out_all_the_same() {
    let (mut server, url) = server_of_its_own().await;
    let settings = [("WORKER__SCHEDULE__POLL_SECONDS", "0")];
    let service = Running::service(worker_at(&url), &settings);
    service.logs("database_ready").await;
    server.stop(Shutdown::Fast).unwrap();
    service.logs("database_unavailable").await;
    service.stops();
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_refused_at_once() {
    let no_url = refused(worker_at("").arg("run"));
    assert_says(&no_url, &["no database is configured", "DATABASE_URL"]);
    let tls = format!("postgresql://me:{PASSWORD}@db.invalid/app?sslmode=maybe");
    assert_says(&refused(worker_at(&tls).arg("run")), &["sslmode must be"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let db = Database::new().await;
    let why = refused(db.worker().arg("run").env("WORKER__HTTP__PORT", port.to_string()));
    assert_says(&why, &["cannot listen on 127.0.0.1:", &port.to_string(), "http.port"]);
}

#[tokio::test]
async fn the_url_comes_from_the_credential_that_systemd_passes() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    scratch.file("database-url", format!("{}\n", db.url));
    let mut command = worker_at("");
    command.env("CREDENTIALS_DIRECTORY", scratch.path());

    let shown = Ran::of(command.arg("check-config").output().unwrap());
    assert_says(&shown.stdout, &["credential database-url", "(set)"]);
    assert!(!shown.stdout.contains(&db.url), "{}", shown.stdout);

    let mut command = worker_at("");
    command.env("CREDENTIALS_DIRECTORY", scratch.path());
    let service = Running::service(command, &[]);
    service.logs("database_ready").await;
    service.stops();
}

#[tokio::test]
async fn an_idle_service_says_nothing_but_its_summary() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &[("WORKER__SERVICE__SUMMARY_SECONDS", "1")]);
    service.logs_times("summary", 2).await;

    let ran = service.stops();

    let mut events: Vec<String> = ran
        .stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].to_string())
        .collect();
    events.dedup();
    assert_eq!(
        events,
        [
            "\"service_started\"",
            "\"database_ready\"",
            "\"summary\"",
            "\"stop_requested\"",
            "\"service_stopped\""
        ]
    );
    let summary = &ran.events("summary")[0];
    for field in ["batches", "rows", "queued", "dead_rows"] {
        assert_eq!(number(summary, field), 0, "{summary}");
    }
    assert_eq!(summary["database"], "ready");
    assert_eq!(summary["pool.health"], "healthy");
}

#[tokio::test]
async fn what_it_does_is_listed_by_status_while_the_period_goes_on_and_at_its_end() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let service = Running::service(db.worker(), &[]);
    eventually(&db, QUEUED, 0).await;
    let recorded = "SELECT coalesce(sum(rows_completed), 0)::bigint FROM aggregation_runs";
    eventually(&db, recorded, 10).await;
    let status = db.run(&["status"]).stdout;
    assert!(status.lines().any(|line| line.starts_with("now ")), "{status}");
    let running = db.run(&["status", "--json"]).json()["runs"].clone();
    assert_eq!((&running[0]["is_running"], &running[1]), (&true.into(), &Value::Null));

    service.stops();

    let runs = db.run(&["status", "--json"]).json()["runs"].clone();
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_eq!((&runs[0]["command"], &runs[0]["rows_completed"]), (&"run".into(), &10.into()));
    assert_eq!(runs[0]["is_running"], false);
}
