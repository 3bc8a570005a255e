//! `worker verify`

mod compare;

use std::path::Path;
use std::time::{Duration, Instant};

use aggregation::{Kind, UserId};
use alerts::channel::Channel;
use alerts::drift;
use anyhow::{Context, bail};
use chrono::NaiveDate;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use store::{Difference, Store, StoreError, VerifySession};

use super::users::{self, Users, progress_bar};
use crate::changes::keep_epoch;
use crate::cli::{Verify, require_order};
use crate::exit::{self, Exit};
use crate::run::group::rebuild::{self, Dates};
use crate::run::summary::milliseconds;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::tables::{counted, table, thousands};
use crate::{confirm, output, setup, target, user_ids};

/// The first and last date that figures can have. West of UTC, the first instant of the year 1 belongs
/// to the day before.
const FIRST: NaiveDate = NaiveDate::from_ymd_opt(0, 12, 31).expect("a date");
const LAST: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).expect("a date");

/// Maximum of findings listed; all are counted. A longer list would be of no use and take memory.
const MOST_LISTED: usize = 1_000;

/// One finding: rows of a user's date that differ in the same way.
#[derive(Clone, Debug)]
struct Finding {
    kind: Kind,
    user_id: UserId,
    /// `None` for a difference in `rejected_rows`, which has no dates.
    date: Option<NaiveDate>,
    table: &'static str,
    difference: Difference,
    rows: i64,
}

/// The results of a verification.
#[derive(Clone, Debug, Default)]
struct Found {
    users: i64,
    /// Users for whom a kind could not be compared.
    users_failed: i64,
    dates: i64,
    /// Dates left out because their rows wait in the queue.
    pending: i64,
    /// Dates left out because they have dead rows.
    dead: i64,
    /// Dates left out because their figures are frozen.
    frozen: i64,
    raw_rows: i64,
    /// Rows of figures and of `rejected_rows` that differ.
    rows: i64,
    /// How many of `rows` are outdated.
    outdated: i64,
    /// Dates that were repaired.
    repaired: i64,
    /// Dates that still differ.
    left: i64,
    /// How many of `left` are not merely outdated.
    drifted: i64,
    /// Raw rows whose entry in `rejected_rows` was repaired.
    verdicts_repaired: i64,
    /// Raw rows whose entry in `rejected_rows` still differs.
    verdicts_left: i64,
    listed: Vec<Finding>,
}

