//! What becomes of what failed.

use std::time::Duration;

/// When rows whose group failed, or messages that could not be sent, are tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// After this many attempts one is given up.
    pub max_attempts: i32,
    /// The wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}
