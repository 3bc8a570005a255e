//! The queue as a model, small enough that a checker explores every history of it.
//!
//! A test forces one race. The checker explores all orders of the steps of an app, two or three
//! workers and a server, including failures. In each state it checks the [`properties`].
//! `tests/as_built.rs` has the sizes for the test suite, `just model` the larger ones.
//! `tests/variants.rs` removes one part of the queue after another and asserts that the checker
//! finds the counterexample.
//!
//! # The protocol
//!
//! A row of the queue is a **change set**: raw rows of one user that one statement changed.
//!
//! - A **claim** locks the heads of its batch, so claims are disjoint between tasks and processes.
//!   If a full batch lies within one hour of one user, the claim adds the hour's other due sets. It
//!   marks all of them with one token and one lease.
//! - A worker processes a batch by user and local date, one transaction for each: lock the user,
//!   read, write, **finish**. The transaction of a set's last date in the batch deletes the set.
//!   The others count the date in it. Each presents the token of all its sets, and checks that the
//!   database counts the same dates as the worker. Commits do not wait for the disk, so a server
//!   that dies between two dates may have lost the first.
//! - If a date **fails**, its whole sets are retried, or are dead after the last attempt. Computing
//!   a date twice is harmless.
//! - If a batch is interrupted, its sets are **released**, and no attempt is counted.
//! - If a lease expires, another worker claims the set, and `lost_leases` counts it. Above the
//!   limit, the set is dead.
//!
//! # Steps, SQL and code
//!
//! | [`Action`] | SQL | code |
//! |---|---|---|
//! | `Change`, `AppCommits` | the app's transaction; its triggers insert the change set, whose `id` is taken before the commit | `migrations` |
//! | `LockHeads`, `Claim` | one statement: due sets, `FOR UPDATE SKIP LOCKED`; then `UPDATE` with token and expiry. A set whose lease expired is due | `Store::claim` |
//! | `GiveUp` | the claim's sets with too many `lost_leases` are dead | `suspects::isolate`, `Store::give_up` |
//! | `Renew` | a new expiry | `Lease::keep`, `Store::renew` |
//! | `Lock` | `BEGIN`, the lock of the user | `Store::begin_group` |
//! | `LockTimesOut` | the lock fails by `lock_timeout`; the group's sets are released with a pause | `Store::release` |
//! | `Read` | the reads of a group, each with a snapshot of its own (READ COMMITTED) | `group::figures`, `vitals::aggregate`, … |
//! | `Finish` | the figures' writes, then the sets; not visible to others yet | `GroupTransaction::finish` |
//! | `Commit` | `COMMIT`, confirmed | `GroupTransaction::commit` |
//! | `GetNoAnswer` | `COMMIT`, or a statement before it, without an answer | `group_patience`, `Stop::overdue` |
//! | `OrphanCommits`, `OrphanRollsBack` | the server ends that transaction, maybe much later; until then it keeps its locks | |
//! | `GroupFails`, `Fail` | `ROLLBACK`, then the attempt | `GroupTransaction::rolled_back`, `Store::fail` |
//! | `Interrupt`, `Release` | the session ends; the batch's sets are pending again | `Policy::is_interruption`, `Store::release` |
//! | `Crash` | the session ends, and no worker releases | |
//! | `Tick` | the database's clock: by itself when no worker has anything to do, else as often as [`Budget::delays`] says, with every worker suspended meanwhile | |
//! | `ServerCrash`, `WriteWal` | commits with `synchronous_commit = off` are lost until they are written; the app's commits write all before them | `session.synchronous_commit` |
//!
//! # Simplifications
//!
//! - A group reads and writes only the figures of its sets' raw rows, as if each row were an hour
//!   of its own. The code reads the whole hour or date, so it may see more, never less.
//! - A claim takes any due sets that fit in a batch: order and windows only choose among these.
//! - A deletion is a version of a raw row like any other. A rollback of the app only leaves an id
//!   unused.
//! - A deadlock or a serialization failure runs the group again, as if its transaction had never
//!   existed.
//! - The server's clock never goes back. In the code, a lease that would end in more than an hour
//!   is void, which equals an early end of the lease: `Tick`.
//! - Instants are counted in ticks from the present. A tick may be as long as a lease.
//! - From the second lost lease on, a group is processed alone, so that no other set loses a lease
//!   with it.
//! - `requeue`, `backfill` and `verify --repair` insert change sets as the app does, or hold the
//!   lock of the user while they read and write.
//!
//! The checker does not prove that every run ends with no work left: see [`Ends`].

mod action;
mod canonical;
mod ends;
pub mod properties;
mod queue;
mod state;
mod statements;
mod variant;

pub use action::Action;
pub use ends::Ends;
pub use queue::Queue;
pub use state::{
    Bits, Budget, ChangeSet, Claim, Database, Group, INFINITY, MAX_OPEN, MAX_ROWS, MAX_SETS,
    MAX_WORKERS, QueueState, State, Transaction, Versions, Worker, Wrongs,
};
pub use variant::Variant;
