//! Actions of operators by the page.

use super::client::Visitor;
use super::{OPERATOR, served};
use crate::service::http::free_port;
use crate::support::Database;
use crate::support::outside::{assert_says, eventually as so};
use crate::support::rows::lab;
use crate::support::running::{Running, UserLock, eventually, waiting};
use crate::support::samples::insert_samples;

const QUEUED: &str = "SELECT count(*) FROM aggregation_queue";

/// Waits until the last action has ended, and gives its state and outcome.
fn ended(visitor: &Visitor) -> (String, String, i64) {
    let mut last = serde_json::Value::Null;
    so("the action has ended", || {
        last = visitor.get("/api/actions").json()["actions"][0].clone();
        last["state"].as_str().is_some_and(|state| state != "running")
    });
    let text = |key: &str| last[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("outcome"), last["done"].as_i64().unwrap())
}

#[tokio::test]
async fn a_paused_kind_is_claimed_by_no_worker_until_it_is_resumed() {
    let db = Database::new().await;
    let port = free_port();
    let service = served(&db, &port).await;
    let other = Running::service(db.worker(), &[]);
    other.logs("database_ready").await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    let asked = operator.get("/actions/confirm?action=pause&kind=vitals").body;
    assert_says(&asked, &["Confirm: pause", "No worker claims rows", "Yes, pause"]);
    assert_eq!(operator.act(&[("action", "pause"), ("kind", "vitals")]).status, 303);
    assert_eq!(ended(&operator).0, "done");

    insert_samples(&db, 3, 5).await;
    db.insert([lab("ferritin", "30").unit("ug/L").at("2024-05-01 10:00Z").user(5)]).await;
    eventually(&db, "SELECT count(*) FROM lab_daily", 1).await;
    // Two services and a single run have looked at the queue, and none has claimed vitals.
    let run = db.run_once();
    assert_eq!((&run["rows_claimed"], &run["pending_after"]), (&0.into(), &15.into()));
    assert_eq!(run["paused"], serde_json::json!(["vitals"]));
    assert_says(&db.run(&["run-once"]).stdout, &["vitals is paused since", "worker resume vitals"]);
    assert_says(&db.run(&["status"]).stdout, &["vitals is paused since", "worker resume vitals"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_daily").await, 0);

    let resumed = db.run(&["resume", "vitals", "--json"]);
    assert_eq!((resumed.code, &resumed.json()["changed"]), (0, &true.into()));
    eventually(&db, QUEUED, 0).await;
    so("both are in the log", || {
        let log = operator.get("/actions").body;
        ["operator from 127.0.0.1", "command line, dayfold-worker@", "resume"]
            .iter()
            .all(|text| log.contains(text))
    });
    other.stops();
    service.stops();
}

#[tokio::test]
async fn failed_rows_of_a_filter_are_counted_then_requeued_or_discarded_and_others_stay() {
    let db = Database::new().await;
    insert_samples(&db, 4, 5).await;
    db.execute(
        "UPDATE aggregation_queue SET state = 'dead', not_before = 'infinity', attempts = 5,
             last_error = CASE user_id WHEN 1 THEN 'refused 23514 vitals_daily' WHEN 2 THEN 'timeout' ELSE 'internal' END",
    )
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    let page = operator.get("/failures").body;
    assert_says(
        &page,
        &["action=requeue&amp;kind=vitals&amp;class=refused&amp;detail=23514%20vitals%5Fdaily"],
    );

    let query = "action=requeue&kind=vitals&class=refused&detail=23514%20vitals_daily";
    assert_says(
        &operator.get(&format!("/actions/confirm?{query}")).body,
        &["5 raw rows", "Yes, requeue"],
    );
    let fields = [
        ("action", "requeue"),
        ("kind", "vitals"),
        ("class", "refused"),
        ("detail", "23514 vitals_daily"),
        ("expected", "5"),
    ];
    assert_eq!(operator.act(&fields).status, 303);
    let (state, outcome, done) = ended(&operator);
    assert_eq!((state.as_str(), done), ("done", 5), "{outcome}");
    eventually(&db, "SELECT count(*) FROM vitals_daily WHERE user_id = 1", 1).await;
    let dead = "SELECT coalesce(sum(cardinality(raw_ids)), 0)::bigint FROM aggregation_queue WHERE state = 'dead'";
    assert_eq!(db.value::<i64>(dead).await, 15);

    let asked = operator.get("/actions/confirm?action=discard&class=internal").body;
    assert_says(&asked, &["10 raw rows", "cannot be brought back"]);
    assert_eq!(operator.act(&[("action", "discard"), ("class", "internal")]).status, 303);
    assert_eq!(ended(&operator).2, 10);
    assert_eq!(db.value::<i64>(dead).await, 5);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_raw").await, 20, "raw rows stay");

    assert_says(
        &operator.get("/actions/confirm?action=discard&class=internal").body,
        &["There is nothing to do"],
    );
    let entries: Vec<String> = db
        .query(
            "SELECT action || ' ' || target || ' ' || done FROM operator_actions ORDER BY id",
            &[],
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(
        entries,
        [
            "requeue failed rows of vitals with class refused (23514 vitals_daily) 5",
            "discard dead rows with class internal 10",
        ]
    );
    service.logs("action_ended").await;
    service.stops();
}

#[tokio::test]
async fn a_users_dates_are_verified_and_computed_again() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, QUEUED, 0).await;
    let date: String =
        db.value("SELECT min(local_date)::text FROM vitals_daily WHERE user_id = 1").await;
    db.execute("UPDATE vitals_daily SET mean = mean + 1").await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    let range = [("user", "1"), ("from", date.as_str()), ("to", date.as_str())];
    let act = |action: &'static str| {
        let fields = [&[("action", action)][..], &range].concat();
        assert_eq!(operator.act(&fields).status, 303);
        ended(&operator)
    };
    let asked =
        operator.get(&format!("/actions/confirm?action=verify&user=1&from={date}&to={date}")).body;
    assert_says(&asked, &["Counted", "dates", "Nothing is changed"]);
    let (state, outcome, _) = act("verify");
    assert_eq!(state, "done", "{outcome}");
    assert_says(&outcome, &["1 of them differ"]);
    assert_eq!(act("backfill").0, "done");
    let (_, outcome, _) = act("verify");
    assert_says(&outcome, &["0 of them differ"]);
    // Of the other user nothing was computed.
    assert!(db.run(&["verify", "--user", "2"]).code == 4);
    service.stops();
}

