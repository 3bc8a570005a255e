//! The statements of the queue, each atomic, as PostgreSQL makes them.

use crate::queue::Queue;
use crate::state::{Claim, Entry, INFINITY, QueueState, Set, State, Transaction};
use crate::variant::Variant;

impl State {
    /// The raw rows behind some ids.
    pub(crate) fn raw_rows(&self, ids: Set) -> Set {
        ids.iter().map(|id| usize::from(self.raw_ids[id])).collect()
    }

    /// The ids whose rows some transaction has deleted, or chosen to take along, and not committed: SKIP
    /// LOCKED passes over them, an UPDATE waits for them.
    pub(crate) fn row_locked(&self, queue: &Queue) -> Set {
        let along_too = queue.variant != Variant::AlongUnlocked;
        self.transactions().fold(Set::default(), |all, of| {
            let along = of.along.iter().filter(|_| along_too);
            all.iter().chain(of.finished.iter()).chain(along).collect()
        })
    }

    /// Every transaction of a group that the server has.
    pub(crate) fn transactions(&self) -> impl Iterator<Item = Transaction> {
        let of_workers = self.workers.into_iter().filter_map(|worker| match worker {
            crate::Worker::InGroup(_, transaction) => Some(transaction),
            _ => None,
        });
        of_workers.chain(self.orphan)
    }

    /// The ids that a worker may claim.
    pub(crate) fn due(&self, queue: &Queue, worker: usize) -> Set {
        let locked = self.row_locked(queue);
        let ids = self.database.queue.iter().enumerate().filter(|(id, entry)| {
            entry.is_some_and(|entry| is_due(queue, worker, &entry)) && !locked.has(*id)
        });
        ids.map(|(id, _)| id).collect()
    }

    /// The ids of a user that are due and that nobody has claimed.
    pub(crate) fn pending(&self, queue: &Queue, worker: usize, user: u8) -> Set {
        let of_user = self.due(queue, worker);
        let of_user = of_user.iter().filter(|id| {
            queue.user_of(self, *id) == user
                && self.database.queue[*id].is_some_and(|e| e.state == QueueState::Pending)
        });
        of_user.collect()
    }

    /// `claim`: marks the rows as processing, under a token of their own.
    pub(crate) fn claim(&mut self, queue: &Queue, ids: Set) -> Claim {
        self.claims += 1;
        let claim = Claim { token: self.database.next_token, number: self.claims, left: ids };
        self.database.next_token += 1;
        for id in ids.iter() {
            let Some(entry) = &mut self.database.queue[id] else { continue };
            self.wrongs.robbed |=
                entry.state == QueueState::Processing && entry.lease_expires_at > 0;
            entry.state = QueueState::Processing;
            entry.lease_token = claim.token;
            entry.claim = claim.number;
            entry.lease_expires_at = queue.lease;
            entry.attempts += u8::from(queue.variant == Variant::CountedWhenClaimed);
        }
        claim
    }

    /// Which of these rows a statement that carries the token finds.
    pub(crate) fn held(&self, queue: &Queue, claim: &Claim, ids: Set) -> Set {
        let found = ids.iter().filter(|id| {
            self.database.queue[*id].is_some_and(|entry| {
                queue.variant == Variant::NoToken
                    || entry.lease_token == claim.token && entry.state == QueueState::Processing
            })
        });
        found.collect()
    }

    /// Changes what the statement finds, and remembers if it was another's.
    fn update(&mut self, queue: &Queue, claim: &Claim, ids: Set, change: impl Fn(&mut Entry)) {
        let held = self.held(queue, claim, ids);
        self.blame(claim, held);
        for id in held.iter() {
            self.database.queue[id].iter_mut().for_each(&change);
        }
    }

    /// Remembers if any of these rows is not claimed by this claim.
    fn blame(&mut self, claim: &Claim, ids: Set) {
        self.wrongs.touched_anothers |= ids.iter().any(|id| {
            self.database.queue[id].is_some_and(|entry| {
                entry.state != QueueState::Processing || entry.claim != claim.number
            })
        });
    }

    /// `renew`. Whether all of them were still held.
    pub(crate) fn renew(&mut self, queue: &Queue, claim: &Claim) -> bool {
        self.update(queue, claim, claim.left, |entry| entry.lease_expires_at = queue.lease);
        self.held(queue, claim, claim.left) == claim.left
    }

