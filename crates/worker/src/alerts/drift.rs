//! The alert of `worker verify` about drift, the one rule that the service does not observe.

use std::time::Duration;

use store::{Store, StoreError};
use tokio::task::JoinSet;

use super::channel::Channel;
use super::{Rule, new_alert, outbox};
use crate::config::Config;
use crate::setup;
use crate::stop::Stop;

/// The result of `worker verify`.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// Dates whose figures still differ without a reason. Outdated dates are no drift.
    pub dates: i64,
    /// Whether all dates were verified; if not, the rule cannot resolve.
    pub is_complete: bool,
    /// How long ago it began.
    pub took: Duration,
}

/// Sends an alert about drift, or that it is over, if a channel is configured. It also sends messages that an
/// earlier run could not send, as there may be no service that does. A failure is logged.
///
/// It takes as long as the longest attempt of one channel and the outbox, and a request to stop ends it.
/// Messages that are not sent by then wait in the outbox for the next run, or for a service.
pub async fn send(config: &Config, store: &Store, verified: Verified, stop: &Stop) {
    let channels = Channel::all(config);
    if channels.is_empty() || config.alerts.off.contains(&Rule::VerifyDrift) {
        return;
    }
    let sending = async {
        record(config, store, &channels, verified).await?;
        deliver(config, store, channels, stop).await
    };
    let sent = tokio::select! {
        sent = sending => sent,
        // The outbox hangs. It ends in time for the exit code of `verify`, which says more than that of a stop.
        () = stop.overdue() => Ok(()),
    };
    if let Err(error) = sent {
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
    config: &Config,
    store: &Store,
    channels: &[Channel],
    verified: Verified,
) -> Result<(), StoreError> {
    let rule = Rule::VerifyDrift;
    let threshold = config.alerts.threshold(rule);
    let fires = verified.dates as f64 >= threshold;
    let worker = setup::identity(&config.session.application_name);
    let mut alert = new_alert(rule, fires, &worker, verified.dates as f64, threshold);
    alert.ago = verified.took;
    let names: Vec<&str> = channels.iter().map(Channel::name).collect();
    let is_recorded = if fires {
        let cooldown = config.alerts.limits(rule).cooldown;
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

/// Delivers by all channels at the same time, so that a server that hangs does not delay the others.
async fn deliver(
    config: &Config,
    store: &Store,
    channels: Vec<Channel>,
    stop: &Stop,
) -> Result<(), StoreError> {
    let mut sending = JoinSet::new();
    for channel in channels {
        let (store, stop, alerts) = (store.clone(), stop.clone(), config.alerts.clone());
        sending.spawn(async move {
            let patience = async {
                let _ = tokio::time::timeout(channel.longest(), stop.requested()).await;
            };
            outbox::deliver(&store, &channel, &alerts, &stop, patience).await
        });
    }
    // The panic of a task is in the log already.
    let mut delivered = Ok(());
    while let Some(sent) = sending.join_next().await {
        delivered = delivered.and(sent.unwrap_or(Ok(())));
    }
    delivered
}
