//! What can happen next.

use crate::state::Set;

/// One step. A worker is named by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The app inserts or corrects a raw row, or deletes it. Nobody sees it yet.
    Change {
        /// Which raw row.
        raw_id: u8,
        /// It is deleted.
        delete: bool,
    },
    /// The app commits: raw row and queue row are seen at the same moment.
    AppCommits(usize),
    /// The app rolls back. Its id is never used.
    AppRollsBack(usize),
    /// The database's clock goes on.
    Tick,
    /// A worker claims some of the due rows.
    Claim(usize, Set),
    /// A worker holds its claim for longer.
    Renew(usize),
    /// A worker begins a group's transaction, or goes on in it: it gets the lock of the user.
    Lock(usize),
    /// A worker waits for that lock in vain, and leaves the group for later.
    LockTimesOut(usize),
    /// A worker, which has the lock, chooses rows of the user that nobody has claimed, to take them off the
    /// queue with its own.
    TakeAlong(usize, Set),
    /// A worker reads the raw rows.
    Read(usize),
    /// A worker takes the group's rows off the queue, not committed yet.
    Finish(usize),
    /// The commit is confirmed.
    Commit(usize),
    /// The worker sends COMMIT, or some other statement, and never hears of it again.
    LosesTouch(usize),
    /// The server goes on with a transaction without its worker: commits it if it was told to.
    OrphanCommits,
    /// The server rolls it back.
    OrphanRollsBack,
    /// The group fails and is rolled back.
    GroupFails(usize),
    /// The failed attempt is recorded.
    RecordFailure(usize),
    /// The worker is told to stop or loses its connection; its transaction is rolled back.
    Interrupt(usize),
    /// It gives back what is left.
    Release(usize),
    /// The worker dies; its transaction is rolled back. Another one is started in its place.
    Crash(usize),
    /// The server writes what was committed without waiting for the disk.
    WriteWal,
    /// The server dies and comes back without what it had not written.
    ServerCrash,
}

impl Action {
    /// Whether it happens of itself as long as the server and some worker run. The others may
    /// happen or not.
    pub const fn is_progress(self) -> bool {
        !matches!(
            self,
            Self::Change { .. }
                | Self::LockTimesOut(_)
                | Self::TakeAlong(..)
                | Self::LosesTouch(_)
                | Self::GroupFails(_)
                | Self::Interrupt(_)
                | Self::Crash(_)
                | Self::Renew(_)
                | Self::WriteWal
                | Self::ServerCrash
        )
    }
}
