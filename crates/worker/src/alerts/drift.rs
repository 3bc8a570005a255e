//! Drift, as `worker verify` finds it: the one rule that no service looks for.

use std::time::Duration;

use store::{Store, StoreError};

use super::channel::Channel;
use super::{Rule, new_alert, outbox};
use crate::config::Config;
use crate::setup;
use crate::stop::Stop;

/// What `worker verify` found.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// Dates that differ still.
    pub dates: i64,
    /// Whether it looked at everything; if not, it cannot say that all is well.
    pub everything: bool,
    /// How long ago it began to look.
    pub took: Duration,
}

/// Tells people of drift, or that there is none any more, if anybody is to be told. That this was
/// not possible is a fact for the log.
pub async fn tell(config: &Config, store: &Store, verified: Verified, stop: &Stop) {
    let channels = Channel::all(config);
    if channels.is_empty() || config.alerts.off.contains(&Rule::VerifyDrift) {
        return;
    }
    if let Err(error) = try_to_tell(config, store, &channels, verified, stop).await {
        tracing::warn!(
            event = "alert_not_recorded",
            rule = Rule::VerifyDrift.name(),
            class = error.class().name(),
            error = %error,
            "the outbox does not take or give what there is to tell: {error}"
        );
    }
}

async fn try_to_tell(
    config: &Config,
    store: &Store,
    channels: &[Channel],
    verified: Verified,
    stop: &Stop,
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
        for channel in channels {
            outbox::deliver(store, channel, config.alerts.retry_policy(), stop).await?;
        }
    }
    Ok(())
}
