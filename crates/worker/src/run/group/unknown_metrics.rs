//! Logs metrics that are unknown to the catalogue, once each.

use std::collections::BTreeSet;
use std::sync::Mutex;

use aggregation::catalogue::Catalogue;

/// The nearest metrics that this process has logged; an empty text if none was near.
static LOGGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Logs that rows of an unknown metric are rejected, and which metric is probably meant. Logs once for
/// each metric of the catalogue, and once for names without a similar one. The name in the row is free
/// text, so the log contains the row's id instead.
pub(super) fn log(raw_id: i64, sent: &str, catalogue: &Catalogue) {
    let nearest = catalogue.nearest_metric(sent);
    let is_new =
        LOGGED.lock().is_ok_and(|mut logged| logged.insert(nearest.unwrap_or_default().to_owned()));
    if !is_new {
        return;
    }
    match nearest {
        Some(nearest) => tracing::warn!(
            event = "metric_unknown",
            raw_id,
            nearest,
            "row {raw_id} of vitals_raw is rejected: the catalogue does not know its metric; the nearest \
             is {nearest}"
        ),
        None => tracing::warn!(
            event = "metric_unknown",
            raw_id,
            "row {raw_id} of vitals_raw is rejected: the catalogue does not know its metric, and has none \
             with a similar name"
        ),
    }
}
