//! Health and metrics, as a monitor sees them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use local_postgres::Shutdown;
use serde_json::Value;

use super::QUEUED;
use crate::support::outside::{assert_says, eventually as so};
use crate::support::rows::{lab, vital};
use crate::support::running::{Frozen, PATIENT, Running, UserLock, eventually, waiting};
use crate::support::samples::insert_samples;
use crate::support::{Database, WORKER, database, server_of_its_own, worker_at};

/// A port that was free a moment ago.
pub fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Status and body of an answer.
pub fn get(port: &str, path: &str) -> (u16, String) {
    get_from(port, path, "HTTP/1.1\r\nHost: localhost\r\nConnection: close")
}

/// Status and body of the answer to a request with this head behind its path.
fn get_from(port: &str, path: &str, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "GET {path} {head}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

pub fn get_json(port: &str, path: &str) -> (u16, Value) {
    let (status, body) = get(port, path);
    let body = body.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{body}"));
    (status, serde_json::from_str(body).unwrap())
}

/// The value of a series, such as `dayfold_rows_total{kind="vitals",outcome="completed"}`; NaN
/// while there is none.
pub fn metric(port: &str, series: &str) -> f64 {
    let (_, body) = get(port, "/metrics");
    let line =
        body.lines().find(|line| line.strip_prefix(series).is_some_and(|l| l.starts_with(' ')));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.map_or(f64::NAN, |value| value.parse().unwrap())
}

#[tokio::test]
async fn nothing_listens_unless_it_is_asked_to() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &[]);
    service.logs("database_ready").await;
    assert!(service.events("http_listening").is_empty());
    let ran = service.stops();
    assert!(!ran.stderr.contains("http"), "{}", ran.stderr);
}

#[tokio::test]
async fn what_has_never_happened_is_counted_as_zero_so_that_the_first_time_is_an_increase() {
    let db = Database::new().await;
    let port = free_port();
    let service = Running::service(db.worker(), &[("WORKER__HTTP__PORT", &port)]);
    service.logs("http_listening").await;
    for series in [
        "dayfold_pool_timeouts_total",
        "dayfold_groups_total{kind=\"vitals\",outcome=\"failed\"}",
        "dayfold_rows_dead_total{kind=\"labs\"}",
    ] {
        assert_eq!(metric(&port, series), 0.0, "{series}");
    }
    service.stops();
}

#[tokio::test]
async fn a_service_that_works_is_alive_ready_and_healthy() {
    let db = Database::new().await;
    let port = free_port();
    let service = Running::service(db.worker(), &[("WORKER__HTTP__PORT", &port)]);
    service.logs("database_ready").await;

    assert_eq!(get_json(&port, "/health/live").0, 200);
    let (code, ready) = get_json(&port, "/health/ready");
    assert_eq!((code, &ready["status"]), (200, &"ready".into()));
    let (code, database) = get_json(&port, "/health/database");
    assert_eq!((code, &database["status"]), (200, &"ok".into()));
    assert!(database["latency_ms"].as_f64().unwrap() > 0.0);
    // Poll, observation and presence may use three connections at one moment.
    so("the pool is healthy", || get_json(&port, "/health/db-pool").1["status"] == "healthy");
    let (code, pool) = get_json(&port, "/health/db-pool");
    assert_eq!((code, &pool["max"]), (200, &4.into()));
    for field in ["usage_percent", "in_use", "idle", "open", "waiting"] {
        assert!(pool[field].is_number(), "{pool}");
    }
    let (code, else_where) = get(&port, "/nowhere");
    assert_eq!(code, 404);
    assert_says(&else_where, &["/health/ready", "/metrics"]);
    service.stops();
}

