//! Waits between attempts that grow with each consecutive error.

use std::time::Duration;

/// Random deviation of a wait, up or down, as a fraction. It keeps workers that met the same error from
/// all returning at once.
const JITTER: f64 = 0.2;

/// The first wait after an error. A restarting server accepts connections within seconds.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The errors in a row that a drain survives.
pub const DRAIN_RETRIES: u32 = 3;

/// The maximum wait between two attempts to connect. Each attempt costs the server one log-in, and a
/// delay of ten seconds is acceptable for figures.
const LONGEST_RECONNECT_WAIT: Duration = Duration::from_secs(10);

/// Counts consecutive errors and doubles the wait after each of them, with jitter.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    /// Maximum of waits; further errors have none.
    retries: u32,
    errors: u32,
}

impl Backoff {
    /// For a drain: 0.5, 1 and 2 seconds.
    pub const fn drain() -> Self {
        Self { first: FIRST_WAIT, max: Duration::MAX, retries: DRAIN_RETRIES, errors: 0 }
    }

    /// For the service's connection: from 0.5 up to 10 seconds, without end.
    pub const fn reconnect() -> Self {
        Self { first: FIRST_WAIT, max: LONGEST_RECONNECT_WAIT, retries: u32::MAX, errors: 0 }
    }

    /// From `first` to `max`, for work that may be tried `max_attempts` times and has failed `errors`
    /// times.
    pub fn resume(first: Duration, max: Duration, max_attempts: i32, errors: i32) -> Self {
        let at_least_0 = |number: i32| u32::try_from(number).unwrap_or_default();
        Self {
            first,
            max,
            retries: at_least_0(max_attempts.saturating_sub(1)),
            errors: at_least_0(errors),
        }
    }

    /// Counts an error and returns the wait before the next attempt; `None` if all attempts are used.
    pub fn record_error(&mut self) -> Option<Duration> {
        self.errors = self.errors.saturating_add(1);
        if self.errors > self.retries {
            return None;
        }
        let doublings = (self.errors - 1).min(30);
        let planned = self.first.saturating_mul(1 << doublings).min(self.max);
        Some(planned.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64()))
    }

    /// The number of consecutive errors.
    pub const fn errors(&self) -> u32 {
        self.errors
    }

    /// Records a success: the next error counts as the first.
    pub const fn reset(&mut self) {
        self.errors = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that `backoff` returns the planned waits (in seconds), each within a fifth.
    fn assert_waits(mut backoff: Backoff, planned: &[f64]) -> Backoff {
        for planned in planned {
            let wait = backoff.record_error().unwrap().as_secs_f64();
            assert!((planned * 0.79..=planned * 1.21).contains(&wait), "{wait} for {planned}");
        }
        backoff
    }

    #[test]
    fn a_drain_waits_three_times_and_the_fourth_error_ends_it() {
        let mut spent = assert_waits(Backoff::drain(), &[0.5, 1.0, 2.0]);
        assert_eq!(spent.record_error(), None);
        assert_eq!(spent.record_error(), None);
        spent.reset();
        assert_waits(spent, &[0.5, 1.0, 2.0]);
    }

    #[test]
    fn the_service_tries_to_connect_for_ever_and_never_waits_much_longer_than_ten_seconds() {
        let mut backoff =
            assert_waits(Backoff::reconnect(), &[0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        for _ in 0..100 {
            backoff = assert_waits(backoff, &[10.0]);
        }
        assert_eq!(backoff.errors(), 107);
    }

    #[test]
    fn work_that_failed_before_goes_on_with_its_next_wait_until_its_attempts_are_spent() {
        let (first, max) = (Duration::from_secs(1), Duration::from_secs(3));
        let mut resumed = assert_waits(Backoff::resume(first, max, 5, 1), &[2.0, 3.0, 3.0]);
        assert_eq!((resumed.record_error(), resumed.errors()), (None, 5));
        assert_eq!(Backoff::resume(first, max, 1, 0).record_error(), None);
    }

    #[test]
    fn two_workers_with_the_same_error_do_not_wait_equally_long() {
        let waits: Vec<_> = (0..100).map(|_| Backoff::drain().record_error()).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
