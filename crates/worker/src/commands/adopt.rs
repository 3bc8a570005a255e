//! `worker adopt`

use std::path::Path;
use std::time::Duration;

use aggregation::catalogue::Catalogue;
use anyhow::{Context, bail};
use store::{
    Adoption, AdoptionState, AdoptionStep, AppTable, CheckedMapping, ErrorClass, Mapping, Store,
    StoreError,
};
use tokio::time::Instant;

use crate::cli::Adopt;
use crate::exit::{self, Exit};
use crate::stop::Stop;
use crate::tables::{counted, thousands};
use crate::{output, progress, settings, setup};

/// How often a page is tried while a transaction of the app holds one of its rows.
const MAX_TRIES: u32 = 600;

/// How often a lock on the app's table is tried, and the pause between, in which the app's statements go on.
const MAX_LOCK_TRIES: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// Pause before such a page is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Adopts a table, or undoes that.
///
/// # Errors
/// The reason why it stopped. Rows that were copied stay copied; the same command resumes.
pub async fn execute(config: Option<&Path>, arguments: Adopt) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let catalogue = settings::catalogue(&loaded.config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;
    let table = find_table(&store, &arguments.table).await?;
    let adoption = store.adoption(&arguments.table).await?;
    let work = Work { store: &store, table: &table, arguments: &arguments, stop: &stop };
    if arguments.undo {
        return match adoption {
            Some(adoption) => work.undo(&adoption).await,
            None => bail!(
                "{} is not adopted, so there is nothing to undo{}",
                table.name,
                adopted(&store).await?
            ),
        };
    }
    let mapping = mapping(&arguments, &catalogue)?;
    work.adopt(mapping, adoption).await
}

async fn find_table(store: &Store, name: &str) -> anyhow::Result<AppTable> {
    let found = store.app_table(name).await;
    let is_no_name =
        |error: &StoreError| matches!(error.sqlstate(), Some("42602" | "42601" | "0A000"));
    match found {
        Ok(Some(table)) => Ok(table),
        Ok(None) => bail!(
            "--table {name}: there is no such table, or its schema is not in the search_path; write it as schema.table"
        ),
        Err(error) if is_no_name(&error) => {
            bail!(
                "--table {name} is no name of a table; write it as SQL does, such as app.measurements or app.\"Readings\""
            )
        }
        Err(error) => Err(error.into()),
    }
}

/// The tables that are adopted, for a message.
async fn adopted(store: &Store) -> anyhow::Result<String> {
    let tables = store.adopted_tables().await?;
    Ok(if tables.is_empty() {
        "; no table is".to_owned()
    } else {
        format!("; adopted are {}", tables.join(", "))
    })
}

/// The mapping that was asked for.
fn mapping(arguments: &Adopt, catalogue: &Catalogue) -> anyhow::Result<Mapping> {
    let Some(kind) = arguments.kind else { bail!("--kind is missing") };
    let metrics: Vec<(String, String)> =
        arguments.metric.iter().flat_map(|pairs| pairs.0.clone()).collect();
    for (word, metric) in &metrics {
        if catalogue.metric(metric).is_none() {
            bail!(
                "--metric {word}={metric}: the catalogue has no metric {metric}; `worker catalogue` lists them"
            );
        }
    }
    Ok(Mapping {
        kind,
        columns: arguments.map.iter().flat_map(|pairs| pairs.0.clone()).collect(),
        metrics,
        time_zone: arguments.time_zone.clone(),
        add_to_ids: arguments.add_to_ids,
    })
}

/// A table, and what is to be done with it.
struct Work<'w> {
    store: &'w Store,
    table: &'w AppTable,
    arguments: &'w Adopt,
    stop: &'w Stop,
}