#[tokio::test]
async fn a_request_that_names_a_foreign_host_gets_no_figures() {
    let db = Database::new().await;
    let port = free_port();
    let settings = [
        ("WORKER__HTTP__PORT", port.as_str()),
        ("WORKER__HTTP__ALLOWED_HOSTS", "worker-1.internal"),
    ];
    let service = Running::service(db.worker(), &settings);
    service.logs("http_listening").await;
    for path in ["/metrics", "/health/live", "/"] {
        for host in ["evil.example", "evil.example:9187", "127.0.0.1.evil.example", "[evil]", ""] {
            let head = format!("HTTP/1.1\r\nHost: {host}\r\nConnection: close");
            let (code, body) = get_from(&port, path, &head);
            assert_eq!(code, 421, "{path} of {host}");
            assert_says(&body, &["http.allowed_hosts"]);
        }
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:9187", "[::1]:9187", "Worker-1.internal:80"]
    {
        let head = format!("HTTP/1.1\r\nHost: {host}\r\nConnection: close");
        assert_eq!(get_from(&port, "/health/live", &head).0, 200, "{host}");
    }
    // A browser always names a host; a simple probe may not.
    assert_eq!(get_from(&port, "/health/live", "HTTP/1.0").0, 200);
    service.stops();
}

#[tokio::test]
async fn requests_that_never_end_leave_file_handles_for_the_database() {
    let (mut server, url) = server_of_its_own().await;
    let port = free_port();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 128 && exec \"$0\" \"$@\"", WORKER]);
    command.env_clear().env("DATABASE_URL", &url).env("PATH", "/usr/bin:/bin");
    let service = Running::service(command, &[("WORKER__HTTP__PORT", &port)]);
    service.logs("database_ready").await;
    // More than the process may have open, each a head without an end.
    let half_sent: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n").unwrap();
            stream
        })
        .collect();
    let handles = format!("/proc/{}/fd", service.child.id());
    so("connections are accepted", || std::fs::read_dir(&handles).unwrap().count() > 64);

    server.stop(Shutdown::Fast).unwrap();
    service.logs("database_unavailable").await;
    server.start_again().unwrap();
    service.logs_times("database_ready", 2).await;
    let db = database(&url).await;
    insert_samples(&db, 1, 1).await;
    eventually(&db, QUEUED, 0).await;
    // A client that is complete gets its answer once the others have run into their time-out.
    assert_eq!(get(&port, "/health/live").0, 200);
    drop(half_sent);
    service.stops();
}

#[tokio::test]
async fn without_its_database_it_is_alive_but_not_ready_and_says_why() {
    let (mut server, url) = server_of_its_own().await;
    let port = free_port();
    let service = Running::service(worker_at(&url), &[("WORKER__HTTP__PORT", &port)]);
    service.logs("database_ready").await;
    assert_eq!(metric(&port, "dayfold_database_up"), 1.0);
    server.stop(Shutdown::Fast).unwrap();
    service.logs("database_unavailable").await;

    assert_eq!(get_json(&port, "/health/live").0, 200);
    let (code, ready) = get_json(&port, "/health/ready");
    assert_eq!((code, &ready["status"]), (503, &"degraded".into()));
    so("the reason is the cause", || {
        get_json(&port, "/health/ready").1["reason"].to_string().contains("cannot connect")
    });
    let (code, database) = get_json(&port, "/health/database");
    assert_eq!((code, &database["status"]), (503, &"unavailable".into()));
    assert_eq!(get_json(&port, "/health/db-pool").0, 503);
    assert_eq!(metric(&port, "dayfold_database_up"), 0.0);

    server.start_again().unwrap();
    so("it is ready again", || get_json(&port, "/health/ready").0 == 200);
    so("the database is up again", || metric(&port, "dayfold_database_up") == 1.0);
    assert_eq!(metric(&port, "dayfold_breaker_state{state=\"closed\"}"), 1.0);
    service.stops();
}

#[tokio::test]
async fn a_service_asked_to_stop_is_not_ready_any_more() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let port = free_port();
    let service = Running::service(db.worker(), &[("WORKER__HTTP__PORT", &port)]);
    waiting(&db, 1).await;
    service.signal("-TERM");
    service.logs("stop_requested").await;
    let (code, ready) = get_json(&port, "/health/ready");
    assert_eq!((code, &ready["status"]), (503, &"stopping".into()));
    lock.release().await;
    service.succeeds();
}

#[tokio::test]
async fn a_pool_without_a_free_connection_shows_as_exhausted() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let port = free_port();
    let settings = [
        ("WORKER__HTTP__PORT", port.as_str()),
        ("WORKER__POOL__MAX_SIZE", "1"),
        ("WORKER__POOL__WAIT_TIMEOUT_SECONDS", "0.2"),
    ];
    let service = Running::service(db.worker(), &[&PATIENT[..], &settings].concat());
    waiting(&db, 1).await;

    // The group has the only connection, so that a look at the backlog waits in vain.
    so("exhausted", || get_json(&port, "/health/db-pool").1["status"] == "exhausted");
    let (code, pool) = get_json(&port, "/health/db-pool");
    assert_eq!((code, &pool["usage_percent"]), (503, &100.0.into()));
    let (code, database) = get_json(&port, "/health/database");
    assert_eq!(code, 503);
    assert_says(
        &database.to_string(),
        &["no database connection within", "1 of 1 open", "held by group for"],
    );
    assert!(metric(&port, "dayfold_pool_timeouts_total") >= 1.0);
    lock.release().await;
    eventually(&db, QUEUED, 0).await;
    service.stops();
}

