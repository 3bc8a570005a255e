//! Measures an API beside the worker: the latency of its clients during a drain.

mod clients;

use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde_json::{Value, json};

use self::clients::{Clients, Felt, Spread};
use crate::server::{Server, connect};
use crate::service::{FILL, round};
use crate::worker::Service;

/// `pool.max_size` in the worker's default settings.
const WORKER_SESSIONS: usize = 4;

/// Sessions of this program: one to fill and query, one to watch the worker.
const OWN_SESSIONS: usize = 2;

/// Connections that the server reserves for superusers.
const RESERVED: usize = 3;

/// The time for which the clients warm up the server before the measurement.
const WARM_UP: Duration = Duration::from_secs(3);

/// The interval between checks whether the backlog is drained. Each check reads the queue, so a
/// shorter interval would affect the measured clients.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The interval at which the worker's sessions are counted.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A shorter wait counts as none, in milliseconds.
const NOTHING_MS: f64 = 0.1;

/// Neither role is a superuser, since superusers may use the reserved connections.
const ROLES: &str = "
    CREATE ROLE aggregation LOGIN;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO aggregation;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO aggregation;
    CREATE ROLE api LOGIN;
    GRANT ALL ON vitals_raw TO api;
    GRANT SELECT ON vitals_daily TO api;";

/// The load of the clients and of the worker.
#[derive(Clone, Copy, Debug, Args)]
pub struct Load {
    /// Time to measure the API without a worker, and beside one that keeps up, in seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Rows of the backlog; the API is measured until it is drained
    #[arg(long, default_value_t = 300_000)]
    backlog: u64,
    /// Clients of the API
    #[arg(long, default_value_t = 50)]
    clients: u32,
    /// Sessions in the API's pool
    #[arg(long, default_value_t = 10)]
    sessions: usize,
    /// Requests a second of all clients together
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Batches that the worker runs in parallel
    #[arg(long, default_value_t = 1)]
    at_once: u32,
    /// Let all clients send at the same moments, instead of evenly
    #[arg(long)]
    together: bool,
    /// How many rows a second the worker may claim; 0 is no limit
    #[arg(long, default_value_t = 0)]
    max_rows_per_second: u32,
    /// Measures this many pairs, the API alone and then beside a drain, for `--seconds` each, and prints the median
    /// of the pairs' ratios
    #[arg(long)]
    pairs: Option<u32>,
}

/// Measures the API alone, beside a drain, and beside a worker that keeps up.
pub async fn beside(load: Load) -> anyhow::Result<Value> {
    let max_connections = load.sessions + WORKER_SESSIONS + OWN_SESSIONS + RESERVED;
    let settings = [
        ("max_connections", max_connections.to_string()),
        ("superuser_reserved_connections", RESERVED.to_string()),
    ];
    let server =
        Server::start_with(&settings.each_ref().map(|(key, value)| (*key, value.as_str()))).await?;
    server.client.batch_execute(ROLES).await?;
    fill(&server, load.backlog).await?;
    if let Some(pairs) = load.pairs {
        return in_pairs(&server, load, pairs).await;
    }
    let last = "SELECT max(queued_at)::text FROM aggregation_queue";
    let last: String = server.client.query_one(last, &[]).await?.get(0);

    let clients = Clients::connect(&url_of(&server, "api"), &load).await?;
    let time = Duration::from_secs(load.seconds);
    clients.ask_until(tokio::time::sleep(WARM_UP)).await?;
    let (alone, ()) = clients.ask_until(tokio::time::sleep(time)).await?;

    let service = start_worker(&server, load)?;
    let began = Instant::now();
    let drained = drained(&server, last);
    let (drain, most_sessions) = clients.ask_until(drained).await?;
    let drain_seconds = began.elapsed().as_secs_f64();
    let most_sessions = most_sessions?;
    // Changes by the clients without a worker are queued, too, but belong to neither measurement.
    server.drained().await?;
    let (keeps_up, ()) = clients.ask_until(tokio::time::sleep(time)).await?;
    drop(service);

    let per_second = load.backlog as f64 / drain_seconds;
    tell(&[("no worker", &alone), ("a worker drains", &drain), ("a worker keeps up", &keeps_up)]);
    #[allow(clippy::print_stderr)]
    {
        eprintln!(
            "{} rows in {drain_seconds:.1} s, {per_second:.0} rows/s; at most {most_sessions} \
             sessions of the worker; max_connections {max_connections}",
            load.backlog
        );
    }
    Ok(json!({
        "clients": load.clients,
        "sessions": load.sessions,
        "requests_per_second": load.rate,
        "together": load.together,
        "max_connections": max_connections,
        "no_worker": alone.json(),
        "drain": drain.json(),
        "keeps_up": keeps_up.json(),
        "drain_against_no_worker": compare(&drain, &alone),
        "keeps_up_against_no_worker": compare(&keeps_up, &alone),
        "backlog": {
            "rows": load.backlog,
            "seconds": round(drain_seconds, 2),
            "rows_per_second": round(per_second, 0),
            "most_worker_sessions": most_sessions,
        },
    }))
}

/// Adds rows to the backlog. Vacuum and checkpoint come now, so that neither falls into a measurement by chance.
async fn fill(server: &Server, rows: u64) -> anyhow::Result<()> {
    server.client.execute(FILL, &[&(rows as i64)]).await?;
    for chore in ["VACUUM ANALYZE vitals_raw", "VACUUM ANALYZE aggregation_queue", "CHECKPOINT"] {
        server.client.batch_execute(chore).await?;
    }
    Ok(())
}

