//! The views without a script, and who may see them.

use super::client::Visitor;
use super::{OPERATOR, VIEWER, served};
use crate::service::http::free_port;
use crate::support::outside::{assert_says, eventually as so};
use crate::support::rows::heart_rate;
use crate::support::running::{PATIENT, Running, UserLock, eventually, waiting};
use crate::support::samples::insert_samples;
use crate::support::{Database, WORKER};

const QUEUED: &str = "SELECT count(*) FROM aggregation_queue";

#[tokio::test]
async fn without_a_token_the_page_is_read_only_and_shows_no_health_value() {
    let db = Database::new().await;
    insert_samples(&db, 2, 3).await;
    let port = free_port();
    let service = Running::service(db.worker(), &[("WORKER__HTTP__PORT", &port)]);
    eventually(&db, QUEUED, 0).await;
    let visitor = Visitor::new(&port);
    for (path, says) in [
        ("/", "Overview"),
        ("/failures", "Failures"),
        ("/runs", "Runs"),
        ("/settings", "database.url"),
        ("/doctor", "triggers"),
        ("/actions", "Action log"),
    ] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        assert_says(&answer.body, &[says, "Read-only, without health values"]);
    }
    for path in ["/users", "/users/1/days/2024-05-01", "/api/users/1/days/2024-05-01"] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, 403, "{path} {answer:?}");
        assert_says(&answer.body, &["http.token"]);
    }
    let answer = visitor.post("/actions", &[("action", "pause"), ("kind", "vitals")]);
    assert_eq!(answer.status, 403);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM paused_kinds").await, 0);
    assert!(service.events("user_day_viewed").is_empty());
    service.stops();
}

#[tokio::test]
async fn with_a_token_every_view_asks_for_it_and_each_role_may_what_it_may() {
    let db = Database::new().await;
    let port = free_port();
    let service = served(&db, &port).await;
    let stranger = Visitor::new(&port);
    for path in ["/", "/failures", "/settings", "/users/1/days/2024-05-01", "/actions"] {
        let answer = stranger.get(path);
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").starts_with("/sign-in?to="), "{answer:?}");
    }
    assert_eq!(stranger.get("/api/overview").status, 401);
    assert_eq!(stranger.get("/sign-in").status, 200);
    assert_eq!(stranger.get("/assets/page.css").status, 200);
    // Monitors have no token.
    assert_eq!(stranger.get("/health/live").status, 200);
    assert_eq!(stranger.get("/metrics").status, 200);

    assert_eq!(stranger.post("/sign-in", &[("token", "a wrong token of some length")]).status, 403);
    service.logs("sign_in_refused").await;
    let (viewer, operator) =
        (Visitor::signed_in(&port, VIEWER), Visitor::signed_in(&port, OPERATOR));
    for visitor in [&viewer, &operator] {
        assert_eq!(visitor.get("/").status, 200);
        assert_eq!(visitor.get("/users/1/days/2024-05-01").status, 200);
    }
    assert_eq!(viewer.get("/actions/confirm?action=pause&kind=vitals").status, 403);
    assert_eq!(viewer.act(&[("action", "pause"), ("kind", "vitals")]).status, 403);
    assert_eq!(operator.get("/actions/confirm?action=pause&kind=vitals").status, 200);
    let bearer = format!("Bearer {VIEWER}");
    assert_eq!(stranger.get_with("/api/overview", &[("Authorization", &bearer)]).status, 200);

    let csrf = viewer.csrf();
    assert_eq!(viewer.post("/sign-out", &[("csrf", &csrf)]).status, 303);
    assert_eq!(viewer.get("/").status, 303, "the session has ended");
    let log = service.stops().stderr;
    for secret in [VIEWER, OPERATOR, csrf.as_str()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn at_an_address_that_others_can_reach_there_is_no_page_without_a_token() {
    let db = Database::new().await;
    let port = free_port();
    let open = [("WORKER__HTTP__PORT", port.as_str()), ("WORKER__HTTP__ADDRESS", "0.0.0.0")];
    let service = Running::service(db.worker(), &open);
    service.logs("page_refused").await;
    let visitor = Visitor::new(&port);
    for path in ["/", "/failures", "/api/overview", "/sign-in"] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, 403, "{path}");
        assert_says(&answer.body, &["other hosts can reach", "http.token", "127.0.0.1"]);
    }
    assert_eq!(visitor.get("/health/live").status, 200);
    service.stops();

    let with_token = [
        ("WORKER__HTTP__PORT", port.as_str()),
        ("WORKER__HTTP__ADDRESS", "0.0.0.0"),
        ("WORKER__HTTP__TOKEN", VIEWER),
    ];
    let service = Running::service(db.worker(), &with_token);
    service.logs("database_ready").await;
    assert_eq!(Visitor::signed_in(&port, VIEWER).get("/").status, 200);
    service.stops();
}

