//! The statements of the queue, as PostgreSQL executes them.

use crate::queue::Queue;
use crate::state::{
    Bits, ChangeSet, Claim, Group, INFINITY, MAX_SETS, QueueState, State, Transaction, Worker,
};
use crate::variant::Variant;

impl State {
    /// The raw rows of some change sets.
    pub(crate) fn rows_of(&self, sets: Bits) -> Bits {
        sets.iter().map(|id| self.rows[id]).fold(Bits::default(), Bits::and)
    }

    /// The sets among these that have rows among these.
    pub(crate) fn with_rows(&self, sets: Bits, rows: Bits) -> Bits {
        sets.iter().filter(|id| self.rows[*id].meets(rows)).collect()
    }

    /// The sets that a transaction has locked and not committed. SKIP LOCKED skips them, an UPDATE
    /// or DELETE waits for them.
    pub(crate) fn row_locked(&self, queue: &Queue) -> Bits {
        let heads = self.workers.iter().filter_map(|worker| match worker {
            Worker::Claiming(heads) if queue.variant != Variant::HeadsNotLocked => Some(*heads),
            _ => None,
        });
        let written = self.transactions().filter_map(|of| Some(of.sets.and(of.finished?)));
        heads.chain(written).fold(Bits::default(), Bits::and)
    }

    /// Every open transaction of a group on the server.
    pub(crate) fn transactions(&self) -> impl Iterator<Item = Transaction> {
        let of_workers = self.workers.into_iter().filter_map(|worker| match worker {
            Worker::InGroup(_, transaction) => Some(transaction),
            _ => None,
        });
        of_workers.chain(self.orphan)
    }

    /// The sets that a worker may claim.
    pub(crate) fn due(&self, queue: &Queue, worker: usize) -> Bits {
        let due =
            |id: &usize| self.database.queue[*id].is_some_and(|of| is_due(queue, worker, &of));
        (0..MAX_SETS).filter(due).collect::<Bits>().without(self.row_locked(queue))
    }

    /// The second half of `claim`: the heads are locked. If they are a full batch within one hour, the hour's
    /// other due sets are locked, too. All are marked under a token.
    pub(crate) fn claim(&mut self, queue: &Queue, worker: usize, heads: Bits) -> Claim {
        let rows = self.rows_of(heads);
        let mut left = heads;
        let is_full = self.rows_in_batch(heads) >= queue.batch;
        if let (true, Some(hour)) = (is_full, queue.only_group(rows)) {
            left = left.and(self.with_rows(self.due(queue, worker), queue.rows_in(hour)));
        }
        let claim = Claim { token: self.new_token(), left, done: Bits::default() };
        for id in left.iter() {
            let Some(set) = &mut self.database.queue[id] else { continue };
            let rescued = set.state == QueueState::Processing;
            self.wrongs.robbed |= rescued && set.lease_expires_at > 0;
            let counts = rescued && queue.variant != Variant::UncountedLostLeases;
            set.lost_leases = queue.max_lost_leases.min(set.lost_leases + u8::from(counts));
            set.attempts += u8::from(queue.variant == Variant::CountedWhenClaimed);
            set.state = QueueState::Processing;
            set.lease_token = claim.token;
            set.lease_expires_at = queue.lease;
            set.rescue_at = queue.lease;
            set.done = Bits::default();
        }
        claim
    }

    fn rows_in_batch(&self, sets: Bits) -> u32 {
        sets.iter().map(|id| self.rows[id].count()).sum()
    }

    /// The sets that can be the heads of a batch: as many raw rows as fit, and at least one set.
    pub(crate) fn heads(&self, queue: &Queue, worker: usize) -> impl Iterator<Item = Bits> {
        let fits = move |sets: &Bits| sets.count() == 1 || self.rows_in_batch(*sets) <= queue.batch;
        self.due(queue, worker).subsets().filter(fits)
    }

