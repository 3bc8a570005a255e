//! A private, throw-away PostgreSQL server, for `worker demo` and for the tests.
//!
//! [`Binaries`] finds PostgreSQL's server programs, or installs them. [`LocalPostgres`] runs one
//! server in a folder of its own. The server is reachable only through a Unix socket in that
//! folder.
//!
//! ```no_run
//! use local_postgres::{Binaries, LocalPostgres};
//!
//! # fn main() -> Result<(), local_postgres::LocalPostgresError> {
//! let binaries = Binaries::find_or_install(|line| println!("{line}"))?;
//! let server = LocalPostgres::start(&binaries)?;
//! println!("{}", server.url("postgres"));
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - **The server does not outlive its owner.** Dropping [`LocalPostgres`] stops the server and
//!   removes its folder. If an owner cannot drop it (Ctrl-C, `kill -9`, abort), a *guardian* does
//!   the same. It is a small shell process that reads from a pipe which only the owner holds open,
//!   and acts when the pipe closes.
//! - **No leftovers stay for long.** If the guardian is killed, too, the next start removes the
//!   folder. It removes a folder only if its lock is free. The kernel frees the lock when the owner
//!   dies, never before.
//! - **Starts do not disturb each other**, in one process or in several: every server has its own
//!   folder, socket and process group, and no TCP port.
//! - **Only a server that is kept stays**: [`LocalPostgres::start_at`] makes it in a folder of the
//!   caller's choice, and [`LocalPostgres::keep`] stops it and lets the folder stay.
//! - **It works as root**, although PostgreSQL refuses to: the server then runs as the user
//!   `postgres`, or `nobody`, with no supplementary groups.
//!
//! # Limits
//!
//! `fsync` is off. A crash of the server loses no committed data, but a crash of the machine may
//! lose everything, which is acceptable for a throw-away server.

mod account;
mod binaries;
mod error;
mod folder;
mod guardian;
mod install;
mod log;
mod server;

pub use binaries::Binaries;
pub use error::LocalPostgresError;
pub use server::{Kept, LocalPostgres, Shutdown};
