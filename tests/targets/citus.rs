//! Targets in distributed schemas of Citus, on a coordinator and two worker nodes.
//!
//! These tests run only where `pg_config --pkglibdir` of the server's programs has citus.so. Elsewhere they say by
//! name that they were not run.

use std::process::Command;

use local_postgres::{Binaries, LocalPostgres};

use super::{Schemas, insert, statements};
use crate::support::outside::{Scratch, assert_says};
use crate::support::running::{Running, eventually};
use crate::support::samples::insert_minute;
use crate::support::tables::difference;
use crate::support::{Database, Ran, connect, database, worker_at};

/// How often a schema is moved while its rows are computed.
const MOVES: usize = 6;

/// A coordinator and two worker nodes.
struct Cluster {
    url: String,
    _nodes: Vec<LocalPostgres>,
    /// The ports of the worker nodes.
    ports: [u16; 2],
}

/// Whether the server's programs have Citus. If not, says that the test was not run.
fn has_citus(test: &str) -> bool {
    let found = Command::new("pg_config").arg("--pkglibdir").output();
    let folder = found.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let has = folder.is_some_and(|of| std::path::Path::new(of.trim()).join("citus.so").exists());
    if !has {
        eprintln!("NOT RUN: targets::citus::{test}: pg_config --pkglibdir has no citus.so");
    }
    has
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    /// A cluster with a distributed schema for each of these names; the first is in the search path.
    async fn new(unsafe_triggers: &str, schemas: &[&str]) -> Self {
        let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
        let node = |port: u16| {
            let port = port.to_string();
            let settings = [
                ("shared_preload_libraries", "citus"),
                ("wal_level", "logical"),
                ("listen_addresses", "127.0.0.1"),
                ("port", port.as_str()),
                ("citus.node_conninfo", "sslmode=disable"),
                ("citus.enable_unsafe_triggers", unsafe_triggers),
            ];
            LocalPostgres::start_with(&binaries, &settings).unwrap()
        };
        let (of_coordinator, ports) = (free_port(), [free_port(), free_port()]);
        let mut nodes = Vec::new();
        let mut urls = Vec::new();
        for port in [of_coordinator, ports[0], ports[1]] {
            let server = node(port);
            let url = server.url("postgres");
            let joined = if url.contains('?') { '&' } else { '?' };
            let url = format!("{url}{joined}port={port}");
            connect(&url).await.batch_execute("CREATE EXTENSION citus").await.unwrap();
            nodes.push(server);
            urls.push(url);
        }
        let url = urls.swap_remove(0);
        let client = connect(&url).await;
        let host = format!("SELECT citus_set_coordinator_host('127.0.0.1', {of_coordinator})");
        client.batch_execute(&host).await.unwrap();
        for port in ports {
            let add = format!("SELECT citus_add_node('127.0.0.1', {port})");
            client.batch_execute(&add).await.unwrap();
        }
        // Citus creates a distributed schema by a statement that is alone in its message.
        client.batch_execute("SET citus.enable_schema_based_sharding = on").await.unwrap();
        for schema in schemas {
            client.batch_execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        }
        let path = format!("ALTER DATABASE postgres SET search_path = {}", schemas[0]);
        client.batch_execute(&path).await.unwrap();
        Self { url, _nodes: nodes, ports }
    }

    /// A cluster with the migrated schema `bucket`.
    async fn migrated() -> Self {
        let cluster = Self::new("on", &["bucket"]).await;
        cluster.succeeds(&["migrate"]);
        cluster
    }

    /// Moves a schema to the other worker node.
    async fn moves(&self, db: &Database, schema: &str) {
        let place = format!(
            "SELECT n.nodeport FROM pg_dist_shard AS s JOIN pg_dist_placement AS p USING (shardid)
             JOIN pg_dist_node AS n USING (groupid)
             WHERE s.logicalrelid = '{schema}.vitals_raw'::regclass"
        );
        let now: i32 = db.value(&place).await;
        let port = self.ports.into_iter().find(|port| i32::from(*port) != now).unwrap();
        let moved =
            format!("SELECT citus_schema_move('{schema}', '127.0.0.1', {port}, 'block_writes')");
        db.execute(&moved).await;
    }

    fn succeeds(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(worker_at(&self.url).args(arguments).output().unwrap())
    }
}

#[tokio::test]
async fn figures_are_those_of_a_single_server_while_the_schema_moves_between_nodes() {
    if !has_citus("figures_are_those_of_a_single_server_while_the_schema_moves_between_nodes") {
        return;
    }
    let cluster = Cluster::migrated().await;
    let db = database(&cluster.url).await;
    let alone = Database::new().await;
    let service = Running::service(worker_at(&db.url), &[]);
    service.logs("database_ready").await;
    for number in 0..MOVES {
        insert_minute(&db, 20, number as u32).await;
        insert_minute(&alone, 20, number as u32).await;
        cluster.moves(&db, "bucket").await;
    }
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    let ran = service_ends(service);
    alone.run_once();
    let (moved, still) = (db.figures_as_text().await, alone.figures_as_text().await);
    assert_eq!(difference(&still, &moved), None, "{}", ran.stderr);
    cluster.succeeds(&["verify"]);
}

