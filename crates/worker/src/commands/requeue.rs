//! `worker requeue`

use std::cell::Cell;
use std::path::Path;

use aggregation::Kind;
use aggregation::local_time::anywhere_on_earth;
use anyhow::Context;
use store::{RequeueSelection, Requeuer, Store};

use crate::cli::{Requeue, require_order};
use crate::exit::{self, Exit};
use crate::stop::Stop;
use crate::tables::{counted, thousands};
use crate::{confirm, output, progress, setup, user_ids};

/// Queues rows for another computation.
///
/// # Errors
/// The reason why it stopped. Rows queued by then stay queued; repeating it is harmless.
pub async fn execute(config: Option<&Path>, arguments: Requeue) -> anyhow::Result<Exit> {
    let between = match (arguments.from, arguments.to) {
        (Some(from), Some(to)) => {
            require_order(from, to);
            // The range covers all zones: an extra row is harmless, a missing one is not.
            Some((anywhere_on_earth(from).0, anywhere_on_earth(to).1))
        }
        _ => None,
    };
    let loaded = setup::configuration(config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let user_id = user_ids::from_argument(&store, arguments.of.user.as_deref()).await?;
    let selection = RequeueSelection { user_id, between };
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;

    let kinds = arguments.of.kinds();
    let frozen = Cell::new(0);
    let what =
        Work { store: &store, selection, dead: arguments.dead, stop: &stop, frozen: &frozen };
    // Counting takes as long as queueing, so it is done only if the count is shown.
    let asks = !arguments.yes && confirm::is_possible();
    if arguments.dry_run || asks {
        let counted = what.of_each(&kinds, async |kind| what.count(kind).await).await?;
        if stop.is_requested() {
            return Ok(exit::INTERRUPTED);
        }
        if arguments.dry_run {
            report_dry_run(&counted, arguments.dead, frozen.get(), arguments.output.json);
            return Ok(exit::DONE);
        }
        let question =
            format!("This queues {} again. Continue?", in_words(&counted, arguments.dead));
        if total(&counted) > 0 && !confirm::ask(&question, &stop).await {
            output::print("Nothing was changed.");
            return Ok(exit::INTERRUPTED);
        }
    }
    frozen.set(0);
    let requeued = what.of_each(&kinds, async |kind| what.queue(kind).await).await?;
    report(&requeued, arguments.dead, frozen.get(), stop.is_requested(), arguments.output.json);
    Ok(if stop.is_requested() { exit::INTERRUPTED } else { exit::DONE })
}

/// The number of rows of each kind.
type Counts = Vec<(Kind, u64)>;

fn total(counts: &Counts) -> u64 {
    counts.iter().map(|(_, rows)| rows).sum()
}

/// The selection of rows, and the environment of the work.
struct Work<'w> {
    store: &'w Store,
    selection: RequeueSelection,
    dead: bool,
    stop: &'w Stop,
    /// Rows left out because the figures of their dates are frozen.
    frozen: &'w Cell<u64>,
}

impl Work<'_> {
    async fn of_each(
        &self,
        kinds: &[Kind],
        mut act: impl AsyncFnMut(Kind) -> anyhow::Result<u64>,
    ) -> anyhow::Result<Counts> {
        let mut done = Counts::new();
        for kind in kinds {
            let rows = act(*kind).await.with_context(|| {
                let before = thousands(total(&done) as i64);
                format!("interrupted; rows queued so far stay queued ({before} before {kind})")
            })?;
            done.push((*kind, rows));
        }
        Ok(done)
    }

    async fn count(&self, kind: Kind) -> anyhow::Result<u64> {
        if self.dead {
            return Ok(self.store.count_dead(kind, &self.selection).await?);
        }
        self.walk(kind, Requeuer::counting(kind, self.selection.clone())).await
    }

    async fn queue(&self, kind: Kind) -> anyhow::Result<u64> {
        if !self.dead {
            return self.walk(kind, Requeuer::new(kind, self.selection.clone())).await;
        }
        let mut requeued = 0;
        while !self.stop.is_requested() {
            match self.store.requeue_dead(kind, &self.selection).await? {
                0 => break,
                rows => requeued += rows,
            }
        }
        Ok(requeued)
    }

    async fn walk(&self, kind: Kind, mut requeuer: Requeuer) -> anyhow::Result<u64> {
        let bar = progress::rows(&format!("{kind}: reading raw rows"));
        let mut selected = 0;
        while !self.stop.is_requested() {
            let Some(step) = requeuer.step(self.store).await? else { break };
            selected += step.selected;
            self.frozen.set(self.frozen.get() + step.frozen);
            bar.inc(step.read);
        }
        bar.finish_and_clear();
        Ok(selected)
    }
}

/// Formats counts as in `3 dead rows (3 of vitals)`.
fn in_words(counts: &Counts, dead: bool) -> String {
    let (one, several) = if dead { ("dead row", "dead rows") } else { ("row", "rows") };
    let kinds: Vec<String> = counts
        .iter()
        .filter(|(_, rows)| *rows > 0)
        .map(|(kind, rows)| format!("{} of {kind}", thousands(*rows as i64)))
        .collect();
    let rows = counted(total(counts) as i64, one, several);
    if kinds.is_empty() { rows } else { format!("{rows} ({})", kinds.join(", ")) }
}

fn by_kind(counts: &Counts) -> serde_json::Map<String, serde_json::Value> {
    counts.iter().map(|(kind, rows)| (kind.name().to_owned(), (*rows).into())).collect()
}

/// The line about rows of frozen dates.
fn tell_frozen(frozen: u64) {
    if frozen > 0 {
        output::print(&format!(
            "{} left out: the figures of their dates are frozen; `worker freeze` shows the dates.",
            counted(frozen as i64, "row", "rows")
        ));
    }
}

fn report_dry_run(counts: &Counts, dead: bool, frozen: u64, json: bool) {
    if json {
        output::print_json(&serde_json::json!({
            "would_requeue": by_kind(counts),
            "dead": dead,
            "frozen": frozen,
            "dry_run": true,
        }));
    } else {
        output::print(&format!(
            "Would queue {} again. Nothing was changed.",
            in_words(counts, dead)
        ));
        tell_frozen(frozen);
    }
}

fn report(requeued: &Counts, dead: bool, frozen: u64, stopped: bool, json: bool) {
    if json {
        output::print_json(&serde_json::json!({
            "requeued": by_kind(requeued),
            "dead": dead,
            "frozen": frozen,
            "stopped": stopped,
        }));
        return;
    }
    output::print_success(&if total(requeued) == 0 {
        format!("There is no such {}.", if dead { "dead row" } else { "row" })
    } else {
        format!(
            "Queued again: {}. The service or `worker run-once` computes them.",
            in_words(requeued, dead)
        )
    });
    tell_frozen(frozen);
    if stopped {
        output::print("It was stopped before the end; run it again for the rest.");
    }
}
