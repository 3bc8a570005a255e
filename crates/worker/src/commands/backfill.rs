//! `worker backfill`

use std::path::Path;
use std::time::{Duration, Instant};

use aggregation::Kind;
use anyhow::Context;
use indicatif::ProgressBar;
use serde_json::json;
use store::{ErrorClass, Store, StoreError};

use super::users::{Users, progress_bar};
use crate::cli::{Backfill, require_order};
use crate::exit::{self, Exit};
use crate::group::rebuild::{self, Dates, earlier, later};
use crate::report::milliseconds;
use crate::setup::{PAUSES, Settings, spread};
use crate::stop::Stop;
use crate::tables::counted;
use crate::{output, progress, setup};

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    users: i64,
    dates: i64,
    rows: i64,
    failed: i64,
}

/// Computes a range of dates anew.
///
/// # Errors
/// Why it could not. What was done by then stands; doing it again is harmless.
pub async fn execute(config: Option<&Path>, arguments: Backfill) -> anyhow::Result<Exit> {
    require_order(arguments.from, arguments.to);
    let loaded = setup::configuration(config)?;
    let settings = Settings::of(&loaded.config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;
    let started = Instant::now();

    let kinds = arguments.of.kinds();
    let backfill = Work { store: &store, settings: &settings, stop: &stop, kinds };
    let mut done = Done::default();
    let outcome = backfill.all(&arguments, &mut done).await;
    outcome.with_context(|| {
        format!(
            "interrupted after {}; what they are stands, run it again for the rest",
            counted(done.dates, "date", "dates")
        )
    })?;
    report(&done, started.elapsed(), stop.is_requested(), arguments.output.json);
    Ok(if stop.is_requested() {
        exit::INTERRUPTED
    } else if done.failed > 0 {
        exit::DONE_WITH_FAILURES
    } else {
        exit::DONE
    })
}

struct Work<'w> {
    store: &'w Store,
    settings: &'w Settings,
    stop: &'w Stop,
    kinds: Vec<Kind>,
}

impl Work<'_> {
    async fn all(&self, arguments: &Backfill, done: &mut Done) -> Result<(), StoreError> {
        let dates = (arguments.from, arguments.to);
        let bar = progress_bar(self.store, &self.kinds, arguments.of.user, dates).await?;
        let mut users = Users::of(arguments.of.user);
        while !self.stop.is_requested() {
            let find = async |from| self.store.next_user(&self.kinds, from).await;
            let Some(user) = users.next(find).await? else { break };
            for kind in &self.kinds {
                self.of_user(*kind, user, arguments, done, &bar).await?;
            }
            done.users += 1;
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn of_user(
        &self,
        kind: Kind,
        user_id: i64,
        arguments: &Backfill,
        done: &mut Done,
        bar: &ProgressBar,
    ) -> Result<(), StoreError> {
        let (from, to) = (arguments.from, arguments.to);
        let inventory = self.store.inventory(kind, user_id, earlier(from), later(to)).await?;
        for portion in rebuild::portions(&inventory, from, to) {
            if self.stop.is_requested() {
                break;
            }
            match self.patiently(kind, user_id, &portion).await {
                Ok(()) => done.dates += portion.dates.len() as i64,
                Err(error) if error.class().is_interruption() => return Err(error),
                Err(error) => {
                    done.failed += portion.dates.len() as i64;
                    tell(kind, user_id, &portion, &error);
                }
            }
            done.rows += portion.rows;
            progress::advance(bar, portion.rows as u64);
        }
        Ok(())
    }

    /// One portion, again after a pause where that may help.
    async fn patiently(&self, kind: Kind, user_id: i64, portion: &Dates) -> Result<(), StoreError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            match rebuild::commit(self.store, self.settings, kind, user_id, &portion.dates).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let class = error.class();
                    let passing = [ErrorClass::Conflict, ErrorClass::Locked, ErrorClass::Timeout];
                    let may_help = passing.contains(&class) || class.is_interruption();
                    match pauses.next().filter(|_| may_help && !self.stop.is_requested()) {
                        Some(pause) => tokio::time::sleep(spread(pause)).await,
                        None => return Err(error),
                    }
                }
            }
        }
    }
}

fn tell(kind: Kind, user_id: i64, portion: &Dates, error: &StoreError) {
    let (first, last) = (portion.dates.first(), portion.dates.last());
    tracing::warn!(
        event = "dates_failed",
        kind = %kind,
        user_id,
        from = first.map(tracing::field::display),
        to = last.map(tracing::field::display),
        class = error.class().name(),
        error = %error,
        "the figures of these dates stay as they were ({})",
        error.class().name(),
    );
}

fn report(done: &Done, took: Duration, stopped: bool, as_json: bool) {
    if as_json {
        output::print_json(&json!({
            "users": done.users,
            "dates": done.dates,
            "dates_failed": done.failed,
            "rows": done.rows,
            "duration_ms": milliseconds(took),
            "stopped": stopped,
        }));
        return;
    }
    let mut text = format!(
        "{} of {} computed anew from {} in {:.1} s.",
        counted(done.dates, "date", "dates"),
        counted(done.users, "user", "users"),
        counted(done.rows, "raw row", "raw rows"),
        took.as_secs_f64(),
    );
    if done.failed > 0 {
        text.push_str(&format!(
            "\n{} failed and stay as they were; the log says why (dates_failed).",
            counted(done.failed, "date", "dates")
        ));
    }
    if stopped {
        text.push_str("\nIt was stopped before the end; run it again for the rest.");
    }
    output::print_outcome(&text, done.failed == 0 && !stopped);
}
