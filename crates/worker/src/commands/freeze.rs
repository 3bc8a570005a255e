//! `worker freeze`

use std::path::Path;

use aggregation::{Kind, UserId};
use anyhow::bail;
use chrono::NaiveDate;
use serde_json::json;
use store::{FrozenFigures, Store};

use crate::cli::Freeze;
use crate::exit::{self, Exit};
use crate::tables::{counted, table};
use crate::{output, setup, user_ids};

/// Freezes the figures before a date, ends that, or shows the dates.
///
/// # Errors
/// The reason why it could not; then nothing has changed.
pub async fn execute(config: Option<&Path>, arguments: &Freeze) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let user_id = user_ids::from_argument(&store, arguments.user.as_deref()).await?;
    let frozen = store.frozen_figures().await?;
    if arguments.before.is_none() && !arguments.lift {
        show(&frozen, user_id.as_ref(), arguments.output.json);
        return Ok(exit::DONE);
    }
    let change = Change { store: &store, frozen, user_id, before: arguments.before };
    change.check_date().await?;
    if !arguments.even_if_rows_wait {
        change.check_queue().await?;
    }
    if !arguments.even_without_raw_rows {
        change.check_raw_rows().await?;
    }
    store.freeze(change.user_id.clone(), change.before).await?;
    change.report(arguments.output.json);
    Ok(exit::DONE)
}

/// A change of the date for all users or for one.
struct Change<'c> {
    store: &'c Store,
    /// The dates so far.
    frozen: Vec<FrozenFigures>,
    user_id: Option<UserId>,
    /// `None` ends it.
    before: Option<NaiveDate>,
}

impl Change<'_> {
    /// The date so far, for all users or for one.
    fn date_of(&self, user_id: Option<&UserId>) -> Option<NaiveDate> {
        let of = self.frozen.iter().find(|frozen| frozen.user_id.as_ref() == user_id);
        of.map(|frozen| frozen.before)
    }

    /// A day that goes on has no figures to keep.
    async fn check_date(&self) -> anyhow::Result<()> {
        let today = self.store.today().await?;
        match self.before {
            Some(before) if before > today => bail!(
                "--before {before} is in the future: today is {today} in UTC, and only days that have ended can be \
                 frozen"
            ),
            _ => Ok(()),
        }
    }

    /// Rows that wait would be refused, although they came in time.
    async fn check_queue(&self) -> anyhow::Result<()> {
        let Some(before) = self.before else { return Ok(()) };
        let from = self.date_of(self.user_id.as_ref());
        if from.is_some_and(|from| from >= before) {
            return Ok(());
        }
        let waiting = self.store.count_waiting(self.user_id.clone(), from, before).await?;
        if waiting > 0 {
            bail!(
                "{} of dates before {before} wait in the queue or are dead, and would be refused. Run `worker \
                 run-once`, see `worker status` for dead ones, and try again; --even-if-rows-wait freezes all the \
                 same",
                counted(waiting, "changed raw row", "changed raw rows")
            );
        }
        Ok(())
    }

    /// Figures whose raw rows are gone would be lost as soon as they are computed again.
    async fn check_raw_rows(&self) -> anyhow::Result<()> {
        let all = self.date_of(None);
        let mut next = match &self.user_id {
            Some(user_id) => Some(user_id.clone()),
            None => self.next_user(self.store.user_id_type().await?.least()).await?,
        };
        while let Some(user_id) = next {
            let own = self.date_of(Some(&user_id));
            let after =
                if self.user_id.is_some() { all.max(self.before) } else { own.max(self.before) };
            if let Some(until) = all.max(own).filter(|until| Some(*until) > after)
                && let Some(date) =
                    self.store.date_without_raw_rows(user_id.clone(), after, until).await?
            {
                bail!(
                    "user {user_id} has figures of {date} whose raw rows are gone: they would be lost when they are \
                     computed again, as by `worker backfill`. Bring the raw rows back first, or pass \
                     --even-without-raw-rows; until then nothing has changed"
                );
            }
            next = match user_id.next().filter(|_| self.user_id.is_none()) {
                Some(from) => self.next_user(from).await?,
                None => None,
            };
        }
        Ok(())
    }

    async fn next_user(&self, from: UserId) -> anyhow::Result<Option<UserId>> {
        // Only a date that moves back unfreezes days.
        if self.date_of(None) <= self.before {
            return Ok(None);
        }
        let found = self.store.next_user(&Kind::ALL, from).await?;
        Ok(found.map(|user| user.user_id))
    }

    fn report(&self, as_json: bool) {
        if as_json {
            output::print_json(&json!({
                "user_id": self.user_id,
                "frozen_before": self.before.map(|before| before.to_string()),
            }));
            return;
        }
        let of = match &self.user_id {
            Some(user_id) => format!("user {user_id}"),
            None => "all users".to_owned(),
        };
        output::print_success(&match self.before {
            Some(before) => format!(
                "The figures of {of} before {before} are frozen. A new or changed raw row of these dates is refused: \
                 rejected_rows lists it with the reason frozen. Keep the raw rows of the three days before {before}, \
                 which reach into open days."
            ),
            None => format!("No figures of {of} are frozen by a date of their own any more."),
        });
    }
}

fn show(frozen: &[FrozenFigures], only: Option<&UserId>, as_json: bool) {
    let is_shown =
        |of: &&FrozenFigures| only.is_none() || of.user_id.is_none() || of.user_id.as_ref() == only;
    let shown: Vec<&FrozenFigures> = frozen.iter().filter(is_shown).collect();
    if as_json {
        let rows = shown
            .iter()
            .map(|of| json!({ "user_id": of.user_id, "frozen_before": of.before.to_string() }));
        output::print_json(&json!({ "frozen": rows.collect::<Vec<_>>() }));
    } else if shown.is_empty() {
        output::print("No figures are frozen.");
    } else {
        let cells = shown.iter().map(|of| {
            let user = of.user_id.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string);
            vec![user, of.before.to_string()]
        });
        output::print(&table(&["user", "frozen before"], cells));
    }
}
