//! `worker changes`

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use store::{Backoff, FigureChange, Store, StoreError};

use crate::changes::to_json;
use crate::cli;
use crate::exit::{self, Exit};
use crate::failure::Policy;
use crate::stop::Stop;
use crate::{output, setup};

/// How often it looks for new changes. The query reads a few entries of an index.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The greatest number of changes that are read at once.
const MOST_AT_ONCE: u32 = 1_000;

/// Prints the changes after a cursor, one JSON object in each line, once or until a stop is requested.
///
/// # Errors
/// The reason why it failed. With `--follow`, an interruption of the database is none.
pub async fn execute(config: Option<&Path>, arguments: &cli::Changes) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;
    let mut reader = Reader {
        store,
        cursor: arguments.after.clone().unwrap_or_default(),
        left: arguments.limit.unwrap_or(u64::MAX),
        backoff: Backoff::reconnect(),
    };
    let mut is_unread = std::pin::pin!(async {
        match arguments.follow {
            true => output::reader_gone().await,
            false => std::future::pending().await,
        }
    });
    while !stop.is_requested() && reader.left > 0 {
        let read = tokio::select! {
            read = reader.read() => read,
            () = stop.requested() => break,
            () = &mut is_unread => return Ok(exit::DONE),
        };
        let wait = match read {
            Ok(changes) => {
                if !reader.print(&changes) {
                    return Ok(exit::DONE);
                }
                let has_more = changes.len() == MOST_AT_ONCE as usize;
                if has_more || reader.left == 0 {
                    continue;
                }
                if !arguments.follow {
                    return Ok(exit::DONE);
                }
                LOOK_EVERY
            }
            Err(error) if error.cursor_is_lost() => bail!(
                "changes after the cursor may be missing: they were deleted for their age, or the cursor is of another \
                 database or of one before a restore; read the figures of all days once, and continue without --after"
            ),
            Err(error) if arguments.follow && is_interruption(&error) => reader.wait_after(&error),
            Err(error) => return Err(error.into()),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.requested() => {}
            () = &mut is_unread => return Ok(exit::DONE),
        }
    }
    let is_done = arguments.follow || reader.left == 0;
    Ok(if is_done { exit::DONE } else { exit::INTERRUPTED })
}

fn is_interruption(error: &StoreError) -> bool {
    Policy::for_class(error.class()).is_interruption()
}

struct Reader {
    store: Store,
    cursor: String,
    /// How many changes may still be printed.
    left: u64,
    backoff: Backoff,
}

impl Reader {
    async fn read(&self) -> Result<Vec<FigureChange>, StoreError> {
        let most = u64::from(MOST_AT_ONCE).min(self.left) as u32;
        self.store.figure_changes(&self.cursor, most).await
    }

    /// Prints changes. Returns whether the reader of the output still exists.
    fn print(&mut self, changes: &[FigureChange]) -> bool {
        self.backoff.reset();
        for change in changes {
            if !output::print_line(&to_json(change).to_string()) {
                return false;
            }
            self.cursor.clone_from(&change.cursor);
            self.left -= 1;
        }
        true
    }

    /// Logs an interruption, and returns the wait before the next attempt.
    fn wait_after(&mut self, error: &StoreError) -> Duration {
        let wait = self.backoff.record_error().unwrap_or_default();
        tracing::warn!(
            event = "changes_interrupted",
            class = error.class().name(),
            sqlstate = error.sqlstate(),
            "Changes cannot be read: {error}; next attempt in {:.1} s",
            wait.as_secs_f64()
        );
        wait
    }
}
