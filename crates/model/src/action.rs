//! What can happen next.

use crate::state::Bits;

/// One step. A worker is named by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A statement of the app changes these raw rows, which are of one user. Its transaction is open, so other
    /// sessions see neither the raw rows nor their change set.
    Change(Bits),
    /// The app commits: raw rows and change set become visible at the same moment.
    AppCommits(usize),
    /// The database's clock advances.
    Tick,
    /// The claim of a worker locks the heads of its batch.
    LockHeads(usize, Bits),
    /// The claim takes the rest of a dense hour along, marks all its sets and commits.
    Claim(usize),
    /// A worker gives up those of its sets whose lease expired too often.
    GiveUp(usize),
    /// A worker renews the lease of its batch.
    Renew(usize),
    /// A worker gets the lock of the user in a group's transaction.
    Lock(usize),
    /// A worker does not get that lock in time, and releases the group's sets with a pause.
    LockTimesOut(usize),
    /// A worker reads the raw rows.
    Read(usize),
    /// A worker writes the figures, deletes the sets for which this date is the last, and counts the date in
    /// the others. Not committed yet.
    Finish(usize),
    /// The commit is confirmed.
    Commit(usize),
    /// A worker gets no answer to COMMIT or another statement, and gives the connection up.
    GetNoAnswer(usize),
    /// The server commits the transaction that has no worker any more, as it was told to.
    OrphanCommits,
    /// The server rolls it back.
    OrphanRollsBack,
    /// The group fails and is rolled back.
    GroupFails(usize),
    /// The failed attempt is recorded.
    Fail(usize),
    /// The worker is told to stop or loses its connection. Its transaction is rolled back.
    Interrupt(usize),
    /// The worker releases the sets that are left.
    Release(usize),
    /// The worker dies. Its transaction is rolled back. Another worker starts in its place.
    Crash(usize),
    /// The server writes to its disk what was committed without waiting for it.
    WriteWal,
    /// The server dies and restarts without the commits that were not on its disk.
    ServerCrash,
}

impl Action {
    /// Whether it happens by itself as long as the server and some worker run. The others are optional.
    pub const fn is_progress(self) -> bool {
        !matches!(
            self,
            Self::Change(_)
                | Self::LockTimesOut(_)
                | Self::GetNoAnswer(_)
                | Self::GroupFails(_)
                | Self::Interrupt(_)
                | Self::Crash(_)
                | Self::Renew(_)
                | Self::WriteWal
                | Self::ServerCrash
        )
    }
}