/// Compares all figures with those computed from raw rows.
///
/// # Errors
/// The reason why it failed.
pub async fn execute(config: Option<&Path>, arguments: Verify) -> anyhow::Result<Exit> {
    let (from, to) = (arguments.from.unwrap_or(FIRST), arguments.to.unwrap_or(LAST));
    require_order(from, to);
    let loaded = setup::configuration(config)?;
    if arguments.repair && loaded.config.pool.max_size < 2 {
        bail!(
            "verify --repair needs two connections, one to read and one to write: raise pool.max_size to 2"
        );
    }
    let settings = Settings::from_config(&loaded.config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    if arguments.repair {
        keep_epoch(&store).await;
    }
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;
    let started = Instant::now();

    let is_complete = arguments.from.is_none() && arguments.to.is_none() && arguments.of.is_all();
    let kinds = arguments.of.kinds();
    let user = user_ids::from_argument(&store, arguments.of.user.as_deref()).await?;
    let pass = async |repair: Option<&Store>| {
        let started = Instant::now();
        let bar = progress_bar(&store, &kinds, user.as_ref(), (from, to)).await?;
        let users = Users::select(&store, user.clone(), kinds.clone()).await?;
        let (is_stopped, bar) = (|| stop.is_requested(), &bar);
        let verification = Verification {
            store: &store,
            users,
            from,
            to,
            settings: &settings,
            repair,
            is_stopped: &is_stopped,
            compared: &|_| (),
            bar,
        };
        // A repair needs a connection of its own.
        let to_look = loaded.config.pool.max_size - u32::from(repair.is_some());
        let (found, outcome) = verification.verify_all(to_look > 1).await;
        bar.finish_and_clear();
        outcome.with_context(|| {
            format!("interrupted after {}", counted(found.dates, "date", "dates"))
        })?;
        let (took, stopped) = (started.elapsed(), stop.is_requested());
        if arguments.output.json {
            output::print_json(&found.to_json(took, stopped));
        } else {
            let text = found.to_text(took, stopped, repair.is_some());
            let is_good =
                found.listed.is_empty() && found.users_failed == 0 && found.dead == 0 && !stopped;
            output::print_outcome(&text, is_good);
        }
        anyhow::Ok(found)
    };
    let repair = Some(&store).filter(|_| arguments.repair && !arguments.dry_run);
    let asks = repair.is_some() && !arguments.yes && confirm::is_possible();
    let mut found = pass(repair.filter(|_| !asks)).await?;
    if asks && found.left + found.verdicts_left > 0 && !stop.is_requested() {
        if confirm::ask(&found.question(), &stop).await {
            found = pass(repair).await?;
        } else {
            output::print("Nothing was changed.");
        }
    }
    // After the report, which must not wait for a mail server.
    let stopped = stop.is_requested();
    let is_complete = is_complete && !stopped && found.users_failed == 0 && found.dead == 0;
    let verified = drift::Verified { dates: found.drifted, is_complete, took: started.elapsed() };
    let config = &loaded.config;
    let worker = setup::identity(&config.session.application_name);
    let channels = Channel::all(&config.mail, &config.webhook);
    let target = target::name();
    let from = (worker.as_str(), target.as_deref());
    tokio::select! {
        () = drift::send(&config.alerts, channels, &store, from, verified, stop.token()) => {}
        // The outbox hangs. The exit code of `verify` is more useful than that of a stop.
        () = stop.overdue() => {}
    }
    Ok(if found.users_failed > 0 {
        exit::COULD_NOT
    } else if found.left > 0 || found.verdicts_left > 0 || found.dead > 0 {
        exit::DRIFT
    } else if stopped {
        exit::INTERRUPTED
    } else {
        exit::DONE
    })
}

/// The findings of a comparison of some dates of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Dates that were compared, each kind on its own.
    pub dates: i64,
    /// Dates that differ.
    pub differ: i64,
    /// Dates left out because rows of them wait in the queue.
    pub pending: i64,
    /// Dates left out because rows of them are dead.
    pub dead: i64,
    /// Dates left out because their figures are frozen.
    pub frozen: i64,
}

/// Compares some dates of one user with its raw rows, and changes nothing. It passes the number of dates of each
/// portion to `compared`, and ends early once `is_stopped`.
///
/// # Errors
/// If the database fails.
pub async fn one_user(
    store: &Store,
    settings: &Settings,
    (user_id, from, to): (UserId, NaiveDate, NaiveDate),
    is_stopped: &dyn Fn() -> bool,
    compared: &dyn Fn(i64),
) -> Result<Verified, StoreError> {
    let bar = &ProgressBar::hidden();
    let users = Users::only(user_id.clone(), Kind::ALL.to_vec());
    let repair = None;
    let verification =
        Verification { store, users, from, to, settings, repair, is_stopped, compared, bar };
    let mut found = Found::default();
    let mut session = store.open_verify_session().await?;
    for kind in Kind::ALL {
        verification.verify_user(&mut session, kind, &user_id, &mut found).await?;
    }
    session.close().await?;
    let Found { dates, left: differ, pending, dead, frozen, .. } = found;
    Ok(Verified { dates, differ, pending, dead, frozen })
}

struct Verification<'l> {
    store: &'l Store,
    users: Users,
    from: NaiveDate,
    to: NaiveDate,
    settings: &'l Settings,
    /// The store for repairs, if they are requested.
    repair: Option<&'l Store>,
    is_stopped: &'l dyn Fn() -> bool,
    /// Gets the number of dates of each portion that was compared or left out.
    compared: &'l dyn Fn(i64),
    bar: &'l ProgressBar,
}

