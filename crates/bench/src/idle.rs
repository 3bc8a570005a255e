//! The cost of targets without work in one process: connections, statements, memory and processor time.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use crate::server::Server;
use crate::service::{round, tell};
use crate::worker::{Service, tempfile_of};

/// How often the log of the worker is read.
const LOOK: Duration = Duration::from_millis(200);

/// The load.
#[derive(Args, Clone, Debug)]
pub struct Load {
    /// Number of targets
    #[arg(long, default_value_t = 1000)]
    targets: usize,
    /// Number of schemas; if there are fewer than targets, several targets have the same tables by different URLs
    #[arg(long, default_value_t = 1000)]
    schemas: usize,
    /// Connections to the server for all targets (`pool.max_per_server`)
    #[arg(long, default_value_t = 20)]
    connections: u32,
    /// Seconds without work before the count begins
    #[arg(long, default_value_t = 105)]
    settle: u64,
    /// Seconds for which is counted
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The longest wait in seconds until all targets are connected
    #[arg(long, default_value_t = 600)]
    longest: u64,
}

/// What the server and the worker have used so far.
struct Used {
    statements: i64,
    log_ins: i64,
    server_cpu: f64,
    worker_cpu: Duration,
}

/// Connects all targets, lets them idle, and counts.
///
/// # Errors
/// If the server or the worker fails, or not all targets are connected in time.
pub async fn idle(load: Load) -> anyhow::Result<Value> {
    let settings =
        [("shared_preload_libraries", "pg_stat_statements"), ("max_connections", "1100")];
    let server = Server::start_with(&settings).await?;
    server.client.batch_execute("CREATE EXTENSION pg_stat_statements").await?;
    let schemas = load.schemas.min(load.targets).max(1);
    let began = Instant::now();
    server.make_schemas(schemas).await?;
    tell(&format!("{schemas} schemas made in {:.0} s", began.elapsed().as_secs_f64()));
    let alone = {
        let mut service = Watched::start(&server, &load, schemas, 1)?;
        service.connected(1, Duration::from_secs(load.longest)).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        service.service.resident_mb()?
    };
    let before = server.client.query_one(LOG_INS, &[]).await?.get::<_, i64>(0);
    let mut service = Watched::start(&server, &load, schemas, load.targets)?;
    let began = Instant::now();
    service.connected(load.targets, Duration::from_secs(load.longest)).await?;
    let connected = began.elapsed().as_secs_f64();
    let at_start = service.service.cpu()?.as_secs_f64();
    let log_ins = server.client.query_one(LOG_INS, &[]).await?.get::<_, i64>(0) - before;
    tell(&format!(
        "{} targets in {schemas} schemas connected after {connected:.1} s, with {log_ins} log-ins and \
         {at_start:.1} s of a core",
        load.targets
    ));
    tokio::time::sleep(Duration::from_secs(load.settle)).await;
    let counted = service.count(&server, load.seconds).await?;
    let resident = service.service.resident_mb()?;
    let failures = service.events("database_unavailable")?;
    let of_each = (resident - alone) / (load.targets - 1).max(1) as f64;
    let each = |count: i64| round(count as f64 / load.targets as f64, 2);
    let share = |cpu: f64| round(cpu / load.seconds as f64, 3);
    tell(&format!(
        "idle for {} s: {} statements and {} log-ins of each target, {:.3} of a core for the worker and {:.3} for \
         the server, {resident:.1} MB resident, {alone:.1} MB with one target, {of_each:.3} MB for each further \
         one; {failures} failures to connect",
        load.seconds,
        each(counted.statements),
        each(counted.log_ins),
        share(counted.worker_cpu.as_secs_f64()),
        share(counted.server_cpu),
    ));
    show_statements(&server, load.targets).await?;
    Ok(json!({
        "targets": load.targets, "schemas": schemas, "connections": load.connections,
        "connected_s": round(connected, 1), "log_ins_to_connect": log_ins,
        "seconds": load.seconds,
        "statements_of_each": each(counted.statements), "log_ins_of_each": each(counted.log_ins),
        "worker_cores": share(counted.worker_cpu.as_secs_f64()), "server_cores": share(counted.server_cpu),
        "resident_mb": round(resident, 1), "resident_alone_mb": round(alone, 1),
        "mb_of_each": round(of_each, 4), "failures": failures,
    }))
}

