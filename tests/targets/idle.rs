//! The cost of targets without work: statements and memory.

use std::time::{Duration, Instant};

use local_postgres::{Binaries, LocalPostgres};
use tokio_postgres::Client;

use crate::support::outside::Scratch;
use crate::support::running::Running;
use crate::support::{Ran, connect, worker_at};

/// A target has no work for long after this time.
const LONG: Duration = Duration::from_secs(105);

/// How long statements are counted.
const COUNTED: Duration = Duration::from_secs(60);

/// A server that counts statements, with the tables.
struct Place {
    server: LocalPostgres,
    client: Client,
    scratch: Scratch,
}

impl Place {
    async fn new() -> Self {
        let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
        let settings = [("shared_preload_libraries", "pg_stat_statements")];
        let server = LocalPostgres::start_with(&binaries, &settings).unwrap();
        let url = server.url("postgres");
        let client = connect(&url).await;
        client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
        let migrated = Ran::of(worker_at(&url).arg("migrate").output().unwrap());
        assert_eq!(migrated.code, 0, "{}", migrated.stderr);
        Self { server, client, scratch: Scratch::new() }
    }

    /// A service with this many targets, which are the same tables by different URLs. None has work, so they cost
    /// what targets with tables of their own cost.
    fn serve(&self, targets: u32, poll: &str) -> Running {
        let url = self.server.url("postgres");
        let joined = if url.contains('?') { '&' } else { '?' };
        let list = format!(
            "[targets_from]\nurl = \"{url}\"\n\
             query = \"SELECT 't' || n AS name, '{url}{joined}keepalives_idle=' || n AS url \
                      FROM generate_series(1, {targets}) AS n\"\n"
        );
        let file = self.scratch.file("worker.toml", list);
        let mut command = worker_at(&url);
        command.arg("--config").arg(file).arg("run").env("WORKER__SCHEDULE__POLL_SECONDS", poll);
        Running::spawn(command)
    }

    async fn forget_statements(&self) {
        self.client.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
    }

    /// Statements of the worker since they were forgotten: those of log-ins, and the others.
    async fn statements(&self) -> (i64, i64) {
        let count = "SELECT coalesce(sum(calls) FILTER (WHERE is_log_in), 0)::bigint,
                            coalesce(sum(calls) FILTER (WHERE NOT is_log_in), 0)::bigint
                     FROM (SELECT calls, query ~ '^SET |path_source|^SELECT \\$1$' AS is_log_in
                           FROM pg_stat_statements
                           WHERE toplevel AND query NOT LIKE '%pg_stat_statements%') AS of_worker";
        let row = self.client.query_one(count, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }
}

impl Place {
    /// Shows the statements that came most often.
    async fn show(&self) {
        let most = "SELECT calls, left(regexp_replace(query, '\\s+', ' ', 'g'), 80) FROM pg_stat_statements
                    WHERE toplevel ORDER BY calls DESC LIMIT 12";
        for row in self.client.query(most, &[]).await.unwrap() {
            eprintln!("{:>7}  {}", row.get::<_, i64>(0), row.get::<_, String>(1));
        }
    }
}

/// The resident memory of a process, in MB.
fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

#[tokio::test]
async fn a_target_without_work_is_asked_less_and_less_often() {
    let place = Place::new().await;
    let (poll, time) = (0.02, Duration::from_secs(8));
    let service = place.serve(4, &poll.to_string());
    service.logs_times("database_ready", 4).await;
    place.forget_statements().await;
    tokio::time::sleep(time).await;
    let of_each = place.statements().await.1 / 4;
    service.stops();
    // At the configured interval, 400 polls would have come.
    assert!(of_each > 5 && of_each < 80, "{of_each} statements for each target");
}

/// `just idle-targets` runs it: a target without work must be idle for minutes before its cost can be counted.
#[tokio::test]
async fn an_idle_target_costs_a_statement_in_two_seconds_and_a_third_of_a_megabyte_at_most() {
    let Ok(targets) = std::env::var("IDLE_TARGETS") else {
        eprintln!("NOT RUN: an_idle_target_costs_…: set IDLE_TARGETS, as `just idle-targets` does");
        return;
    };
    let targets: u32 = targets.parse().expect("a whole number");
    let place = Place::new().await;
    let alone = {
        let service = place.serve(1, "1");
        service.logs("database_ready").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let resident = resident(service.child.id());
        service.stops();
        resident
    };
    let service = place.serve(targets, "1");
    let began = Instant::now();
    service.logs_times("database_ready", targets as usize).await;
    let connected = began.elapsed();
    tokio::time::sleep(LONG).await;
    place.forget_statements().await;
    tokio::time::sleep(COUNTED).await;
    let (log_in, own) = place.statements().await;
    let [log_in, statements] = [log_in, own].map(|of| of as f64 / f64::from(targets));
    place.show().await;
    let resident = resident(service.child.id());
    let of_each = (resident - alone) / f64::from((targets - 1).max(1));
    eprintln!(
        "{targets} idle targets: connected in {:.1} s, {statements:.1} statements each and {log_in:.1} of \
         log-ins in {} s, {resident:.1} MB \
         resident, {alone:.1} MB with one target, {of_each:.3} MB for each further one",
        connected.as_secs_f64(),
        COUNTED.as_secs()
    );
    service.stops();
    assert!(statements <= COUNTED.as_secs_f64() / 2.0, "{statements} statements");
    assert!(of_each <= 0.3, "{of_each} MB");
}
