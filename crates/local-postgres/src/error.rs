//! The errors: each message is one line with the problem, the place and the remedy.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The reason why a private PostgreSQL server is not available.
///
/// The messages are complete: they include their causes instead of a chain of sources, so a caller
/// prints one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalPostgresError {
    /// This machine has no server programs, and none may be installed.
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
        /// The problem with the folder.
        why: String,
    },

    /// The package could not be installed.
    #[error(
        "`apt-get install postgresql` failed: {output}: install PostgreSQL by hand, \
         or set PG_BIN_DIR to the folder that holds its initdb and postgres"
    )]
    Install {
        /// The last lines that apt-get printed, or the error of its start.
        output: String,
    },

    /// The package is installed, but its programs are not found.
    #[error(
        "`apt-get install postgresql` succeeded, but initdb and postgres are still not found: \
         set PG_BIN_DIR to the folder that holds them"
    )]
    InstalledButNotFound,

    /// No user to run the server as.
    #[error(
        "cannot tell which user to run PostgreSQL as: {why}: \
         start as an ordinary user, or create one with `useradd --system postgres`"
    )]
    NoAccount {
        /// The reason, for example the users that were not found.
        why: String,
    },

    /// No folder is suitable to hold the server's folder.
    #[error(
        "no place for the server's folder: {tried}: \
         set TMPDIR to a short path where the user {user} may create files"
    )]
    NoPlace {
        /// Each folder that was tried, with its problem.
        tried: String,
        /// The user that the server runs as.
        user: String,
    },

    /// The folder that the caller named is not suitable to hold the server's folder.
    #[error(
        "no place for the server: {place} {objection}: name a folder with a short path where the user \
         {user} may create files"
    )]
    WrongPlace {
        /// The folder.
        place: PathBuf,
        /// The problem with it.
        objection: &'static str,
        /// The user that the server runs as.
        user: String,
    },

    /// The files of a server cannot be written to the disk.
    #[error("the server's files in {directory} cannot be kept: {why}")]
    Keep {
        /// The server's folder.
        directory: PathBuf,
        /// The reason.
        why: String,
    },

    /// The server's folder, or a file in it, cannot be created.
    #[error("cannot prepare {path}: {error}: check the free space and the permissions there")]
    Prepare {
        /// The folder or file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },

    /// A process could not be started, signalled or waited for.
    #[error(
        "cannot {action} as the user {user}: {error}: \
         check the limit on processes and that the user may run programs"
    )]
    Process {
        /// The attempted action, for example `run /bin/sh`.
        action: String,
        /// The user that it was to run as.
        user: String,
        /// The error of the operating system.
        error: io::Error,
    },

    /// A program ended too early.
    #[error(
        "{program} in {directory} failed ({status}) and said: {log}: \
         put that right; the user {user} must be able to run it, and needs space on the disk"
    )]
    Failed {
        /// The program, with its path.
        program: PathBuf,
        /// The server's folder; it is already removed if the first start failed.
        directory: PathBuf,
        /// Its exit status or signal.
        status: String,
        /// The last lines of the log, on one line.
        log: String,
        /// The user that the program ran as.
        user: String,
    },

    /// A program did not finish in time.
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
        /// The awaited state: `ready`, `done` or `stopped`.
        awaited: &'static str,
        /// The time-out.
        patience: Duration,
        /// The last lines of the log, on one line.
        log: String,
    },
}
