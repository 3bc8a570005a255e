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

impl RetryPolicy {
    /// The wait after so many failed attempts, as the queue has it.
    pub fn wait_after(&self, attempts: i32) -> Duration {
        let doubled = 2_f64.powi((attempts - 1).clamp(0, 30));
        Duration::from_secs_f64((self.first.as_secs_f64() * doubled).min(self.max.as_secs_f64()))
    }
}
