//! Measures `verify` and `backfill` over many rows: time, memory, and whether they find every
//! damage.

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use crate::server::Server;
use crate::service::{FILL, round, tell};
use crate::worker::{self, Ran};

/// Changes the last bits of the mean of `$1` hours and days, each of another user and date, spread
/// over all of them.
const DAMAGE: &str = "
    WITH chosen AS (
        SELECT user_id, local_date, row_number() OVER (ORDER BY user_id, local_date) AS place
        FROM (SELECT *, row_number() OVER (ORDER BY md5(user_id::text || local_date::text)) AS chance
              FROM vitals_daily) AS days
        WHERE chance <= $1::bigint
    ), hours AS (
        UPDATE vitals_hourly AS h SET mean = h.mean * (1 + 2.220446049250313e-16::float8)
        FROM (SELECT c.user_id, c.local_date, min(h.hour_start) AS hour_start
              FROM chosen AS c JOIN vitals_hourly AS h USING (user_id, local_date)
              WHERE c.place % 2 = 0 GROUP BY c.user_id, c.local_date) AS c
        WHERE (h.user_id, h.local_date, h.hour_start) = (c.user_id, c.local_date, c.hour_start)
    )
    UPDATE vitals_daily AS d SET mean = d.mean * (1 + 2.220446049250313e-16::float8)
    FROM chosen AS c
    WHERE c.place % 2 = 1 AND (d.user_id, d.local_date) = (c.user_id, c.local_date)";

/// Arguments of `bench verify`.
#[derive(Debug, Args)]
pub struct Load {
    /// Raw rows, of 500 users
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// User-dates whose figure is damaged in its last bits
    #[arg(long, default_value_t = 200)]
    damages: u64,
}

/// Computes everything, compares, damages, compares again, and recomputes.
pub async fn verify(load: Load) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    server.client.execute(FILL, &[&(load.rows as i64)]).await?;
    let drained = worker::run(&server.url, &["run-once", "--json"])?;
    ensure!(drained.code == 0, "run-once ended with {}", drained.code);

    let sound = worker::run(&server.url, &["verify", "--json"])?;
    tell(&told("verify, all right", load.rows, &sound));
    ensure!(sound.code == 0, "sound figures are called wrong");

    server.client.execute(DAMAGE, &[&(load.damages as i64)]).await?;
    let damaged = worker::run(&server.url, &["verify", "--json"])?;
    let found = damaged.json["rows_different"].as_u64().unwrap_or_default();
    tell(&format!("{} damages planted, {found} found", load.damages));
    ensure!(found == load.damages && damaged.code == 4, "exit code {}", damaged.code);

    let backfill = ["backfill", "--from", "2024-01-01", "--to", "2024-12-31", "--json"];
    let backfilled = worker::run(&server.url, &backfill)?;
    tell(&told("backfill", load.rows, &backfilled));
    Ok(json!({
        "rows": load.rows,
        "verify": measured(load.rows, &sound),
        "damages": load.damages,
        "found": found,
        "backfill": measured(load.rows, &backfilled),
    }))
}

fn told(what: &str, rows: u64, ran: &Ran) -> String {
    format!(
        "{what}: {rows} rows in {:.1} s, {:.0} rows/s, {:.1} MB at most",
        ran.seconds,
        rows as f64 / ran.seconds,
        ran.peak_mb
    )
}

fn measured(rows: u64, ran: &Ran) -> Value {
    json!({
        "seconds": round(ran.seconds, 1),
        "rows_per_second": round(rows as f64 / ran.seconds, 0),
        "peak_mb": round(ran.peak_mb, 1),
    })
}
