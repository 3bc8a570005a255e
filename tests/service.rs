//! The service as an operator and systemd meet it.

mod clocks;
mod commands;
mod fairness;
mod http;
mod lifecycle;
mod reload;
mod stopping;
mod supervised;
mod together;

use crate::support::Database;

/// The shortest lease there may be, and what must be shorter.
const SHORT_LEASE: [(&str, &str); 3] = [
    ("WORKER__BATCH__LEASE_SECONDS", "5"),
    ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "4"),
    ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "3"),
];

/// Rows that a worker has marked as its own.
const PROCESSING: &str = "SELECT count(*) FROM aggregation_queue WHERE state = 'processing'";

/// Rows that are not in the figures yet.
const QUEUED: &str = "SELECT count(*) FROM aggregation_queue";

/// Rows that wait as if nobody had ever touched them.
async fn untouched(db: &Database) -> i64 {
    db.value(
        "SELECT count(*) FROM aggregation_queue
         WHERE state = 'pending' AND attempts = 0 AND lease_token IS NULL
           AND lease_expires_at IS NULL AND not_before <= now() AND last_error IS NULL",
    )
    .await
}
