//! Keeping a claim alive while its batch runs.

use std::time::{Duration, Instant};

use store::{Claim, Entry, FoundBy, Store, StoreError};

use crate::batch::Groups;

/// The lease of a claimed batch.
#[derive(Debug)]
pub struct Lease {
    length: Duration,
    renewed: Instant,
    found_by: FoundBy,
}

impl Lease {
    /// The lease of a batch that was claimed after `asked_at`.
    pub const fn new(length: Duration, asked_at: Instant) -> Self {
        Self { length, renewed: asked_at, found_by: FoundBy::Place }
    }

    /// By what the claimed rows are found: a renewal is a new version of each, at another place.
    pub const fn found_by(&mut self) -> &mut FoundBy {
        &mut self.found_by
    }

    /// Renews the lease on what is left of the batch once half of it has passed. Only the
    /// length of the wait is this process's own; whether the lease still holds is decided by
    /// the database's clock.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker has taken over.
    pub async fn keep(
        &mut self,
        store: &Store,
        claim: &Claim,
        left: &Groups,
    ) -> Result<(), StoreError> {
        let asked_at = Instant::now();
        if asked_at.duration_since(self.renewed) >= self.length / 2 && !left.is_empty() {
            let left: Vec<Entry> = left.values().flatten().cloned().collect();
            store.renew(claim.kind, claim.token, &left, self.length).await?;
            self.renewed = asked_at;
            self.found_by = FoundBy::Key;
        }
        Ok(())
    }
}
