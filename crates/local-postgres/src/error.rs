//! What can go wrong, each in one line that says what, where and what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no private PostgreSQL server.
///
/// The messages are complete: causes are part of the line, not of a chain of sources,
/// so that a caller can print one line and be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalPostgresError {
    /// No server programs on this machine, and none may be installed.
    #[error(
        "PostgreSQL's server programs (initdb and postgres) were not found: \
         install them with `apt-get install postgresql` as root (Debian, Ubuntu), \
         `dnf install postgresql-server` (Fedora) or `brew install postgresql@17` (macOS), \
         or set PG_BIN_DIR to the folder that holds them"
    )]
    NotFound,

    /// `PG_BIN_DIR` is set, but names a folder without working server programs.
    #[error(
        "PG_BIN_DIR is {directory}, but {why}: \
         set it to the folder that holds PostgreSQL's initdb and postgres, or unset it"
    )]
    WrongBinDir {
        /// The folder that `PG_BIN_DIR` names.
        directory: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// The package could not be installed.
    #[error(
        "`apt-get install postgresql` failed: {output}: install PostgreSQL by hand, \
         or set PG_BIN_DIR to the folder that holds its initdb and postgres"
    )]
    Install {
        /// The last lines that apt-get printed, or why it could not be run.
        output: String,
    },

    /// The package is installed, yet its programs are nowhere to be found.
    #[error(
        "`apt-get install postgresql` succeeded, but initdb and postgres are still not found: \
         set PG_BIN_DIR to the folder that holds them"
    )]
    InstalledButNotFound,

    /// Nobody to run the server as.
    #[error(
        "cannot tell which user to run PostgreSQL as: {why}: \
         start as an ordinary user, or create one with `useradd --system postgres`"
    )]
    NoAccount {
        /// What was looked for in vain.
        why: String,
    },

    /// No folder is fit to hold the server's folder.
    #[error(
        "no place for the server's folder: {tried}: \
         set TMPDIR to a short path where the user {user} may create files"
    )]
    NoPlace {
        /// Each place that was tried and what is wrong with it.
        tried: String,
        /// The user that the server runs as.
        user: String,
    },

    /// The server's folder could not be made, or a file in it.
    #[error("cannot prepare {path}: {error}: check the free space and the permissions there")]
    Prepare {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },

    /// A process could not be started, signalled or waited for.
    #[error(
        "cannot {action} as the user {user}: {error}: \
         check the limit on processes and that the user may run programs"
    )]
    Process {
        /// What was attempted, for example `run /bin/sh`.
        action: String,
        /// The user that it was to run as.
        user: String,
        /// What the system said.
        error: io::Error,
    },

    /// A program ended before it had done its work.
    #[error(
        "{program} in {directory} failed ({status}) and said: {log}: \
         put that right; the user {user} must be able to run it, and needs space on the disk"
    )]
    Failed {
        /// The program, with its path.
        program: PathBuf,
        /// The server's folder; it is already removed if the first start failed.
        directory: PathBuf,
        /// How it ended.
        status: String,
        /// The last lines of the log, on one line.
        log: String,
        /// The user that the program ran as.
        user: String,
    },

    /// A program did not do its work in time.
    #[error(
        "{program} in {directory} was not {awaited} after {} s and said: {log}: \
         check the load of the machine and try again",
        .patience.as_secs()
    )]
    TooSlow {
        /// The program, with its path.
        program: PathBuf,
        /// The server's folder.
        directory: PathBuf,
        /// What was waited for: `ready`, `done` or `stopped`.
        awaited: &'static str,
        /// How long it was waited for.
        patience: Duration,
        /// The last lines of the log, on one line.
        log: String,
    },
}
