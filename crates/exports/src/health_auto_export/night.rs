//! Nights of which only the sums of the stages are known.

use aggregation::Timestamp;
use aggregation::timestamp::{HOUR_US, MINUTE_US};
use serde::Deserialize;

/// The app rounds each stage of a night.
const ROUNDING_US: i64 = 5 * MINUTE_US;

/// The sums of a night in hours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Night {
    pub sleep_start: Option<String>,
    pub sleep_end: Option<String>,
    pub in_bed_start: Option<String>,
    pub in_bed_end: Option<String>,
    total_sleep: Option<f64>,
    asleep: Option<f64>,
    core: Option<f64>,
    deep: Option<f64>,
    rem: Option<f64>,
}

/// Lays the stages of a night one after the other: the first begins with the night, the last ends with
/// it, and the time awake is behind the first. `None` if they are longer than the night.
pub fn lay(
    night: &Night,
    start: Timestamp,
    end: Timestamp,
) -> Option<Vec<(&'static str, Timestamp, Timestamp)>> {
    let hours = |hours: Option<f64>| (hours.unwrap_or_default().max(0.0) * HOUR_US as f64) as i64;
    let stages = [("sleep_core", night.core), ("sleep_deep", night.deep), ("sleep_rem", night.rem)];
    let known: i64 = stages.iter().map(|(_, length)| hours(*length)).sum();
    // Older versions write the whole sleep into `asleep`, newer ones the part without a stage.
    let total = match night.total_sleep {
        Some(_) => hours(night.total_sleep),
        None if hours(night.asleep) + ROUNDING_US >= known => hours(night.asleep),
        None => hours(night.asleep).saturating_add(known),
    };
    let mut parts = vec![("sleep_asleep", (total - known).max(0))];
    parts.extend(stages.map(|(metric, length)| (metric, hours(length))));
    // The stages of a night are rounded.
    parts.retain(|(metric, length)| {
        *length > if known > 0 && *metric == "sleep_asleep" { ROUNDING_US } else { 0 }
    });
    if let [(metric, length)] = parts[..] {
        parts = vec![(metric, length / 2), (metric, length - length / 2)];
    }
    let asleep = parts.iter().fold(0_i64, |sum, (_, length)| sum.saturating_add(*length));
    let awake = end.since(start) - asleep;
    if awake < -ROUNDING_US {
        return None;
    }
    if awake > ROUNDING_US && !parts.is_empty() {
        parts.insert(1, ("sleep_awake", awake));
    }
    let mut at = start;
    Some(
        parts
            .into_iter()
            .map(|(metric, length)| {
                let from = at;
                at = at.plus(length);
                (metric, from, at)
            })
            .collect(),
    )
}
