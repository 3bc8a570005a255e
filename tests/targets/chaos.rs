//! Many targets on two servers, while servers restart, targets come and go, and an app writes.
//!
//! Afterwards no queue has a row, every change was taken off its queue exactly once, and `worker verify` finds no
//! difference in any target. `just chaos-targets` takes more targets and goes on for longer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use local_postgres::{LocalPostgres, Shutdown};

use crate::faults::proof::remember;
use crate::support::outside::Scratch;
use crate::support::running::Running;
use crate::support::{Ran, connect, database, server_of_its_own, worker_at};

/// Targets, and seconds of chaos, in `cargo test`.
const DEFAULT_TARGETS: u64 = 32;
const DEFAULT_SECONDS: u64 = 12;

/// After the last fault everything must be done by then.
const PATIENCE: Duration = Duration::from_secs(180);

/// The pause between two faults.
const PAUSE: Duration = Duration::from_millis(700);

/// A target: a database of one of the servers.
#[derive(Clone)]
struct Target {
    name: String,
    url: String,
}

/// The servers, the targets and their list.
struct Place {
    servers: Vec<LocalPostgres>,
    targets: Vec<Target>,
    scratch: Scratch,
}

impl Place {
    /// Two servers with databases that are copies of a migrated one.
    async fn new(targets: u64) -> Self {
        let mut place = Self { servers: Vec::new(), targets: Vec::new(), scratch: Scratch::new() };
        for server in 0..2 {
            let (running, url) = server_of_its_own().await;
            remember(&database(&url).await).await;
            let client = connect(&running.url("template1")).await;
            for number in 0..targets / 2 {
                let name = format!("s{server}_{number}");
                let create = format!("CREATE DATABASE {name} TEMPLATE postgres STRATEGY FILE_COPY");
                // The sessions of the template end a moment after their clients.
                while client.batch_execute(&create).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                place.targets.push(Target { url: running.url(&name), name });
            }
            place.servers.push(running);
        }
        place
    }

    /// Writes the list without every n-th target.
    fn list(&self, without: Option<usize>) -> PathBuf {
        let listed = self.targets.iter().enumerate();
        let listed = listed.filter(|(place, _)| without.is_none_or(|n| place % 4 != n % 4));
        let list: String = listed
            .map(|(_, of)| format!("[[targets]]\nname = {:?}\nurl = {:?}\n", of.name, of.url))
            .collect();
        // A reader never sees half of it.
        let new = self.scratch.file("targets.new", list);
        let file = self.scratch.path().join("targets.toml");
        std::fs::rename(new, &file).unwrap();
        file
    }

    fn restart(&mut self, number: usize, how: Shutdown) {
        let server = &mut self.servers[number];
        server.stop(how).and_then(|()| server.start_again()).unwrap();
    }
}

/// Inserts rows into one target after the other, until the end. A server that is away loses no confirmed row.
async fn write(targets: Vec<Target>, is_over: Arc<AtomicBool>) -> u32 {
    let mut rows = 0_u32;
    while !is_over.load(Ordering::SeqCst) {
        // A step that shares no factor with a power of two visits all.
        let target = &targets[rows as usize * 7 % targets.len()];
        let insert = format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT u, 'heart_rate', 60 + {rows} % 40, 'bpm', 'watch', at, at
             FROM generate_series(1, 3) AS u,
                  LATERAL (SELECT timestamptz '2024-05-01' + {rows} * interval '1 minute' AS at) AS t"
        );
        let inserted = async {
            let (client, connection) =
                tokio_postgres::connect(&target.url, tokio_postgres::NoTls).await?;
            let connection = tokio::spawn(connection);
            let inserted = client.batch_execute(&insert).await;
            connection.abort();
            inserted
        };
        if inserted.await.is_ok() {
            rows += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    rows
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_on_two_servers_that_restart_lose_nothing_while_targets_come_and_go() {
    let mut place = Place::new(number("CHAOS_TARGETS", DEFAULT_TARGETS)).await;
    let time = Duration::from_secs(number("CHAOS_SECONDS", DEFAULT_SECONDS));
    let file = place.list(None);
    let from = place.scratch.file("from.toml", format!("targets_from.file = {file:?}\n"));
    let mut command = worker_at(&place.targets[0].url);
    command.arg("--config").arg(&from);
    let settings = [
        ("WORKER__TARGETS_FROM__RELOAD_SECONDS", "1"),
        ("WORKER__SCHEDULE__POLL_SECONDS", "0.2"),
        ("WORKER__SERVICE__OBSERVE_SECONDS", "5"),
        // Rows of a batch that a restart interrupted wait for the end of its lease.
        ("WORKER__BATCH__LEASE_SECONDS", "15"),
        ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "10"),
    ];
    let service = Running::service(command, &settings);
    let is_over = Arc::<AtomicBool>::default();
    let app = tokio::spawn(write(place.targets.clone(), Arc::clone(&is_over)));

    let until = Instant::now() + time;
    let mut faults = 0;
    while Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
        match faults % 3 {
            0 => drop(place.list(Some(faults / 3))),
            1 => place.restart(faults / 3 % 2, Shutdown::Fast),
            _ => place.restart(faults / 3 % 2, Shutdown::Immediate),
        }
        faults += 1;
    }
    place.list(None);
    is_over.store(true, Ordering::SeqCst);
    let rows = app.await.unwrap();

    for target in &place.targets {
        drained(target, &service).await;
    }
    end(service);
    assert!(faults > 3 && rows > 0);
    for target in &place.targets {
        done_once(target).await;
    }
    let mut verify = worker_at(&place.targets[0].url);
    verify.arg("--config").arg(&from).args(["verify", "--json"]);
    let verified = Ran::of(verify.output().unwrap());
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    eprintln!("{} targets, {faults} faults, {rows} inserts", place.targets.len());
}

/// Ends the service, whose targets have come and gone.
fn end(service: Running) {
    service.signal("-TERM");
    let ran = service.end_amid_faults();
    assert!(!ran.events("target_removed").is_empty());
    for unwanted in ["panicked", "rows_not_conserved"] {
        assert!(!ran.stderr.contains(unwanted), "{unwanted} in {}", ran.stderr);
    }
}

/// Waits until nothing is queued.
async fn drained(target: &Target, service: &Running) {
    let client = connect(&target.url).await;
    let until = Instant::now() + PATIENCE;
    loop {
        let queued = "SELECT count(*) FROM aggregation_queue";
        if client.query_one(queued, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        let log = || service.stderr.lock().unwrap().clone();
        assert!(Instant::now() < until, "rows of {} are stuck: {}", target.name, log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Each change was taken off the queue once, and each raw row is in a figure.
async fn done_once(target: &Target) {
    let client = connect(&target.url).await;
    let row = client
        .query_one(
            "SELECT (SELECT count(*)
                     FROM (SELECT count(*) FILTER (WHERE queued) AS queued,
                                  count(*) FILTER (WHERE NOT queued) AS done
                           FROM memory GROUP BY change) AS changes
                     WHERE (queued, done) <> (1, 1)),
                    (SELECT count(*) FROM vitals_raw),
                    (SELECT coalesce(sum(sample_count), 0)::bigint FROM vitals_daily)",
            &[],
        )
        .await
        .unwrap();
    let (not_once, raw, counted): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((not_once, counted), (0, raw), "{}", target.name);
}
