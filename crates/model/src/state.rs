//! The state: committed data, and work in progress.

/// The maximum number of raw rows.
pub const MAX_ROWS: usize = 3;

/// The maximum number of changes by the app, each of which has a change set.
pub const MAX_SETS: usize = 4;

/// The maximum number of workers.
pub const MAX_WORKERS: usize = 3;

/// The maximum number of open transactions of the app. Two are enough to commit in another order
/// than that of their ids.
pub const MAX_OPEN: usize = 2;

/// A version of each raw row, 0 if there is none: in the raw table, in a snapshot, or in the
/// figures.
pub type Versions = [u8; MAX_ROWS];

/// A user and a local date: the rows of one transaction.
pub type Group = (u8, u8);

/// `not_before` of a dead set.
pub const INFINITY: u8 = u8::MAX;

/// A set of ids of change sets, or of numbers of raw rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bits(u8);

impl Bits {
    /// This set with one more member.
    #[must_use]
    pub const fn with(self, member: usize) -> Self {
        Self(self.0 | 1 << member)
    }

    /// The union with another set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The intersection with another set.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The difference from another set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has this member.
    pub const fn has(self, member: usize) -> bool {
        self.0 & 1 << member != 0
    }

    /// Whether it has all members of another.
    pub const fn has_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether it shares a member with another set.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it has no members.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The number of members.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Its members, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..8).filter(move |member| self.has(*member))
    }

    /// Its non-empty subsets.
    pub fn subsets(self) -> impl Iterator<Item = Self> {
        (1..=self.0).map(Self).filter(move |subset| self.has_all(*subset))
    }
}

impl FromIterator<usize> for Bits {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        members.into_iter().fold(Self::default(), Self::with)
    }
}

/// `aggregation_queue.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueState {
    /// Waits to be claimed, from `not_before` on.
    Pending,
    /// Claimed by a worker.
    Processing,
    /// Dead after the last attempt.
    Dead,
}

/// A row of `aggregation_queue`. Instants are relative to the database's present, so that the clock
/// is no part of the state: 0 is now or earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeSet {
    /// Pending, processing or dead.
    pub state: QueueState,
    /// The claim that holds it; 0 without one.
    pub lease_token: u8,
    /// The instant at which its lease expires.
    pub lease_expires_at: u8,
    /// The instant from which another worker may claim it. It equals the expiry of the lease,
    /// except for [`Variant::RescueByTimeAlone`](crate::Variant::RescueByTimeAlone).
    pub rescue_at: u8,
    /// The number of failed attempts that the database has recorded.
    pub attempts: u8,
    /// The number of expired leases.
    pub lost_leases: u8,
    /// The set is not claimed before this instant.
    pub not_before: u8,
    /// Its raw rows whose dates the batch has committed. The code counts the dates: `dates_done`.
    pub done: Bits,
    /// The number of failures of one of its groups, up to the last attempt. It is not in the
    /// database.
    pub failures: u8,
}

/// The committed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Database {
    /// The facts: the version of each raw row.
    pub raw: Versions,
    /// The figures: the version of each raw row that is in them.
    pub figures: Versions,
    /// `aggregation_queue`, by id.
    pub queue: [Option<ChangeSet>; MAX_SETS],
    /// The id up to which all changes count as done, if a mark replaces the queue
    /// ([`Variant::HighWaterMark`](crate::Variant::HighWaterMark)).
    pub mark: u8,
}

/// The batch of a worker, as the worker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The lease token.
    pub token: u8,
    /// The sets that are not finished yet.
    pub left: Bits,
    /// Their raw rows whose dates this batch has committed.
    pub done: Bits,
}

/// The transaction of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Transaction {
    /// User and date.
    pub group: Group,
    /// The sets with rows in it.
    pub sets: Bits,
    /// Whether it holds the lock of the user.
    pub locked: bool,
    /// The raw rows as its snapshot shows them.
    pub read: Option<Versions>,
    /// The sets that it has deleted, once the figures are written and the row locks of its sets are
    /// held.
    pub finished: Option<Bits>,
}

/// The state of a worker while it processes a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Worker {
    /// Without a claim. It may have just been started.
    Idle,
    /// In the claim's statement, with the heads chosen.
    Claiming(Bits),
    /// Between two groups: it has a claim and no connection.
    Claimed(Claim),
    /// In the transaction of a group.
    InGroup(Claim, Transaction),
    /// A group with these sets failed and was rolled back; the attempt is not recorded yet.
    Failed(Claim, Bits),
    /// Interrupted; the remaining sets are not released yet.
    Interrupted(Claim),
}

impl Worker {
    /// Its batch, if it has one.
    pub const fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Idle | Self::Claiming(_) => None,
            Self::Claimed(claim)
            | Self::InGroup(claim, _)
            | Self::Failed(claim, _)
            | Self::Interrupted(claim) => Some(claim),
        }
    }

    pub(crate) const fn claim_mut(&mut self) -> Option<&mut Claim> {
        match self {
            Self::Idle | Self::Claiming(_) => None,
            Self::Claimed(claim)
            | Self::InGroup(claim, _)
            | Self::Failed(claim, _)
            | Self::Interrupted(claim) => Some(claim),
        }
    }
}

/// The number of times that each kind of failure may still happen, so that the number of histories
/// is finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Budget {
    /// A statement changes raw rows.
    pub changes: u8,
    /// A worker dies.
    pub crashes: u8,
    /// A worker is stopped, or loses its connection.
    pub interruptions: u8,
    /// A worker gets no answer, and the server continues with its transaction.
    pub orphans: u8,
    /// All work is suspended while time passes.
    pub delays: u8,
    /// A lock is not granted in time.
    pub lock_timeouts: u8,
    /// The server dies and loses the commits that were not on its disk.
    pub server_crashes: u8,
}

/// Violations, recorded for the properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wrongs {
    /// A worker finished, failed, renewed or released a set that it did not hold.
    pub touched_anothers: bool,
    /// A worker claimed a set of another worker's valid lease, by the database's clock.
    pub robbed: bool,
}

/// The whole state at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The committed data.
    pub database: Database,
    /// The data on the disk, if the server may die.
    pub durable: Option<Database>,
    /// The app's open transactions, each with the id of its change set.
    pub open: [Option<u8>; MAX_OPEN],
    /// The raw rows of each change set.
    pub rows: [Bits; MAX_SETS],
    /// The number of ids of change sets that were given out.
    pub ids: u8,
    /// The workers.
    pub workers: [Worker; MAX_WORKERS],
    /// A transaction whose worker closed the connection.
    pub orphan: Option<Transaction>,
    /// The failures that may still happen.
    pub budget: Budget,
    /// Violations that have happened.
    pub wrongs: Wrongs,
}
