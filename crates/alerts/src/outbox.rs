//! Delivery from the outbox: a message is claimed with a lease, sent without a database connection,
//! and marked as sent.
//!
//! If the delivery is interrupted, the message is sent again when the lease expires: at-least-once
//! delivery.

use std::pin::pin;
use std::time::{Duration, Instant};

use store::{Alert, Backoff, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::delivery::{Failure, Sent};
use crate::metrics::{self, Delivery};
use wording::counted;

use crate::{Message, Rule, Rules};

/// Maximum wait for the outbox before a message is sent from memory. Alerts must not wait long for
/// a connection of an exhausted pool, since that may be the condition they report.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time to mark a message as sent, added to the maximum time for sending it.
const LEASE_GRACE: Duration = Duration::from_secs(15);

impl Rules {
    /// The backoff of a message with this number of failed attempts.
    pub fn backoff(&self, failed_attempts: i32) -> Backoff {
        Backoff::resume(self.retry_first, self.retry_max, self.max_attempts, failed_attempts)
    }
}

/// Waits for an answer of the outbox for at most `PATIENCE`.
///
/// # Errors
/// The query's error, or [`StoreError::NoAnswer`].
pub async fn with_timeout<T>(
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    store::with_timeout(PATIENCE, question).await
}

/// Delivers the due messages of a channel, one after another, until `stop`; then deletes old ones. If there are
/// several targets, `target` is the name of the one whose outbox it is.
/// When `patience` ends, the current attempt is abandoned: the server may have the message or not,
/// and it is claimed again when its lease expires.
///
/// # Errors
/// The database fails; a claimed message is claimed again when its lease expires.
pub async fn deliver(
    store: &Store,
    (channel, target): (&Channel, Option<&str>),
    rules: &Rules,
    stop: &CancellationToken,
    patience: impl Future<Output = ()>,
) -> Result<(), StoreError> {
    let mut patience = pin!(patience);
    let lease = channel.longest() + LEASE_GRACE;
    while !stop.is_cancelled() {
        let Some(taken) = with_timeout(store.take_alert(channel.name(), lease)).await? else {
            break;
        };
        let began = Instant::now();
        let attempts = taken.attempts + 1;
        let message = Message::from_alert(&taken.alert, target, taken.happened_at);
        // Only the sending is abandoned: a message that the server has accepted is marked.
        let sent = tokio::select! {
            biased;
            sent = channel.send(&message) => sent,
            () = &mut patience => return Ok(()),
        };
        match sent {
            Ok(sent) => {
                log_delivered(channel, &taken.alert, attempts, &sent, began.elapsed());
                // There is no time limit here: an unmarked message would be sent again.
                store.alert_delivered(&taken).await?;
            }
            Err(failure) => {
                let pause = rules.backoff(taken.attempts).record_error();
                let failed = store.alert_failed(&taken, &failure.to_string(), pause).await;
                // If another worker has claimed the message by now, that worker decides about the
                // retry.
                let is_decided = matches!(failed, Ok(true));
                let given_up = is_decided && pause.is_none();
                let pause = pause.filter(|_| is_decided);
                log_failed(channel, &taken.alert, attempts, &failure, pause, given_up);
                failed?;
            }
        }
    }
    with_timeout(store.forget_old_alerts()).await
}

/// Logs that a rule fires or resolves, if this worker sends the message.
pub fn log_changed(rule: Rule, alert: &Alert) {
    metrics::show_alert(rule, alert.fires);
    let (amount, threshold) = (alert.amount, alert.threshold);
    if alert.fires {
        tracing::warn!(
            event = "alert_fired",
            rule = rule.name(),
            amount,
            threshold,
            unit = rule.unit(),
            "{}",
            rule.while_it_fires()
        );
    } else {
        tracing::info!(
            event = "alert_resolved",
            rule = rule.name(),
            amount,
            threshold,
            unit = rule.unit(),
            "{}",
            rule.when_it_is_over()
        );
    }
}

/// Logs and counts a message that was delivered.
pub fn log_delivered(channel: &Channel, alert: &Alert, attempts: i32, sent: &Sent, took: Duration) {
    metrics::count_delivery(channel.name(), Delivery::Delivered);
    tracing::info!(
        event = "alert_delivered",
        channel = channel.name(),
        rule = alert.rule,
        fires = alert.fires,
        attempts,
        refused = sent.refused.as_ref().map(tracing::field::display),
        duration_ms = wording::milliseconds(took),
        "Alert delivered by {} ({}, {})",
        channel.name(),
        alert.rule,
        if alert.fires { "firing" } else { "resolved" }
    );
}

/// Logs and counts a message that could not be delivered.
pub fn log_failed(
    channel: &Channel,
    alert: &Alert,
    attempts: i32,
    failure: &Failure,
    pause: Option<Duration>,
    given_up: bool,
) {
    metrics::count_delivery(channel.name(), Delivery::Failed);
    if given_up {
        metrics::count_delivery(channel.name(), Delivery::GivenUp);
        tracing::error!(
            event = "alert_given_up",
            channel = channel.name(),
            rule = alert.rule,
            fires = alert.fires,
            attempts,
            error = %failure,
            "Alert not delivered by {} ({}): {failure}; gave up after {}",
            channel.name(),
            alert.rule,
            counted(attempts.into(), "attempt", "attempts")
        );
        return;
    }
    tracing::warn!(
        event = "alert_failed",
        channel = channel.name(),
        rule = alert.rule,
        fires = alert.fires,
        attempts,
        error = %failure,
        pause_s = pause.map(|pause| pause.as_secs_f64()),
        "Alert not delivered by {} ({}): {failure}; {}",
        channel.name(),
        alert.rule,
        match pause {
            Some(pause) => format!("retry in {:.1} s", pause.as_secs_f64()),
            None => "another worker tries it again, or this one when its lease expires".to_owned(),
        }
    );
}
