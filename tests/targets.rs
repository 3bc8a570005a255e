//! One worker process for several targets.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::outside::Scratch;
use crate::support::running::{Running, eventually, number};
use crate::support::{Database, Ran, worker_at};

mod broken;
mod budgets;
mod chaos;
mod citus;
mod commands;
mod idle;
mod lists;
mod messages;
mod statements;

/// Schemas of one database, each with Dayfold's tables.
pub struct Schemas {
    pub db: Database,
    pub scratch: Scratch,
}

impl Schemas {
    /// Creates and migrates these schemas.
    pub async fn new(names: &[&str]) -> Self {
        let schemas = Self { db: Database::empty().await, scratch: Scratch::new() };
        for name in names {
            schemas.create(name).await;
        }
        if names.is_empty() {
            return schemas;
        }
        let ran = schemas.run(&schemas.configuration(names), &["migrate"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        schemas
    }

    pub async fn create(&self, name: &str) {
        self.db.execute(&format!("CREATE SCHEMA {name}")).await;
    }

    /// A list of targets, one for each schema.
    pub fn list(names: &[&str]) -> String {
        names.iter().fold(String::new(), |mut list, name| {
            writeln!(list, "[[targets]]\nname = {name:?}\nschema = {name:?}").unwrap();
            list
        })
    }

    /// A configuration file with these targets.
    pub fn configuration(&self, names: &[&str]) -> PathBuf {
        self.scratch.file("worker.toml", Self::list(names))
    }

    pub fn worker(&self, configuration: &PathBuf) -> Command {
        let mut command = worker_at(&self.db.url);
        command.arg("--config").arg(configuration);
        command
    }

    pub fn run(&self, configuration: &PathBuf, arguments: &[&str]) -> Ran {
        Ran::of(self.worker(configuration).args(arguments).output().unwrap())
    }

    pub fn serve(&self, configuration: &PathBuf, settings: &[(&str, &str)]) -> Running {
        Running::service(self.worker(configuration), settings)
    }

    /// Inserts a heart rate for each of these users, in the schema.
    pub async fn insert(&self, name: &str, users: u32) {
        insert(&self.db, name, users).await;
    }

    /// Waits until the queue of the schema is empty.
    pub async fn drained(&self, name: &str) {
        eventually(&self.db, &format!("SELECT count(*) FROM {name}.aggregation_queue"), 0).await;
    }

    pub async fn days(&self, name: &str) -> i64 {
        self.db.value(&format!("SELECT count(*) FROM {name}.vitals_daily")).await
    }
}

pub async fn insert(db: &Database, schema: &str, users: u32) {
    db.execute(&format!(
        "INSERT INTO {schema}.vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'heart_rate', 60 + u % 40, 'bpm', 'watch', at, at
         FROM generate_series(1, {users}) AS u, (SELECT timestamptz '2024-05-01 10:00Z' AS at) AS t"
    ))
    .await;
}

/// The target of an event.
pub fn target(event: &Value) -> &str {
    event["target.name"].as_str().unwrap_or_default()
}

/// The events of one name and target.
pub fn of_target(ran: &Ran, event: &str, name: &str) -> Vec<Value> {
    ran.events(event).into_iter().filter(|event| target(event) == name).collect()
}

#[tokio::test]
async fn one_process_drains_all_targets_and_each_line_of_the_log_names_its_target() {
    let schemas = Schemas::new(&["a", "b", "c"]).await;
    let service = schemas.serve(&schemas.configuration(&["a", "b", "c"]), &[]);
    for (name, users) in [("a", 1), ("b", 2), ("c", 3)] {
        schemas.insert(name, users).await;
        schemas.drained(name).await;
        assert_eq!(schemas.days(name).await, i64::from(users));
    }
    let ran = service.stops();
    for (name, users) in [("a", 1), ("b", 2), ("c", 3)] {
        let ended = of_target(&ran, "target_ended", name);
        assert_eq!(number(&ended[0], "completed"), users, "{}", ran.stderr);
        assert_eq!(of_target(&ran, "database_ready", name).len(), 1);
        let rows =
            of_target(&ran, "batch_done", name).iter().map(|b| number(b, "rows")).sum::<u64>();
        assert_eq!(rows, users);
    }
    assert_eq!(number(&ran.events("service_started")[0], "targets"), 3);
    assert_eq!(ran.events("service_stopped").len(), 1);
}

#[tokio::test]
async fn without_targets_no_line_of_the_log_has_the_field() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &[]);
    service.logs("database_ready").await;
    let ran = service.stops();
    assert!(!ran.stderr.contains("target."), "{}", ran.stderr);
}

#[tokio::test]
async fn health_metrics_and_the_page_have_an_entry_for_each_target_and_sums() {
    use crate::service::http::{free_port, get, get_json, metric};

    let schemas = Schemas::new(&["a", "b"]).await;
    schemas.create("empty").await;
    let port = free_port();
    let list = schemas.configuration(&["a", "b", "empty"]);
    let service = schemas.serve(&list, &[("WORKER__HTTP__PORT", &port)]);
    schemas.insert("a", 3).await;
    schemas.drained("a").await;
    service.logs("database_unavailable").await;
    service.logs_times("database_ready", 2).await;

    let completed = "dayfold_rows_total{kind=\"vitals\",outcome=\"completed\",target=\"a\"}";
    crate::support::outside::eventually("rows are counted", || metric(&port, completed) == 3.0);
    assert_eq!(metric(&port, "dayfold_database_up{target=\"a\"}"), 1.0);
    assert_eq!(metric(&port, "dayfold_database_up{target=\"empty\"}"), 0.0);

    let (status, ready) = get_json(&port, "/health/ready");
    assert_eq!((status, &ready["status"], &ready["ready"]), (200, &"degraded".into(), &2.into()));
    assert_eq!(ready["trouble"][0]["target"], "empty", "{ready}");
    crate::support::outside::eventually("the batch is counted", || {
        get_json(&port, "/health/targets").1["targets"][0]["completed"] == 3
    });
    let (status, page) = get(&port, "/");
    assert_eq!(status, 200);
    for shown in ["/?target=a", "/?target=b", "/?target=empty", "3 targets", "2 ready"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert_eq!(get_json(&port, "/health/live").0, 200);
    service.stops();
}