impl Verification<'_> {
    /// Verifies all users.
    async fn verify_all(&self, two_at_a_time: bool) -> (Found, Result<(), StoreError>) {
        let ([one, other], outcome) =
            users::by_two(two_at_a_time, async |found: &mut Found| self.verify_users(found).await)
                .await;
        (one.and(other), outcome)
    }

    /// Verifies one user after the other, until none is left.
    async fn verify_users(&self, found: &mut Found) -> Result<(), StoreError> {
        let mut session = self.store.open_verify_session().await?;
        loop {
            let find = async |kinds: &[Kind], from| session.next_user(kinds, from).await;
            let Some(user) = self.users.next(find).await? else { break };
            let mut is_failed = false;
            for kind in &user.kinds {
                let verified = self.verify_user(&mut session, *kind, &user.user_id, found).await;
                if let Err(error) = verified {
                    let error = self.store.explain(error).await;
                    users::log_failed(*kind, &user.user_id, &error);
                    is_failed = true;
                    // The connection may be lost, or its transaction have failed.
                    drop(session);
                    session = self.store.open_verify_session().await?;
                }
            }
            found.users += 1;
            found.users_failed += i64::from(is_failed);
            if (self.is_stopped)() {
                break;
            }
        }
        session.close().await
    }

    /// Compares one user's figures of a kind, and repairs differences if requested.
    async fn verify_user(
        &self,
        session: &mut VerifySession<'_>,
        kind: Kind,
        user_id: &UserId,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let compared = self.compare(session, kind, user_id, found).await?;
        let Some(store) = self.repair else {
            found.left += compared.dates.len() as i64;
            found.drifted += compared.drifted;
            found.verdicts_left += compared.raw_ids.len() as i64;
            return Ok(());
        };
        session.close().await?;
        // Repairs work in portions, because a long transaction would hold the user's lock too long.
        let dates: Vec<NaiveDate> = compared.dates.into_iter().collect();
        for dates in dates.chunks(rebuild::MOST_DATES) {
            let few = Dates { dates: dates.iter().copied().collect(), rows: 0 };
            rebuild::commit_from_nothing(store, self.settings, kind, &user_id.clone(), &few)
                .await?;
            found.repaired += dates.len() as i64;
        }
        for raw_ids in compared.raw_ids.chunks(rebuild::MOST_VERDICTS) {
            rebuild::commit_verdicts(store, self.settings, kind, &user_id.clone(), raw_ids).await?;
            found.verdicts_repaired += raw_ids.len() as i64;
        }
        Ok(())
    }
}

impl Found {
    /// Merges the findings of two walkers, ordered by user.
    fn and(self, other: Self) -> Self {
        let mut listed = [self.listed, other.listed].concat();
        listed.sort_by_key(|finding| finding.user_id.clone());
        listed.truncate(MOST_LISTED);
        Self {
            users: self.users + other.users,
            users_failed: self.users_failed + other.users_failed,
            dates: self.dates + other.dates,
            pending: self.pending + other.pending,
            dead: self.dead + other.dead,
            frozen: self.frozen + other.frozen,
            raw_rows: self.raw_rows + other.raw_rows,
            rows: self.rows + other.rows,
            outdated: self.outdated + other.outdated,
            repaired: self.repaired + other.repaired,
            left: self.left + other.left,
            drifted: self.drifted + other.drifted,
            verdicts_repaired: self.verdicts_repaired + other.verdicts_repaired,
            verdicts_left: self.verdicts_left + other.verdicts_left,
            listed,
        }
    }

    /// Lists rows of a table and date that differ in the same way in one line.
    fn list(&mut self, finding: Finding) {
        self.rows += finding.rows;
        if finding.difference == Difference::Outdated {
            self.outdated += finding.rows;
        }
        let key = |of: &Finding| (of.user_id.clone(), of.date, of.table, of.difference);
        let of_user = |of: &&mut Finding| of.user_id == finding.user_id;
        let mut listed = self.listed.iter_mut().rev().take_while(of_user);
        if let Some(same) = listed.find(|of| key(of) == key(&finding)) {
            same.rows += finding.rows;
        } else if self.listed.len() < MOST_LISTED {
            self.listed.push(finding);
        }
    }

