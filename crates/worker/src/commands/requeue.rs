//! `worker requeue`

use std::path::Path;

use aggregation::Kind;
use aggregation::local_time::anywhere_on_earth;
use anyhow::Context;
use store::{RequeueSelection, Requeuer, Store};

use crate::cli::{Requeue, require_order};
use crate::exit::{self, Exit};
use crate::stop::Stop;
use crate::tables::{counted, thousands};
use crate::{output, progress, setup};

/// Queues rows to be computed again.
///
/// # Errors
/// Why it could not. What was queued by then stays so; doing it again is harmless.
pub async fn execute(config: Option<&Path>, arguments: Requeue) -> anyhow::Result<Exit> {
    let between = match (arguments.from, arguments.to) {
        (Some(from), Some(to)) => {
            require_order(from, to);
            // Whatever the zones of the rows: a row too many does no harm, one too few does.
            Some((anywhere_on_earth(from).0, anywhere_on_earth(to).1))
        }
        _ => None,
    };
    let selection = RequeueSelection { user_id: arguments.of.user, between };
    let loaded = setup::configuration(config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;

    let mut requeued = Vec::new();
    for kind in arguments.of.kinds() {
        let rows = if arguments.dead {
            dead(&store, kind, &selection, &stop).await
        } else {
            raw(&store, kind, &selection, &stop).await
        };
        let so_far: u64 = requeued.iter().map(|(_, rows)| rows).sum();
        let rows = rows.with_context(|| {
            format!(
                "interrupted; what was queued stays so ({} before {kind})",
                thousands(so_far as i64)
            )
        })?;
        requeued.push((kind, rows));
    }
    report(&requeued, arguments.dead, stop.is_requested(), arguments.output.json);
    Ok(if stop.is_requested() { exit::INTERRUPTED } else { exit::DONE })
}

async fn dead(
    store: &Store,
    kind: Kind,
    selection: &RequeueSelection,
    stop: &Stop,
) -> anyhow::Result<u64> {
    let mut requeued = 0;
    while !stop.is_requested() {
        match store.requeue_dead(kind, selection).await? {
            0 => break,
            rows => requeued += rows,
        }
    }
    Ok(requeued)
}

async fn raw(
    store: &Store,
    kind: Kind,
    selection: &RequeueSelection,
    stop: &Stop,
) -> anyhow::Result<u64> {
    let mut requeuer = Requeuer::new(kind, *selection);
    let bar = progress::rows(&format!("{kind}: looking at raw rows"));
    let mut requeued = 0;
    while !stop.is_requested() {
        let Some((looked_at, queued)) = requeuer.step(store).await? else { break };
        requeued += queued;
        bar.inc(looked_at);
    }
    bar.finish_and_clear();
    Ok(requeued)
}

fn report(requeued: &[(Kind, u64)], dead: bool, stopped: bool, json: bool) {
    if json {
        let kinds: serde_json::Map<String, serde_json::Value> =
            requeued.iter().map(|(kind, rows)| (kind.name().to_owned(), (*rows).into())).collect();
        output::print_json(
            &serde_json::json!({ "requeued": kinds, "dead": dead, "stopped": stopped }),
        );
        return;
    }
    let what = if dead { ("dead row", "dead rows") } else { ("row", "rows") };
    let total: u64 = requeued.iter().map(|(_, rows)| rows).sum();
    let kinds: Vec<String> = requeued
        .iter()
        .filter(|(_, rows)| *rows > 0)
        .map(|(kind, rows)| format!("{} of {kind}", thousands(*rows as i64)))
        .collect();
    output::print_success(&if total == 0 {
        format!("There is no such {}.", what.0)
    } else {
        format!(
            "Queued again: {} ({}). The service or `worker run-once` computes them.",
            counted(total as i64, what.0, what.1),
            kinds.join(", ")
        )
    });
    if stopped {
        output::print("It was stopped before the end; run it again for the rest.");
    }
}
