//! The model: which steps there are in a state, and what each leads to.

use stateright::{Model, Property};

use crate::action::Action;
use crate::properties;
use crate::state::{
    Budget, Change, Claim, Database, MOST_CHANGES, MOST_OPEN, MOST_ROWS, MOST_WORKERS, QueueState,
    Set, State, Transaction, Worker, Wrongs,
};
use crate::variant::Variant;

/// A queue with its app and its workers.
#[derive(Clone, Debug)]
pub struct Queue {
    /// How it works.
    pub variant: Variant,
    /// The user of each raw row.
    pub users: Vec<u8>,
    /// How many workers there are.
    pub workers: usize,
    /// What may go wrong, and how often.
    pub budget: Budget,
    /// Whether groups fail. How often is for the queue to limit.
    pub groups_fail: bool,
    /// How many ticks a lease lasts.
    pub lease: u8,
    /// How many ticks a row waits that failed.
    pub backoff: u8,
    /// After so many attempts a row is dead.
    pub max_attempts: u8,
}

impl Default for Queue {
    /// Two workers, one user with two raw rows, and an app that changes nothing.
    fn default() -> Self {
        Self {
            variant: Variant::AsBuilt,
            users: vec![0, 0],
            workers: 2,
            budget: Budget::default(),
            groups_fail: false,
            lease: 1,
            backoff: 1,
            max_attempts: 2,
        }
    }
}

impl Queue {
    pub(crate) fn user_of(&self, state: &State, id: usize) -> u8 {
        self.users[usize::from(state.raw_ids[id])]
    }

    /// The next group of a claim: the rows of its first user, as groups are walked in key order.
    fn group(&self, state: &State, claim: &Claim) -> (u8, Set) {
        let user = claim.left.iter().map(|id| self.user_of(state, id)).min().unwrap_or_default();
        (user, claim.left.iter().filter(|id| self.user_of(state, *id) == user).collect())
    }

    fn is_locked(&self, state: &State, user: u8) -> bool {
        self.variant != Variant::NoLock
            && state.transactions().any(|of| of.locked && of.user == user)
    }

    /// Nobody works and nothing is due: all that can happen by itself is that time goes on.
    fn is_quiet(&self, state: &State) -> bool {
        let idle = state.workers[..self.workers].iter().all(|worker| *worker == Worker::Idle);
        idle && state.orphan.is_none()
            && (0..self.workers).all(|worker| state.due(self, worker).is_empty())
    }

    fn actions_of_app(&self, state: &State, actions: &mut Vec<Action>) {
        let free = state.open.iter().any(Option::is_none);
        if free && state.budget.changes > 0 {
            for raw_id in 0..self.users.len() {
                let changing = state.open.iter().flatten();
                let mut rows = changing.map(|c| usize::from(state.raw_ids[usize::from(c.id)]));
                // The app's own row lock.
                if rows.any(|row| row == raw_id) {
                    continue;
                }
                actions.push(Action::Change { raw_id: raw_id as u8, delete: false });
                if state.database.raw[raw_id] != 0 {
                    actions.push(Action::Change { raw_id: raw_id as u8, delete: true });
                }
            }
        }
        for slot in (0..MOST_OPEN).filter(|slot| state.open[*slot].is_some()) {
            actions.extend([Action::AppCommits(slot), Action::AppRollsBack(slot)]);
        }
    }

