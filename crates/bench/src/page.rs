//! Measures the server time of each view and each JSON route of the operator's page, beside a long queue with many
//! failures and beside an empty database.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::server::Server;
use crate::service::{round, tell};
use crate::worker::Service;

/// Arguments of `bench page`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Load {
    /// Change sets of one raw row each that wait
    #[arg(long, default_value_t = 1_000_000)]
    queued: u64,
    /// Change sets that failed, half of them dead, and raw rows that are rejected
    #[arg(long, default_value_t = 100_000)]
    failed: u64,
    /// Port of the service
    #[arg(long, default_value_t = 9_189)]
    port: u16,
}

const TOKEN: &str = "operator-token-of-the-benchmark";

/// How often each route is asked.
const TIMES: usize = 5;

/// Longer than any shared answer is good for, but that of `/doctor`. So each request asks the database.
const PAUSE: Duration = Duration::from_millis(3_200);

const VIEWS: [&str; 9] = [
    "/",
    "/failures",
    "/runs",
    "/settings",
    "/doctor",
    "/actions",
    "/actions/confirm?action=requeue",
    "/actions/confirm?action=discard&class=timeout&from=2024-01-01&to=2024-12-31",
    "/users/1/days/2024-05-01",
];

const ROUTES: [&str; 7] = [
    "/api/overview",
    "/api/failures",
    "/api/runs",
    "/api/settings",
    "/api/doctor",
    "/api/actions",
    "/api/users/1/days/2024-05-01",
];

/// A day of a user, 500 runs and 500 actions, and kinds that are paused, so that the service leaves the queue alone.
const EMPTY: &str = "
    INSERT INTO paused_kinds (kind, paused_by) VALUES ('vitals', 'bench'), ('nutrition', 'bench'), ('labs', 'bench');
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT 1, 'heart_rate', 60 + n % 40, 'bpm', 'watch', at, at
    FROM generate_series(0, 1439) AS n, LATERAL (SELECT timestamptz '2024-05-01' + n * interval '1 minute' AS at) AS t;
    DELETE FROM aggregation_queue;
    INSERT INTO aggregation_runs (started_at, finished_at, command, worker, batches, rows_claimed, rows_completed,
        rows_rejected, rows_failed, rows_released, groups_committed, groups_failed)
    SELECT now(), now() - n * interval '1 minute', 'run', 'bench', 1, 1, 1, 0, 0, 0, 1, 0
    FROM generate_series(1, 500) AS n;
    INSERT INTO operator_actions (actor, action, target, state)
    SELECT 'bench', 'pause', 'labs', 'done' FROM generate_series(1, 500);";

/// Fills the queue and the rejected rows.
fn fill(load: Load) -> String {
    let Load { queued, failed, .. } = load;
    format!(
        "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, metric, not_before, queued_at)
         SELECT (ARRAY['vitals', 'nutrition', 'labs'])[1 + n % 3], n % 50000, at, at, ARRAY[n], 'heart_rate',
                now() - n * interval '1 ms', now() - n * interval '1 ms'
         FROM generate_series(1, {queued}) AS n,
              LATERAL (SELECT timestamptz '2024-05-01' + n % 86400 * interval '1 second' AS at) AS t;
         INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, metric, not_before, queued_at,
             attempts, state, last_error)
         SELECT (ARRAY['vitals', 'nutrition', 'labs'])[1 + n % 3], n % 50000, at, at, ARRAY[n], 'heart_rate',
                CASE WHEN n % 2 = 0 THEN 'infinity' ELSE now() + interval '1 hour' END, now(), 5,
                CASE WHEN n % 2 = 0 THEN 'dead' ELSE 'pending' END,
                (ARRAY['timeout 57014', 'refused 23514 vitals_daily', 'internal'])[1 + n % 7 % 3]
         FROM generate_series(1, {failed}) AS n,
              LATERAL (SELECT timestamptz '2024-05-01' + n % 86400 * interval '1 second' AS at) AS t;
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 100000 + n % 5000, 'steps ' || n % 30, 6, 'parsec', 'watch', at, at
         FROM generate_series(1, {failed}) AS n,
              LATERAL (SELECT timestamptz '2024-05-01' + n % 86400 * interval '1 second' AS at) AS t;
         DELETE FROM aggregation_queue WHERE user_id >= 100000;
         INSERT INTO rejected_rows (user_id, kind, raw_id, reason)
         SELECT user_id, 'vitals', id, 'unknown_metric' FROM vitals_raw WHERE user_id >= 100000;"
    )
}

/// Measures both states of the database.
pub async fn page(load: Load) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    let mut states = Map::new();
    for (name, sql) in [("empty", EMPTY.to_owned()), ("full", fill(load))] {
        server.client.batch_execute(&sql).await?;
        server.client.batch_execute("VACUUM ANALYZE").await?;
        let mut routes = Map::new();
        for paths in [&VIEWS[..], &ROUTES[..]] {
            routes.extend(measure(&server.url, load.port, paths)?);
        }
        states.insert(name.to_owned(), Value::Object(routes));
    }
    Ok(json!({ "queued": load.queued, "failed": load.failed, "page": states }))
}

/// The median and the greatest server time of each path, each asked of several services.
fn measure(url: &str, port: u16, paths: &[&str]) -> anyhow::Result<Map<String, Value>> {
    let mut taken = vec![Vec::new(); paths.len()];
    for _ in 0..TIMES {
        // A new service has no answer of the last one.
        let _service = Service::start_page(url, port, TOKEN)?;
        while get(port, "/api/overview").is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
        // The connection is open then, as while a page is open.
        std::thread::sleep(PAUSE);
        for (path, taken) in paths.iter().zip(&mut taken) {
            taken.push(get(port, path)?);
        }
    }
    let mut result = Map::new();
    for (path, mut taken) in paths.iter().zip(taken) {
        taken.sort_by(f64::total_cmp);
        let median = taken.get(taken.len() / 2).copied().unwrap_or(f64::NAN);
        let greatest = taken.last().copied().unwrap_or(f64::NAN);
        tell(&format!("{path}: median {median:.1} ms, greatest {greatest:.1} ms"));
        let figures = json!({ "median_ms": round(median, 1), "greatest_ms": round(greatest, 1) });
        result.insert((*path).to_owned(), figures);
    }
    Ok(result)
}

/// Asks for a path. Returns the milliseconds from the request to the end of the answer.
fn get(port: u16, path: &str) -> anyhow::Result<f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let began = Instant::now();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let milliseconds = began.elapsed().as_secs_f64() * 1_000.0;
    let head = answer.split(|byte| *byte == b'\n').next().context("no answer")?;
    let head = String::from_utf8_lossy(head);
    ensure!(head.contains(" 200 "), "{path}: {head}");
    let text = String::from_utf8_lossy(&answer);
    ensure!(
        !text.contains("did not answer the page"),
        "{path}: the database did not answer in time"
    );
    Ok(milliseconds)
}
