//! The cost of an app's inserts with the triggers that feed the queue, compared with inserts
//! without them.

use clap::Args;
use serde_json::{Value, json};

use crate::pgbench::Script;
use crate::server::Server;
use crate::service::{round, tell};

/// Arguments of `bench insert`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Load {
    /// Time for which each kind of insert is repeated, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rounds of all measurements; the median counts
    #[arg(long, default_value_t = 3)]
    times: usize,
}

const TRIGGERS: [(&str, &str); 2] = [("without", "DISABLE"), ("with", "ENABLE")];

/// Inserts like an app: one client, which waits for the disk after each insert.
pub async fn insert(load: Load) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    let mut results = Vec::new();
    for rows in [1, 60] {
        let mut taken: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..load.times.max(1) {
            for ((_, change), taken) in TRIGGERS.iter().zip(&mut taken) {
                let sql = format!(
                    "TRUNCATE vitals_raw, aggregation_queue;
                     ALTER TABLE vitals_raw {change} TRIGGER queue_inserted;
                     CHECKPOINT"
                );
                for sql in sql.split(';') {
                    server.client.batch_execute(sql).await?;
                }
                taken.push(one(&server, rows, load.seconds).await?);
            }
        }
        let [without, with] = taken.map(|mut taken| {
            taken.sort_by(f64::total_cmp);
            taken.get(taken.len() / 2).copied().unwrap_or(f64::NAN)
        });
        tell(&format!(
            "an insert of {rows} row(s): {without:.2} ms without the trigger, {with:.2} ms with it, \
             {:+.2} x",
            with / without - 1.0
        ));
        results.push(json!({
            "rows": rows,
            "without_ms": round(without, 3),
            "with_ms": round(with, 3),
            "added": round(with / without - 1.0, 3),
        }));
    }
    Ok(json!({ "inserts": results }))
}

/// The mean duration of an insert, in milliseconds.
async fn one(server: &Server, rows: u32, seconds: u64) -> anyhow::Result<f64> {
    let last = rows - 1;
    let text = format!(
        "\\set user random(1, 5000)\n\
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT :user, 'heart_rate', 60 + n, 'bpm', 'watch', now() - n * interval '1 second',
                now() - n * interval '1 second'
         FROM generate_series(0, {last}) AS n;\n"
    )
    .replace("\n         ", " ");
    let script = Script { text: &text, seconds, variables: &[], options: "" };
    script.run(server, "latency average = ").await
}
