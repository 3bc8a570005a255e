//! What the documents list is what there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All Rust sources below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

fn program() -> String {
    let of = |name: &str| sources(&root().join("crates").join(name).join("src")).concat();
    of("worker") + &of("store")
}

/// The texts between each `before` and the next `after`.
fn between<'t>(text: &'t str, before: &str, after: &str) -> BTreeSet<&'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

/// The first column of all tables of a document.
fn listed(document: &str) -> BTreeSet<&str> {
    between(document, "\n| `", "`")
}

#[test]
fn every_event_of_the_log_is_explained_and_no_other() {
    let program = program();
    assert_eq!(listed(&read("docs/events.md")), between(&program, "event = \"", "\""));
}

#[test]
fn every_metric_is_listed_and_no_other() {
    let program = program();
    let metrics: BTreeSet<&str> = between(&program, "\"dayfold_", "\"").into_iter().collect();
    let document = read("docs/metrics.md");
    let listed: BTreeSet<&str> =
        listed(&document).into_iter().filter_map(|name| name.strip_prefix("dayfold_")).collect();
    assert_eq!(listed, metrics);
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are_and_between_them_for_all() {
    let program = program();
    let metrics: BTreeSet<&str> = between(&program, "\"dayfold_", "\"").into_iter().collect();
    let (alerts, dashboard) =
        (read("config/monitoring/alerts.yml"), read("config/monitoring/dashboard.json"));
    let _: Value = serde_json::from_str(&dashboard).expect("the dashboard is JSON");
    let mut asked_for = BTreeSet::new();
    for text in [&alerts, &dashboard] {
        for behind in text.split("dayfold_").skip(1) {
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &behind[..end.unwrap_or(behind.len())];
            // Of a histogram.
            asked_for.insert(name.strip_suffix("_bucket").unwrap_or(name));
        }
    }
    assert_eq!(asked_for, metrics);

    // Each alert fires in a test, and resolves in one.
    let tests = read("config/monitoring/tests.yml");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let cases: Vec<&str> = tests
            .split("- eval_time:")
            .filter(|case| case.contains(&format!("alertname: {alert}\n")))
            .collect();
        let fires = cases.iter().filter(|case| case.contains("exp_labels")).count();
        let is_silent = cases.last().is_some_and(|case| case.contains("exp_alerts: []"));
        assert!(fires > 0 && is_silent, "{alert} has no test of both");
        assert!(read("docs/operations.md").contains(&format!("### {alert}\n")), "{alert}");
    }
}

#[test]
fn every_path_that_is_served_is_listed_and_no_other() {
    let program = program();
    let document = read("docs/metrics.md") + &read("docs/page.md");
    let listed: BTreeSet<&str> =
        listed(&document).into_iter().filter(|name| name.starts_with('/')).collect();
    assert_eq!(listed, between(&program, ".route(\"", "\""));
}

/// The rows of a document's tables of faults, in cells, without the heads.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let (faults, _) = document.split_once("\n## Each SQLSTATE").unwrap();
    let rows =
        faults.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault "));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_test_of_a_fault_is_listed_and_every_listed_test_exists() {
    let document = read("docs/faults.md");
    let mut listed = BTreeSet::new();
    for row in rows(&document) {
        let test = row[3].trim_matches('`');
        let (path, name) = test.split_once("::").unwrap_or_else(|| panic!("no test: {row:?}"));
        let is_there = tests_of(&read(path)).contains(name);
        assert!(is_there, "there is no test {test}");
        assert!(listed.insert(name.to_owned()), "{test} is listed twice");
    }
    let of_faults = sources(&root().join("tests/faults")).concat();
    let unlisted: Vec<_> =
        tests_of(&of_faults).into_iter().filter(|t| !listed.contains(*t)).collect();
    assert!(unlisted.is_empty(), "docs/faults.md lacks {unlisted:?}");
}

/// The names of the asynchronous tests in a source.
fn tests_of(source: &str) -> BTreeSet<&str> {
    between(source, "#[tokio::test]\nasync fn ", "(")
}

#[test]
fn every_promise_has_tests_and_they_exist() {
    let document = read("docs/guarantees.md");
    let promises: Vec<&str> = document.lines().filter(|line| line.starts_with("| **")).collect();
    assert!(promises.len() > 10, "{promises:?}");
    for promise in promises {
        let shown_by = promise.trim_matches('|').rsplit('|').next().unwrap();
        let tests: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{promise}");
        for test in tests {
            let (path, name) = test.split_once("::").unwrap_or_else(|| panic!("no test: {test}"));
            assert!(read(path).contains(&format!("fn {name}(")), "there is no {test}");
        }
    }
}

#[test]
fn the_events_of_each_fault_are_those_of_the_log() {
    let (faults, events) = (read("docs/faults.md"), read("docs/events.md"));
    let events = listed(&events);
    for row in rows(&faults) {
        let told: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!told.is_empty(), "the log says nothing: {row:?}");
        assert!(told.iter().all(|event| events.contains(event)), "{told:?}");
    }
}

#[test]
fn cargo_run_starts_the_worker_as_the_readme_says() {
    assert!(read("README.md").contains("\ncargo run --release -- demo "));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &Value, field: &str| value[field].as_array().unwrap().clone();
    let by_default = list(&metadata, "workspace_default_members");
    let mut programs = Vec::new();
    for package in list(&metadata, "packages") {
        let is_meant = by_default.contains(&package["id"]);
        let targets = list(&package, "targets");
        let of = targets.iter().filter(|target| is_meant && target["kind"][0] == "bin");
        programs.extend(of.map(|target| target["name"].clone()));
    }
    assert_eq!(programs, ["worker"], "`cargo run` cannot tell which program is meant");
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    const DOCUMENTS: [&str; 10] = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/events.md",
        "docs/faults.md",
        "docs/guarantees.md",
        "docs/metrics.md",
        "docs/operations.md",
        "docs/page.md",
        "docs/performance.md",
    ];
    for document in DOCUMENTS {
        let folder = root().join(document).parent().unwrap().to_owned();
        let text = read(document);
        for link in between(&text, "](", ")") {
            let path = link.split('#').next().unwrap();
            let found = link.starts_with("http") || folder.join(path).exists();
            assert!(found, "{document} links to {link}");
        }
    }
}
