//! Maps states that differ only in names to one form.

use crate::queue::Queue;
use crate::state::{Bits, Database, MAX_SETS, MAX_WORKERS, State, Worker};
use crate::variant::Variant;

/// Upper bound of the number of tokens in a state.
const TOKENS: usize = 2 * MAX_SETS + MAX_WORKERS + 2;

impl State {
    /// Sorts the workers, which differ only in their claims, unless one of them has a clock of its
    /// own. Numbers tokens from 1, since they are only compared for equality. Removes change sets
    /// that no part of the state refers to.
    #[must_use]
    pub(crate) fn canonical(mut self, queue: &Queue) -> Self {
        if queue.variant != Variant::WorkersClock {
            self.workers[..queue.workers].sort_unstable();
        }
        let (mut names, mut named) = ([0_u8; TOKENS], 0);
        for token in self.tokens() {
            let name = &mut names[usize::from(*token)];
            if *token > 0 && *name == 0 {
                named += 1;
                *name = named;
            }
            *token = *name;
        }
        let known = self.known();
        for id in (0..MAX_SETS).filter(|id| !known.has(*id)) {
            self.rows[id] = Bits::default();
        }
        self
    }

    /// A token that is not in use. In the code it is 63 random bits.
    pub(crate) fn new_token(&mut self) -> u8 {
        self.tokens().map(|token| *token).max().unwrap_or_default() + 1
    }

    fn tokens(&mut self) -> impl Iterator<Item = &mut u8> {
        let of_workers = self.workers.iter_mut().filter_map(Worker::claim_mut);
        let databases = std::iter::once(&mut self.database).chain(&mut self.durable);
        let of_sets = databases.flat_map(|database| database.queue.iter_mut().flatten());
        of_workers.map(|claim| &mut claim.token).chain(of_sets.map(|set| &mut set.lease_token))
    }

    /// The ids that some part of the state refers to.
    fn known(&self) -> Bits {
        let queued = |database: &Database| {
            (0..MAX_SETS).filter(|id| database.queue[*id].is_some()).collect::<Bits>()
        };
        let of_workers = self.workers.iter().map(|worker| match worker {
            Worker::Claiming(heads) => *heads,
            _ => worker.claim().map_or_else(Bits::default, |claim| claim.left),
        });
        let databases = std::iter::once(&self.database).chain(&self.durable).map(queued);
        let orphan = self.orphan.iter().map(|orphan| orphan.sets);
        let open = self.open.iter().flatten().map(|id| Bits::default().with(usize::from(*id)));
        of_workers.chain(databases).chain(orphan).chain(open).fold(Bits::default(), Bits::and)
    }
}
