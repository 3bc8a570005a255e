//! An attacker's list.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::client::Visitor;
use super::{OPERATOR, served};
use crate::service::http::free_port;
use crate::support::outside::assert_says;
use crate::support::rows::{glucose, heart_rate, lab, meal, vital};
use crate::support::running::eventually;
use crate::support::{Database, running};

const SCRIPT: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'";

#[tokio::test]
async fn a_form_of_another_site_or_without_the_sessions_token_changes_nothing() {
    let db = Database::new().await;
    let port = free_port();
    let service = served(&db, &port).await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    let csrf = operator.csrf();
    let pause = |csrf: &str| {
        vec![
            ("action".to_owned(), "pause".to_owned()),
            ("kind".to_owned(), "vitals".to_owned()),
            ("csrf".to_owned(), csrf.to_owned()),
        ]
    };
    let post = |headers: &[(&str, &str)], csrf: &str| {
        let fields = pause(csrf);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        operator.post_with("/actions", headers, &fields).status
    };
    for headers in [
        [("Origin", "http://evil.example")],
        [("Origin", "null")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
    ] {
        assert_eq!(post(&headers, &csrf), 403, "{headers:?}");
    }
    for wrong in ["", "0", &csrf[1..], &format!("{csrf}0")] {
        assert_eq!(post(&[], wrong), 403, "{wrong}");
    }
    let other = Visitor::signed_in(&port, OPERATOR);
    assert_eq!(post(&[], &other.csrf()), 403, "of another session");
    assert_eq!(operator.get("/actions?action=pause&kind=vitals").status, 200, "a GET acts never");
    assert_eq!(db.value::<i64>("SELECT count(*) FROM paused_kinds").await, 0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM operator_actions").await, 0);
    // The sign-in of another site would put a visitor into the attacker's session.
    let forced = Visitor::new(&port).post_with(
        "/sign-in",
        &[("Origin", "http://evil.example")],
        &[("token", OPERATOR)],
    );
    assert_eq!(forced.status, 403);
    service.stops();
}

#[tokio::test]
async fn no_path_host_or_header_gets_around_the_token() {
    let db = Database::new().await;
    let port = free_port();
    let service = served(&db, &port).await;
    let stranger = Visitor::new(&port);
    for path in [
        "//",
        "/./",
        "/../",
        "/assets/../settings",
        "/assets/%2e%2e/settings",
        "/assets/..%2fsettings",
        "/sign-in/../actions",
        "/%61ctions",
        "/actions/",
        "/ACTIONS",
        "/users/1/days/2024-05-01/",
        "/users/1/days/..%2f..",
        "/api/",
        "/api/overview/",
        "/assets/page.css/../../api/overview",
        "/live/overview",
        "/live/..%2foverview",
        "/.git/config",
        "/etc/passwd",
    ] {
        let answer = stranger.get(path);
        assert!([303, 401, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.body.contains("database.url"), "{path}");
    }
    for headers in [
        [("Cookie", "dayfold-session=")],
        [("Cookie", "dayfold-session=../../etc/passwd")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Basic dmlld2VyOng=")],
        [("X-Forwarded-For", "127.0.0.1")],
        [("X-Original-URL", "/assets/page.css")],
    ] {
        assert_eq!(stranger.get_with("/api/settings", &headers).status, 401, "{headers:?}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example"] {
        for path in ["/", "/sign-in", "/api/overview", "/assets/page.js"] {
            assert_eq!(stranger.get_with(path, &[("Host", host)]).status, 421, "{host}{path}");
        }
    }
    let operator = Visitor::signed_in(&port, OPERATOR);
    for (path, status) in [
        ("/users/1/days/2024-13-01", 400),
        ("/users/1;DROP%20TABLE%20vitals_raw/days/2024-05-01", 400),
        ("/users/99999999999999999999/days/2024-05-01", 400),
        ("/users/1/days/99999-01-01", 400),
        ("/actions/confirm?action=format", 400),
        ("/actions/confirm?action=pause&kind=all", 400),
        ("/actions/confirm?action=backfill&user=1&from=2024-05-02&to=2024-05-01", 400),
        ("/actions/confirm?action=throttle&rows=-1", 400),
        ("/live/nothing", 404),
    ] {
        assert_eq!(operator.get(path).status, status, "{path}");
    }
    // Where a sign-in leads is a path of ours.
    let answer = stranger.post("/sign-in", &[("token", OPERATOR), ("to", "//evil.example/")]);
    assert_eq!(answer.header("location"), "/");
    service.stops();
}

#[tokio::test]
async fn a_client_that_is_slow_or_sends_too_much_is_let_go() {
    let db = Database::new().await;
    let port = free_port();
    let service = served(&db, &port).await;
    let stranger = Visitor::new(&port);
    let huge = "x".repeat(64 * 1024);
    let answer = stranger.get_with("/", &[("X-Huge", &huge)]);
    assert!([0, 400, 431].contains(&answer.status), "{}", answer.status);
    assert_eq!(stranger.post("/sign-in", &[("token", &huge)]).status, 413);
    // A form of which the end never comes.
    let mut slow = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(
        slow,
        "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 100\r\n\r\ntoken="
    )
    .unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(stranger.get("/sign-in").status, 200, "others are served");
    service.stops();
}

#[tokio::test]
async fn script_in_any_text_is_text_and_every_answer_forbids_it() {
    let db = Database::new().await;
    db.client
        .execute(
            "INSERT INTO user_profiles (user_id, time_zone, source_priority) VALUES (1, 'UTC', ARRAY[$1])",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    db.client
        .execute(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             VALUES (1, 'heart_rate', 60, 'bpm', $1, '2024-05-01 10:00Z', '2024-05-01 10:00Z'),
                    (1, $1, 60, $1, $1, '2024-05-01 10:00Z', '2024-05-01 10:00Z')",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    db.client
        .execute(
            "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
             VALUES (1, $1, $1, '2024-05-01 12:00Z', $1, 300)",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    db.client
        .execute(
            "INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source, specimen)
             VALUES (1, $1, $1, $1, 'final', '2024-05-01 08:00Z', $1, $1)",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    db.client
        .execute(
            "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, last_error)
             VALUES ('vitals', 1, now(), now(), '{1}', 'dead', 'infinity', 'refused ' || $1)",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    db.client
        .execute("INSERT INTO paused_kinds (kind, paused_by) VALUES ('labs', $1)", &[&SCRIPT])
        .await
        .unwrap();
    db.client
        .execute(
            "INSERT INTO operator_actions (actor, action, target, outcome) VALUES ($1, $1, $1, $1)",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    db.client
        .execute(
            "INSERT INTO aggregation_runs (started_at, command, worker, batches, rows_claimed, rows_completed,
                 rows_rejected, rows_failed, rows_released, groups_committed, groups_failed)
             VALUES (now(), $1, $1, 1, 1, 1, 0, 0, 0, 1, 0)",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    db.client
        .execute(
            "INSERT INTO worker_presence (worker, version, started_at, seen_every, concurrency, max_rows_per_second,
                 rows_claimed, rows_completed, rows_failed, groups_committed)
             VALUES ($1, $1, now(), 60, 1, 0, 0, 0, 0, 0)",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    let operator = Visitor::signed_in(&port, OPERATOR);
    for path in
        ["/", "/failures", "/runs", "/actions", "/users/1/days/2024-05-01", "/settings", "/doctor"]
    {
        let answer = operator.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("<script>alert") && !answer.body.contains("<img"), "{path}");
        for (header, says) in [
            ("content-security-policy", "default-src 'none'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
        ] {
            assert_says(answer.header(header), &[says]);
        }
        let policy = answer.header("content-security-policy");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        // The only script is a file of ours, and nothing else is loaded.
        assert_eq!(answer.body.matches("<script").count(), 1, "{path}");
        assert!(!answer.body.contains(" style=") && !answer.body.contains("http://"), "{path}");
    }
    let day = operator.get("/users/1/days/2024-05-01").body;
    assert!(day.matches("&lt;script&gt;alert(1)").count() >= 8, "{day}");
    assert_says(&operator.get("/failures").body, &["&lt;script&gt;"]);
    assert_says(&operator.get("/").body, &["&lt;script&gt;"]);
    let asks = "/actions/confirm?action=requeue&class=%3Cscript%3Ealert(1)%3C/script%3E";
    assert!(!operator.get(asks).body.contains("<script>alert"));
    let log = running::Running::stops(service).stderr;
    assert!(!log.contains("<script>"), "a text of the database is in the log");
}

/// Columns of text that the page reads, or that decide whether it reads a row: without their own words it would not
/// look at the row.
const KEYS: [&str; 5] = ["kind", "state", "metric", "time_zone", "command"];

#[tokio::test]
async fn script_in_every_text_column_is_text_on_every_page() {
    let db = Database::new().await;
    db.execute("INSERT INTO user_profiles (user_id, time_zone, source_priority) VALUES (1, 'UTC', '{watch}')").await;
    db.insert([
        heart_rate(60).at("2024-05-01 10:00Z"),
        vital("steps", 6, "parsec").between("2024-05-01 10:00Z", "2024-05-01 11:00Z"),
        glucose(100).at("2024-05-01 10:00Z"),
        vital("sleep_core", 0, "").between("2024-04-30 23:00Z", "2024-05-01 03:00Z"),
        vital("blood_pressure_systolic", 120, "mmHg").at("2024-05-01 08:00Z"),
        vital("blood_pressure_diastolic", 80, "mmHg").at("2024-05-01 08:00Z"),
        meal("soup", "lunch").at("2024-05-01 12:00Z").number("energy_kcal", 300),
        lab("ferritin", "30").unit("ug/L").at("2024-05-01 08:00Z"),
    ])
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    // Paused, so that the worker changes nothing of the rows below.
    for kind in ["vitals", "nutrition", "labs"] {
        assert_eq!(db.run(&["pause", kind]).code, 0);
    }
    db.execute(
        "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, last_error)
         VALUES ('vitals', 1, now(), now(), '{1}', 'dead', 'infinity', 'timeout');
         INSERT INTO worker_presence (worker, version, started_at, seen_every, concurrency, max_rows_per_second,
             rows_claimed, rows_completed, rows_failed, groups_committed, batch_kinds, batch_rows, batch_seconds)
         VALUES ('other@host:1', '0', now(), 60, 1, 0, 0, 0, 0, 0, '{vitals}', '{1}', '{1}');
         INSERT INTO worker_throttle (max_rows_per_second, changed_by) VALUES (1000000, 'the test');
         INSERT INTO aggregation_runs (started_at, command, worker, batches, rows_claimed, rows_completed,
             rows_rejected, rows_failed, rows_released, groups_committed, groups_failed)
         VALUES (now(), 'run', 'other@host:1', 1, 1, 1, 0, 0, 0, 1, 0);
         INSERT INTO alert_conditions (rule, fired_at, dead_rows) VALUES ('verify_drift', now(), 0);",
    )
    .await;
    let columns = db
        .query(
            "SELECT table_name::text, column_name::text, data_type = 'ARRAY' FROM information_schema.columns
             JOIN information_schema.tables USING (table_schema, table_name)
             WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT LIKE '\\_\\_%'
               AND (data_type = 'text' OR udt_name = '_text')",
            &[],
        )
        .await;
    let mut written = Vec::new();
    for column in columns {
        let (table, name, is_array): (String, String, bool) =
            (column.get(0), column.get(1), column.get(2));
        if KEYS.contains(&name.as_str()) {
            continue;
        }
        let value = if is_array { "ARRAY[$1]" } else { "$1" };
        // One row of each table; the others keep their words.
        let sql = format!(
            "UPDATE {table} SET {name} = {value} WHERE ctid = (SELECT max(ctid) FROM {table})"
        );
        // A check of the schema may refuse it.
        if db.client.execute(&sql, &[&SCRIPT]).await.is_ok_and(|rows| rows == 1) {
            written.push(format!("{table}.{name}"));
        }
    }
    for known in [
        "vitals_raw.source",
        "vitals_raw.unit",
        "lab_raw.value_text",
        "lab_daily.reported_value",
        "nutrition_raw.food_name",
        "rejected_rows.reason",
        "aggregation_queue.last_error",
        "worker_presence.version",
        "worker_presence.batch_kinds",
        "worker_throttle.changed_by",
        "paused_kinds.paused_by",
        "operator_actions.actor",
        "aggregation_runs.worker",
        "alert_conditions.rule",
        "user_profiles.source_priority",
    ] {
        assert!(written.iter().any(|of| of == known), "{known} is not among {written:?}");
    }
    let operator = Visitor::signed_in(&port, OPERATOR);
    let day = "/users/1/days/2024-05-01";
    for path in ["/", "/failures", "/runs", "/actions", day, "/settings", "/doctor"] {
        let answer = operator.get(path);
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        assert_eq!(answer.body.matches("<script").count(), 1, "{path}");
        assert!(!answer.body.contains("<img"), "{path}");
    }
    assert!(operator.get("/").body.matches("&lt;script&gt;").count() >= 3);
    // JSON is no page: no browser takes it for one.
    for path in
        ["/api/overview", "/api/failures", "/api/runs", "/api/actions", &format!("/api{day}")]
    {
        let answer = operator.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    service.stops();
}
