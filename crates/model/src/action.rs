//! The steps of the model.

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
    /// The claim adds the rest of a dense hour, marks all its sets and commits.
    Claim(usize),
    /// A worker gives up those of its sets whose lease expired too often.
    GiveUp(usize),
    /// A worker renews the lease of its batch.
    Renew(usize),
    /// A worker gets the lock of the user in the transaction of a group.
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
    /// A worker gets no answer to COMMIT or another statement, and closes the connection.
    GetNoAnswer(usize),
    /// The server commits a transaction whose worker is gone, as the worker had asked.
    OrphanCommits,
    /// The server rolls back a transaction whose worker is gone.
    OrphanRollsBack,
    /// The group fails and is rolled back.
    GroupFails(usize),
    /// The failed attempt is recorded.
    Fail(usize),
    /// The worker is stopped or loses its connection. Its transaction is rolled back.
    Interrupt(usize),
    /// The worker releases the remaining sets.
    Release(usize),
    /// The worker dies. Its transaction is rolled back. Another worker starts in its place.
    Crash(usize),
    /// The server writes commits to its disk that did not wait for it.
    WriteWal,
    /// The server dies and restarts without the commits that were not on its disk.
    ServerCrash,
}

impl Action {
    /// Whether the step happens by itself as long as the server and some worker run. The other
    /// steps are optional.
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
