//! The statements of targets without work. `just idle-targets` measures them over minutes, with memory and time.

use std::time::Duration;

use local_postgres::{Binaries, LocalPostgres};
use tokio_postgres::Client;

use crate::support::outside::Scratch;
use crate::support::running::Running;
use crate::support::{Ran, connect, worker_at};

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
    fn serve(&self, targets: u32, settings: &[(&str, &str)]) -> Running {
        let url = self.server.url("postgres");
        let joined = if url.contains('?') { '&' } else { '?' };
        let list = format!(
            "[targets_from]\nurl = \"{url}\"\n\
             query = \"SELECT 't' || n AS name, '{url}{joined}keepalives_idle=' || n AS url \
                      FROM generate_series(1, {targets}) AS n\"\n"
        );
        let file = self.scratch.file("worker.toml", list);
        let mut command = worker_at(&url);
        command.arg("--config").arg(file).arg("run").envs(settings.iter().copied());
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

#[tokio::test]
async fn a_target_without_work_is_asked_less_and_less_often() {
    let place = Place::new().await;
    let time = Duration::from_secs(8);
    let service = place.serve(4, &[("WORKER__SCHEDULE__POLL_SECONDS", "0.02")]);
    service.logs_times("database_ready", 4).await;
    place.forget_statements().await;
    tokio::time::sleep(time).await;
    let of_each = place.statements().await.1 / 4;
    service.stops();
    // At the configured interval, 400 polls would have come.
    assert!(of_each > 5 && of_each < 80, "{of_each} statements for each target");
}

#[tokio::test]
async fn a_target_logs_in_once_for_its_first_looks_also_where_others_wait_for_a_connection() {
    let place = Place::new().await;
    let log_ins =
        "SELECT calls FROM pg_stat_statements WHERE toplevel AND query LIKE 'SET TIME ZONE %'";
    place.forget_statements().await;
    // No other poll comes, so that only the first looks count.
    let settings =
        [("WORKER__POOL__MAX_PER_SERVER", "2"), ("WORKER__SCHEDULE__POLL_SECONDS", "3600")];
    let targets = 40;
    let service = place.serve(targets, &settings);
    service.logs_times("database_ready", targets as usize).await;
    let log_ins: i64 = place.client.query_one(log_ins, &[]).await.unwrap().get(0);
    service.stops();
    // Each target connects once. Its first count of the backlog may need another log-in, and so may its presence.
    assert!(log_ins <= 3 * i64::from(targets), "{log_ins} log-ins of {targets} targets");
}
