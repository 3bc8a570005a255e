//! What can go wrong with the database, in the classes that a caller acts on.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// What kind of trouble an error is. The class is what is logged and written to
/// `aggregation_queue.last_error`: a server's message may quote the row that it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The connection is gone, or the server does not take any: nothing is known to be wrong
    /// with the work, and no attempt is counted.
    ConnectionLost,
    /// Every connection of the pool was in use for the whole wait.
    PoolExhausted,
    /// Others changed something at the same time: done again, it may well succeed.
    Conflict,
    /// A lock was not granted in time: somebody holds it for long, and no row is to blame.
    Locked,
    /// A statement took longer than it may, or was cancelled.
    Timeout,
    /// The database is not as it must be: rights are missing, the schema is another one, the disk is
    /// full, or it is a standby that can only be read. No row is to blame.
    Environment,
    /// The lease was lost: another worker has the rows.
    LeaseLost,
    /// The server does not answer, though its own time-outs should have ended what was asked.
    NoAnswer,
    /// Somebody asked to stop, and what was running took too long.
    Stopped,
    /// A constraint refused the row.
    Refused,
    /// Any other error of the database, such as one that a trigger of the app raised.
    Database,
    /// A bug: the computation itself failed.
    Internal,
}

impl ErrorClass {
    /// The stable name used in logs and in the queue.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection_lost",
            Self::PoolExhausted => "pool_exhausted",
            Self::Conflict => "conflict",
            Self::Locked => "locked",
            Self::Timeout => "timeout",
            Self::Environment => "environment",
            Self::LeaseLost => "lease_lost",
            Self::NoAnswer => "no_answer",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
            Self::Database => "database",
            Self::Internal => "internal",
        }
    }

    /// Whether the work was interrupted rather than found impossible: it is given back without
    /// counting an attempt.
    pub const fn is_interruption(self) -> bool {
        matches!(
            self,
            Self::ConnectionLost
                | Self::PoolExhausted
                | Self::Environment
                | Self::LeaseLost
                | Self::NoAnswer
                | Self::Stopped
        )
    }
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed a statement.
    #[error("the database failed a statement ({})", described(*.class, .cause))]
    Database {
        /// What kind of trouble it is.
        class: ErrorClass,
        /// The driver's error. It may quote rows, so it is for debugging only and never logged.
        cause: DieselError,
    },
    /// No connection could be had.
    #[error(
        "no database connection within {waited_seconds:.1} s ({open} of {max} open, {waiting} waiting){cause}"
    )]
    NoConnection {
        /// Connecting failed, rather than waiting for one in use.
        unreachable: bool,
        /// How long it was waited.
        waited_seconds: f64,
        /// Connections open at that moment.
        open: u32,
        /// The most that may be open.
        max: u32,
        /// How many others waited for one.
        waiting: u32,
        /// Why connecting failed, or who holds those that are open; with a leading separator.
        cause: String,
    },
    /// Another worker holds the claimed rows by now.
    #[error("the lease on the claimed rows was lost")]
    LeaseLost,
    /// The claimed rows are held, but stand elsewhere.
    #[error("the claimed rows stand elsewhere in the queue's table by now")]
    Moved,
    /// Figures were computed with a profile or settings that no longer hold.
    #[error("the user's profile or the settings have changed since the rows were claimed")]
    Outdated,
    /// The server did not answer.
    #[error("the database has not answered for {0:.0} s, beyond all its time-outs")]
    NoAnswer(f64),
    /// What is asked for needs a session of its own.
    #[error(
        "{0} needs a session of its own, which a pooler by transaction does not give: use the \
         DATABASE_URL of PostgreSQL itself and WORKER__DATABASE__POOLER=none"
    )]
    NeedsSession(&'static str),
    /// It was abandoned because the process stops.
    #[error("abandoned, because the worker stops")]
    Stopped,
    /// Stored figures or the computation are not what they must be.
    #[error("{0}")]
    Internal(&'static str),
}

impl StoreError {
    /// The class that decides what is done about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Database { class, .. } => *class,
            Self::NoConnection { unreachable: true, .. } => ErrorClass::ConnectionLost,
            Self::NoConnection { .. } => ErrorClass::PoolExhausted,
            Self::LeaseLost => ErrorClass::LeaseLost,
            Self::Moved | Self::Outdated => ErrorClass::Conflict,
            Self::NoAnswer(_) => ErrorClass::NoAnswer,
            Self::NeedsSession(_) => ErrorClass::Environment,
            Self::Stopped => ErrorClass::Stopped,
            Self::Internal(_) => ErrorClass::Internal,
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(cause: DieselError) -> Self {
        Self::Database { class: ErrorClass::of(&cause), cause }
    }
}

impl ErrorClass {
    /// The class of a driver's error.
    ///
    /// The driver drops the SQLSTATE of most errors and keeps the server's English text, so that
    /// text is all there is; each phrase is proven against a live server in
    /// `tests/error_classes.rs`.
    pub fn of(error: &DieselError) -> Self {
        use DatabaseErrorKind as Kind;
        match error {
            DieselError::DatabaseError(kind, information) => match kind {
                Kind::SerializationFailure => Self::Conflict,
                Kind::ReadOnlyTransaction => Self::Environment,
                // Whatever is no answer of the server.
                Kind::ClosedConnection | Kind::UnableToSendCommand => Self::ConnectionLost,
                Kind::UniqueViolation
                | Kind::ForeignKeyViolation
                | Kind::RestrictViolation
                | Kind::NotNullViolation
                | Kind::CheckViolation
                | Kind::ExclusionViolation => Self::Refused,
                _ => Self::of_text(information.message()),
            },
            DieselError::BrokenTransactionManager => Self::ConnectionLost,
            // The statement's own error comes first; what went wrong with the rollback is less.
            DieselError::RollbackErrorOnCommit { commit_error, .. } => Self::of(commit_error),
            DieselError::DeserializationError(_) | DieselError::SerializationError(_) => {
                Self::Internal
            }
            _ => Self::Database,
        }
    }

    fn of_text(message: &str) -> Self {
        known(message).map_or(Self::Database, |(class, _)| class)
    }
}

/// The class that a server's message stands for by its beginning, and what it means where the class
/// alone says too little: words of our own, as the rest of the message may quote a row.
fn known(message: &str) -> Option<(ErrorClass, &'static str)> {
    const PHRASES: [(&str, ErrorClass, &str); 11] = [
        ("deadlock detected", ErrorClass::Conflict, ""),
        ("canceling statement due to lock timeout", ErrorClass::Locked, ""),
        ("canceling statement due to statement timeout", ErrorClass::Timeout, ""),
        ("canceling statement due to user request", ErrorClass::Timeout, ""),
        // By an administrator, a shutdown, or for idling in a transaction.
        ("terminating connection", ErrorClass::ConnectionLost, ""),
        ("permission denied", ErrorClass::Environment, "a right is missing"),
        (
            "query would be affected by row-level security",
            ErrorClass::Environment,
            "a policy hides rows from the worker",
        ),
        ("cannot execute", ErrorClass::Environment, "it can only be read; is it a standby?"),
        ("could not extend file", ErrorClass::Environment, "no file can grow; is the disk full?"),
        ("could not write", ErrorClass::Environment, "no file can be written; is the disk full?"),
        ("out of memory", ErrorClass::Environment, "it has no memory left"),
    ];
    /// Objects of the schema that another version of it may lack.
    const OBJECTS: [&str; 3] = ["relation ", "column ", "function "];
    if OBJECTS.iter().any(|object| message.starts_with(object))
        && message.contains(" does not exist")
    {
        return Some((ErrorClass::Environment, "the schema is another one"));
    }
    let phrase = PHRASES.iter().find(|(phrase, ..)| message.starts_with(phrase));
    phrase.map(|(_, class, meaning)| (*class, *meaning))
}

/// The class by its name, and what is behind it as far as that is known.
fn described(class: ErrorClass, error: &DieselError) -> String {
    let meaning = match error {
        DieselError::DatabaseError(_, information) => {
            known(information.message()).map_or("", |(_, meaning)| meaning)
        }
        _ => "",
    };
    if meaning.is_empty() {
        class.name().to_owned()
    } else {
        format!("{}: {meaning}", class.name())
    }
}

/// Why a connection could not be made, in words that hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No URL is configured.
    #[error(
        "no database is configured: set DATABASE_URL (postgresql://user@host/database) or database.url; for the packaged service, write it into /etc/dayfold/database-url"
    )]
    NotConfigured,
    /// The URL cannot be read.
    #[error("the database URL cannot be used: {0}; expected postgresql://user@host:port/database")]
    Url(String),
    /// Variables, or the service file, say something that cannot be.
    #[error("the database connection cannot be configured: {0}")]
    Surroundings(String),
    /// What stands between the worker and PostgreSQL is not what the configuration says.
    #[error("{0}")]
    Pooler(&'static str),
    /// TLS is asked for in a way that cannot be.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(String),
    /// The server could not be reached, or refused.
    #[error("cannot connect to the database {database} at {host}: {cause}")]
    Connect {
        /// Host, or directory of the socket, with the port.
        host: String,
        /// Database name.
        database: String,
        /// What the server or the network said.
        cause: String,
    },
}
