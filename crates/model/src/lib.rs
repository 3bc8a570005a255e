//! The queue as a model, small enough that every history of it is tried.
//!
//! Tests force the races that somebody thought of. Here a checker walks through all orders in which
//! an app, two or three workers, a server and their accidents can take their steps, and looks in each
//! state whether the [`properties`] hold. `tests/as_built.rs` has the sizes that belong to
//! the test suite, `just model` the larger ones; `tests/variants.rs` takes away one part of the queue
//! after another and asserts that the checker finds what goes wrong.
//!
//! # What stands for what
//!
//! | [`Action`] | SQL | code |
//! |---|---|---|
//! | `Change`, `AppCommits`, `AppRollsBack` | the app's transaction; the triggers `queue_inserted`, `queue_updated`, `queue_deleted` insert its queue row, whose `id` is taken before the commit | `migrations/…aggregation_queue` |
//! | `Claim` | `ClaimOldest`, `ClaimNewest`: due rows, `FOR UPDATE SKIP LOCKED`, a token, an expiry; of rows that are claimed, those whose lease ran out: the rescue | `Store::claim` |
//! | `Renew` | `RenewLease` | `Lease::keep`, `Store::renew` |
//! | `Lock` | `BEGIN`, `LockUser` | `Store::begin_group` |
//! | `LockTimesOut` | `LockUser` ends by `lock_timeout`, then `ReleaseEntries` with a pause | `Walk::first`, `Store::release` |
//! | `TakeAlong` | `FindAlong`: due rows that nobody has claimed, `FOR UPDATE SKIP LOCKED`, under the lock of the user and before the raw rows are read | `GroupTransaction::find_along` |
//! | `Read` | the reads of a group, each with a snapshot of its own (READ COMMITTED) | `group::figures`, `vitals::aggregate`, … |
//! | `Finish` | the figures' writes, then `TakeOff` and `TakeOffAlong`; all of it seen by nobody yet | `GroupTransaction::finish` |
//! | `Commit` | `COMMIT`, confirmed | `GroupTransaction::commit` |
//! | `LosesTouch` | `COMMIT`, or a statement before it, without an answer | `group_patience`, `Stop::overdue` |
//! | `OrphanCommits`, `OrphanRollsBack` | what the server makes of that transaction, maybe much later; until then it keeps its locks | |
//! | `GroupFails`, `RecordFailure` | `ROLLBACK`, then `FailEntries` | `GroupTransaction::rolled_back`, `Store::fail` |
//! | `Interrupt`, `Release` | the session ends; `ReleaseEntries` | `ErrorClass::is_interruption`, `batch::give_back` |
//! | `Crash` | the session ends, and nobody gives back | |
//! | `Tick` | `clock_timestamp()` goes on: by itself when nobody has anything to do, else as often as [`Budget::delays`] says: then every worker is suspended meanwhile | |
//! | `ServerCrash`, `WriteWal` | what was committed with `synchronous_commit = off` is lost, until it is written; the app's commits write all before them | `session.synchronous_commit` |
//!
//! # What it leaves out
//!
//! - A group reads and writes the figures of the raw rows behind its queue rows and no others, as if
//!   each were an hour of its own. The code reads the whole hour or date, so it may see more, never less.
//! - A claim takes any due rows, in any number: `ORDER BY`, windows and the size of a batch only choose
//!   among these.
//! - A deadlock or a serialization failure runs the group again: a transaction that was never there.
//! - The server's clock never goes back. After it did, `DateBack` makes rows due that lie in the future, and a
//!   claim takes a lease that ends in more than an hour for void: a lease that ends early, which is `Tick`.
//! - Instants are counted in ticks from the present. A tick may be as long as a lease.
//! - `requeue`, `backfill` and `verify --repair` insert queue rows as the app does, or hold the lock of
//!   the user while they read and write.
//!
//! That every run ends, and ends with nothing left to do, is not left to the checker: see [`Ends`].

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
    Budget, Change, Claim, Database, Entry, INFINITY, MOST_CHANGES, MOST_OPEN, MOST_ROWS,
    MOST_WORKERS, QueueState, Set, State, Transaction, Versions, Worker, Wrongs,
};
pub use variant::Variant;
