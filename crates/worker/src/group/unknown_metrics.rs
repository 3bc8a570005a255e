//! Metrics that the catalogue does not know, said once.

use std::collections::BTreeSet;
use std::sync::Mutex;

use aggregation::catalogue::{Catalogue, printable_metric};

/// Names are free text of an app; with more than these the log would fill.
const MOST_NAMES: usize = 50;

/// The names that this process has logged.
static LOGGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Logs, once for each name, that rows of this metric are rejected, and which metric is meant most likely.
/// The event names no user: the name of a metric says what is measured.
pub(super) fn log(sent: &str, catalogue: &Catalogue) {
    let metric = printable_metric(sent);
    let is_new = LOGGED
        .lock()
        .is_ok_and(|mut logged| logged.len() < MOST_NAMES && logged.insert(metric.clone()));
    if !is_new {
        return;
    }
    match catalogue.nearest_metric(sent) {
        Some(nearest) => tracing::warn!(
            event = "metric_unknown",
            metric,
            nearest,
            "rows of metric {metric} are rejected, because the catalogue does not know it; send {nearest} if \
             that is meant, or add the metric to the catalogue"
        ),
        None => tracing::warn!(
            event = "metric_unknown",
            metric,
            "rows of metric {metric} are rejected, because the catalogue does not know it; add it to the \
             catalogue"
        ),
    }
}
