//! `worker run-once`

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::ProgressBar;
use store::PausedKind;
use tokio_util::sync::CancellationToken;

use super::status;
use crate::cli::{RunOnce, kinds_or_all};
use crate::exit::{self, Exit};
use crate::heartbeat::Heartbeat;
use crate::run::assumed_zone::AssumedZone;
use crate::run::batch_sizer::BatchSizer;
use crate::run::context::WorkerContext;
use crate::run::crash_loop::CrashLoopGuard;
use crate::run::current::CurrentBatches;
use crate::run::drain::{Limits, date_back, drain};
use crate::run::long_groups::LongGroups;
use crate::run::summary::{RunReport, milliseconds};
use crate::settings::{Settings, SharedSettings};
use crate::setup;
use crate::stop::Stop;
use crate::tables::{counted, thousands};
use crate::throttle::Throttle;
use crate::{changes, day_ends, output, progress, run_record};

/// Processes all due rows.
///
/// # Errors
/// The reason why it failed, or the error that ended the run.
pub async fn execute(config: Option<&Path>, arguments: RunOnce) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let mut settings = Settings::from_config(&loaded.config)?;
    if let Some(rows) = arguments.max_rows_per_second {
        settings.max_rows_per_second = rows;
    }
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    setup::require_budget(&store, 0).await?;
    changes::keep_epoch(&store).await;
    let context = WorkerContext {
        batches: CurrentBatches::default(),
        long_groups: LongGroups::default(),
        store,
        settings: SharedSettings::new(settings),
        stop: Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?,
        heartbeat: Heartbeat::unheard(),
        crash_loop_guard: CrashLoopGuard::default(),
        batch_sizer: BatchSizer::new(loaded.config.batch.size),
        throttle: Throttle::default(),
        assumed_zone: AssumedZone::default(),
    };

    let limits = Limits {
        kinds: kinds_or_all(arguments.kind),
        max_batches: arguments.max_batches,
        time_budget: arguments.time_budget.map(Duration::from_secs_f64),
        cancel: CancellationToken::new(),
        until_empty: true,
    };
    let name = &loaded.config.session.application_name;
    let bar = progress_bar(&context, &limits).await?;
    let run = run(&context, &limits, "run-once", name, &bar).await?;
    if let Err(error) = changes::delete(&context.store, loaded.config.changes.keep_days).await {
        changes::log_failure(&error);
    }
    bar.finish_and_clear();

    let failed = run.report.has_failures();
    if arguments.json {
        output::print_json(&run.to_json());
    } else {
        output::print_outcome(&run.to_text(), !failed && !run.report.stopped);
    }
    Ok(if failed { exit::DONE_WITH_FAILURES } else { exit::DONE })
}

/// A progress bar over the pending rows, up to the limits.
///
/// # Errors
/// If the database fails.
pub async fn progress_bar(context: &WorkerContext, limits: &Limits) -> anyhow::Result<ProgressBar> {
    if !progress::is_shown() {
        return Ok(ProgressBar::hidden());
    }
    let pending = context.store.pending(&limits.kinds).await?.max(0) as u64;
    let most = limits.max_batches.map_or(u64::MAX, |batches| {
        u64::from(batches) * u64::from(context.settings.get().batch_bounds.max)
    });
    Ok(match pending.min(most) {
        0 => ProgressBar::hidden(),
        rows => progress::about("rows", rows),
    })
}

/// The results of a run.
pub struct Run {
    /// The counts of the run.
    pub report: RunReport,
    /// Changes of the kinds that are still pending.
    pub pending_after: i64,
    /// Duration from the first claim to the last commit.
    pub duration: Duration,
    /// The kinds of the run that are paused.
    paused: Vec<PausedKind>,
    /// The number of users for whom the default zone is assumed, and the message about them.
    assumed_zone: (usize, Option<String>),
}