#[tokio::test]
async fn a_credential_of_systemd_is_a_token_and_a_short_one_is_refused() {
    let db = Database::new().await;
    let folder = std::env::temp_dir().join(format!("dayfold-credentials-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("http-token"), format!("{VIEWER}\n")).unwrap();
    let port = free_port();
    let folder_text = folder.to_str().unwrap().to_owned();
    let settings =
        [("WORKER__HTTP__PORT", port.as_str()), ("CREDENTIALS_DIRECTORY", folder_text.as_str())];
    let service = Running::service(db.worker(), &settings);
    service.logs("database_ready").await;
    let viewer = Visitor::signed_in(&port, VIEWER);
    assert_says(&viewer.get("/settings").body, &["credential http-token"]);
    assert!(!viewer.get("/settings").body.contains(VIEWER));
    service.stops();
    std::fs::remove_dir_all(&folder).unwrap();

    let mut short = std::process::Command::new(WORKER);
    short.env_clear().env("WORKER__HTTP__TOKEN", "short").arg("check-config");
    let refused = short.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert_says(&said, &["http.token", "16 to 256"]);
    assert!(!said.contains("short"), "{said}");
}

#[tokio::test]
async fn the_overview_shows_backlog_dead_rows_workers_and_a_pause() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    db.execute(
        "UPDATE aggregation_queue SET state = 'dead', not_before = 'infinity', last_error = 'refused 23514 vitals_daily'
         WHERE user_id = 2;
         UPDATE aggregation_queue SET not_before = now() + interval '50 min 30 s',
             queued_at = now() - interval '400 s', last_error = 'timeout' WHERE user_id <> 2",
    )
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    so("the worker is listed", || {
        visitor.get("/api/overview").json()["database"]["workers"].as_array().unwrap().len() == 1
    });
    let overview = visitor.get("/api/overview").json();
    let vitals = &overview["database"]["kinds"][0];
    assert_eq!((&vitals["pending"], &vitals["dead"]), (&10.into(), &5.into()), "{vitals}");
    assert!(vitals["oldest_pending_seconds"].as_f64().unwrap() >= 400.0);
    assert_eq!(overview["breaker"]["state"], "closed");
    assert_eq!(overview["database"]["workers"][0]["is_alive"], true);
    let page = visitor.get("/").body;
    assert_says(&page, &["late", "PostgreSQL", "alive", "closed: the database is used"]);

    let failures = visitor.get("/api/failures").json();
    let causes: Vec<&str> = failures["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["class"].as_str().unwrap())
        .collect();
    assert_eq!(causes, ["timeout", "refused"]);
    assert_eq!(failures["failures"][1]["detail"], "23514 vitals_daily");
    assert_says(
        &visitor.get("/failures").body,
        &["23514 vitals_daily", "never by itself", "in 50 min"],
    );

    assert_eq!(db.run(&["pause", "nutrition"]).code, 0);
    so("the pause is shown", || {
        visitor.get("/api/overview").json()["database"]["kinds"][1]["is_paused"] == true
    });
    service.stops();
}

#[tokio::test]
async fn an_alert_fires_on_the_page_without_a_channel_and_no_message_is_made() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    db.execute("UPDATE aggregation_queue SET state = 'dead', not_before = 'infinity', last_error = 'timeout'").await;
    let port = free_port();
    let service = served(&db, &port).await;
    let visitor = Visitor::signed_in(&port, OPERATOR);
    so("dead rows fire", || {
        let overview = visitor.get("/api/overview").json();
        let firing = overview["alerts_firing"].as_array().unwrap().clone();
        firing.iter().any(|of| of["rule"] == "dead_rows" && of["amount"] == 5.0)
    });
    assert_says(
        &visitor.get("/").body,
        &["Needs attention", "(dead_rows)", "5 rows, the limit is", "No message is sent"],
    );
    let messages =
        "SELECT (SELECT count(*) FROM alert_conditions) + (SELECT count(*) FROM alert_outbox)";
    assert_eq!(db.value::<i64>(messages).await, 0);
    db.execute("DELETE FROM aggregation_queue").await;
    so("nothing fires", || {
        visitor.get("/api/overview").json()["alerts_firing"] == serde_json::json!([])
    });
    assert_says(&visitor.get("/").body, &["Nothing needs attention"]);
    service.stops();
}

#[tokio::test]
async fn the_overview_shows_which_batches_each_worker_works_on() {
    let db = Database::new().await;
    let (first, second) = (UserLock::hold(&db.url, 1).await, UserLock::hold(&db.url, 2).await);
    let other = Running::service(db.worker(), &PATIENT);
    other.logs("database_ready").await;
    insert_samples(&db, 1, 7).await;
    waiting(&db, 1).await;
    let port = free_port();
    let service = served(&db, &port).await;
    let visitor = Visitor::signed_in(&port, OPERATOR);
    so("the new one is listed", || visitor.get("/").body.contains("nothing claimed yet"));
    db.insert([heart_rate(60).at("2024-05-01 10:00Z").user(2)]).await;
    waiting(&db, 2).await;
    so("both batches are shown", || {
        let page = visitor.get("/").body;
        page.contains("vitals, 7 raw rows, for") && page.contains("vitals, 1 raw row, for")
    });
    first.release().await;
    second.release().await;
    eventually(&db, QUEUED, 0).await;
    so("no worker works", || {
        let overview = visitor.get("/api/overview").json();
        let workers = overview["database"]["workers"].as_array().unwrap().clone();
        workers.len() == 2
            && workers.iter().all(|of| {
                of["batches"] == serde_json::json!([]) && of["claimed_seconds_ago"].is_number()
            })
    });
    assert_says(&visitor.get("/").body, &["nothing; claimed"]);
    other.stops();
    service.stops();
}

#[tokio::test]
async fn a_failure_leads_to_the_day_of_one_of_its_rows() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, last_error)
         VALUES ('vitals', 42, '2024-05-01 10:00Z', '2024-05-01 10:00Z', '{1}', 'dead', 'infinity', 'timeout')",
    )
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    assert_says(&visitor.get("/failures").body, &["href=\"/users/42/days/2024-05-01\""]);
    assert_says(&visitor.get("/users/42/days/2024-05-01").body, &["1 row of the user was"]);
    service.stops();
}