#[tokio::test]
async fn failed_rows_of_some_dates_are_counted_and_done_and_those_of_other_dates_stay() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, attempts, last_error)
         SELECT 'labs', n, day, day + interval '1 hour', ARRAY[n], 'dead', 'infinity', 5, 'timeout'
         FROM generate_series(1, 10) AS n, LATERAL (SELECT timestamptz '2024-05-01 23:30Z' + n * interval '1 day' AS day) AS days",
    )
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    // The set of the 5th ends on the 6th.
    for (limits, counted) in [
        ("from=2024-05-06&to=2024-05-07", "3 raw rows"),
        ("from=2024-05-06", "7 raw rows"),
        ("to=2024-05-03", "2 raw rows"),
        ("from=2024-05-06&user=4", "1 raw rows"),
        ("from=2025-01-01", "There is nothing to do"),
    ] {
        let asked = operator.get(&format!("/actions/confirm?action=discard&{limits}"));
        assert_says(&asked.body, &[counted, "Limit it to a user or to dates"]);
    }
    let backwards = operator.get("/actions/confirm?action=discard&from=2024-05-02&to=2024-05-01");
    assert_eq!(backwards.status, 400);
    assert_says(&backwards.body, &["must not be after"]);
    let fields = [("action", "discard"), ("from", "2024-05-06"), ("to", "2024-05-07")];
    assert_eq!(operator.act(&fields).status, 303);
    let (state, outcome, done) = ended(&operator);
    assert_eq!((state.as_str(), done), ("done", 3), "{outcome}");
    let left = "SELECT count(*) FROM aggregation_queue WHERE user_id NOT IN (4, 5, 6)";
    assert_eq!((db.value::<i64>(QUEUED).await, db.value::<i64>(left).await), (7, 7));
    let log = operator.get("/api/actions").json()["actions"][0].clone();
    assert_eq!(log["target"], "dead rows dated 2024-05-06 to 2024-05-07 (UTC)");
    assert_eq!(log["expected"], 3);
    service.stops();
}