    fn actions_of_server(&self, state: &State, actions: &mut Vec<Action>) {
        let mut waiting = state.database.queue.iter().flatten().filter(|entry| {
            entry.state == QueueState::Processing && entry.lease_expires_at > 0
                || entry.state == QueueState::Pending && entry.not_before > 0
        });
        if waiting.next().is_some() && (self.is_quiet(state) || state.budget.delays > 0) {
            actions.push(Action::Tick);
        }
        if let Some(orphan) = &state.orphan {
            actions.push(Action::OrphanRollsBack);
            if orphan.committing {
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
        match &state.workers[w] {
            Worker::Idle => {
                let due = state.due(self, w);
                actions.extend(due.subsets().map(|ids| Action::Claim(w, ids)));
                return;
            }
            Worker::Walking(claim) => {
                let (user, group) = self.group(state, claim);
                if !self.is_locked(state, user) {
                    actions.push(Action::Lock(w));
                } else if budget.lock_timeouts > 0
                    && !state.held(self, claim, group).meets(state.row_locked(self))
                {
                    actions.push(Action::LockTimesOut(w));
                }
                if claim.left.iter().any(|id| {
                    state.database.queue[id].is_some_and(|e| e.lease_expires_at < self.lease)
                }) && !state.held(self, claim, claim.left).meets(state.row_locked(self))
                {
                    actions.push(Action::Renew(w));
                }
            }
            Worker::InGroup(_, group) => {
                let late = self.variant == Variant::LockAfterRead && !group.locked;
                let chooses = match self.variant {
                    Variant::AlongAfterRead => group.read.is_some() && group.finished.is_empty(),
                    _ => group.read.is_none(),
                };
                if chooses && group.locked && group.along.is_empty() {
                    let others = state.pending(self, w, group.user).without(group.entries);
                    actions.extend(others.subsets().map(|ids| Action::TakeAlong(w, ids)));
                }
                if group.read.is_none() {
                    actions.push(Action::Read(w));
                } else if late && !self.is_locked(state, group.user) {
                    actions.push(Action::Lock(w));
                } else if !late && group.finished.is_empty() {
                    actions.push(Action::Finish(w));
                } else if !late {
                    actions.push(Action::Commit(w));
                }
                if self.groups_fail && group.finished.is_empty() {
                    actions.push(Action::GroupFails(w));
                }
                if budget.orphans > 0 && state.orphan.is_none() {
                    actions.push(Action::LosesTouch(w));
                }
            }
            Worker::Failed(claim, group) => {
                if !state.held(self, claim, *group).meets(state.row_locked(self)) {
                    actions.push(Action::RecordFailure(w));
                }
            }
            Worker::Interrupted(claim) => {
                if !state.held(self, claim, claim.left).meets(state.row_locked(self)) {
                    actions.push(Action::Release(w));
                }
            }
        }
        if budget.interruptions > 0 && !matches!(state.workers[w], Worker::Interrupted(_)) {
            actions.push(Action::Interrupt(w));
        }
        if budget.crashes > 0 {
            actions.push(Action::Crash(w));
        }
    }

    /// The step of one worker.
    fn work(&self, state: &mut State, w: usize, action: Action) {
        let next = match (action, state.workers[w]) {
            (Action::Claim(_, ids), _) => Worker::Walking(state.claim(self, ids)),
            (Action::Renew(_), Worker::Walking(claim)) => {
                if state.renew(self, &claim) {
                    Worker::Walking(claim)
                } else {
                    Worker::Interrupted(claim)
                }
            }
            (Action::Lock(_), Worker::Walking(claim)) => {
                let (user, entries) = self.group(state, &claim);
                let locked = self.variant != Variant::LockAfterRead;
                let (along, finished) = (Set::default(), Set::default());
                let (read, committing) = (None, false);
                let group =
                    Transaction { user, entries, locked, along, read, finished, committing };
                Worker::InGroup(claim, group)
            }
            (Action::Lock(_), Worker::InGroup(claim, group)) => {
                Worker::InGroup(claim, Transaction { locked: true, ..group })
            }
            (Action::LockTimesOut(_), Worker::Walking(claim)) => {
                state.budget.lock_timeouts -= 1;
                let (_, group) = self.group(state, &claim);
                state.release(self, &claim, group, self.backoff);
                claim.without(group)
            }
            (Action::TakeAlong(_, along), Worker::InGroup(claim, group)) => {
                Worker::InGroup(claim, Transaction { along, ..group })
            }
            (Action::Read(_), Worker::InGroup(claim, group)) => {
                let read = Some(state.database.raw);
                Worker::InGroup(claim, Transaction { read, ..group })
            }
            (Action::Finish(_), Worker::InGroup(claim, mut group)) => {
                if state.finish(self, &claim, &mut group) {
                    Worker::InGroup(claim, group)
                } else {
                    Worker::Interrupted(claim)
                }
            }
            (Action::Commit(_), Worker::InGroup(claim, group)) => {
                state.commit(self, &group);
                claim.without(group.entries)
            }
            (Action::LosesTouch(_), Worker::InGroup(claim, group)) => {
                state.budget.orphans -= 1;
                let committing = !group.finished.is_empty();
                state.orphan = Some(Transaction { committing, ..group });
                Worker::Interrupted(claim)
            }
            (Action::GroupFails(_), Worker::InGroup(claim, group)) => {
                for id in group.entries.iter() {
                    state.database.queue[id].iter_mut().for_each(|entry| {
                        entry.failures = self.max_attempts.min(entry.failures + 1);
                    });
                }
                Worker::Failed(claim, group.entries)
            }
            (Action::RecordFailure(_), Worker::Failed(claim, group)) => {
                state.fail(self, &claim, group);
                claim.without(group)
            }
            (
                Action::Interrupt(_),
                Worker::Walking(claim) | Worker::InGroup(claim, _) | Worker::Failed(claim, _),
            ) => {
                state.budget.interruptions -= 1;
                Worker::Interrupted(claim)
            }
            (Action::Release(_), Worker::Interrupted(claim)) => {
                state.release(self, &claim, claim.left, 0);
                Worker::Idle
            }
            (Action::Crash(_), _) => {
                state.budget.crashes -= 1;
                Worker::Idle
            }
            (_, unchanged) => unchanged,
        };
        state.workers[w] = next;
    }

    /// The step of the app.
    fn change(&self, state: &mut State, raw_id: u8, delete: bool) {
        state.budget.changes -= 1;
        let id = state.ids;
        state.ids += 1;
        state.raw_ids[usize::from(id)] = raw_id;
        let version = if delete { 0 } else { id + 1 };
        if let Some(slot) = state.open.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(Change { id, version });
        }
    }

    fn server_crash(&self, state: &mut State, durable: Database) {
        state.budget.server_crashes -= 1;
        let forgotten = self.variant == Variant::TokensFromSequence;
        let next_token = if forgotten { durable.next_token } else { state.database.next_token };
        state.database = Database { next_token, ..durable };
        state.open = [None; MOST_OPEN];
        state.orphan = None;
        for worker in &mut state.workers {
            if let Worker::InGroup(claim, _) = *worker {
                *worker = Worker::Interrupted(claim);
            }
        }
    }
}

impl Claim {
    /// Where a worker stands once a group of its claim is done.
    fn without(self, group: Set) -> Worker {
        let left = self.left.without(group);
        if left.is_empty() { Worker::Idle } else { Worker::Walking(Self { left, ..self }) }
    }
}

impl Model for Queue {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        assert!(self.users.len() <= MOST_ROWS && self.workers <= MOST_WORKERS);
        assert!(usize::from(self.budget.changes) <= MOST_CHANGES);
        let database = Database {
            raw: [0; MOST_ROWS],
            figures: [0; MOST_ROWS],
            queue: [None; MOST_CHANGES],
            next_token: 1,
            mark: 0,
        };
        vec![State {
            database,
            durable: (self.budget.server_crashes > 0).then_some(database),
            open: [None; MOST_OPEN],
            raw_ids: [0; MOST_CHANGES],
            ids: 0,
            workers: [Worker::Idle; MOST_WORKERS],
            orphan: None,
            claims: 0,
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
            Action::Change { raw_id, delete } => self.change(&mut state, raw_id, delete),
            Action::AppCommits(slot) => {
                if let Some(Change { id, version }) = state.open[slot].take() {
                    state.commit_change(self, id, version);
                }
            }
            Action::AppRollsBack(slot) => state.open[slot] = None,
            Action::Tick => {
                if !self.is_quiet(last) {
                    state.budget.delays -= 1;
                }
                let databases = std::iter::once(&mut state.database).chain(&mut state.durable);
                for entry in databases.flat_map(|of| of.queue.iter_mut().flatten()) {
                    entry.age();
                }
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
            Action::Claim(w, _)
            | Action::Renew(w)
            | Action::Lock(w)
            | Action::LockTimesOut(w)
            | Action::TakeAlong(w, _)
            | Action::Read(w)
            | Action::Finish(w)
            | Action::Commit(w)
            | Action::LosesTouch(w)
            | Action::GroupFails(w)
            | Action::RecordFailure(w)
            | Action::Interrupt(w)
            | Action::Release(w)
            | Action::Crash(w) => self.work(&mut state, w, action),
        }
        Some(state.canonical(self))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
