//! Targets in distributed schemas of Citus, on a coordinator and two worker nodes.
//!
//! These tests run only where `pg_config --pkglibdir` of the server's programs has citus.so. Elsewhere they say by
//! name that they were not run. Their configuration follows Citus's documentation; they have not run yet where this
//! version was made.

use std::process::Command;
use std::time::Duration;

use local_postgres::{Binaries, LocalPostgres};

use crate::support::outside::assert_says;
use crate::support::running::Running;
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
    async fn new(unsafe_triggers: &str) -> Self {
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
        client
            .batch_execute(
                "SET citus.enable_schema_based_sharding = on; CREATE SCHEMA bucket;
                 ALTER DATABASE postgres SET search_path = bucket",
            )
            .await
            .unwrap();
        Self { url, _nodes: nodes, ports }
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
    let cluster = Cluster::new("on").await;
    let ran = cluster.run(&["migrate"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let db = database(&cluster.url).await;
    let alone = Database::new().await;
    let service = Running::service(worker_at(&db.url), &[]);
    service.logs("database_ready").await;
    for number in 0..MOVES {
        insert_minute(&db, 20, number as u32).await;
        let port = cluster.ports[number % 2];
        let moved =
            format!("SELECT citus_schema_move('bucket', '127.0.0.1', {port}, 'block_writes')");
        db.execute(&moved).await;
    }
    for number in 0..MOVES {
        insert_minute(&alone, 20, number as u32).await;
    }
    for _ in 0..6_000 {
        if db.value::<i64>("SELECT count(*) FROM aggregation_queue").await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ran = service.stops();
    alone.run_once();
    let (moved, still) = (db.figures_as_text().await, alone.figures_as_text().await);
    assert_eq!(difference(&still, &moved), None, "{}", ran.stderr);
    let attempts = "SELECT count(*) FROM aggregation_queue WHERE attempts > 0";
    assert_eq!(db.value::<i64>(attempts).await, 0, "an interruption counts no attempt");
    for command in [&["verify"][..], &["doctor"], &["status"], &["requeue", "--user", "1"]] {
        let ran = cluster.run(command);
        assert_eq!(ran.code, 0, "{command:?}: {}{}", ran.stdout, ran.stderr);
    }
}

#[tokio::test]
async fn a_schema_whose_triggers_citus_refuses_is_not_migrated_and_says_who_must_set_what() {
    if !has_citus(
        "a_schema_whose_triggers_citus_refuses_is_not_migrated_and_says_who_must_set_what",
    ) {
        return;
    }
    let cluster = Cluster::new("off").await;
    let ran = cluster.run(&["migrate"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert_says(&ran.stderr, &["citus.enable_unsafe_triggers", "superuser", "every node"]);
}