#[tokio::test]
async fn a_running_action_shows_how_far_it_is_and_ends_after_its_step_when_it_is_stopped() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM generate_series(1, 100) AS n, LATERAL (SELECT timestamptz '2024-01-01 12:00Z' + n * interval '1 day' AS at) AS t",
    )
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, QUEUED, 0).await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    let lock = UserLock::hold(&db.url, 1).await;
    let fields =
        [("action", "backfill"), ("user", "1"), ("from", "2024-01-01"), ("to", "2024-06-01")];
    assert_eq!(operator.act(&fields).status, 303);
    waiting(&db, 1).await;
    let total = operator.get("/api/actions").json()["actions"][0]["expected"].as_i64().unwrap();
    assert!(total > 100, "{total}");
    let page = operator.get("/actions").body;
    let bar = format!("max=\"{total}\" value=\"0\"");
    assert_says(&page, &["backfill user 1", "<progress", &bar, "Stop after this step"]);
    assert_says(&operator.get("/").body, &["backfill user 1", &format!("0 of {total}")]);
    let second = operator.act(&[("action", "requeue")]);
    assert_says(&second.body, &["Another action runs"]);
    assert_eq!(operator.act(&[("action", "pause"), ("kind", "labs")]).status, 303, "at once");

    let csrf = operator.csrf();
    assert_eq!(operator.post("/actions/stop", &[("csrf", &csrf)]).status, 303);
    lock.release().await;
    so("the action has stopped", || {
        let actions = operator.get("/api/actions").json()["actions"].clone();
        let backfill = actions.as_array().unwrap().iter().find(|of| of["action"] == "backfill");
        let backfill = backfill.unwrap();
        // One step has 31 dates.
        backfill["state"] == "stopped" && backfill["done"] == 31
    });
    assert!(!operator.get("/actions").body.contains("<progress"));
    service.stops();
}

#[tokio::test]
async fn an_action_that_waits_too_long_for_a_lock_tries_again() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at FROM (VALUES (timestamptz '2024-01-01 12:00Z')) AS t (at)",
    )
    .await;
    let port = free_port();
    let settings = [
        ("WORKER__HTTP__PORT", port.as_str()),
        ("WORKER__HTTP__OPERATOR_TOKEN", OPERATOR),
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.2"),
    ];
    let service = Running::service(db.worker(), &settings);
    service.logs("database_ready").await;
    eventually(&db, QUEUED, 0).await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    let lock = UserLock::hold(&db.url, 1).await;
    let fields =
        [("action", "backfill"), ("user", "1"), ("from", "2024-01-01"), ("to", "2024-01-01")];
    assert_eq!(operator.act(&fields).status, 303);
    for workers in [1, 0, 1] {
        waiting(&db, workers).await;
    }
    lock.release().await;
    so("the action has ended", || {
        let ended = operator.get("/api/actions").json()["actions"][0].clone();
        assert_ne!(ended["state"], "failed", "{ended}");
        ended["state"] == "done" && ended["done"] == 1
    });
    service.stops();
}

#[tokio::test]
async fn the_limit_holds_for_all_services_until_it_is_taken_back() {
    let db = Database::new().await;
    let port = free_port();
    let service = served(&db, &port).await;
    let other = Running::service(db.worker(), &[]);
    other.logs("database_ready").await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    assert_eq!(operator.act(&[("action", "throttle"), ("rows", "7")]).status, 303);
    let limits = |wanted: i64| {
        let overview = operator.get("/api/overview").json();
        let workers = overview["database"]["workers"].as_array().unwrap().clone();
        workers.len() == 2 && workers.iter().all(|of| of["max_rows_per_second"] == wanted)
    };
    so("both obey", || limits(7));
    other.logs("limit_changed").await;
    assert_says(&operator.get("/").body, &["throttled", "7 rows/s"]);
    assert_eq!(operator.act(&[("action", "throttle"), ("rows", "")]).status, 303);
    so("both have their own again", || limits(0));
    other.stops();
    service.stops();
}
