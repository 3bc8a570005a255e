//! Exit codes. clap itself uses 2 for wrong usage.

use std::process::ExitCode;

/// The exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

/// The work is complete.
pub const DONE: Exit = Exit(0);
/// The work failed: database, configuration, files.
pub const COULD_NOT: Exit = Exit(1);
/// The work is complete, but groups failed, rows died, or lines of a file were refused.
pub const DONE_WITH_FAILURES: Exit = Exit(3);
/// `verify` found figures that differ and did not repair them, or dates that it cannot compare because
/// of dead rows.
pub const DRIFT: Exit = Exit(4);
/// A signal ended the work early. The code follows the shells' convention: 128 + SIGINT.
pub const INTERRUPTED: Exit = Exit(130);

/// Every exit code and its meaning, for help and manual.
pub const MEANINGS: [(u8, &str); 6] = [
    (DONE.0, "done"),
    (
        COULD_NOT.0,
        "could not: database, configuration, files, or users whom verify or backfill left out",
    ),
    (2, "wrong usage"),
    (DONE_WITH_FAILURES.0, "done, but groups failed, rows died, or lines of a file were left out"),
    (DRIFT.0, "verify found figures that differ, or dates that dead rows keep it from comparing"),
    (INTERRUPTED.0, "interrupted before it was done"),
];

impl Exit {
    /// The exit code of another process of the worker.
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The code as a byte.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// A higher one is worse: work that could not be done is worse than work that found something.
    pub fn severity(&self) -> u8 {
        match *self {
            DONE => 0,
            DONE_WITH_FAILURES => 1,
            DRIFT => 2,
            INTERRUPTED => 3,
            _ => 4,
        }
    }

    /// The code that the shell receives.
    pub fn code(self) -> i32 {
        self.0.into()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
