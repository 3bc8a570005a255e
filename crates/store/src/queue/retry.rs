//! The retry policy of failed groups and messages.

use std::time::Duration;

/// The waits between attempts for rows whose group failed, or for messages that could not be sent.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Maximum of attempts, after which the row or message is given up.
    pub max_attempts: i32,
    /// The wait after the first failure; it doubles with each further failure.
    pub first: Duration,
    /// The maximum wait.
    pub max: Duration,
}

impl RetryPolicy {
    /// The wait after `attempts` failed attempts, as the queue computes it.
    pub fn wait_after(&self, attempts: i32) -> Duration {
        let doubled = 2_f64.powi((attempts - 1).clamp(0, 30));
        Duration::from_secs_f64((self.first.as_secs_f64() * doubled).min(self.max.as_secs_f64()))
    }
}
