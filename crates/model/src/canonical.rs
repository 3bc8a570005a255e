//! States that differ in nothing that matters are made one.

use crate::queue::Queue;
use crate::state::{Claim, MOST_CHANGES, MOST_WORKERS, State, Worker};
use crate::variant::Variant;

impl State {
    /// Tokens are only ever compared for being equal, so that they are numbered anew from 1 on; and
    /// workers differ in nothing but what they hold, so that they stand in order.
    ///
    /// Not where one of them has a clock of its own, and not where the server may forget tokens that
    /// it gave out.
    #[must_use]
    pub(crate) fn canonical(mut self, queue: &Queue) -> Self {
        if self.durable.is_some() {
            return self;
        }
        if queue.variant != Variant::WorkersClock {
            self.workers[..queue.workers].sort_unstable();
        }
        // A claim's number is its token here.
        let mut used = [0_u8; MOST_WORKERS + MOST_CHANGES];
        let of_workers = self.workers.iter().map(|worker| worker.claim().map_or(0, |c| c.token));
        let of_entries = self.database.queue.iter().map(|e| e.map_or(0, |e| e.lease_token));
        for (place, token) in used.iter_mut().zip(of_workers.chain(of_entries)) {
            *place = token;
        }
        used.sort_unstable();
        let mut names = [0_u8; 64];
        let mut named = 0;
        for token in used.into_iter().filter(|token| *token > 0) {
            let name = &mut names[usize::from(token)];
            if *name == 0 {
                named += 1;
                *name = named;
            }
        }
        for claim in self.workers.iter_mut().filter_map(Worker::claim_mut) {
            claim.token = names[usize::from(claim.token)];
            claim.number = claim.token;
        }
        for entry in self.database.queue.iter_mut().flatten() {
            entry.lease_token = names[usize::from(entry.lease_token)];
            entry.claim = entry.lease_token;
        }
        self.claims = named;
        self.database.next_token = named + 1;
        self
    }
}

impl Worker {
    /// What it has claimed.
    pub const fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Idle => None,
            Self::Walking(claim)
            | Self::InGroup(claim, _)
            | Self::Failed(claim, _)
            | Self::Interrupted(claim) => Some(claim),
        }
    }

    const fn claim_mut(&mut self) -> Option<&mut Claim> {
        match self {
            Self::Idle => None,
            Self::Walking(claim)
            | Self::InGroup(claim, _)
            | Self::Failed(claim, _)
            | Self::Interrupted(claim) => Some(claim),
        }
    }
}
