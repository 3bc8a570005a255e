//! What there is: the database as it is committed, and what is under way.

/// The most raw rows that a model may have.
pub const MOST_ROWS: usize = 3;

/// The most changes of raw rows, each of which has a row of its own in the queue.
pub const MOST_CHANGES: usize = 4;

/// The most workers.
pub const MOST_WORKERS: usize = 3;

/// The most transactions of the app that are open at once: two, to commit in another order than that
/// in which they took their ids.
pub const MOST_OPEN: usize = 2;

/// A version of each raw row, 0 where there is none: as facts, as read, or as it stands in the figures.
pub type Versions = [u8; MOST_ROWS];

/// `not_before` of a dead row.
pub const INFINITY: u8 = u8::MAX;

/// A set of ids of the queue, or of numbers of raw rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Set(u8);

impl Set {
    /// The set whose bits are these.
    pub const fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// With one more.
    #[must_use]
    pub const fn with(self, member: usize) -> Self {
        Self(self.0 | 1 << member)
    }

    /// Without the members of another set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has this member.
    pub const fn has(self, member: usize) -> bool {
        self.0 & 1 << member != 0
    }

    /// Whether it has all members of another set.
    pub const fn has_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether it has a member in common with another set.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
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

impl FromIterator<usize> for Set {
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

/// A row of `aggregation_queue`. Instants count from the database's present, so that its clock need
/// not be part of the state: 0 is now or earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// Which raw row was changed.
    pub raw_id: u8,
    /// Where it stands.
    pub state: QueueState,
    /// Whose it is; 0 without a claim.
    pub lease_token: u8,
    /// When its claim ends.
    pub lease_expires_at: u8,
    /// How often it failed, as far as the database knows.
    pub attempts: u8,
    /// Not claimed before.
    pub not_before: u8,
    /// Not in the database: the claim it belongs to, which is never the same twice.
    pub claim: u8,
    /// Not in the database: how often its group failed, as opposed to being interrupted, as far as
    /// that matters.
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
    pub queue: [Option<Entry>; MOST_CHANGES],
    /// The sequence `aggregation_lease`.
    pub next_token: u8,
    /// Up to which id all is done, where a mark stands in for the queue
    /// ([`Variant::HighWaterMark`](crate::Variant::HighWaterMark)).
    pub mark: u8,
}

/// A transaction of the app that is open: it took its id, and nobody sees its raw row or its row of
/// the queue yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    /// `aggregation_queue.id`.
    pub id: u8,
    /// The version that the raw row gets; 0: it is deleted.
    pub version: u8,
}

/// What a worker knows of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The lease token.
    pub token: u8,
    /// Not known to anybody: which claim it is.
    pub number: u8,
    /// The ids that are not done yet.
    pub left: Set,
}

/// The transaction of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Transaction {
    /// Whose rows.
    pub user: u8,
    /// The ids of the group.
    pub entries: Set,
    /// It holds the lock of the user.
    pub locked: bool,
    /// The ids that nobody has claimed and that it takes along.
    pub along: Set,
    /// The raw rows as its snapshot shows them.
    pub read: Option<Versions>,
    /// The ids it has deleted, whose row locks it holds.
    pub finished: Set,
    /// COMMIT was sent.
    pub committing: bool,
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Worker {
    /// Without a claim. It may have just been started.
    Idle,
    /// Between two groups: it has a claim and no connection.
    Walking(Claim),
    /// In the transaction of a group.
    InGroup(Claim, Transaction),
    /// A group failed and was rolled back; its attempt is not recorded yet.
    Failed(Claim, Set),
    /// Interrupted; what is left is not given back yet.
    Interrupted(Claim),
}

/// What may still happen, so that there are only so many histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Budget {
    /// A raw row is inserted, corrected or deleted.
    pub changes: u8,
    /// A worker dies.
    pub crashes: u8,
    /// A worker is told to stop, or loses its connection.
    pub interruptions: u8,
    /// The worker does not hear of its transaction any more, and the server goes on with it.
    pub orphans: u8,
    /// All that is under way stands still while time passes.
    pub delays: u8,
    /// A lock is waited for in vain.
    pub lock_timeouts: u8,
    /// The server dies, and with it what it had not yet written.
    pub server_crashes: u8,
}

/// What must never have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wrongs {
    /// Somebody finished, failed, renewed or released what was not claimed by it.
    pub touched_anothers: bool,
    /// Somebody claimed what another one held, by the database's clock.
    pub robbed: bool,
}

/// Everything at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What is committed.
    pub database: Database,
    /// What is committed and on the disk, where the server may die.
    pub durable: Option<Database>,
    /// What the app has not committed yet.
    pub open: [Option<Change>; MOST_OPEN],
    /// The raw row of each id that was given out.
    pub raw_ids: [u8; MOST_CHANGES],
    /// How many ids were given out.
    pub ids: u8,
    /// The workers.
    pub workers: [Worker; MOST_WORKERS],
    /// A transaction that its worker does not hear of any more.
    pub orphan: Option<Transaction>,
    /// How many claims there were.
    pub claims: u8,
    /// What may still happen.
    pub budget: Budget,
    /// What must not have happened.
    pub wrongs: Wrongs,
}