    /// `fail`: an attempt is counted; the row waits, or is dead after the last.
    pub(crate) fn fail(&mut self, queue: &Queue, claim: &Claim, ids: Set) {
        self.update(queue, claim, ids, |entry| {
            let counts = queue.variant != Variant::UncountedFailures;
            entry.attempts += u8::from(counts);
            let dead = entry.attempts >= queue.max_attempts;
            entry.state = if dead { QueueState::Dead } else { QueueState::Pending };
            entry.not_before = if dead { INFINITY } else { queue.backoff };
            entry.unclaim();
        });
    }

    /// `release`: pending again, after a pause if there is one.
    pub(crate) fn release(&mut self, queue: &Queue, claim: &Claim, ids: Set, pause: u8) {
        self.update(queue, claim, ids, |entry| {
            entry.state = QueueState::Pending;
            if pause > 0 {
                entry.not_before = pause;
            }
            entry.unclaim();
        });
    }

    /// `finish`: deletes the group's rows in its transaction. Whether all of them were still held.
    pub(crate) fn finish(
        &mut self,
        queue: &Queue,
        claim: &Claim,
        transaction: &mut Transaction,
    ) -> bool {
        let group = transaction.entries;
        let found = match queue.variant {
            Variant::FinishByRawRow => {
                let rows = self.raw_rows(group);
                let of_rows = self.database.queue.iter().enumerate().filter(|(_, entry)| {
                    entry.is_some_and(|entry| rows.has(usize::from(entry.raw_id)))
                });
                of_rows.map(|(id, _)| id).collect()
            }
            Variant::HighWaterMark => group,
            _ => self.held(queue, claim, group),
        };
        if !found.has_all(group) {
            return false;
        }
        if !matches!(queue.variant, Variant::FinishByRawRow | Variant::HighWaterMark) {
            self.blame(claim, found);
        }
        let along = transaction.along;
        self.wrongs.touched_anothers |= along
            .iter()
            .any(|id| self.database.queue[id].is_some_and(|e| e.state == QueueState::Processing));
        let found: Set = found.iter().chain(along.iter()).collect();
        transaction.finished = found;
        if queue.variant == Variant::TwoTransactions {
            self.take_off(queue, found);
        }
        true
    }

    fn take_off(&mut self, queue: &Queue, ids: Set) {
        if queue.variant == Variant::HighWaterMark {
            let last = ids.iter().max().map_or(0, |last| last as u8 + 1);
            self.database.mark = self.database.mark.max(last);
            for entry in &mut self.database.queue[..usize::from(self.database.mark)] {
                *entry = None;
            }
        }
        for id in ids.iter() {
            self.database.queue[id] = None;
        }
    }

    /// COMMIT of a group: the figures of its raw rows, and its rows off the queue.
    pub(crate) fn commit(&mut self, queue: &Queue, transaction: &Transaction) {
        let Transaction { entries, along, .. } = *transaction;
        let rows = self.raw_rows(entries.iter().chain(along.iter()).collect());
        if let Some(read) = transaction.read {
            for row in rows.iter() {
                self.database.figures[row] = read[row];
            }
        }
        self.take_off(queue, transaction.finished);
    }

    /// The app's COMMIT: raw row and queue row, which its trigger has inserted.
    pub(crate) fn commit_change(&mut self, queue: &Queue, id: u8, version: u8) {
        let raw_id = self.raw_ids[usize::from(id)];
        self.database.raw[usize::from(raw_id)] = version;
        let seen = queue.variant != Variant::HighWaterMark || id >= self.database.mark;
        self.database.queue[usize::from(id)] = seen.then_some(Entry {
            raw_id,
            state: QueueState::Pending,
            lease_token: 0,
            lease_expires_at: 0,
            attempts: 0,
            not_before: 0,
            claim: 0,
            failures: 0,
        });
        if self.durable.is_some() {
            self.durable = Some(self.database);
        }
    }
}

impl Entry {
    fn unclaim(&mut self) {
        (self.lease_token, self.lease_expires_at, self.claim) = (0, 0, 0);
    }

    /// As time goes on.
    pub(crate) fn age(&mut self) {
        self.lease_expires_at = self.lease_expires_at.saturating_sub(1);
        if self.not_before != INFINITY {
            self.not_before = self.not_before.saturating_sub(1);
        }
    }
}

fn is_due(queue: &Queue, worker: usize, entry: &Entry) -> bool {
    let ran_out = match queue.variant {
        Variant::NoRescue => false,
        Variant::WorkersClock if worker == 1 => true,
        _ => entry.lease_expires_at == 0,
    };
    entry.not_before == 0
        && match entry.state {
            QueueState::Pending => true,
            QueueState::Processing => ran_out,
            QueueState::Dead => false,
        }
}
