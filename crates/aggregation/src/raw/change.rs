//! Changed raw rows, and spans of instants.

use crate::Timestamp;

/// The old or the new version of a raw row that was inserted, changed or deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The row's metric.
    pub metric: String,
    /// Its start.
    pub starts_at: Timestamp,
    /// Its end, not before the start.
    pub ends_at: Timestamp,
    /// Its own zone, if it names one.
    pub time_zone: Option<String>,
    /// Whether the row is a total of its whole local day.
    pub whole_day: bool,
}

/// A half-open span of instants: from the first up to, but without, the second.
pub type Span = (Timestamp, Timestamp);

/// The union of spans, in order and disjoint.
pub fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut disjoint: Vec<Span> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match disjoint.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            _ => disjoint.push((from, to)),
        }
    }
    disjoint
}