/// Drains the queue and records the run for `worker status`.
///
/// # Errors
/// The error that ended the run.
pub async fn run(
    context: &WorkerContext,
    limits: &Limits,
    command: &str,
    application_name: &str,
    bar: &ProgressBar,
) -> anyhow::Result<Run> {
    let store = &context.store;
    let started_at = store.clock().await?;
    let started = Instant::now();
    date_back(context).await;
    let (report, outcome) = drain(context, limits, |rows| {
        progress::advance(bar, rows);
    })
    .await;
    let duration = started.elapsed();
    run_record::record(store, started_at, command, application_name, &report.counts, (false, None))
        .await;
    outcome.with_context(|| {
        format!(
            "interrupted after {}; their figures are committed, the rest is still queued",
            counted(i64::from(report.counts.batches), "batch", "batches")
        )
    })?;

    let left = limits.time_budget.map(|budget| budget.saturating_sub(started.elapsed()));
    if let Err(error) = day_ends::mark(context, left).await {
        day_ends::log_failure(&error);
    }
    let pending_after = store.pending(&limits.kinds).await?;
    let mut paused = store.paused().await?;
    paused.retain(|paused| limits.kinds.contains(&paused.kind));
    let assumed_zone = context.assumed_zone.tell(&context.settings.get().default_zone);
    let run = Run { report, pending_after, duration, paused, assumed_zone };
    run.log();
    Ok(run)
}

impl Run {
    fn log(&self) {
        let counts = &self.report.counts;
        tracing::info!(
            event = "run_done",
            batches = counts.batches,
            rows = counts.rows_claimed,
            completed = counts.rows_completed,
            rejected = counts.rows_rejected,
            failed = counts.rows_failed,
            dead = self.report.rows_dead,
            released = counts.rows_released,
            groups = counts.groups_committed,
            groups_failed = counts.groups_failed,
            pending_after = self.pending_after,
            duration_ms = milliseconds(self.duration),
            held_longest_ms = milliseconds(self.report.held_longest),
            stopped = self.report.stopped,
            paused = self.paused_kinds().join(","),
            "{} completed, {} pending",
            counted(counts.rows_completed, "row", "rows"),
            self.pending_after,
        );
    }

    fn paused_kinds(&self) -> Vec<&'static str> {
        self.paused.iter().map(|paused| paused.kind.name()).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        let counts = &self.report.counts;
        serde_json::json!({
            "batches": counts.batches,
            "rows_claimed": counts.rows_claimed,
            "rows_completed": counts.rows_completed,
            "rows_rejected": counts.rows_rejected,
            "rows_failed": counts.rows_failed,
            "rows_released": counts.rows_released,
            "rows_dead": self.report.rows_dead,
            "groups_committed": counts.groups_committed,
            "groups_failed": counts.groups_failed,
            "pending_after": self.pending_after,
            "paused": self.paused_kinds(),
            "users_without_profile": self.assumed_zone.0,
            "duration_ms": milliseconds(self.duration),
            "stopped": self.report.stopped,
        })
    }

    fn to_text(&self) -> String {
        let counts = &self.report.counts;
        let mut text = if counts.batches == 0 {
            "Nothing was due.".to_owned()
        } else {
            format!(
                "{} in {}, {:.1} s: {} completed, {} rejected, {} failed, {} released.\n\
                 {} committed, {} failed.",
                counted(counts.rows_claimed, "row", "rows"),
                counted(i64::from(counts.batches), "batch", "batches"),
                self.duration.as_secs_f64(),
                thousands(counts.rows_completed),
                thousands(counts.rows_rejected),
                thousands(counts.rows_failed),
                thousands(counts.rows_released),
                counted(counts.groups_committed, "group", "groups"),
                thousands(counts.groups_failed),
            )
        };
        match self.pending_after {
            0 => text.push_str(" Nothing is pending."),
            rows => text.push_str(&format!(" Still pending: {}.", counted(rows, "row", "rows"))),
        }
        for paused in &self.paused {
            text.push_str(&format!("\n{}", status::paused_in_words(paused)));
        }
        if let Some(sentence) = &self.assumed_zone.1 {
            text.push_str(&format!("\n{sentence}."));
        }
        if self.report.stopped {
            text.push_str("\nIt was stopped before everything due was done.");
        }
        if self.report.rows_dead > 0 {
            text.push_str(&format!(
                "\n{} dead now, after the last attempt; `worker status` says what to do.",
                counted(i64::from(self.report.rows_dead), "row is", "rows are"),
            ));
        }
        text
    }
}
