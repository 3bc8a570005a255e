//! `worker backfill`

use std::path::Path;
use std::time::{Duration, Instant};

use aggregation::{Kind, UserId};
use anyhow::Context;
use indicatif::ProgressBar;
use serde_json::json;
use store::{Store, StoreError};

use super::users::{self, Users, progress_bar};
use crate::changes::keep_epoch;
use crate::cli::{Backfill, require_order};
use crate::exit::{self, Exit};
use crate::failure::Policy;
use crate::run::group::Profile;
use crate::run::group::rebuild::{self, Dates, earlier, later};
use crate::run::summary::milliseconds;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::tables::counted;
use crate::user_ids;
use crate::{output, progress, setup};

/// Counts of a backfill.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    users: i64,
    /// Users for whom a kind was abandoned after an error.
    users_failed: i64,
    dates: i64,
    rows: i64,
    failed: i64,
    /// Dates left out because their figures are frozen.
    frozen: i64,
}

impl Done {
    fn and(self, other: Self) -> Self {
        Self {
            users: self.users + other.users,
            users_failed: self.users_failed + other.users_failed,
            dates: self.dates + other.dates,
            rows: self.rows + other.rows,
            failed: self.failed + other.failed,
            frozen: self.frozen + other.frozen,
        }
    }
}

/// Recomputes a range of dates.
///
/// # Errors
/// The reason why it stopped. Completed dates remain; repeating it is harmless.
pub async fn execute(config: Option<&Path>, arguments: Backfill) -> anyhow::Result<Exit> {
    require_order(arguments.from, arguments.to);
    let loaded = setup::configuration(config)?;
    let settings = Settings::from_config(&loaded.config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    keep_epoch(&store).await;
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;
    let user = user_ids::from_argument(&store, arguments.of.user.as_deref()).await?;
    let started = Instant::now();

    let bar =
        progress_bar(&store, &arguments.of.kinds(), user.as_ref(), (arguments.from, arguments.to))
            .await?;
    let work = Work {
        store: &store,
        settings: &settings,
        stop: &stop,
        arguments: &arguments,
        users: Users::select(&store, user.clone(), arguments.of.kinds()).await?,
        bar: &bar,
    };
    let (done, outcome) = work.all(loaded.config.pool.max_size > 1).await;
    bar.finish_and_clear();
    outcome.with_context(|| {
        format!(
            "interrupted after {}; completed dates remain; run it again for the rest",
            counted(done.dates, "date", "dates")
        )
    })?;
    report(&done, started.elapsed(), stop.is_requested(), arguments.output.json);
    Ok(if stop.is_requested() {
        exit::INTERRUPTED
    } else if done.users_failed > 0 {
        exit::COULD_NOT
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
    arguments: &'w Backfill,
    users: Users,
    bar: &'w ProgressBar,
}

impl Work<'_> {
    /// Recomputes all users, with two walkers or one.
    async fn all(&self, two_at_a_time: bool) -> (Done, Result<(), StoreError>) {
        let ([one, other], outcome) =
            users::by_two(two_at_a_time, async |done: &mut Done| self.walk(done).await).await;
        (one.and(other), outcome)
    }

    /// Recomputes one user after the other, until none is left.
    async fn walk(&self, done: &mut Done) -> Result<(), StoreError> {
        while !self.stop.is_requested() {
            let find = async |kinds: &[Kind], from| self.store.next_user(kinds, from).await;
            let Some(user) = self.users.next(find).await? else { break };
            let mut is_failed = false;
            for kind in user.kinds {
                if let Err(error) = self.of_user(kind, &user.user_id, done).await {
                    let error = self.store.explain(error).await;
                    users::log_failed(kind, &user.user_id, &error);
                    is_failed = true;
                }
            }
            done.users += 1;
            done.users_failed += i64::from(is_failed);
        }
        Ok(())
    }

    async fn of_user(
        &self,
        kind: Kind,
        user_id: &UserId,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let (from, to) = (self.arguments.from, self.arguments.to);
        let inventory = self.store.inventory(kind, user_id, earlier(from), later(to)).await?;
        let profile = self.store.profiles(vec![user_id.clone()]).await?.remove(user_id);
        let user = Profile::parse(profile.unwrap_or_default(), self.settings);
        done.frozen += rebuild::frozen_dates(&inventory, &user, from, to).len() as i64;
        for portion in rebuild::portions(&inventory, user.first_open(from), to) {
            if self.stop.is_requested() {
                break;
            }
            let _large = self.users.alone_if_large(&portion).await;
            let is_stopped = || self.stop.is_requested();
            let of = (kind, user_id);
            match rebuild::commit(self.store, self.settings, of, &portion, &is_stopped).await {
                Ok(()) => done.dates += portion.dates.len() as i64,
                Err(error) if Policy::for_class(error.class()).is_interruption() => {
                    return Err(error);
                }
                Err(error) => {
                    done.failed += portion.dates.len() as i64;
                    tell(kind, user_id, &portion, &error);
                }
            }
            done.rows += portion.rows;
            progress::advance(self.bar, portion.rows as u64);
        }
        Ok(())
    }
}

fn tell(kind: Kind, user_id: &UserId, portion: &Dates, error: &StoreError) {
    let (first, last) = (portion.dates.first(), portion.dates.last());
    tracing::warn!(
        event = "dates_failed",
        kind = %kind,
        user_id = user_ids::logged(user_id),
        from = first.map(tracing::field::display),
        to = last.map(tracing::field::display),
        class = error.class().name(),
        error = %error,
        "the figures of these dates are unchanged ({})",
        error.class().name(),
    );
}

fn report(done: &Done, took: Duration, stopped: bool, as_json: bool) {
    if as_json {
        output::print_json(&json!({
            "users": done.users,
            "users_failed": done.users_failed,
            "dates": done.dates,
            "dates_failed": done.failed,
            "dates_frozen": done.frozen,
            "rows": done.rows,
            "duration_ms": milliseconds(took),
            "stopped": stopped,
        }));
        return;
    }
    let mut text = format!(
        "{} of {} recomputed from {} in {:.1} s.",
        counted(done.dates, "date", "dates"),
        counted(done.users, "user", "users"),
        counted(done.rows, "raw row", "raw rows"),
        took.as_secs_f64(),
    );
    if done.frozen > 0 {
        text.push_str(&format!(
            "\n{} left out: the figures are frozen; `worker freeze` shows the dates.",
            counted(done.frozen, "date", "dates")
        ));
    }
    if done.failed > 0 {
        text.push_str(&format!(
            "\n{} failed and are unchanged; the log says why (dates_failed).",
            counted(done.failed, "date", "dates")
        ));
    }
    if done.users_failed > 0 {
        text.push_str(&format!(
            "\n{} could not be processed; the log says which and why (user_failed).",
            counted(done.users_failed, "user", "users")
        ));
    }
    if stopped {
        text.push_str("\nIt was stopped before the end; run it again for the rest.");
    }
    output::print_outcome(&text, done.failed == 0 && done.users_failed == 0 && !stopped);
}
