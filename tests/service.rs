//! The service as an operator and systemd meet it.

mod clocks;
mod commands;
mod fairness;
pub mod http;
mod lifecycle;
mod reload;
mod stopping;
mod supervised;
mod together;

/// The shortest lease there may be, and what must be shorter.
pub const SHORT_LEASE: [(&str, &str); 3] = [
    ("WORKER__BATCH__LEASE_SECONDS", "5"),
    ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "4"),
    ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "3"),
];

/// Rows that a worker has marked as its own.
const PROCESSING: &str = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue WHERE state = 'processing'";

/// Rows that are not in the figures yet.
pub const QUEUED: &str = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue";