    fn to_json(&self, took: Duration, stopped: bool) -> Value {
        let listed: Vec<Value> = self
            .listed
            .iter()
            .map(|finding| {
                json!({
                    "kind": finding.kind.name(),
                    "user_id": finding.user_id,
                    "date": finding.date.map(|date| date.to_string()),
                    "table": finding.table,
                    "difference": finding.difference.name(),
                    "rows": finding.rows,
                })
            })
            .collect();
        json!({
            "users": self.users,
            "users_failed": self.users_failed,
            "dates": self.dates,
            "dates_pending": self.pending,
            "dates_dead": self.dead,
            "dates_frozen": self.frozen,
            "raw_rows": self.raw_rows,
            "rows_different": self.rows,
            "rows_outdated": self.outdated,
            "dates_repaired": self.repaired,
            "dates_left": self.left,
            "dates_left_outdated": self.left - self.drifted,
            "rejected_rows_repaired": self.verdicts_repaired,
            "rejected_rows_left": self.verdicts_left,
            "drift": listed,
            "duration_ms": milliseconds(took),
            "stopped": stopped,
        })
    }

    /// The changes that a repair is about to make.
    fn question(&self) -> String {
        let dates = counted(self.left, "date", "dates");
        let verdicts = counted(self.verdicts_left, "row", "rows");
        match (self.left, self.verdicts_left) {
            (_, 0) => format!("This computes {dates} again. Continue?"),
            (0, _) => format!("This puts {verdicts} of rejected_rows right. Continue?"),
            _ => format!(
                "This computes {dates} again, and puts {verdicts} of rejected_rows right. Continue?"
            ),
        }
    }

    fn to_text(&self, took: Duration, stopped: bool, repair: bool) -> String {
        let mut text = format!(
            "{} of {} compared with {} in {:.1} s: {}.",
            counted(self.dates, "date", "dates"),
            counted(self.users, "user", "users"),
            counted(self.raw_rows, "raw row", "raw rows"),
            took.as_secs_f64(),
            match (self.rows, self.outdated) {
                (0, _) if self.users_failed > 0 || self.dead > 0 =>
                    "every figure that was compared is right".to_owned(),
                (0, _) => "every figure is right".to_owned(),
                (rows, outdated) => {
                    let differ = if rows == 1 { "differs" } else { "differ" };
                    let rows = counted(rows, "row", "rows");
                    format!("{rows} {differ}, {} of them outdated", thousands(outdated))
                }
            }
        );
        if self.outdated > 0 {
            text.push_str(
                "\nOutdated rows are right for the zone, profile, catalogue or version that they were \
                 computed with.",
            );
        }
        if self.pending > 0 {
            text.push_str(&format!(
                "\n{} left out: rows near them wait in the queue; `worker status` counts them.",
                counted(self.pending, "date", "dates")
            ));
        }
        if self.frozen > 0 {
            text.push_str(&format!(
                "\n{} left out: the figures are frozen; `worker freeze` shows the dates.",
                counted(self.frozen, "date", "dates")
            ));
        }
        if self.dead > 0 {
            text.push_str(&format!(
                "\n{} could not be compared: rows near them are dead. \
                 `worker status` names them, `worker requeue --dead` tries them again.",
                counted(self.dead, "date", "dates")
            ));
        }
        if !self.listed.is_empty() {
            let cells = self.listed.iter().map(|finding| {
                vec![
                    finding.table.to_owned(),
                    finding.user_id.to_string(),
                    finding.date.map_or_else(|| "-".to_owned(), |date| date.to_string()),
                    finding.difference.name().to_owned(),
                    finding.rows.to_string(),
                ]
            });
            let header = ["table", "user", "date", "difference", "rows"];
            text.push_str(&format!("\n\n{}", table(&header, cells)));
            if self.listed.len() == MOST_LISTED {
                text.push_str("\n… and more, which are counted above.");
            }
            text.push('\n');
        }
        if self.repaired > 0 {
            text.push_str(&format!(
                "\n{} computed again.",
                counted(self.repaired, "date", "dates")
            ));
        }
        if self.verdicts_repaired > 0 {
            text.push_str(&format!(
                "\n{} of rejected_rows repaired.",
                counted(self.verdicts_repaired, "row", "rows")
            ));
        }
        if self.left + self.verdicts_left > 0 && !repair {
            text.push_str("\n`worker verify --repair` computes them again.");
        }
        if self.users_failed > 0 {
            text.push_str(&format!(
                "\n{} could not be compared; the log says which and why (user_failed).",
                counted(self.users_failed, "user", "users")
            ));
        }
        if stopped {
            text.push_str("\nIt was stopped before the end.");
        }
        text
    }
}
