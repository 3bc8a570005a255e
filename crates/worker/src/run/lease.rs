//! Keeps a claim valid while its batch runs.

use std::time::{Duration, Instant};

/// The lease of a claimed batch. Only the length of the wait is measured by this process; the database's
/// clock decides whether the lease still holds.
#[derive(Debug)]
pub struct Lease {
    length: Duration,
    renewed: Instant,
}

impl Lease {
    /// The lease of a batch whose claim was sent at `asked_at`.
    pub const fn new(length: Duration, asked_at: Instant) -> Self {
        Self { length, renewed: asked_at }
    }

    /// Whether half of the lease has passed.
    pub fn is_due(&self) -> bool {
        self.renewed.elapsed() >= self.length / 2
    }

    /// Records a renewal that was sent at `asked_at`.
    pub const fn renewed(&mut self, asked_at: Instant) {
        self.renewed = asked_at;
    }

    /// The time from a renewal to the end of the lease.
    pub const fn length(&self) -> Duration {
        self.length
    }
}