/// The tags of a page: name, attributes as they are, and the text behind.
fn tags(page: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    page.split('<').skip(1).filter_map(|part| {
        let (tag, text) = part.split_once('>')?;
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        Some((name, attributes, text))
    })
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = attributes.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

#[tokio::test]
async fn headings_tables_and_fields_have_the_names_that_a_screen_reader_needs() {
    let db = Database::new().await;
    insert_samples(&db, 1, 3).await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, QUEUED, 0).await;
    db.execute(
        "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, last_error)
         VALUES ('labs', 1, now(), now(), '{1}', 'dead', 'infinity', 'timeout');
         INSERT INTO rejected_rows (user_id, kind, raw_id, reason) VALUES (1, 'labs', 1, 'unknown_unit');
         INSERT INTO operator_actions (actor, action, target) VALUES ('the test', 'pause', 'labs')",
    )
    .await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    so("a run is recorded", || operator.get("/runs").body.contains("<table"));
    for path in [
        "/",
        "/failures",
        "/users",
        "/users/1/days/2024-05-01",
        "/runs",
        "/settings",
        "/doctor",
        "/actions",
        "/actions/confirm?action=discard",
        "/sign-in",
    ] {
        let page = operator.get(path).body;
        let mut level = 0;
        let labels: Vec<&str> = tags(&page)
            .filter(|(name, ..)| *name == "label")
            .filter_map(|(_, attributes, _)| attribute(attributes, "for"))
            .collect();
        let mut ids: Vec<&str> = tags(&page)
            .filter_map(|(_, of, _)| attribute(of, " id").or(attribute(of, "id")))
            .collect();
        for (name, attributes, _) in tags(&page) {
            match name {
                "h1" | "h2" | "h3" => {
                    let next = name[1..].parse::<usize>().unwrap();
                    assert!(next <= level + 1, "{path}: h{level} is followed by {name}");
                    level = next;
                }
                "th" => assert!(attribute(attributes, "scope").is_some(), "{path}: {attributes}"),
                "svg" | "progress" => {
                    assert!(attribute(attributes, "aria-label").is_some(), "{path}: {attributes}");
                }
                "select" | "input"
                    if !["hidden", "checkbox"]
                        .contains(&attribute(attributes, "type").unwrap_or("")) =>
                {
                    let id = attribute(attributes, "id").unwrap();
                    assert!(labels.contains(&id), "{path}: {id} has no label");
                }
                _ => {}
            }
        }
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
        assert_eq!(page.matches("<table>").count(), page.matches("<caption>").count(), "{path}");
        assert_says(&page, &["<html lang=\"en\">", "<main id=\"main\"", "href=\"#main\""]);
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "{path}: an id is there twice");
    }
    service.stops();
}
