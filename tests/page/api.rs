//! The JSON of the page, and its OpenAPI document.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::client::Visitor;
use super::{VIEWER, served};
use crate::service::http::free_port;
use crate::support::Database;
use crate::support::outside::eventually as so;
use crate::support::rows::{heart_rate, vital};
use crate::support::running::eventually;
use crate::support::samples::insert_samples;

fn source(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("src/commands/page").join(path)).unwrap()
}

pub fn document() -> Value {
    serde_json::from_str(&source("openapi.json")).unwrap()
}

#[test]
fn the_document_has_the_routes_that_there_are_and_no_other() {
    let router = source("mod.rs");
    let routes: BTreeSet<&str> = router
        .split(".route(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|path| path.starts_with("/api/"))
        .collect();
    let document = document();
    let documented: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(documented, routes);
}

#[test]
fn the_page_of_several_targets_has_each_view_of_a_target() {
    let (router, targets) = (source("mod.rs"), source("targets.rs"));
    let views = router.split("fn routes(").nth(1).unwrap().split(".with_state").next().unwrap();
    let paths: Vec<&str> =
        views.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        let listed = format!("\"{}\"", path.strip_prefix("/api/").unwrap_or(path));
        assert!(targets.contains(&listed), "{path} is not in targets.rs");
    }
}

/// The places where a value violates a schema, with the reasons.
pub fn faults(schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        of => of.as_str().into_iter().collect(),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = types.contains(&is) || (is == "integer" && types.contains(&"number"));
    if !fits {
        found.push(format!("{place} is {is}, not {types:?}"));
    }
    if let (Some(values), Some(text)) = (schema["enum"].as_array(), value.as_str())
        && !values.iter().any(|of| of == text)
    {
        found.push(format!("{place} is {text:?}, none of {values:?}"));
    }
    if let (Value::Object(fields), Some(known)) = (value, schema["properties"].as_object()) {
        for (name, field) in fields {
            match known.get(name) {
                Some(schema) => faults(schema, field, &format!("{place}.{name}"), found),
                None => found.push(format!("{place}.{name} is not documented")),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                found.push(format!("{place}.{name} is missing"));
            }
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        faults(&schema["items"], item, &format!("{place}[{index}]"), found);
    }
}

#[tokio::test]
async fn every_answer_is_what_the_document_says() {
    let db = Database::new().await;
    insert_samples(&db, 2, 3).await;
    db.insert([
        heart_rate(6000).at("2024-05-01 10:00Z"),
        vital("steps", 600, "{steps}").between("2024-05-01 10:00Z", "2024-05-01 11:00Z"),
    ])
    .await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    assert_eq!(db.run(&["pause", "labs"]).code, 0);
    db.execute(
        "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, last_error)
         VALUES ('vitals', 9, now(), now(), '{1}', 'dead', 'infinity', 'refused 23514 vitals_daily')",
    )
    .await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    so("a run and a worker are there", || {
        let is_some = |value: &Value| value.as_array().is_some_and(|of| !of.is_empty());
        is_some(&visitor.get("/api/runs").json()["runs"])
            && is_some(&visitor.get("/api/overview").json()["database"]["workers"])
    });
    let document = document();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let asked = path.replace("{user}", "1").replace("{date}", "2024-05-01");
        let answer = visitor.get(&asked);
        assert_eq!(answer.status, 200, "{asked} {answer:?}");
        assert_eq!(answer.header("content-type"), "application/json", "{asked}");
        let schema =
            &operations["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let (value, mut found) = (answer.json(), Vec::new());
        faults(schema, &value, path, &mut found);
        assert!(found.is_empty(), "{found:#?}\n{value:#}");
    }
    service.stops();
}