impl Work<'_> {
    async fn adopt(
        &self,
        mut mapping: Mapping,
        adoption: Option<Adoption>,
    ) -> anyhow::Result<Exit> {
        if adoption.is_some() {
            // By now the raw table has rows, which are its own.
            mapping.add_to_ids = mapping.add_to_ids.or(Some(0));
        }
        let checked = self.checked(&mapping).await?;
        if self.arguments.dry_run {
            self.show(&checked);
            return Ok(exit::DONE);
        }
        let (id, from) = match &adoption {
            None => (self.begin(&checked).await?, None),
            Some(adoption) => {
                let mut before = adoption.mapping().unwrap_or_else(|| checked.mapping().clone());
                before.add_to_ids = before.add_to_ids.or(Some(0));
                if &before != checked.mapping() || adoption.state == AdoptionState::Leaving {
                    bail!(
                        "{name} is adopted with another mapping, or is being left; `worker adopt --undo --table {name}` first",
                        name = self.table.name
                    );
                }
                (adoption.id, adoption.up_to)
            }
        };
        let is_copied = adoption.is_some_and(|adoption| adoption.state == AdoptionState::Copied);
        let rows = if is_copied { 0 } else { self.copy(&checked, id, from).await? };
        let copied = counted(rows as i64, "row was", "rows were");
        self.report(
            "adopted",
            rows,
            &format!(
                "{} is adopted: its triggers copy each change, and {copied} read from before. \
             `worker run-once` computes them, and `worker verify` compares.",
                self.table.name
            ),
        )
    }

    /// Copies the former rows above an id.
    async fn copy(
        &self,
        checked: &CheckedMapping,
        id: i32,
        from: Option<i64>,
    ) -> anyhow::Result<u64> {
        let batch = self.arguments.batch;
        let copied = self
            .walk("copying", from, async |above| {
                self.store.copy_page(checked, id, above, batch).await
            })
            .await;
        let rows = copied.with_context(|| {
            format!("{} was copied in part; the same command resumes", self.table.name)
        })?;
        if !self.stop.is_requested() {
            self.store.end_copying(id).await?;
        }
        Ok(rows)
    }

    /// Creates the triggers.
    async fn begin(&self, checked: &CheckedMapping) -> anyhow::Result<i32> {
        self.with_lock(async || self.store.begin_adoption(checked).await).await.with_context(|| {
            format!("{} was not adopted, and nothing was changed", self.table.name)
        })
    }

    async fn undo(&self, adoption: &Adoption) -> anyhow::Result<Exit> {
        let mut rows = 0;
        if !self.arguments.keep_rows {
            let Some(mapping) = adoption.mapping() else {
                bail!(
                    "another version adopted {}; undo it with that version, or give --keep-rows",
                    self.table.name
                )
            };
            let mapping = Mapping { add_to_ids: mapping.add_to_ids.or(Some(0)), ..mapping };
            let checked = self.checked(&mapping).await.context(
                "the copies can no longer be found, because the table has changed; --keep-rows keeps them",
            )?;
            let from = match adoption.state {
                AdoptionState::Leaving => adoption.up_to,
                AdoptionState::Copying | AdoptionState::Copied => {
                    self.with_lock(async || self.store.begin_leaving(&checked, adoption.id).await)
                        .await?;
                    None
                }
            };
            rows = self
                .walk("deleting copies", from, async |above| {
                    self.store
                        .discard_page(&checked, adoption.id, above, self.arguments.batch)
                        .await
                })
                .await
                .with_context(|| {
                    format!("{} was left in part; the same command resumes", self.table.name)
                })?;
            if self.stop.is_requested() {
                return self.report("left", rows, "");
            }
        }
        self.with_lock(async || self.store.end_adoption(self.table, adoption.id).await).await?;
        self.report(
            "left",
            rows,
            &format!(
                "{} has no trigger of Dayfold any more. {}",
                self.table.name,
                if self.arguments.keep_rows {
                    "Its copies stay."
                } else {
                    "Its copies are deleted; `worker run-once` removes their figures."
                }
            ),
        )
    }

    /// Repeats what needs a lock on the table, until no transaction of the app is in the way.
    async fn with_lock<T>(
        &self,
        act: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..MAX_LOCK_TRIES {
            match act().await {
                Err(error) if error.class() == ErrorClass::Locked && !self.stop.is_requested() => {
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                done => return done,
            }
        }
        act().await
    }

    async fn checked(&self, mapping: &Mapping) -> anyhow::Result<CheckedMapping> {
        match self.store.check_mapping(self.table, mapping).await? {
            Ok(checked) => Ok(checked),
            Err(problems) => bail!(
                "the mapping does not fit, and nothing was changed:\n  {}",
                problems.join("\n  ")
            ),
        }
    }

    fn show(&self, checked: &CheckedMapping) {
        let sql = checked.sql();
        if self.arguments.json {
            output::print_json(&serde_json::json!({
                "dry_run": true, "function": sql.function, "triggers": sql.triggers, "copy": sql.copy,
            }));
            return;
        }
        output::print(&format!(
            "-- In one transaction:\n{};\n\n{};\n\n-- Then, again and again until no row is left: $1 is the highest id so far, $2 is {}\n{};\n\n-- Nothing was changed.",
            sql.function, sql.triggers, self.arguments.batch, sql.copy
        ));
    }

    /// Does page after page; returns the number of rows.
    async fn walk(
        &self,
        what: &str,
        from: Option<i64>,
        step: impl AsyncFn(Option<i64>) -> Result<AdoptionStep, StoreError>,
    ) -> anyhow::Result<u64> {
        let bar =
            progress::about(&format!("{}: {what}", self.table.name), self.table.estimated_rows);
        let (mut above, mut rows, mut tries) = (from, 0, 0);
        while !self.stop.is_requested() {
            let begun = Instant::now();
            match step(above).await {
                Err(error) if error.class() == ErrorClass::Locked && tries < MAX_TRIES => {
                    tries += 1;
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(error) => return Err(error.into()),
                Ok(AdoptionStep { up_to: None, .. }) => break,
                Ok(done) => {
                    (above, tries) = (done.up_to, 0);
                    rows += done.rows;
                    progress::advance(&bar, done.rows);
                    self.throttle(done.rows, begun).await;
                }
            }
        }
        bar.finish_and_clear();
        Ok(rows)
    }

    /// Waits until the limit allows the next page.
    async fn throttle(&self, rows: u64, begun: Instant) {
        let limit = self.arguments.max_rows_per_second;
        if limit > 0 {
            let until = begun + Duration::from_secs_f64(rows as f64 / f64::from(limit));
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.stop.requested() => {}
            }
        }
    }

    fn report(&self, what: &str, rows: u64, text: &str) -> anyhow::Result<Exit> {
        let stopped = self.stop.is_requested();
        if self.arguments.json {
            output::print_json(&serde_json::json!({
                "table": self.table.name, what: !stopped, "rows": rows, "stopped": stopped,
            }));
        } else if stopped {
            output::print(&format!(
                "It was stopped after {} rows; the same command resumes.",
                thousands(rows as i64)
            ));
        } else {
            output::print_success(text);
        }
        Ok(if stopped { exit::INTERRUPTED } else { exit::DONE })
    }
}