fn url_of(server: &Server, role: &str) -> String {
    server.url.replace("postgres@", &format!("{role}@"))
}

fn start_worker(server: &Server, load: Load) -> anyhow::Result<Service> {
    Service::start_with(&url_of(server, "aggregation"), load.at_once, load.max_rows_per_second)
}

/// The API alone and beside a drain, again and again, so that both see the same changes of the machine. A pair whose
/// backlog was drained before its time was over is an error.
async fn in_pairs(server: &Server, load: Load, pairs: u32) -> anyhow::Result<Value> {
    const QUEUED: &str =
        "SELECT coalesce(sum(cardinality(raw_ids)), 0)::bigint FROM aggregation_queue";
    let queued = async || anyhow::Ok(server.client.query_one(QUEUED, &[]).await?.get::<_, i64>(0));
    let clients = Clients::connect(&url_of(server, "api"), &load).await?;
    let time = Duration::from_secs(load.seconds);
    clients.ask_until(tokio::time::sleep(WARM_UP)).await?;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for pair in 1..=pairs {
        let (alone, ()) = clients.ask_until(tokio::time::sleep(time)).await?;
        let before = queued().await?;
        let service = start_worker(server, load)?;
        let (beside, ()) = clients.ask_until(tokio::time::sleep(time)).await?;
        drop(service);
        let left = queued().await?;
        anyhow::ensure!(
            left > 0,
            "the backlog was drained in less than {time:?}: give more with --backlog"
        );
        let rate = (before - left) as f64 / time.as_secs_f64();
        let ratio = beside.answer.p99 / alone.answer.p99;
        crate::service::tell(&format!(
            "pair {pair}: 99 % of {:.2} ms alone, {:.2} ms beside a drain of {rate:.0} rows/s: {ratio:.2}",
            alone.answer.p99, beside.answer.p99
        ));
        ratios.push(ratio);
        rates.push(rate);
        let missing = load.backlog.saturating_sub(left as u64);
        fill(server, missing).await?;
    }
    let (ratio, rate) = (median(&mut ratios), median(&mut rates));
    crate::service::tell(&format!("median of {pairs} pairs: {ratio:.2} at {rate:.0} rows/s"));
    Ok(json!({
        "pairs": pairs,
        "seconds": load.seconds,
        "max_rows_per_second": load.max_rows_per_second,
        "p99_ratios": ratios.iter().map(|ratio| round(*ratio, 2)).collect::<Vec<f64>>(),
        "p99_ratio_median": round(ratio, 2),
        "rows_per_second_median": round(rate, 0),
    }))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => f64::NAN,
        _ if values.len() % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Waits until the backlog is drained; returns the highest number of sessions of the worker meanwhile.
async fn drained(server: &Server, last: String) -> anyhow::Result<i64> {
    let looking = connect(&server.url).await?;
    let left =
        "SELECT EXISTS (SELECT FROM aggregation_queue WHERE queued_at <= $1::text::timestamptz)";
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'aggregation'";
    let sessions = looking.prepare(sessions).await?;
    let mut most = 0;
    let counting = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            most = i64::max(most, looking.query_one(&sessions, &[]).await?.get(0));
        }
        #[allow(unreachable_code)]
        Ok::<(), tokio_postgres::Error>(())
    };
    let asking = async {
        while server.client.query_one(left, &[&last]).await?.get(0) {
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok::<(), tokio_postgres::Error>(())
    };
    tokio::select! {
        failed = counting => failed?,
        gone = asking => gone?,
    }
    Ok(most)
}

/// The ratios; `None` without a base: evenly sending clients hardly ever wait for a session unless
/// a worker runs.
fn ratios(with: Spread, without: Spread) -> [Option<f64>; 3] {
    let pairs = [(with.p50, without.p50), (with.p99, without.p99), (with.max, without.max)];
    pairs.map(|(with, without)| (without > NOTHING_MS).then(|| round(with / without, 2)))
}

fn compare(with: &Felt, without: &Felt) -> Value {
    let of = |with, without| {
        let [p50, p99, max] = ratios(with, without);
        json!({ "p50": p50, "p99": p99, "max": max })
    };
    json!({ "answer": of(with.answer, without.answer), "wait": of(with.wait, without.wait) })
}

fn tell(phases: &[(&str, &Felt)]) {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_header([
        "ms",
        "requests",
        "errors",
        "p50",
        "p99",
        "most",
        "waiting p50",
        "p99",
        "most",
    ]);
    for (name, felt) in phases {
        let mut row = vec![(*name).to_owned(), felt.requests.to_string(), felt.errors.to_string()];
        for Spread { p50, p99, max } in [felt.answer, felt.wait] {
            row.extend([p50, p99, max].map(|ms| format!("{ms:.2}")));
        }
        table.add_row(row);
    }
    if let [(_, without), (_, with), ..] = phases {
        let answer = ratios(with.answer, without.answer);
        let ratios = answer.into_iter().chain(ratios(with.wait, without.wait));
        let ratios = ratios.map(|ratio| ratio.map_or("-".to_owned(), |ratio| format!("x {ratio}")));
        let name = ["drains / no worker", "", ""].map(str::to_owned);
        table.add_row(name.into_iter().chain(ratios));
    }
    #[allow(clippy::print_stderr)]
    {
        eprintln!("{table}");
    }
}
