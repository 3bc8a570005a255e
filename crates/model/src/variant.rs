//! The queue as built, and variants that lack a part of it.

/// A variant of the queue. All but the first lose or repeat work, and the checker must find that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As in `crates/store`.
    AsBuilt,
    /// A claim chooses its heads without locking them.
    HeadsNotLocked,
    /// A change set is deleted by the transaction of its first date.
    DeletedByFirstDate,
    /// A transaction does not count its date in the sets that wait for a later date.
    DatesNotCounted,
    /// If a date of a change set fails, only the rows of that date are retried.
    RetriedInPart,
    /// Finish, fail, renew and release go by the ids alone.
    NoToken,
    /// A set is claimed again a lease after its claim, even if the lease was renewed.
    RescueByTimeAlone,
    /// A set with an expired lease is never claimed again.
    NoRescue,
    /// Each worker judges leases by its own clock. The clock of the second one is far ahead.
    WorkersClock,
    /// The raw rows are read before the lock of the user is granted.
    ReadBeforeLock,
    /// Groups take no lock of the user and rely on SKIP LOCKED.
    NoLock,
    /// No queue: all changes up to the largest id that was seen count as done.
    HighWaterMark,
    /// A group finishes every change set of the raw rows that it computed.
    FinishByRawRow,
    /// Sets are deleted in one transaction, the figures written in the next.
    TwoTransactions,
    /// An attempt is counted when a set is claimed.
    CountedWhenClaimed,
    /// A failure is not counted, so no attempt is the last.
    UncountedFailures,
    /// A lost lease is not counted, so a set never becomes dead for it.
    UncountedLostLeases,
}
