//! Drift, as `worker verify` finds it: the one rule that no service looks for.

use std::time::Duration;

use store::{Store, StoreError};
use tokio::task::JoinSet;

use super::channel::Channel;
use super::{Rule, new_alert, outbox};
use crate::config::Config;
use crate::setup;
use crate::stop::Stop;

/// What `worker verify` found.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// Dates whose figures differ still, though nothing explains it. Outdated dates are no drift.
    pub dates: i64,
    /// Whether it looked at everything; if not, it cannot say that all is well.
    pub everything: bool,
    /// How long ago it began to look.
    pub took: Duration,
}

/// Tells people of drift, or that there is none any more, if anybody is to be told, and sends what is
/// due: also what an earlier run could not send, as there may be no service that does. That this was not
/// possible is a fact for the log.
///
/// It takes as long as the longest attempt of one channel and the outbox, and a request to stop ends it;
/// what is not sent then waits in the outbox for the next run, or for a service.
pub async fn tell(config: &Config, store: &Store, verified: Verified, stop: &Stop) {
    let channels = Channel::all(config);
    if channels.is_empty() || config.alerts.off.contains(&Rule::VerifyDrift) {
        return;
    }
    let telling = async {
        record(config, store, &channels, verified).await?;
        deliver(config, store, channels, stop).await
    };
    let told = tokio::select! {
        told = telling => told,
        // The outbox hangs. In time for the exit code, which says more than the one of a stop.
        () = stop.overdue() => Ok(()),
    };
    if let Err(error) = told {
        tracing::warn!(
            event = "alert_not_recorded",
            rule = Rule::VerifyDrift.name(),
            class = error.class().name(),
            error = %error,
            "the outbox does not take or give what there is to tell: {error}"
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
    let told = if fires {
        let cooldown = config.alerts.limits(rule).cooldown;
        outbox::in_time(store.fire_alert(&names, &alert, cooldown)).await?
    } else if verified.everything {
        outbox::in_time(store.resolve_alert(&names, &alert)).await?
    } else {
        false
    };
    if told {
        outbox::say_changed(rule, &alert);
    }
    Ok(())
}

/// Each channel beside the others, so that a server that hangs does not keep the other from telling.
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
    // A panic of one is said already; the other is waited for all the same.
    let mut delivered = Ok(());
    while let Some(sent) = sending.join_next().await {
        delivered = delivered.and(sent.unwrap_or(Ok(())));
    }
    delivered
}