    /// The sets of the claim whose lease expired too often.
    pub(crate) fn too_often_lost(&self, queue: &Queue, claim: &Claim) -> Bits {
        let lost = claim.left.iter().filter(|id| {
            self.database.queue[*id].is_some_and(|set| {
                set.lease_token == claim.token && set.lost_leases >= queue.max_lost_leases
            })
        });
        lost.collect()
    }

    /// The sets among these that a statement with the token finds.
    pub(crate) fn held(&self, queue: &Queue, claim: &Claim, ids: Bits) -> Bits {
        let found = ids.iter().filter(|id| {
            self.database.queue[*id].is_some_and(|set| {
                queue.variant == Variant::NoToken
                    || set.lease_token == claim.token && set.state == QueueState::Processing
            })
        });
        found.collect()
    }

    /// Changes the sets that the statement finds, and records a violation if the claim did not hold
    /// one of them.
    fn update(&mut self, queue: &Queue, claim: &Claim, ids: Bits, change: impl Fn(&mut ChangeSet)) {
        let held = self.held(queue, claim, ids);
        self.note_anothers(claim, held);
        for id in held.iter() {
            self.database.queue[id].iter_mut().for_each(&change);
        }
    }

    fn note_anothers(&mut self, claim: &Claim, ids: Bits) {
        self.wrongs.touched_anothers |= ids
            .iter()
            .any(|id| self.database.queue[id].is_some_and(|set| set.lease_token != claim.token));
    }

    /// `renew`. Returns whether all of them were still held.
    pub(crate) fn renew(&mut self, queue: &Queue, claim: &Claim) -> bool {
        self.update(queue, claim, claim.left, |set| {
            set.lease_expires_at = queue.lease;
            if queue.variant != Variant::RescueByTimeAlone {
                set.rescue_at = queue.lease;
            }
        });
        self.held(queue, claim, claim.left) == claim.left
    }

    /// `fail`: counts an attempt; the whole set waits, or is dead after the last attempt.
    pub(crate) fn fail(&mut self, queue: &Queue, claim: &Claim, ids: Bits, group: Group) {
        if queue.variant == Variant::RetriedInPart {
            for id in self.held(queue, claim, ids).iter() {
                self.rows[id] = self.rows[id].within(queue.rows_in(group));
            }
        }
        self.update(queue, claim, ids, |set| {
            set.attempts += u8::from(queue.variant != Variant::UncountedFailures);
            if set.attempts >= queue.max_attempts {
                set.kill();
            } else {
                set.pend(queue.backoff);
            }
        });
    }

    /// `give_up`: makes sets dead whose workers ended too often.
    pub(crate) fn give_up(&mut self, queue: &Queue, claim: &Claim, ids: Bits) {
        self.update(queue, claim, ids, ChangeSet::kill);
    }

    /// `release`: makes sets pending again, with or without a pause.
    pub(crate) fn release(&mut self, queue: &Queue, claim: &Claim, ids: Bits, pause: u8) {
        self.update(queue, claim, ids, |set| set.pend(pause));
    }

    /// `finish`, in the group's transaction: deletes the sets for which its date is the last in the
    /// batch, and counts the date in the others. Returns whether the claim held all of them, and
    /// the database counts the same dates as the worker.
    pub(crate) fn finish(
        &mut self,
        queue: &Queue,
        claim: &Claim,
        transaction: &mut Transaction,
    ) -> bool {
        let sets = transaction.sets;
        let done = claim.done.and(queue.rows_in(transaction.group));
        let is_finished = |id: &usize| match queue.variant {
            Variant::DeletedByFirstDate => !self.rows[*id].meets(claim.done),
            _ => done.has_all(self.rows[*id]),
        };
        let mut finished: Bits = sets.iter().filter(is_finished).collect();
        let asked = match queue.variant {
            Variant::HighWaterMark => Bits::default(),
            Variant::DatesNotCounted | Variant::DeletedByFirstDate => finished,
            _ => sets,
        };
        let held = self.held(queue, claim, asked);
        self.note_anothers(claim, held);
        let counts = |id: &usize| {
            let done = claim.done.within(self.rows[*id]);
            queue.variant == Variant::DatesNotCounted
                || self.database.queue[*id].is_some_and(|set| set.done == done)
        };
        if held != asked || !asked.iter().all(|id| counts(&id)) {
            return false;
        }
        if queue.variant == Variant::FinishByRawRow {
            let rows = self.rows_of(finished);
            let of_rows = |id: &usize| rows.has_all(self.rows[*id]);
            finished = (0..MAX_SETS).filter(of_rows).collect();
        }
        transaction.finished = Some(finished);
        if queue.variant == Variant::TwoTransactions {
            self.delete(queue, finished);
        }
        true
    }

