//! The lists in the documents are complete and right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;

use crate::support::Database;

use crate::support::root;

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
    ["alerts", "store", "worker"].map(of).concat()
}

#[test]
fn the_level_of_the_log_is_about_the_events_of_every_crate() {
    let logging = read("crates/worker/src/logging.rs");
    let ours = between(&logging, "const OURS: ", ";\n");
    for folder in fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = folder.file_name().unwrap().to_string_lossy().replace('-', "_");
        let logs = sources(&folder.join("src")).iter().any(|text| text.contains("event = \""));
        let is_named = ours.iter().any(|list| list.contains(&format!("\"{name}\"")));
        assert!(!logs || is_named, "events of {name} are not logged by default");
    }
}

/// The texts between each `before` and the next `after`.
fn between<'t>(text: &'t str, before: &str, after: &str) -> BTreeSet<&'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

/// The first column of all tables of a document.
fn listed(document: &str) -> BTreeSet<&str> {
    between(document, "\n| `", "`")
}

/// The paths of all files below a folder, from the root of the repository.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// A path in a document may leave out the folders above it, `crates` and `src`.
#[test]
fn every_source_that_a_document_names_exists() {
    let short = |path: &str| format!("/{}", path.replace("crates/", "").replace("/src/", "/"));
    let known: Vec<String> = ["crates", "tests", "migrations", "packaging", "docs"]
        .into_iter()
        .flat_map(files)
        .map(|path| short(&path))
        .collect();
    let documents = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"].map(str::to_owned);
    for document in files("docs").into_iter().chain(documents) {
        if !document.ends_with(".md") {
            continue;
        }
        let text = read(&document);
        for path in text.split('`').skip(1).step_by(2) {
            let is_source = path.ends_with(".rs") || path.ends_with(".sql");
            if is_source && path.contains('/') && !path.contains([' ', '*', '\n', '…']) {
                let end = short(path);
                assert!(known.iter().any(|path| path.ends_with(&end)), "{path} in {document}");
            }
        }
    }
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
        assert!(read("docs/operate.md").contains(&format!("### {alert}\n")), "{alert}");
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

/// The queries of a psql session, each with the cells of the rows that follow it.
fn queries_with_rows(session: &str) -> Vec<(String, Vec<Vec<&str>>)> {
    let mut queries: Vec<(String, Vec<Vec<&str>>)> = Vec::new();
    for line in session.lines() {
        if let Some(query) = line.strip_prefix("=> ") {
            queries.push((query.to_owned(), Vec::new()));
        } else if let Some(rest) = line.strip_prefix("-> ") {
            queries.last_mut().unwrap().0.push_str(rest);
        } else if line.contains('|') {
            queries.last_mut().unwrap().1.push(line.split('|').map(str::trim).collect());
        }
    }
    queries
}

#[tokio::test]
async fn the_quick_start_of_the_readme_gives_the_figures_that_it_shows() {
    let readme = read("README.md");
    let db = Database::new().await;
    db.execute(between(&readme, "```sql\n", "```").into_iter().next().unwrap()).await;
    db.run_once();
    let session = between(&readme, "```\n=> ", "```").into_iter().next().unwrap();
    let session = format!("=> {session}");
    let queries = queries_with_rows(&session);
    assert_eq!(queries.len(), 3);
    for (query, rows) in queries {
        let shown = rows.into_iter().skip(1).collect::<Vec<_>>();
        let mut found = Vec::new();
        for message in db.client.simple_query(&query).await.unwrap() {
            if let SimpleQueryMessage::Row(row) = message {
                found.push((0..row.len()).map(|i| row.get(i).unwrap_or("").to_owned()).collect());
            }
        }
        let found: Vec<Vec<String>> = found;
        assert_eq!(found, shown, "{query}");
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

/// The settings that a table of `docs/configure.md` lists, each with its default.
fn listed_settings(document: &str) -> BTreeMap<String, String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once("` | "))
        .filter(|(key, _)| key.contains('.') && !key.contains(' '))
        .filter_map(|(key, rest)| Some((key.to_owned(), rest.split(" |").next()?.to_owned())))
        .filter(|(_, default)| !default.contains(' ') || default.contains('*'))
        .collect()
}

#[test]
fn every_setting_is_listed_with_its_default_and_no_other() {
    let defaults: toml::Table = read("config/default.toml").parse().unwrap();
    let mut expected = BTreeMap::new();
    for (section, keys) in &defaults {
        for (key, value) in keys.as_table().unwrap() {
            let shown = match value {
                toml::Value::String(text) if text.is_empty() => "none".to_owned(),
                toml::Value::String(text) => format!("`{text}`"),
                toml::Value::Float(number) => number.to_string(),
                other => other.to_string(),
            };
            expected.insert(format!("{section}.{key}"), shown);
        }
    }
    let listed = listed_settings(&read("docs/configure.md"));
    assert_eq!(listed, expected);
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// All Markdown files below a folder, without what is built.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(documents(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_link_between_the_documents_leads_to_a_file_and_a_heading() {
    let documents = documents(&root());
    assert!(documents.len() > 20, "{documents:?}");
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let links = between(&text, "](", ")");
        for link in links.into_iter().filter(|link| !link.starts_with("http")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            assert!(target.exists(), "{} links to {link}", document.display());
            let is_there = heading.is_empty()
                || fs::read_to_string(&target)
                    .unwrap()
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| line.trim_start_matches('#'))
                    .any(|title| anchor(title.trim()) == heading);
            assert!(is_there, "{} links to {link}", document.display());
        }
    }
}
