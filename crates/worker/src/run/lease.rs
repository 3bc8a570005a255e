//! Keeping a claim alive while its batch runs.

use std::time::{Duration, Instant};

/// The lease of a claimed batch. Only the length of the wait is this process's own; whether the lease still
/// holds is decided by the database's clock.
#[derive(Debug)]
pub struct Lease {
    length: Duration,
    renewed: Instant,
}

impl Lease {
    /// The lease of a batch that was claimed after `asked_at`.
    pub const fn new(length: Duration, asked_at: Instant) -> Self {
        Self { length, renewed: asked_at }
    }

    /// Whether half of it has passed.
    pub fn is_due(&self) -> bool {
        self.renewed.elapsed() >= self.length / 2
    }

    /// It was renewed after `asked_at`.
    pub const fn renewed(&mut self, asked_at: Instant) {
        self.renewed = asked_at;
    }

    /// How long it lasts from a renewal on.
    pub const fn length(&self) -> Duration {
        self.length
    }
}