    fn delete(&mut self, queue: &Queue, ids: Bits) {
        if queue.variant == Variant::HighWaterMark {
            let last = ids.iter().max().map_or(0, |last| last as u8 + 1);
            self.database.mark = self.database.mark.max(last);
            self.database.queue[..usize::from(self.database.mark)].fill(None);
        }
        for id in ids.iter() {
            self.database.queue[id] = None;
        }
    }

    /// COMMIT of a group: the figures of its raw rows, and its changes of its sets.
    pub(crate) fn commit(&mut self, queue: &Queue, transaction: &Transaction) {
        let Transaction { group, sets, read: Some(read), finished: Some(finished), .. } =
            *transaction
        else {
            return;
        };
        for row in self.rows_of(sets).within(queue.rows_in(group)).iter() {
            self.database.figures[row] = read[row];
        }
        self.delete(queue, finished);
        for id in sets.iter() {
            if let Some(set) = &mut self.database.queue[id] {
                set.done = set.done.and(self.rows[id].within(queue.rows_in(group)));
            }
        }
    }

    /// The app's COMMIT: raw rows and change set, which its trigger has inserted.
    pub(crate) fn commit_change(&mut self, queue: &Queue, id: u8) {
        for row in self.rows[usize::from(id)].iter() {
            self.database.raw[row] = id + 1;
        }
        let seen = queue.variant != Variant::HighWaterMark || id >= self.database.mark;
        self.database.queue[usize::from(id)] = seen.then_some(ChangeSet {
            state: QueueState::Pending,
            lease_token: 0,
            lease_expires_at: 0,
            rescue_at: 0,
            attempts: 0,
            lost_leases: 0,
            not_before: 0,
            done: Bits::default(),
            failures: 0,
        });
        // The app waits for the disk, and its commit writes all commits before it.
        self.durable = self.durable.map(|_| self.database);
    }
}

impl ChangeSet {
    fn leave(&mut self, state: QueueState, not_before: u8) {
        (self.lease_token, self.lease_expires_at, self.rescue_at) = (0, 0, 0);
        (self.state, self.not_before) = (state, not_before);
        self.done = Bits::default();
    }

    fn pend(&mut self, pause: u8) {
        self.leave(QueueState::Pending, pause);
    }

    fn kill(&mut self) {
        self.leave(QueueState::Dead, INFINITY);
    }

    /// Advances the clock by one tick, which brings every instant nearer.
    pub(crate) const fn age(&mut self) {
        self.lease_expires_at = self.lease_expires_at.saturating_sub(1);
        self.rescue_at = self.rescue_at.saturating_sub(1);
        if self.not_before != INFINITY {
            self.not_before = self.not_before.saturating_sub(1);
        }
    }
}

fn is_due(queue: &Queue, worker: usize, set: &ChangeSet) -> bool {
    let expired = match queue.variant {
        Variant::NoRescue => false,
        Variant::WorkersClock if worker == 1 => true,
        _ => set.rescue_at == 0,
    };
    set.not_before == 0
        && match set.state {
            QueueState::Pending => true,
            QueueState::Processing => expired,
            QueueState::Dead => false,
        }
}
