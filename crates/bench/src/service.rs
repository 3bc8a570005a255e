//! The service: idle, under a steady load, and with a backlog.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Server, connect};
use crate::worker::Service;

/// Inserts of the steady load per second.
const INSERTS_PER_SECOND: u64 = 10;

/// The time that a service needs to connect and settle.
const SETTLED: Duration = Duration::from_secs(5);

/// Records the queue time of each raw row, in the transaction that writes its figures; the commit
/// follows within a millisecond.
const NOTE_AGES: &str = "
    CREATE TABLE ages (seconds double precision NOT NULL);
    CREATE FUNCTION note_ages() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO ages
        SELECT extract(epoch FROM clock_timestamp() - queued_at) FROM done, unnest(raw_ids);
        RETURN NULL;
    END $$;
    CREATE TRIGGER note_ages AFTER DELETE ON aggregation_queue
        REFERENCING OLD TABLE AS done FOR EACH STATEMENT EXECUTE FUNCTION note_ages();";

/// Rows of random users at the present time. Each is a group of its own, which costs more than any
/// other load.
const INSERT: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT (random() * 5000)::bigint, 'heart_rate', 50 + random() * 100, 'bpm', 'watch', at, at
    FROM generate_series(1, $1::bigint), LATERAL (SELECT clock_timestamp() AS at) AS t";

/// Two days of 500 users, a sample about every two minutes, in time order.
pub const FILL: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT n % 500, 'heart_rate', 50 + n % 100, 'bpm', 'watch', at, at
    FROM generate_series(1, $1::bigint) AS n,
         LATERAL (SELECT timestamptz '2024-05-01 00:00Z'
                         + (n / 500) * (interval '2 days' / ($1::bigint / 500)) AS at) AS t";

/// Prints progress to stderr.
pub fn tell(line: &str) {
    #[allow(clippy::print_stderr)]
    {
        eprintln!("{line}");
    }
}

/// Rounds to this number of decimal places.
pub fn round(value: f64, digits: i32) -> f64 {
    let shift = 10_f64.powi(digits);
    (value * shift).round() / shift
}

/// Measures the cost of an idle service.
pub async fn idle(time: Duration) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    let service = Service::start(&server.url)?;
    tokio::time::sleep(SETTLED).await;
    // Apart from the worker's statements, only the two queries are counted.
    let statements = "SELECT xact_commit + xact_rollback FROM pg_stat_database
                      WHERE datname = current_database()";
    let before: i64 = server.client.query_one(statements, &[]).await?.get(0);
    let cpu_before = service.cpu()?;
    let began = Instant::now();
    tokio::time::sleep(time).await;
    let seconds = began.elapsed().as_secs_f64();
    let cpu_percent = (service.cpu()? - cpu_before).as_secs_f64() / seconds * 100.0;
    let after: i64 = server.client.query_one(statements, &[]).await?.get(0);
    let per_second = (after - before) as f64 / seconds;
    let resident_mb = service.resident_mb()?;
    tell(&format!(
        "idle for {seconds:.0} s: {cpu_percent:.2} % of a core, {resident_mb:.1} MB, \
         {per_second:.1} statements/s"
    ));
    Ok(json!({
        "seconds": round(seconds, 1),
        "cpu_percent": round(cpu_percent, 3),
        "resident_mb": round(resident_mb, 1),
        "statements_per_second": round(per_second, 2),
    }))
}

/// Measures the time from a row's insert to its figure under a steady load.
pub async fn freshness(time: Duration, rate: u64) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    server.client.batch_execute(NOTE_AGES).await?;
    let service = Service::start(&server.url)?;
    tokio::time::sleep(SETTLED).await;
    let app = connect(&server.url).await?;
    let rows = (rate / INSERTS_PER_SECOND) as i64;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / INSERTS_PER_SECOND as u32);
    let cpu_before = service.cpu()?;
    let began = Instant::now();
    while began.elapsed() < time {
        ticks.tick().await;
        app.execute(INSERT, &[&rows]).await?;
    }
    server.drained().await?;
    let cpu = (service.cpu()? - cpu_before).as_secs_f64() / began.elapsed().as_secs_f64();
    let ages = "SELECT count(*), percentile_cont(ARRAY[0.5, 0.99, 1.0])
                    WITHIN GROUP (ORDER BY seconds) FROM ages";
    let row = server.client.query_one(ages, &[]).await?;
    let (count, ages): (i64, Vec<f64>) = (row.get(0), row.get(1));
    let [p50, p99, max] = [0, 1, 2].map(|place| ages.get(place).copied().unwrap_or(f64::NAN));
    tell(&format!(
        "{rate} rows/s for {} s: insert to figure {p50:.2} s (median), {p99:.2} s (99 %), \
         {max:.2} s (most) of {count} rows; {:.1} % of a core",
        time.as_secs(),
        cpu * 100.0
    ));
    Ok(json!({
        "rows_per_second": rate,
        "seconds": time.as_secs(),
        "rows": count,
        "p50_s": round(p50, 3),
        "p99_s": round(p99, 3),
        "max_s": round(max, 3),
        "cpu_percent": round(cpu * 100.0, 1),
    }))
}

/// Measures how fast several services drain a backlog together while rows arrive.
pub async fn drain(workers: usize, backlog: u64) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    server.client.execute(FILL, &[&(backlog as i64)]).await?;
    server.client.batch_execute("CHECKPOINT").await?;
    let began = Instant::now();
    let services: Vec<Service> =
        (0..workers).map(|_| Service::start(&server.url)).collect::<anyhow::Result<_>>()?;
    let app = connect(&server.url).await?;
    let arriving = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            app.execute(INSERT, &[&20_i64]).await?;
        }
        #[allow(unreachable_code)]
        Ok::<(), tokio_postgres::Error>(())
    };
    tokio::select! {
        failed = arriving => failed?,
        drained = backlog_done(&server) => drained?,
    }
    let seconds = began.elapsed().as_secs_f64();
    let per_second = backlog as f64 / seconds;
    drop(services);
    tell(&format!(
        "{workers} worker(s): a backlog of {backlog} rows in {seconds:.1} s, {per_second:.0} rows/s, \
         while 200 rows/s arrive"
    ));
    Ok(json!({
        "workers": workers,
        "rows": backlog,
        "seconds": round(seconds, 2),
        "rows_per_second": round(per_second, 0),
    }))
}

async fn backlog_done(server: &Server) -> anyhow::Result<()> {
    let left = "SELECT EXISTS (SELECT FROM aggregation_queue WHERE starts_at < '2025-01-01')";
    while server.client.query_one(left, &[]).await?.get(0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
