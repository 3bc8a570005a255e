//! A private, throw-away PostgreSQL server, for `worker demo` and for the tests.
//!
//! [`Binaries`] finds PostgreSQL's server programs, or installs them; [`LocalPostgres`]
//! runs one server in a folder of its own, reachable through a Unix socket in that folder
//! and by nothing else.
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
//! # What holds
//!
//! - **The server does not outlive its owner.** Dropping [`LocalPostgres`] stops the server
//!   and removes its folder. An owner that cannot drop it (Ctrl-C, `kill -9`, abort) is
//!   stood in for by a *guardian*: a small shell process that reads from a pipe which only
//!   the owner holds open, and that does the same once the pipe closes.
//! - **Nothing is left behind for long.** Should the guardian be killed as well, the next
//!   start sweeps the folder. A folder is ours to sweep only when its lock is free, and the
//!   kernel frees the lock when the owner dies, never before.
//! - **Starts do not disturb each other**, in one process or in several: every server has
//!   its own folder, socket and process group, and no TCP port.
//! - **It works as root**, although PostgreSQL refuses to: the server then runs as the user
//!   `postgres`, or `nobody`, with no supplementary groups.
//!
//! # What does not
//!
//! `fsync` is off: a crash of the server loses nothing that was committed, a crash of the
//! machine may lose everything. That is what throw-away means.

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
pub use server::{LocalPostgres, Shutdown};
