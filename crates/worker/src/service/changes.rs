//! Sends changed days to the webhook, in batches. How far it has come is in the database, so that of several workers one
//! sends. A batch is sent until the receiver accepts it: at least once, and in the order of the feed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alerts::{Failure, Webhook, post_signed};
use serde_json::json;
use store::{Backoff, Store, StoreError, TakenChanges};
use tokio::task::JoinSet;
use wording::milliseconds;

use super::Service;
use super::watch::REPORT_AGAIN;
use crate::changes::to_json;
use crate::config::Changes;
use crate::metrics;
use crate::tables::counted;
use crate::target;

/// How often it looks for changes. The query reads one entry of an index.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The time to record the outcome, added to the maximum time for sending.
const LEASE_GRACE: Duration = Duration::from_secs(15);

/// The delay after the first failed attempt.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The maximum delay between two attempts: a receiver that is back gets its changes within minutes.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

impl Service {
    /// Starts the task, if there is a webhook. After a request to stop, it ends after its current message.
    pub(super) fn start_changes(service: &Arc<Self>, senders: &mut JoinSet<()>) {
        let config = service.config().changes;
        let Some(webhook) = config.webhook() else { return };
        if webhook.is_open() {
            tracing::warn!(
                event = "changes_unencrypted",
                place = webhook.address(),
                "Changed days go to {} unencrypted",
                webhook.address()
            );
        }
        let service = Arc::clone(service);
        let send = async move { service.send_changes(&webhook, &config).await };
        senders.spawn(target::inherited(target::name(), send));
    }

    /// Sends until a stop is requested. After an error of the database, it tries again.
    async fn send_changes(&self, webhook: &Webhook, config: &Changes) {
        let mut reported: Option<Instant> = None;
        while !self.stop.is_requested() {
            let has_more = match self.database.store() {
                Some(store) => self.send_next(&store, webhook, config).await,
                None => Ok(false),
            };
            let has_more = has_more.unwrap_or_else(|error| {
                metrics::show_unsent_changes(None);
                if reported.is_none_or(|at| at.elapsed() >= REPORT_AGAIN) {
                    reported = Some(Instant::now());
                    log_blocked(&error);
                }
                false
            });
            if !has_more {
                tokio::select! {
                    () = self.sleep_until_look(self.unless_long_idle(LOOK_EVERY)) => {}
                    () = self.stop.requested() => {}
                }
            }
        }
    }

    /// Sends the next batch, if one is due. Returns whether it was delivered, so that more may be due.
    async fn send_next(
        &self,
        store: &Store,
        webhook: &Webhook,
        config: &Changes,
    ) -> Result<bool, StoreError> {
        let unsent = store.unsent_changes().await?;
        metrics::show_unsent_changes(Some(unsent.oldest));
        if !unsent.any {
            return Ok(false);
        }
        let lease = webhook.longest() + LEASE_GRACE;
        let Some(taken) = store.take_changes(config.webhook_batch_size, lease).await? else {
            return Ok(false);
        };
        let began = Instant::now();
        let sent = tokio::select! {
            biased;
            sent = post_signed(webhook, &config.webhook_secret, body(&taken)) => sent,
            () = self.stop.requested() => {
                store.release_changes(&taken).await?;
                return Ok(false);
            }
        };
        match sent {
            Ok(()) => {
                log_delivered(&taken, began.elapsed());
                store.changes_delivered(&taken).await
            }
            Err(failure) => {
                let errors = taken.attempts;
                let mut backoff = Backoff::resume(FIRST_RETRY, LONGEST_RETRY, i32::MAX, errors);
                let pause = backoff.record_error().unwrap_or(LONGEST_RETRY);
                log_failed(&taken, &failure, pause);
                store.changes_failed(&taken, &failure.to_string(), pause).await?;
                Ok(false)
            }
        }
    }
}

/// The message. It is built again for each attempt, and may then have more changes.
fn body(taken: &TakenChanges) -> String {
    let changes: Vec<_> = taken.changes.iter().map(to_json).collect();
    let cursor = taken.changes.last().map(|change| change.cursor.as_str());
    let mut body =
        json!({ "changes": changes, "cursor": cursor, "is_incomplete": taken.is_incomplete });
    // Cursors of different targets are not comparable.
    if let (Some(fields), Some(target)) = (body.as_object_mut(), target::name()) {
        fields.insert("target".to_owned(), (*target).into());
    }
    body.to_string()
}

fn log_blocked(error: &StoreError) {
    tracing::warn!(
        event = "changes_not_sent",
        class = error.class().name(),
        sqlstate = error.sqlstate(),
        "Changed days are not sent, as the database does not say how far the webhook has come; it is asked again: \
         {error}"
    );
}

fn log_delivered(taken: &TakenChanges, took: Duration) {
    let changes = taken.changes.len();
    if taken.is_incomplete {
        tracing::error!(
            event = "changes_lost",
            "Changes were deleted for their age before the webhook accepted them; the message says so, and its \
             receiver must read all days once"
        );
    }
    tracing::debug!(
        event = "changes_delivered",
        changes,
        attempts = taken.attempts + 1,
        duration_ms = milliseconds(took),
        "{} delivered",
        counted(changes as i64, "changed day", "changed days")
    );
}

fn log_failed(taken: &TakenChanges, failure: &Failure, pause: Duration) {
    let changes = taken.changes.len();
    tracing::warn!(
        event = "changes_failed",
        changes,
        attempts = taken.attempts + 1,
        error = %failure,
        pause_s = pause.as_secs_f64(),
        "{} not delivered: {failure}; retry in {:.1} s",
        counted(changes as i64, "changed day", "changed days"),
        pause.as_secs_f64()
    );
}
