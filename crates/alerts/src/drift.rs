//! The alert of `worker verify` about drift, the one rule that the service does not observe.

use std::time::Duration;

use store::{Store, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::{Rule, Rules, new_alert, outbox};

/// The result of `worker verify`.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// Dates whose figures still differ without a reason. Outdated dates are no drift.
    pub dates: i64,
    /// Whether all dates were verified; if not, the rule cannot resolve.
    pub is_complete: bool,
    /// The time since it began.
    pub took: Duration,
}

/// Sends an alert about drift, or its resolution. It also sends messages that an earlier run could
/// not send, as there may be no service that does. A failure is logged.
///
/// It takes as long as the longest attempt of one channel and the outbox. `stop` ends the attempts;
/// unsent messages then wait in the outbox for the next run, or for a service.
pub async fn send(
    rules: &Rules,
    channels: Vec<Channel>,
    store: &Store,
    (worker, target): (&str, Option<&str>),
    verified: Verified,
    stop: &CancellationToken,
) {
    if channels.is_empty() || rules.off.contains(&Rule::VerifyDrift) {
        return;
    }
    let sent = async {
        record(rules, store, &channels, worker, verified).await?;
        deliver(rules, (store, target), channels, stop).await
    };
    if let Err(error) = sent.await {
        tracing::warn!(
            event = "alert_not_recorded",
            rule = Rule::VerifyDrift.name(),
            class = error.class().name(),
            error = %error,
            "Alert not recorded or not taken from the outbox: {error}"
        );
    }
}

async fn record(
    rules: &Rules,
    store: &Store,
    channels: &[Channel],
    worker: &str,
    verified: Verified,
) -> Result<(), StoreError> {
    let rule = Rule::VerifyDrift;
    let threshold = rules.threshold(rule);
    let fires = verified.dates as f64 >= threshold;
    let mut alert = new_alert(rule, fires, worker, verified.dates as f64, threshold);
    alert.ago = verified.took;
    let names: Vec<&str> = channels.iter().map(Channel::name).collect();
    let is_recorded = if fires {
        let cooldown = rules.limits(rule).cooldown;
        outbox::with_timeout(store.fire_alert(&names, &alert, cooldown)).await?
    } else if verified.is_complete {
        outbox::with_timeout(store.resolve_alert(&names, &alert)).await?
    } else {
        false
    };
    if is_recorded {
        outbox::log_changed(rule, &alert);
    }
    Ok(())
}

/// Delivers by all channels in parallel, so that a server that hangs does not delay the others.
async fn deliver(
    rules: &Rules,
    (store, target): (&Store, Option<&str>),
    channels: Vec<Channel>,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut sending = JoinSet::new();
    for channel in channels {
        let (store, stop, rules) = (store.clone(), stop.clone(), rules.clone());
        let target = target.map(str::to_owned);
        sending.spawn(async move {
            let patience = async {
                let _ = tokio::time::timeout(channel.longest(), stop.cancelled()).await;
            };
            let channel = (&channel, target.as_deref());
            outbox::deliver(&store, channel, &rules, &stop, patience).await
        });
    }
    // The panic of a task is already logged.
    let mut delivered = Ok(());
    while let Some(sent) = sending.join_next().await {
        delivered = delivered.and(sent.unwrap_or(Ok(())));
    }
    delivered
}
