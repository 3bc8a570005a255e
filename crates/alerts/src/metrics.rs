//! The metrics of alerts. Their names are a contract, which `docs/metrics.md` lists.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::Rule;

const ALERT_DELIVERIES: &str = "dayfold_alert_deliveries_total";
const ALERT_FIRING: &str = "dayfold_alert_firing";

/// The outcome of an attempt to deliver an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The message was delivered.
    Delivered,
    /// The attempt failed; usually it is retried.
    Failed,
    /// The message is not retried; it is also counted as failed.
    GivenUp,
}

/// Describes the metrics to a recorder.
pub fn describe() {
    describe_counter!(
        ALERT_DELIVERIES,
        "Attempts to deliver an alert by channel and outcome: delivered or failed; and given_up, \
         the messages among them that are not tried again"
    );
    describe_gauge!(ALERT_FIRING, "1 while an alert's rule fires, as this worker knows, else 0");
}

/// Starts the counters of this channel at zero.
pub fn expect_deliveries(channel: &'static str) {
    for outcome in ["delivered", "failed", "given_up"] {
        counter!(ALERT_DELIVERIES, "channel" => channel, "outcome" => outcome).increment(0);
    }
}

/// Counts an attempt to deliver an alert.
pub(crate) fn count_delivery(channel: &'static str, delivery: Delivery) {
    let outcome = match delivery {
        Delivery::Delivered => "delivered",
        Delivery::Failed => "failed",
        Delivery::GivenUp => "given_up",
    };
    counter!(ALERT_DELIVERIES, "channel" => channel, "outcome" => outcome).increment(1);
}

/// Sets the gauge of a rule: whether it fires.
pub fn show_alert(rule: Rule, fires: bool) {
    gauge!(ALERT_FIRING, "rule" => rule.name()).set(f64::from(u8::from(fires)));
}
