//! Batches as an operator sees them: what is claimed, held, committed, failed and given back.
//!
//! A test stops the worker where it wants by holding a lock that the worker needs: a user's
//! advisory lock before a group reads anything, or a table of figures after it has read.

mod claims;
mod groups;
mod interruptions;
mod races;
mod schemas;

use crate::support::running::{Running, UserLock, eventually, number, waiting};
use crate::support::samples::{assert_all_done, insert_samples};
use crate::support::{Database, Ran};

/// Runs the worker to its end with settings of its own.
fn run(db: &Database, settings: &[(&str, &str)]) -> Ran {
    Running::start(db.worker(), settings).end()
}
