//! Batches as an operator sees them: rows that are claimed, held, committed, failed and released.
//!
//! A test stops the worker by a lock that the worker needs. A user's advisory lock stops a group
//! before it reads. A lock on a table of figures stops it after it has read.

mod at_once;
mod claims;
mod dense_hours;
mod groups;
mod interruptions;
mod pace;
mod races;
mod schemas;
mod throttle;
mod tokens;
mod wire;

use crate::support::running::{Running, UserLock, eventually, number, waiting};
use crate::support::samples::{assert_all_done, insert_samples};
use crate::support::{Database, Ran};

/// Settings by which all batches have the same size, however quick or slow the database is.
const BATCHES_OF_100: [(&str, &str); 3] = [
    ("WORKER__BATCH__SIZE", "100"),
    ("WORKER__BATCH__MIN_SIZE", "100"),
    ("WORKER__BATCH__MAX_SIZE", "100"),
];

/// Runs the worker to its end with settings of its own.
fn run(db: &Database, settings: &[(&str, &str)]) -> Ran {
    Running::start(db.worker(), settings).end()
}
