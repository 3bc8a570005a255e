//! The model: the steps of each state, and their results.

use stateright::{Model, Property};

use crate::action::Action;
use crate::properties;
use crate::state::{
    Bits, Budget, Claim, Database, Group, MAX_OPEN, MAX_ROWS, MAX_SETS, MAX_WORKERS, QueueState,
    State, Transaction, Worker, Wrongs,
};
use crate::variant::Variant;

/// A queue with its app and its workers.
#[derive(Clone, Debug)]
pub struct Queue {
    /// The variant of the protocol.
    pub variant: Variant,
    /// User and local date of each raw row. A date has one hour.
    pub rows: Vec<Group>,
    /// The number of workers.
    pub workers: usize,
    /// The failures that may happen, and their numbers.
    pub budget: Budget,
    /// Whether groups fail, any number of times.
    pub groups_fail: bool,
    /// Whether groups end their worker, any number of times.
    pub groups_crash: bool,
    /// The number of raw rows that fill a batch.
    pub batch: u32,
    /// The length of a lease in ticks.
    pub lease: u8,
    /// The delay before a failed set is retried, in ticks.
    pub backoff: u8,
    /// The number of attempts after which a set is dead.
    pub max_attempts: u8,
    /// The number of lost leases after which a set is dead.
    pub max_lost_leases: u8,
}

impl Default for Queue {
    /// Two workers, a user with a raw row on each of two dates, and an app without changes.
    fn default() -> Self {
        Self {
            variant: Variant::AsBuilt,
            rows: vec![(0, 0), (0, 1)],
            workers: 2,
            budget: Budget::default(),
            groups_fail: false,
            groups_crash: false,
            batch: 2,
            lease: 1,
            backoff: 1,
            max_attempts: 2,
            max_lost_leases: 2,
        }
    }
}

impl Queue {
    /// The raw rows of a user and date.
    pub(crate) fn rows_in(&self, group: Group) -> Bits {
        (0..self.rows.len()).filter(|row| self.rows[*row] == group).collect()
    }

    /// The group of all these raw rows, if there is only one.
    pub(crate) fn only_group(&self, rows: Bits) -> Option<Group> {
        let group = self.rows[rows.iter().next()?];
        self.rows_in(group).has_all(rows).then_some(group)
    }

    /// The next group of a batch, in key order, and the sets with rows in it.
    fn next_group(&self, state: &State, claim: &Claim) -> (Group, Bits) {
        let left = state.rows_of(claim.left).without(claim.done);
        let group = left.iter().map(|row| self.rows[row]).min().unwrap_or_default();
        (group, state.with_rows(claim.left, self.rows_in(group)))
    }

    /// The batch after a group is committed.
    fn committed(&self, state: &State, claim: Claim, transaction: &Transaction) -> Worker {
        let done = claim.done.and(self.rows_in(transaction.group));
        let left = claim.left.iter().filter(|id| !done.has_all(state.rows[*id])).collect();
        Claim { done, ..claim }.with_left(state, left)
    }

    fn is_locked(&self, state: &State, user: u8) -> bool {
        self.variant != Variant::NoLock
            && state.transactions().any(|of| of.locked && of.group.0 == user)
    }

    /// Whether no worker has work, so that time passes by itself.
    fn is_quiet(&self, state: &State) -> bool {
        let idle = state.workers[..self.workers].iter().all(|worker| *worker == Worker::Idle);
        idle && state.orphan.is_none()
            && (0..self.workers).all(|worker| state.due(self, worker).is_empty())
    }

    fn actions_of_app(&self, state: &State, actions: &mut Vec<Action>) {
        if state.budget.changes > 0 && state.open.iter().any(Option::is_none) {
            // The app's own row locks.
            let open = state.open.iter().flatten().map(|id| usize::from(*id)).collect();
            let free = (0..self.rows.len()).collect::<Bits>().without(state.rows_of(open));
            for rows in free.subsets() {
                let first = rows.iter().next().unwrap_or_default();
                if rows.iter().all(|row| self.rows[row].0 == self.rows[first].0) {
                    actions.push(Action::Change(rows));
                }
            }
        }
        let open = (0..MAX_OPEN).filter(|slot| state.open[*slot].is_some());
        actions.extend(open.map(Action::AppCommits));
    }

    fn actions_of_server(&self, state: &State, actions: &mut Vec<Action>) {
        let mut waiting = state.database.queue.iter().flatten().filter(|set| {
            set.state == QueueState::Processing && set.lease_expires_at > 0
                || set.state == QueueState::Pending && set.not_before > 0
        });
        if waiting.next().is_some() && (self.is_quiet(state) || state.budget.delays > 0) {
            actions.push(Action::Tick);
        }
        if let Some(orphan) = &state.orphan {
            actions.push(Action::OrphanRollsBack);
            if orphan.finished.is_some() {
                actions.push(Action::OrphanCommits);
            }
        }
        if state.durable.is_some_and(|durable| durable != state.database) {
            actions.push(Action::WriteWal);
            if state.budget.server_crashes > 0 {
                actions.push(Action::ServerCrash);
            }
        }
    }

