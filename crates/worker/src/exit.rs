//! Exit codes. 2, wrong usage, is clap's own.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

/// Everything was done.
pub const DONE: Exit = Exit(0);
/// It could not be done: database, configuration, files.
pub const COULD_NOT: Exit = Exit(1);
/// It was done, but groups failed, rows died, or lines of a file were refused.
pub const DONE_WITH_FAILURES: Exit = Exit(3);
/// `verify` found figures that differ, and did not put them right, or dates that dead rows keep it from
/// comparing.
pub const DRIFT: Exit = Exit(4);
/// A signal ended it before it was done, by the shells' convention 128 + SIGINT.
pub const INTERRUPTED: Exit = Exit(130);

/// Every exit code and what it means, for help and manual.
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
    /// The number that the shell sees.
    pub fn code(self) -> i32 {
        self.0.into()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
