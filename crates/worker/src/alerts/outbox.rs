//! Delivering what waits in the outbox: taken with a lease, sent without a connection, and marked.
//!
//! Whatever breaks off in between is sent again when the lease is over: at least once.

use std::pin::pin;
use std::time::{Duration, Instant};

use store::{Alert, Store, StoreError};

use super::channel::{Channel, Failure, Sent};
use super::{Message, Rule};
use crate::backoff::Backoff;
use crate::config::Alerts;
use crate::metrics::{self, Delivery};
use crate::stop::Stop;

/// How long the outbox may take before a message is sent from memory. Where the pool is exhausted, alerts
/// do not wait for their turn: that is what they are to tell.
const PATIENCE: Duration = Duration::from_secs(10);

/// For marking what became of a message, beyond the longest that sending it takes.
const LEASE_GRACE: Duration = Duration::from_secs(15);

impl Alerts {
    /// The waits of a message that could not be sent this many times.
    pub fn backoff(&self, failed_attempts: i32) -> Backoff {
        Backoff::resume(self.retry_first, self.retry_max, self.max_attempts, failed_attempts)
    }
}

/// Waits for the outbox no longer than alerts may.
///
/// # Errors
/// As the question, and that it took longer.
pub async fn in_time<T>(
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    crate::setup::in_time(PATIENCE, question).await
}

/// Delivers what is due for a channel, one message after another, until asked to stop. A message that
/// is being sent is given up by this attempt at the end of `patience`; then it is not known whether the
/// server got it, and it is taken again when its lease is over. Then forgets old ones, also where none
/// was delivered.
///
/// # Errors
/// If the database fails; what was taken is taken again when its lease is over.
pub async fn deliver(
    store: &Store,
    channel: &Channel,
    alerts: &Alerts,
    stop: &Stop,
    patience: impl Future<Output = ()>,
) -> Result<(), StoreError> {
    let mut patience = pin!(patience);
    let lease = channel.longest() + LEASE_GRACE;
    while !stop.is_requested() {
        let Some(taken) = in_time(store.take_alert(channel.name(), lease)).await? else { break };
        let began = Instant::now();
        let attempts = taken.attempts + 1;
        let message = Message::of(&taken.alert, taken.happened_at);
        // Only the sending is broken off: what the server has taken is marked.
        let sent = tokio::select! {
            biased;
            sent = channel.send(&message) => sent,
            () = &mut patience => return Ok(()),
        };
        match sent {
            Ok(sent) => {
                say_delivered(channel, &taken.alert, attempts, &sent, began.elapsed());
                // Without hurry: what is not marked is sent again.
                store.alert_delivered(&taken).await?;
            }
            Err(failure) => {
                let pause = alerts.backoff(taken.attempts).record_error();
                let failed = store.alert_failed(&taken, &failure.to_string(), pause).await;
                // If another worker has the message by now, that worker decides when it is tried again.
                let is_decided = matches!(failed, Ok(true));
                let given_up = is_decided && pause.is_none();
                let pause = pause.filter(|_| is_decided);
                say_failed(channel, &taken.alert, attempts, &failure, pause, given_up);
                failed?;
            }
        }
    }
    in_time(store.forget_old_alerts()).await
}

/// A rule fires or is over, and this worker tells of it.
pub fn say_changed(rule: Rule, alert: &Alert) {
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

/// A message is delivered.
pub fn say_delivered(channel: &Channel, alert: &Alert, attempts: i32, sent: &Sent, took: Duration) {
    metrics::count_delivery(channel.name(), Delivery::Delivered);
    tracing::info!(
        event = "alert_delivered",
        channel = channel.name(),
        rule = alert.rule,
        fires = alert.fires,
        attempts,
        refused = sent.refused.as_ref().map(tracing::field::display),
        duration_ms = crate::report::milliseconds(took),
        "{} tells of {}",
        channel.name(),
        alert.rule
    );
}

/// A message could not be delivered, which is no more than a fact.
pub fn say_failed(
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
            "{} did not tell of {}, and is not tried again: {failure}",
            channel.name(),
            alert.rule
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
        "{} did not tell of {} yet: {failure}",
        channel.name(),
        alert.rule
    );
}