#[tokio::test]
async fn what_is_stuck_is_not_alive_and_the_log_says_so() {
    let db = Database::new().await;
    insert_samples(&db, 2, 1).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let port = free_port();
    let settings = [
        ("WORKER__HTTP__PORT", port.as_str()),
        ("WORKER__DATABASE__CONNECT_TIMEOUT_SECONDS", "2"),
        ("WORKER__POOL__WAIT_TIMEOUT_SECONDS", "2"),
        ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "2"),
        ("WORKER__SERVICE__STUCK_AFTER_SECONDS", "2.1"),
    ];
    let service = Running::service(db.worker(), &settings);
    // A server that stops answering in the middle of a statement.
    let backend = Frozen::waiting_for_a_lock(&db).await;
    so("it is not alive", || get_json(&port, "/health/live").0 == 503);
    assert_eq!(get_json(&port, "/health/live").1["status"], "stuck");
    service.logs("stuck").await;

    drop(backend);
    lock.release().await;
    so("it is alive again", || get_json(&port, "/health/live").0 == 200);
    db.execute("UPDATE aggregation_queue SET not_before = now() WHERE state = 'pending'").await;
    eventually(&db, QUEUED, 0).await;
    assert_eq!(service.stops().events("stuck").len(), 1, "said once");
}

#[tokio::test]
async fn everything_done_is_counted_and_no_value_is_a_label() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    db.insert([
        vital("secret_metric", 7431.5, "secret_unit")
            .at("2024-05-01 10:00Z")
            .user(4)
            .source("secret_watch"),
        lab("secret_test", "7431.5").unit("mmol/L").at("2024-05-01 10:00Z").user(5),
    ])
    .await;
    let port = free_port();
    let service = Running::service(db.worker(), &[("WORKER__HTTP__PORT", &port)]);
    eventually(&db, QUEUED, 0).await;
    so("all is counted", || {
        metric(&port, "dayfold_rows_total{kind=\"labs\",outcome=\"completed\"}") == 1.0
    });

    let rows = |outcome: &str| {
        metric(&port, &format!("dayfold_rows_total{{kind=\"vitals\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!((rows("completed"), rows("rejected"), rows("failed")), (15.0, 1.0, 0.0));
    assert_eq!(metric(&port, "dayfold_rows_claimed_total{kind=\"vitals\"}"), 16.0);
    let groups = "dayfold_groups_total{kind=\"vitals\",outcome=\"committed\"}";
    assert_eq!(metric(&port, groups), 4.0);
    assert_eq!(metric(&port, "dayfold_batches_total{kind=\"labs\"}"), 1.0);
    // Groups of a batch share a connection for a moment.
    assert!(metric(&port, "dayfold_pool_hold_seconds_count{purpose=\"group\"}") >= 1.0);
    assert!(metric(&port, "dayfold_pool_wait_seconds_count") >= 5.0);
    assert_eq!(metric(&port, "dayfold_batch_duration_seconds_count{kind=\"vitals\"}"), 1.0);

    let (_, all) = get(&port, "/metrics");
    assert!(!all.contains("secret") && !all.contains("7431"), "{all}");
    service.stops();
}

#[tokio::test]
async fn the_backlog_and_the_dead_are_shown_by_kind() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    // The row that is tried again last is the oldest.
    db.execute(
        "UPDATE aggregation_queue SET state = 'dead', not_before = 'infinity' WHERE user_id = 2;
         UPDATE aggregation_queue SET not_before = now() + interval '30 min' WHERE user_id = 3;
         UPDATE aggregation_queue SET not_before = now() + interval '1 h',
                                      queued_at = now() - interval '100 s' WHERE user_id = 1",
    )
    .await;
    let port = free_port();
    let service = Running::service(db.worker(), &[("WORKER__HTTP__PORT", &port)]);
    service.logs("database_ready").await;
    so("the backlog is seen", || metric(&port, "dayfold_backlog_rows{kind=\"vitals\"}") == 10.0);
    assert_eq!(metric(&port, "dayfold_backlog_rows{kind=\"labs\"}"), 0.0);
    assert_eq!(metric(&port, "dayfold_dead_rows{kind=\"vitals\"}"), 5.0);
    let oldest = metric(&port, "dayfold_oldest_row_seconds{kind=\"vitals\"}");
    assert!((100.0..200.0).contains(&oldest), "{oldest}");
    service.stops();
}
