//! What is committed, and what is under way.

/// The maximum number of raw rows.
pub const MAX_ROWS: usize = 3;

/// The maximum number of changes by the app, each of which has a change set.
pub const MAX_SETS: usize = 4;

/// The maximum number of workers.
pub const MAX_WORKERS: usize = 3;

/// The maximum number of open transactions of the app: two, so that they can commit in another order than
/// that of their ids.
pub const MAX_OPEN: usize = 2;

/// A version of each raw row, 0 where there is none: as facts, as read, or as the figures have it.
pub type Versions = [u8; MAX_ROWS];

/// A user and a local date: the rows of one transaction.
pub type Group = (u8, u8);

/// `not_before` of a dead set.
pub const INFINITY: u8 = u8::MAX;

/// Some ids of change sets, or some numbers of raw rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bits(u8);

impl Bits {
    /// With one more.
    #[must_use]
    pub const fn with(self, member: usize) -> Self {
        Self(self.0 | 1 << member)
    }

    /// With the members of another.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members that another has, too.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Without the members of another.
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

    /// Whether it has a member in common with another.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many it has.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Its members, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..8).filter(move |member| self.has(*member))
    }

    /// Its subsets that are not empty.
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
    /// To be claimed, from `not_before` on.
    Pending,
    /// Claimed.
    Processing,
    /// Given up.
    Dead,
}

/// A row of `aggregation_queue`. Instants count from the database's present, so that its clock is no part
/// of the state: 0 is now or earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeSet {
    /// Pending, processing or dead.
    pub state: QueueState,
    /// The claim that holds it; 0 without one.
    pub lease_token: u8,
    /// When its lease expires.
    pub lease_expires_at: u8,
    /// When it may be claimed by another worker: as its lease says, but for
    /// [`Variant::RescueByTimeAlone`](crate::Variant::RescueByTimeAlone).
    pub rescue_at: u8,
    /// How often it failed, as far as the database knows.
    pub attempts: u8,
    /// How often its lease expired.
    pub lost_leases: u8,
    /// Not claimed before.
    pub not_before: u8,
    /// Its raw rows whose dates the batch has committed. The code counts the dates: `dates_done`.
    pub done: Bits,
    /// Not in the database: how often one of its groups failed, up to the last attempt.
    pub failures: u8,
}

/// What is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Database {
    /// The facts: the version of each raw row.
    pub raw: Versions,
    /// The figures: the version of each raw row that is in them.
    pub figures: Versions,
    /// `aggregation_queue`, by id.
    pub queue: [Option<ChangeSet>; MAX_SETS],
    /// Up to which id all changes count as done, where a mark replaces the queue
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
    /// It holds the lock of the user.
    pub locked: bool,
    /// The raw rows as its snapshot shows them.
    pub read: Option<Versions>,
    /// Once the figures are written, and the row locks of its sets are held: the sets that it has deleted.
    pub finished: Option<Bits>,
}

/// A worker's step in the walk of a batch.
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
    /// Interrupted; the sets that are left are not released yet.
    Interrupted(Claim),
}

impl Worker {
    /// Its batch.
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

/// How often each kind of trouble may still happen, so that the number of histories is finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Budget {
    /// A statement changes raw rows.
    pub changes: u8,
    /// A worker dies.
    pub crashes: u8,
    /// A worker is told to stop, or loses its connection.
    pub interruptions: u8,
    /// The worker gets no answer, and the server goes on with its transaction.
    pub orphans: u8,
    /// Everything under way is suspended while time passes.
    pub delays: u8,
    /// A lock is not granted in time.
    pub lock_timeouts: u8,
    /// The server dies and loses the commits that were not on its disk.
    pub server_crashes: u8,
}

/// What must never have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wrongs {
    /// A worker finished, failed, renewed or released a set that it did not hold.
    pub touched_anothers: bool,
    /// A worker claimed a set that another one held, by the database's clock.
    pub robbed: bool,
}

/// Everything at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What is committed.
    pub database: Database,
    /// What is committed and on the disk, where the server may die.
    pub durable: Option<Database>,
    /// The app's open transactions, each with the id of its change set.
    pub open: [Option<u8>; MAX_OPEN],
    /// The raw rows of each change set.
    pub rows: [Bits; MAX_SETS],
    /// How many ids of change sets were given out.
    pub ids: u8,
    /// The workers.
    pub workers: [Worker; MAX_WORKERS],
    /// A transaction whose worker gave the connection up.
    pub orphan: Option<Transaction>,
    /// What may still go wrong.
    pub budget: Budget,
    /// What must not have happened.
    pub wrongs: Wrongs,
}
