//! The queue as it is, and the queues that it could have been.

/// How the queue works. All but one lose or repeat something, and the checker must find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As in `crates/store`.
    AsBuilt,
    /// Finish, fail, renew and release go by the ids alone.
    NoToken,
    /// Each worker judges leases by its own clock. That of the second one is far ahead.
    WorkersClock,
    /// The raw rows are read before the lock of the user is granted.
    LockAfterRead,
    /// What is taken along is chosen when the raw rows are read already.
    AlongAfterRead,
    /// What is taken along is not locked until it goes off the queue, whether somebody has claimed it
    /// meanwhile or not.
    AlongUnlocked,
    /// No lock of the user at all: SKIP LOCKED is thought to be enough.
    NoLock,
    /// No queue: everything up to the largest id that was seen is taken for done.
    HighWaterMark,
    /// Done is whatever row of the queue belongs to the raw rows that were computed.
    FinishByRawRow,
    /// Rows are taken off the queue in one transaction, the figures written in the next.
    TwoTransactions,
    /// An attempt is counted when a row is claimed.
    CountedWhenClaimed,
    /// A failure is not counted, and has no last attempt.
    UncountedFailures,
    /// What a worker claimed is left to it, whether its lease has run out or not.
    NoRescue,
    /// Tokens come from the sequence alone, which a server that dies may have to count again: what
    /// the workers commit is on its disk a little later.
    TokensFromSequence,
}