    fn actions_of_worker(&self, state: &State, w: usize, actions: &mut Vec<Action>) {
        let budget = &state.budget;
        // An UPDATE or DELETE of sets that the worker still holds waits for their row locks.
        let waits = |claim, ids| state.held(self, claim, ids).meets(state.row_locked(self));
        match &state.workers[w] {
            Worker::Idle => {
                actions.extend(state.heads(self, w).map(|heads| Action::LockHeads(w, heads)));
                return;
            }
            // An interrupted claim has marked no set, and its locks end with its session.
            Worker::Claiming(_) => {
                actions.push(Action::Claim(w));
                return;
            }
            Worker::Claimed(claim) => {
                let (group, sets) = self.next_group(state, claim);
                if !state.too_often_lost(self, claim).is_empty() {
                    actions.push(Action::GiveUp(w));
                } else if !self.is_locked(state, group.0) {
                    actions.push(Action::Lock(w));
                } else if budget.lock_timeouts > 0 && !waits(claim, sets) {
                    actions.push(Action::LockTimesOut(w));
                }
                let is_renewed = claim.left.iter().all(|id| {
                    state.database.queue[id].is_none_or(|set| set.lease_expires_at == self.lease)
                });
                if !is_renewed && !waits(claim, claim.left) {
                    actions.push(Action::Renew(w));
                }
            }
            Worker::InGroup(claim, transaction) => {
                let user = transaction.group.0;
                if transaction.read.is_none() {
                    actions.push(Action::Read(w));
                } else if !transaction.locked {
                    actions.extend((!self.is_locked(state, user)).then_some(Action::Lock(w)));
                } else if transaction.finished.is_some() {
                    actions.push(Action::Commit(w));
                } else if !waits(claim, transaction.sets) {
                    actions.push(Action::Finish(w));
                }
                if self.groups_fail && transaction.finished.is_none() {
                    actions.push(Action::GroupFails(w));
                }
                if budget.orphans > 0 && state.orphan.is_none() {
                    actions.push(Action::GetNoAnswer(w));
                }
            }
            Worker::Failed(claim, sets) => {
                actions.extend((!waits(claim, *sets)).then_some(Action::Fail(w)));
            }
            Worker::Interrupted(claim) => {
                actions.extend((!waits(claim, claim.left)).then_some(Action::Release(w)));
            }
        }
        if budget.interruptions > 0 && !matches!(state.workers[w], Worker::Interrupted(_)) {
            actions.push(Action::Interrupt(w));
        }
        let crashes = self.groups_crash && matches!(state.workers[w], Worker::InGroup(..));
        if budget.crashes > 0 || crashes {
            actions.push(Action::Crash(w));
        }
    }

    /// Applies the step of one worker.
    fn work(&self, state: &mut State, w: usize, action: Action) {
        let next = match (action, state.workers[w]) {
            (Action::LockHeads(_, heads), _) => Worker::Claiming(heads),
            (Action::Claim(_), Worker::Claiming(heads)) => {
                state.workers[w] = Worker::Idle;
                Worker::Claimed(state.claim(self, w, heads))
            }
            (Action::GiveUp(_), Worker::Claimed(claim)) => {
                let lost = state.too_often_lost(self, &claim);
                state.give_up(self, &claim, lost);
                claim.with_left(state, claim.left.without(lost))
            }
            (Action::Renew(_), Worker::Claimed(claim)) => {
                if state.renew(self, &claim) {
                    Worker::Claimed(claim)
                } else {
                    Worker::Interrupted(claim)
                }
            }
            (Action::Lock(_), Worker::Claimed(claim)) => {
                let (group, sets) = self.next_group(state, &claim);
                let locked = self.variant != Variant::ReadBeforeLock;
                let transaction = Transaction { group, sets, locked, read: None, finished: None };
                Worker::InGroup(claim, transaction)
            }
            (Action::Lock(_), Worker::InGroup(claim, transaction)) => {
                Worker::InGroup(claim, Transaction { locked: true, ..transaction })
            }
            (Action::LockTimesOut(_), Worker::Claimed(claim)) => {
                state.budget.lock_timeouts -= 1;
                let (_, sets) = self.next_group(state, &claim);
                state.release(self, &claim, sets, self.backoff);
                claim.with_left(state, claim.left.without(sets))
            }
            (Action::Read(_), Worker::InGroup(claim, transaction)) => {
                let read = Some(state.database.raw);
                Worker::InGroup(claim, Transaction { read, ..transaction })
            }
            (Action::Finish(_), Worker::InGroup(claim, mut transaction)) => {
                if state.finish(self, &claim, &mut transaction) {
                    Worker::InGroup(claim, transaction)
                } else {
                    Worker::Interrupted(claim)
                }
            }
            (Action::Commit(_), Worker::InGroup(claim, transaction)) => {
                state.commit(self, &transaction);
                self.committed(state, claim, &transaction)
            }
            (Action::GetNoAnswer(_), Worker::InGroup(claim, transaction)) => {
                state.budget.orphans -= 1;
                state.orphan = Some(transaction);
                Worker::Interrupted(claim)
            }
            (Action::GroupFails(_), Worker::InGroup(claim, Transaction { sets, .. })) => {
                for id in sets.iter() {
                    state.database.queue[id].iter_mut().for_each(|set| {
                        set.failures = self.max_attempts.min(set.failures + 1);
                    });
                }
                Worker::Failed(claim, sets)
            }
            (Action::Fail(_), Worker::Failed(claim, sets)) => {
                let (group, _) = self.next_group(state, &claim);
                state.fail(self, &claim, sets, group);
                claim.with_left(state, claim.left.without(sets))
            }
            (
                Action::Interrupt(_),
                Worker::Claimed(claim) | Worker::InGroup(claim, _) | Worker::Failed(claim, _),
            ) => {
                state.budget.interruptions -= 1;
                Worker::Interrupted(claim)
            }
            (Action::Release(_), Worker::Interrupted(claim)) => {
                state.release(self, &claim, claim.left, 0);
                Worker::Idle
            }
            (Action::Crash(_), _) => {
                state.budget.crashes = state.budget.crashes.saturating_sub(1);
                Worker::Idle
            }
            (_, unchanged) => unchanged,
        };
        state.workers[w] = next;
    }