const LOG_INS: &str = "SELECT coalesce(sum(sessions), 0)::bigint FROM pg_stat_database WHERE datname = current_database()";

/// The service, with its configuration and its log in files.
struct Watched {
    service: Service,
    files: Vec<PathBuf>,
    log: PathBuf,
}

impl Watched {
    fn start(server: &Server, load: &Load, schemas: usize, targets: usize) -> anyhow::Result<Self> {
        let joined = if server.url.contains('?') { '&' } else { '?' };
        let mut list = String::new();
        for target in 0..targets {
            // A setting without effect on a Unix socket makes the URLs differ.
            let url = format!("{}{joined}keepalives_idle={}", server.url, target / schemas + 1);
            let schema = target % schemas;
            writeln!(
                list,
                "[[targets]]\nname = \"t{target}\"\nurl = \"{url}\"\nschema = \"target_{schema}\""
            )?;
        }
        let file = tempfile_of("idle").with_extension("toml");
        let log = file.with_extension("log");
        // A long list of targets belongs into a file of its own.
        let listed = file.with_extension("list.toml");
        std::fs::write(&listed, list)?;
        let settings = format!(
            "pool.max_per_server = {}\ntargets_from.file = {:?}\n",
            load.connections, listed
        );
        std::fs::write(&file, settings)?;
        let service = Service::start_with_log(&server.url, &file, &log)?;
        Ok(Self { service, files: vec![file, listed], log })
    }

    /// How often an event is in the log.
    fn events(&self, event: &str) -> anyhow::Result<usize> {
        let wanted = format!("\"event\":\"{event}\"");
        Ok(std::fs::read_to_string(&self.log)?.matches(&wanted).count())
    }

    /// Waits until this many targets are connected.
    async fn connected(&mut self, targets: usize, longest: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let connected = self.events("database_ready")?;
            if connected >= targets {
                return Ok(());
            }
            ensure!(
                !self.service.has_ended()?,
                "the service has ended: {}",
                std::fs::read_to_string(&self.log)?
            );
            ensure!(
                began.elapsed() < longest,
                "only {connected} of {targets} targets are connected after {} s, with {} failures",
                longest.as_secs(),
                self.events("database_unavailable")?
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn count(&self, server: &Server, seconds: u64) -> anyhow::Result<Used> {
        server.client.batch_execute("SELECT pg_stat_statements_reset()").await?;
        let before = self.used(server).await?;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let after = self.used(server).await?;
        Ok(Used {
            statements: after.statements - before.statements,
            log_ins: after.log_ins - before.log_ins,
            server_cpu: after.server_cpu - before.server_cpu,
            worker_cpu: after.worker_cpu - before.worker_cpu,
        })
    }

    async fn used(&self, server: &Server) -> anyhow::Result<Used> {
        let statements = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
                          WHERE toplevel AND query !~ 'pg_stat_'";
        Ok(Used {
            statements: server.client.query_one(statements, &[]).await?.get(0),
            log_ins: server.client.query_one(LOG_INS, &[]).await?.get(0),
            server_cpu: server.used().await?.cpu,
            worker_cpu: self.service.cpu()?,
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for file in self.files.iter().chain([&self.log]) {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Shows the statements that came most often.
async fn show_statements(server: &Server, targets: usize) -> anyhow::Result<()> {
    let most = "SELECT sum(calls)::float8, left(regexp_replace(query, '\\s+', ' ', 'g'), 90) FROM pg_stat_statements
                WHERE toplevel AND query !~ 'pg_stat_' GROUP BY 2 ORDER BY 1 DESC LIMIT 20";
    for row in server.client.query(most, &[]).await? {
        let of_each = row.get::<_, f64>(0) / targets as f64;
        tell(&format!("{of_each:>7.2}  {}", row.get::<_, String>(1)));
    }
    Ok(())
}