/// Stops the service. It may have met moves, which are interruptions: no attempt was counted.
fn service_ends(service: Running) -> Ran {
    service.signal("-TERM");
    let ran = service.end_amid_faults();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for failed in ["rows_dead", "changes_epoch_failed", "rows_not_conserved"] {
        assert!(ran.events(failed).is_empty(), "{failed}: {}", ran.stderr);
    }
    // On a busy machine, a move blocks longer than the lock time-out.
    for group in ran.events("group_failed") {
        assert_eq!(group["class"], "locked", "{group}");
        assert!(group["message"].as_str().unwrap().ends_with("no attempt counted"), "{group}");
    }
    ran
}

#[tokio::test]
async fn every_command_and_the_service_work_on_a_distributed_schema() {
    if !has_citus("every_command_and_the_service_work_on_a_distributed_schema") {
        return;
    }
    let cluster = Cluster::migrated().await;
    let run = |arguments: &[&str]| {
        cluster.succeeds(arguments);
    };
    statements::import(&run);
    run(&["run-once"]);
    let db = database(&cluster.url).await;
    db.execute(statements::CHANGE).await;
    run(&["run-once"]);
    for command in statements::COMMANDS {
        run(command);
    }
    statements::serve(&cluster.url, &db.client).await;
    let doctor = cluster.succeeds(&["doctor"]);
    assert_says(&doctor.stdout, &["Citus 13", "holds this schema", "same node"]);
    let changes = cluster.succeeds(&["changes", "--limit", "1000"]);
    let days: i64 = db.value("SELECT count(*) FROM figure_changes").await;
    assert!(days > 0);
    assert_eq!(changes.stdout.lines().count() as i64, days);
}

#[tokio::test]
async fn a_change_that_makes_no_figure_differ_is_not_in_the_feed_of_a_distributed_schema() {
    if !has_citus("a_change_that_makes_no_figure_differ_is_not_in_the_feed_of_a_distributed_schema")
    {
        return;
    }
    let cluster = Cluster::migrated().await;
    let db = database(&cluster.url).await;
    insert_minute(&db, 2, 0).await;
    cluster.succeeds(&["run-once"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM figure_changes").await, 2);
    cluster.succeeds(&["requeue", "--user", "1"]);
    cluster.succeeds(&["run-once"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM figure_changes").await, 2);
    db.execute("UPDATE vitals_raw SET value = 99 WHERE user_id = 1").await;
    cluster.succeeds(&["run-once"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM figure_changes").await, 3);
    db.execute("DELETE FROM vitals_raw WHERE user_id = 1").await;
    cluster.succeeds(&["run-once"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM figure_changes").await, 4);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_daily").await, 1);
}

#[tokio::test]
async fn one_process_serves_several_schemas_of_a_coordinator_while_one_of_them_moves() {
    if !has_citus("one_process_serves_several_schemas_of_a_coordinator_while_one_of_them_moves") {
        return;
    }
    let names = ["a", "b", "c"];
    let cluster = Cluster::new("on", &names).await;
    let scratch = Scratch::new();
    let list = scratch.file("worker.toml", Schemas::list(&names));
    let list = list.to_str().unwrap();
    cluster.succeeds(&["--config", list, "migrate"]);
    let db = database(&cluster.url).await;
    let mut command = worker_at(&cluster.url);
    command.args(["--config", list]);
    let service = Running::service(command, &[]);
    service.logs_times("database_ready", names.len()).await;
    for _ in 0..MOVES {
        for name in names {
            insert(&db, name, 5).await;
        }
        cluster.moves(&db, "b").await;
    }
    for name in names {
        eventually(&db, &format!("SELECT count(*) FROM {name}.aggregation_queue"), 0).await;
    }
    service_ends(service);
    let alone = Database::new().await;
    for _ in 0..MOVES {
        insert(&alone, "public", 5).await;
    }
    alone.run_once();
    let still = alone.figures_as_text().await;
    for name in names {
        db.execute(&format!("SET search_path = {name}")).await;
        assert_eq!(difference(&still, &db.figures_as_text().await), None, "{name}");
    }
    cluster.succeeds(&["--config", list, "verify"]);
}

#[tokio::test]
async fn the_certificate_that_citus_makes_by_itself_is_accepted_where_none_is_checked() {
    if !has_citus("the_certificate_that_citus_makes_by_itself_is_accepted_where_none_is_checked") {
        return;
    }
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let port = free_port().to_string();
    let settings = [
        ("shared_preload_libraries", "citus"),
        ("listen_addresses", "127.0.0.1"),
        ("port", port.as_str()),
    ];
    let server = LocalPostgres::start_with(&binaries, &settings).unwrap();
    let by_socket = connect(&format!("{}&port={port}", server.url("postgres"))).await;
    by_socket.batch_execute("CREATE EXTENSION citus").await.unwrap();
    let url = format!("postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require");
    // Citus turns TLS on by a reload, which the server makes in its own time.
    let migrated = || Ran::of(worker_at(&url).arg("migrate").output().unwrap()).code == 0;
    crate::support::outside::eventually("a session is encrypted", migrated);
    let encrypted = Ran::of(worker_at(&url).args(["status", "--json"]).output().unwrap());
    assert_eq!(encrypted.code, 0, "{}", encrypted.stderr);
}

#[tokio::test]
async fn a_schema_whose_triggers_citus_refuses_is_not_migrated_and_says_who_must_set_what() {
    if !has_citus(
        "a_schema_whose_triggers_citus_refuses_is_not_migrated_and_says_who_must_set_what",
    ) {
        return;
    }
    let cluster = Cluster::new("off", &["bucket"]).await;
    let ran = cluster.run(&["migrate"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert_says(&ran.stderr, &["citus.enable_unsafe_triggers", "superuser", "every node"]);
}
