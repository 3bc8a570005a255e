//! The views without a script, and who may see them.

use super::client::Visitor;
use super::{OPERATOR, VIEWER, served};
use crate::service::http::free_port;
use crate::support::outside::{assert_says, eventually as so};
use crate::support::running::{Running, eventually};
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