    fn server_crash(&self, state: &mut State, durable: Database) {
        state.budget.server_crashes -= 1;
        state.database = durable;
        state.open = [None; MAX_OPEN];
        state.orphan = None;
        for worker in &mut state.workers {
            *worker = match *worker {
                Worker::Claiming(_) => Worker::Idle,
                Worker::InGroup(claim, _) => Worker::Interrupted(claim),
                unchanged => unchanged,
            };
        }
    }
}

impl Claim {
    /// The worker with a batch of these remaining sets.
    fn with_left(self, state: &State, left: Bits) -> Worker {
        let done = self.done.within(state.rows_of(left));
        if left.is_empty() { Worker::Idle } else { Worker::Claimed(Self { left, done, ..self }) }
    }
}

impl Model for Queue {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        assert!(self.rows.len() <= MAX_ROWS && self.workers <= MAX_WORKERS);
        assert!(usize::from(self.budget.changes) <= MAX_SETS);
        let database = Database {
            raw: [0; MAX_ROWS],
            figures: [0; MAX_ROWS],
            queue: [None; MAX_SETS],
            mark: 0,
        };
        vec![State {
            database,
            durable: (self.budget.server_crashes > 0).then_some(database),
            open: [None; MAX_OPEN],
            rows: [Bits::default(); MAX_SETS],
            ids: 0,
            workers: [Worker::Idle; MAX_WORKERS],
            orphan: None,
            budget: self.budget,
            wrongs: Wrongs::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.actions_of_app(state, actions);
        self.actions_of_server(state, actions);
        for worker in 0..self.workers {
            self.actions_of_worker(state, worker, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Change(rows) => {
                let id = state.ids;
                state.budget.changes -= 1;
                state.ids += 1;
                state.rows[usize::from(id)] = rows;
                let free = state.open.iter_mut().find(|slot| slot.is_none());
                free.into_iter().for_each(|slot| *slot = Some(id));
            }
            Action::AppCommits(slot) => {
                if let Some(id) = state.open[slot].take() {
                    state.commit_change(self, id);
                }
            }
            Action::Tick => {
                if !self.is_quiet(last) {
                    state.budget.delays -= 1;
                }
                let databases = std::iter::once(&mut state.database).chain(&mut state.durable);
                databases.flat_map(|of| of.queue.iter_mut().flatten()).for_each(|set| set.age());
            }
            Action::OrphanCommits => {
                if let Some(orphan) = state.orphan.take() {
                    state.commit(self, &orphan);
                }
            }
            Action::OrphanRollsBack => state.orphan = None,
            Action::WriteWal => state.durable = Some(state.database),
            Action::ServerCrash => {
                if let Some(durable) = last.durable {
                    self.server_crash(&mut state, durable);
                }
            }
            Action::LockHeads(w, _)
            | Action::Claim(w)
            | Action::GiveUp(w)
            | Action::Renew(w)
            | Action::Lock(w)
            | Action::LockTimesOut(w)
            | Action::Read(w)
            | Action::Finish(w)
            | Action::Commit(w)
            | Action::GetNoAnswer(w)
            | Action::GroupFails(w)
            | Action::Fail(w)
            | Action::Interrupt(w)
            | Action::Release(w)
            | Action::Crash(w) => self.work(&mut state, w, action),
        }
        Some(state.canonical(self))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}
