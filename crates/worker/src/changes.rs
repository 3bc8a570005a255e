//! The feed of changed days: a change as JSON, and deleting what is old.

use std::time::{Duration, Instant};

use chrono::SecondsFormat;
use serde_json::{Value, json};
use store::{FigureChange, Store, StoreError};

use crate::failure::Policy;

/// How often old changes are deleted.
const EVERY: Duration = Duration::from_secs(60);

/// If many changes are old, the queue continues after this time.
const AT_A_TIME: Duration = Duration::from_secs(2);

/// A change as one JSON object.
pub fn to_json(change: &FigureChange) -> Value {
    json!({
        "cursor": change.cursor,
        "user_id": change.user_id,
        "local_date": change.date.to_string(),
        "kind": change.kind,
        "changed_at": change.changed_at.to_utc().to_rfc3339_opts(SecondsFormat::Micros, true),
    })
}

/// Begins an epoch of the feed if one is needed. A failure does not keep the worker from its work.
pub async fn keep_epoch(store: &Store) {
    if let Err(error) = store.keep_epoch().await {
        tracing::warn!(
            event = "changes_epoch_failed",
            class = error.class().name(),
            error = %error,
            "The epoch of the feed of changed days cannot be checked; the next connection tries again: {error}"
        );
    }
}

/// The time at which the service last deleted old changes.
#[derive(Default)]
pub struct OldChanges {
    deleted_at: Option<Instant>,
}

impl OldChanges {
    /// Deletes old changes once a minute, for a limited time.
    ///
    /// # Errors
    /// If the connection to the database is lost. Any other failure is logged and retried in a minute.
    pub async fn delete_when_due(
        &mut self,
        store: &Store,
        keep_days: u32,
    ) -> Result<(), StoreError> {
        if self.deleted_at.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        self.deleted_at = Some(Instant::now());
        match delete(store, keep_days).await {
            Err(error) if Policy::for_class(error.class()).is_interruption() => Err(error),
            Err(error) => {
                log_failure(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Deletes old changes, for a limited time.
///
/// # Errors
/// If the database fails.
pub async fn delete(store: &Store, keep_days: u32) -> Result<(), StoreError> {
    let started = Instant::now();
    while store.forget_changes(keep_days).await? && started.elapsed() < AT_A_TIME {}
    Ok(())
}

/// Logs that old changes are kept.
pub fn log_failure(error: &StoreError) {
    tracing::warn!(
        event = "old_changes_kept",
        class = error.class().name(),
        error = %error,
        "Old changes of days are kept for now, the next run tries again: {error}"
    );
}
