//! The page of a service with several targets.

use std::collections::BTreeSet;

use super::api::{document, faults};
use super::client::Visitor;
use super::{OPERATOR, VIEWER};
use crate::service::http::free_port;
use crate::support::outside::{assert_says, eventually as so};
use crate::support::running::Running;
use crate::targets::{Schemas, of_target};

const VIEWS: [&str; 7] = ["/", "/failures", "/users", "/runs", "/settings", "/doctor", "/actions"];

/// A service with the targets `a` and `b`, a page and both tokens.
async fn served(port: &str) -> (Schemas, Running) {
    let schemas = Schemas::new(&["a", "b"]).await;
    let settings = [
        ("WORKER__HTTP__PORT", port),
        ("WORKER__HTTP__TOKEN", VIEWER),
        ("WORKER__HTTP__OPERATOR_TOKEN", OPERATOR),
    ];
    let service = schemas.serve(&schemas.configuration(&["a", "b"]), &settings);
    service.logs_times("database_ready", 2).await;
    (schemas, service)
}

/// The addresses of links and forms of a page.
fn addresses(page: &str) -> BTreeSet<&str> {
    let after = |attribute: &str| {
        let parts = page.split(attribute).skip(1).collect::<Vec<_>>();
        parts.into_iter().filter_map(|rest| rest.split('"').next()).collect::<Vec<_>>()
    };
    let found = after("href=\"").into_iter().chain(after("action=\""));
    found.filter(|address| address.starts_with('/')).collect()
}

#[tokio::test]
async fn each_view_is_that_of_the_target_in_its_address_and_leads_to_no_other() {
    let port = free_port();
    let (schemas, service) = served(&port).await;
    schemas.insert("a", 3).await;
    schemas.drained("a").await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    let of_all = ["/", "/sign-in", "/sign-out", "/assets/page.css"];
    for view in VIEWS {
        let page = operator.get(&format!("{view}?target=a"));
        assert_eq!(page.status, 200, "{view}: {page:?}");
        assert_says(&page.body, &["Target <strong>a</strong>", "all targets"]);
        for address in addresses(&page.body) {
            // A form that is sent by GET has the target in a field.
            let is_form = page.body.contains(&format!("method=\"get\" action=\"{address}\""));
            let says = address.contains("target=a") || is_form;
            assert!(says || of_all.contains(&address), "{view} leads to {address}");
        }
        assert!(
            page.body.matches("method=\"get\"").count()
                == page.body.matches("name=\"target\" value=\"a\"").count(),
            "{view}: each form sent by GET has the target"
        );
        let missing = operator.get(&format!("{view}?target=c"));
        assert_eq!(missing.status, 404, "{view}");
        assert_says(&missing.body, &["There is no target c", &format!("{view}?target=a")]);
        if view != "/" {
            let unsaid = operator.get(view);
            assert_eq!(unsaid.status, 400, "{view}");
            assert_says(&unsaid.body, &["Choose", &format!("{view}?target=b")]);
        }
    }
    let day = "/users/1/days/2024-05-01";
    assert_says(&operator.get(&format!("{day}?target=a")).body, &["heart_rate"]);
    assert!(!operator.get(&format!("{day}?target=b")).body.contains("heart_rate"));
    let asked = operator.get("/users?user=1&date=2024-05-01&target=a");
    assert_eq!(asked.header("location"), format!("{day}?target=a"));
    let viewed = of_target(&service.stops(), "user_day_viewed", "a");
    assert!(!viewed.is_empty());
}

#[tokio::test]
async fn the_overview_has_a_row_for_each_target_their_sums_and_live_updates() {
    let port = free_port();
    let (schemas, service) = served(&port).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    let page = visitor.get("/").body;
    assert_says(
        &page,
        &["href=\"/?target=a\"", "href=\"/?target=b\"", "All: 2 targets", "2 ready"],
    );
    let mut live = visitor.open("/live/overview");
    let mut of_target = visitor.open("/live/overview?target=b");
    schemas.insert("a", 3).await;
    schemas.insert("b", 4).await;
    let sums = || visitor.get("/api/targets").json()["sums"].clone();
    so("rows of both are counted", || sums()["completed"] == 7);
    assert!(live.reads_until("<td class=\"number\">7</td>"));
    assert!(of_target.reads_until("Rates of this worker"));
    assert_eq!((&sums()["targets"], &sums()["ready"]), (&2.into(), &2.into()));
    service.stops();
}

#[tokio::test]
async fn every_answer_for_a_target_is_what_the_document_says() {
    let port = free_port();
    let (schemas, service) = served(&port).await;
    schemas.insert("a", 3).await;
    schemas.drained("a").await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    for (path, operations) in document()["paths"].as_object().unwrap() {
        let asked = path.replace("{user}", "1").replace("{date}", "2024-05-01");
        let parameters = operations["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let has_target = parameters.iter().any(|of| of["name"] == "target");
        assert_eq!(has_target, !["/api/targets", "/api/openapi.json"].contains(&&**path), "{path}");
        let answer = visitor.get(&format!("{asked}?target=a"));
        assert_eq!(answer.status, 200, "{asked} {answer:?}");
        let schema =
            &operations["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let mut found = Vec::new();
        faults(schema, &answer.json(), path, &mut found);
        assert!(found.is_empty(), "{found:#?}");
        if has_target {
            let unsaid = visitor.get(&asked);
            assert_eq!(unsaid.status, 400, "{asked}");
            assert_says(unsaid.json()["error"].as_str().unwrap(), &["target=NAME", "/api/targets"]);
        }
    }
    service.stops();
}

#[tokio::test]
async fn an_action_changes_the_target_that_its_form_names_and_says_so() {
    let port = free_port();
    let (schemas, service) = served(&port).await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    let asked = operator.get("/actions/confirm?action=pause&kind=labs&target=b").body;
    assert_says(&asked, &["<dt>Target</dt><dd><strong>b</strong></dd>", "/actions?target=b"]);
    let csrf = operator.csrf();
    let fields = [("action", "pause"), ("kind", "labs"), ("csrf", &csrf)];
    let done = operator.post("/actions?target=b", &fields);
    assert_eq!((done.status, done.header("location")), (303, "/actions?target=b#action-1"));
    for (name, paused) in [("a", 0), ("b", 1)] {
        let sql = format!("SELECT count(*) FROM {name}.paused_kinds");
        assert_eq!(schemas.db.value::<i64>(&sql).await, paused, "{name}");
    }
    let state = |name: &str| {
        let log = operator.get(&format!("/api/actions?target={name}")).json();
        log["actions"][0]["state"].as_str().map(str::to_owned)
    };
    assert_eq!(state("a"), None);
    so("the action is done", || state("b").as_deref() == Some("done"));

    // An action that takes its time is one of its target, too.
    schemas.insert("b", 2).await;
    schemas.drained("b").await;
    let dates = [("from", "2024-05-01"), ("to", "2024-05-01"), ("user", "1"), ("csrf", &csrf)];
    let fields = [&[("action", "verify")], &dates[..]].concat();
    assert_eq!(operator.post("/actions?target=b", &fields).status, 303);
    so("the verification has ended", || {
        let log = operator.get("/api/actions?target=b").json();
        let last = &log["actions"][0];
        last["action"] == "verify" && last["state"] == "done"
    });
    let ran = service.stops();
    assert_eq!(of_target(&ran, "action_begun", "b").len(), 2, "{}", ran.stderr);
    assert_eq!(of_target(&ran, "action_ended", "b").len(), 1);
    assert!(of_target(&ran, "action_begun", "a").is_empty());
}
