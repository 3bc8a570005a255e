//! Errors of the database, in the classes that a caller acts on.

use std::fmt;

use diesel::result::{DatabaseErrorKind, DeserializeFieldError, Error as DieselError};

/// The class of an error. It decides how the caller reacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The connection is lost, or the server accepts none. The work itself is not at fault, so no
    /// attempt is counted.
    ConnectionLost,
    /// All connections of the pool were in use for the whole wait.
    PoolExhausted,
    /// The session's prepared statements do not match the schema any more. A new connection has none.
    StaleSession,
    /// Another session changed something at the same time. A retry is likely to succeed.
    Conflict,
    /// The profile or the settings have changed since the claim. The next batch reads them.
    Outdated,
    /// A lock was not granted in time, because another session holds it for long. No row is at fault.
    Locked,
    /// A statement exceeded its time limit.
    Timeout,
    /// An administrator cancelled the statement.
    Cancelled,
    /// The database is not in the required state: rights are missing, the schema differs, the disk is
    /// full, or the server is a read-only standby. No row is at fault.
    Environment,
    /// The lease was lost: another worker has the rows.
    LeaseLost,
    /// The server does not answer, although its own time-outs should have ended the statement.
    NoAnswer,
    /// The worker was asked to stop, and the running work took too long.
    Stopped,
    /// A constraint refused the row.
    Refused,
    /// Any other error of the database, such as one raised by a trigger of the application.
    Database,
    /// A bug: the computation itself failed.
    Internal,
}

impl ErrorClass {
    /// All classes.
    pub const ALL: [Self; 15] = [
        Self::ConnectionLost,
        Self::PoolExhausted,
        Self::StaleSession,
        Self::Conflict,
        Self::Outdated,
        Self::Locked,
        Self::Timeout,
        Self::Cancelled,
        Self::Environment,
        Self::LeaseLost,
        Self::NoAnswer,
        Self::Stopped,
        Self::Refused,
        Self::Database,
        Self::Internal,
    ];

    /// The stable name used in logs and in the queue.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection_lost",
            Self::PoolExhausted => "pool_exhausted",
            Self::StaleSession => "stale_session",
            Self::Conflict => "conflict",
            Self::Outdated => "outdated",
            Self::Locked => "locked",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Environment => "environment",
            Self::LeaseLost => "lease_lost",
            Self::NoAnswer => "no_answer",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
            Self::Database => "database",
            Self::Internal => "internal",
        }
    }

    /// Whether other connections of the pool would meet the same error. If so, they are replaced.
    pub(crate) fn concerns_all_connections(self, code: Option<&str>) -> bool {
        self == Self::StaleSession || code == Some("25006")
    }
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed a statement.
    #[error("{}{}", described(*.class, .server.as_deref(), .cause), listed(.details))]
    Database {
        /// The class of the error.
        class: ErrorClass,
        /// The server's error fields, if the error came from the server.
        server: Option<Box<ServerError>>,
        /// The driver's error. It may quote rows, so it is for debugging only and never logged.
        cause: DieselError,
        /// Findings from a later look at the database: the holder of the lock, the missing right, the
        /// column with another type.
        details: Vec<String>,
    },
    /// No connection could be had.
    #[error("no database connection{}{cause}", if *unreachable { String::new() } else {
        format!(" within {waited_seconds:.1} s ({open} of {max} open, {waiting} waiting)")
    })]
    NoConnection {
        /// Whether connecting failed; otherwise all connections were in use.
        unreachable: bool,
        /// Length of the wait, in seconds.
        waited_seconds: f64,
        /// Connections open at the end of the wait.
        open: u32,
        /// Maximum of open connections.
        max: u32,
        /// Number of other tasks that waited.
        waiting: u32,
        /// The connection error, or the holders of the open connections; with a leading separator.
        cause: String,
    },
    /// Another worker holds the claimed rows now.
    #[error("the lease on the claimed rows was lost")]
    LeaseLost,
    /// The figures were computed with an outdated profile or outdated settings.
    #[error("the user's profile or the settings have changed since the rows were claimed")]
    Outdated,
    /// The server did not answer.
    #[error("the database has not answered for {0:.0} s, beyond all its time-outs")]
    NoAnswer(f64),
    /// The operation needs a session of its own.
    #[error(
        "{0} needs a session of its own, which a pooler by transaction does not give: use the \
         DATABASE_URL of PostgreSQL itself and WORKER__DATABASE__POOLER=none"
    )]
    NeedsSession(&'static str),
    /// The work was abandoned because the process stops.
    #[error("abandoned, because the worker stops")]
    Stopped,
    /// Stored figures or the computation violate an invariant.
    #[error("{0}")]
    Internal(&'static str),
}

impl StoreError {
    /// The class that decides how the caller reacts.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Database { class, .. } => *class,
            Self::NoConnection { unreachable: true, .. } => ErrorClass::ConnectionLost,
            Self::NoConnection { .. } => ErrorClass::PoolExhausted,
            Self::LeaseLost => ErrorClass::LeaseLost,

            Self::Outdated => ErrorClass::Outdated,
            Self::NoAnswer(_) => ErrorClass::NoAnswer,
            Self::NeedsSession(_) => ErrorClass::Environment,
            Self::Stopped => ErrorClass::Stopped,
            Self::Internal(_) => ErrorClass::Internal,
        }
    }
}

impl StoreError {
    /// Converts a driver's error, with the server's error fields.
    pub(crate) fn of_driver(cause: DieselError, server: Option<ServerError>) -> Self {
        let class =
            server.as_ref().map_or_else(|| ErrorClass::classify(&cause), ServerError::class);
        Self::Database { class, server: server.map(Box::new), cause, details: Vec::new() }
    }

    /// The server's error fields, if the error came from the server.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Database { server, .. } => server.as_deref(),
            _ => None,
        }
    }

    /// The SQLSTATE, if the server gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        self.server().map(|server| server.code.as_str())
    }

    /// The table named by the server.
    pub fn table(&self) -> Option<&str> {
        self.server()?.table.as_deref()
    }

    /// The column named by the server, or the column that cannot be read.
    pub fn column(&self) -> Option<&str> {
        self.server().map_or(self.unreadable_column(), |server| server.column.as_deref())
    }

    /// The constraint named by the server.
    pub fn constraint(&self) -> Option<&str> {
        self.server()?.constraint.as_deref()
    }

    /// The server's process that met the error.
    pub fn process(&self) -> Option<i32> {
        self.server().map(|server| server.process)
    }

    /// The column whose type differs from the expected one.
    pub(crate) fn unreadable_column(&self) -> Option<&str> {
        match self {
            Self::Database { cause: DieselError::DeserializationError(error), .. } => {
                error.downcast_ref::<DeserializeFieldError>()?.field_name.as_deref()
            }
            _ => None,
        }
    }

    /// Adds findings from a later look at the database.
    #[must_use]
    pub(crate) fn with_details(mut self, found: Vec<String>) -> Self {
        if let Self::Database { details, .. } = &mut self {
            *details = found;
        }
        self
    }

    /// The text for `aggregation_queue.last_error`: the class, then the SQLSTATE and the names of table
    /// and constraint, column or function, if the server names them.
    pub fn label(&self) -> String {
        let mut label = self.class().name().to_owned();
        let server = self.server();
        let code = server.map(|server| &server.code).filter(|code| !code.is_empty());
        let table = server.and_then(|server| server.table.as_ref());
        let object = server.and_then(|server| {
            server.constraint.as_ref().or(server.column.as_ref()).or(server.function.as_ref())
        });
        for part in [code, table, object].into_iter().flatten() {
            label.push(' ');
            label.push_str(part);
        }
        label
    }
}

impl ErrorClass {
    /// The class of a driver's error without fields from the server.
    fn classify(error: &DieselError) -> Self {
        use DatabaseErrorKind as Kind;
        match error {
            DieselError::DatabaseError(kind, _) => match kind {
                Kind::SerializationFailure => Self::Conflict,
                Kind::ReadOnlyTransaction => Self::Environment,
                Kind::ClosedConnection | Kind::UnableToSendCommand => Self::ConnectionLost,
                Kind::UniqueViolation
                | Kind::ForeignKeyViolation
                | Kind::RestrictViolation
                | Kind::NotNullViolation
                | Kind::CheckViolation
                | Kind::ExclusionViolation => Self::Refused,
                _ => Self::Database,
            },
            DieselError::BrokenTransactionManager => Self::ConnectionLost,
            // The error of the statement matters more than that of the rollback.
            DieselError::RollbackErrorOnCommit { commit_error, .. } => Self::classify(commit_error),
            // The column's type differs from the expected one.
            DieselError::DeserializationError(_) => Self::Environment,
            DieselError::SerializationError(_) => Self::Internal,
            _ => Self::Database,
        }
    }
}

/// Fields of a server's error that are safe to show: a code, and names from its catalogs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// SQLSTATE.
    pub code: String,
    /// The schema of the table.
    pub schema: Option<String>,
    /// The table.
    pub table: Option<String>,
    /// The column.
    pub column: Option<String>,
    /// The constraint.
    pub constraint: Option<String>,
    /// The server's process that met the error.
    pub process: i32,
    /// Whether the error ended the session.
    pub(crate) ends_session: bool,
    /// Whether the error happened inside a function, such as a trigger of the application.
    pub(crate) in_function: bool,
    /// The innermost function, if it is a PL/pgSQL function.
    pub(crate) function: Option<String>,
    /// Whether the statement ran as long as the server's `statement_timeout`.
    pub(crate) timed_out: bool,
}

/// The class and the meaning of each SQLSTATE: the first entry that is a prefix of the code applies. All
/// other codes have the class `database`. `docs/faults.md` lists the entries for operators, and a test
/// compares the two.
///
/// Source: PostgreSQL documentation, "PostgreSQL Error Codes".
const SQLSTATES: [(&str, ErrorClass, &str); 48] = {
    use ErrorClass as Class;
    [
        ("08", Class::ConnectionLost, "the connection failed"),
        ("0A000", Class::StaleSession, "a prepared statement does not fit the schema any more"),
        ("0L", Class::Environment, "a right is missing"),
        ("0P", Class::Environment, "a right is missing"),
        ("23502", Class::Refused, "NOT NULL"),
        ("23503", Class::Refused, "foreign key"),
        ("23505", Class::Refused, "unique constraint"),
        ("23514", Class::Refused, "check constraint"),
        ("23P01", Class::Refused, "exclusion constraint"),
        ("23", Class::Refused, "constraint"),
        ("25006", Class::Environment, "the server is read-only; is it a standby?"),
        ("25P03", Class::ConnectionLost, "the session was idle in a transaction for too long"),
        ("25P04", Class::ConnectionLost, "the transaction took too long"),
        ("26000", Class::StaleSession, "a prepared statement is gone"),
        ("28", Class::Environment, "the role may not log in"),
        ("3D000", Class::Environment, "the database is missing"),
        ("3F000", Class::Environment, "the schema is missing"),
        ("40P01", Class::Conflict, "deadlock"),
        ("40", Class::Conflict, "another transaction changed the same rows"),
        ("42501", Class::Environment, "a right is missing"),
        ("42703", Class::Environment, "a column is missing: the schema is another one"),
        ("42804", Class::Environment, "a column has another type: the schema is another one"),
        ("42846", Class::Environment, "a column has another type: the schema is another one"),
        ("42883", Class::Environment, "a function is missing: the schema is another one"),
        ("42P01", Class::Environment, "a table is missing: the schema is another one"),
        ("42P05", Class::StaleSession, "a prepared statement is there already"),
        ("42", Class::Environment, "the statement does not fit the schema"),
        ("44", Class::Refused, "check option of a view"),
        ("53100", Class::Environment, "no file can grow; is the disk full?"),
        ("53200", Class::Environment, "the server has no memory left, or no room for another lock"),
        ("53300", Class::ConnectionLost, "the server has no connection left"),
        ("53", Class::Environment, "the server lacks resources"),
        ("55P03", Class::Locked, "a lock was not granted in time"),
        ("57014", Class::Timeout, "the statement took too long"),
        ("57P01", Class::ConnectionLost, "an administrator ended the session"),
        ("57P02", Class::ConnectionLost, "the server crashed"),
        ("57P03", Class::ConnectionLost, "the server is starting or stopping"),
        ("57P", Class::ConnectionLost, "the session was ended"),
        ("58030", Class::Environment, "the server cannot read or write a file"),
        ("58", Class::Environment, "the server's system failed"),
        ("F0", Class::Environment, "the server's configuration is damaged"),
        ("XX000", Class::Environment, "the server failed; see its log"),
        ("XX001", Class::Environment, "the server found damaged data"),
        ("XX002", Class::Environment, "the server found a damaged index"),
        ("P0001", Class::Database, "an error was raised"),
        ("DF001", Class::LeaseLost, "the lease on the claimed rows was lost"),
        ("DF002", Class::Outdated, "the user's profile has changed since the rows were claimed"),
        ("DF003", Class::Database, "the cursor is too old, or of another database"),
    ]
};

impl ServerError {
    fn known(&self) -> Option<(&'static str, ErrorClass, &'static str)> {
        SQLSTATES.into_iter().find(|(code, ..)| self.code.starts_with(code))
    }

    /// The class of the code.
    fn class(&self) -> ErrorClass {
        if self.ends_session {
            return ErrorClass::ConnectionLost;
        }
        match self.code.as_str() {
            // Cancellation and time-out share this code.
            "57014" if !self.timed_out => ErrorClass::Cancelled,
            // Among the worker's own statements, this code means that a numeric column has become text.
            // In a function it is an error of the application.
            "22P02" | "22P03" if !self.in_function => ErrorClass::Environment,
            "XX000" if self.in_function => ErrorClass::Database,
            _ => self.known().map_or(ErrorClass::Database, |(_, class, _)| class),
        }
    }

    /// The meaning of the code in plain words.
    fn meaning(&self) -> &'static str {
        match (self.code.as_str(), self.class()) {
            ("57014", ErrorClass::Cancelled) => "an administrator cancelled the statement",
            ("22P02" | "22P03", ErrorClass::Environment) => {
                "a column has another type: the schema is another one"
            }
            _ => self.known().map_or("the database failed a statement", |(_, _, meaning)| meaning),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, table, column, constraint, function, .. } = self;
        f.write_str(self.meaning())?;
        if let Some(constraint) = constraint {
            write!(f, " {constraint}")?;
        } else if let Some(column) = column {
            write!(f, " of column {column}")?;
        }
        if let Some(table) = table {
            write!(f, " on {table}")?;
        }
        if let Some(function) = function {
            write!(f, " in function {function}")?;
        }
        write!(f, " ({code})")
    }
}

/// The meaning and the code. Without fields from the server, the class.
fn described(class: ErrorClass, server: Option<&ServerError>, cause: &DieselError) -> String {
    match (server, cause) {
        (Some(server), _) => server.to_string(),
        (None, DieselError::DeserializationError(error)) => {
            let field = error.downcast_ref::<DeserializeFieldError>();
            match field.and_then(|field| field.field_name.as_deref()) {
                Some(column) => format!("column {column} has another type than expected"),
                None => "a column has another type than expected".to_owned(),
            }
        }
        (None, _) if class == ErrorClass::ConnectionLost => "the connection was lost".to_owned(),
        (None, _) => format!("the database failed a statement ({})", class.name()),
    }
}

fn listed(details: &[String]) -> String {
    details.iter().map(|detail| format!("; {detail}")).collect()
}

/// An error of connecting; its text contains no secret.
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
    /// Variables or the service file have invalid values.
    #[error("the database connection cannot be configured: {0}")]
    LibpqDefaults(String),
    /// The pooler between the worker and PostgreSQL does not match the configuration.
    #[error("{0}")]
    Pooler(&'static str),
    /// The TLS settings are invalid.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(String),
    /// The server could not be reached, or refused the connection.
    #[error("cannot connect to the database {database} at {host}: {cause}")]
    Connect {
        /// Host, or directory of the socket, with the port.
        host: String,
        /// Database name.
        database: String,
        /// The error of the server or the network.
        cause: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_each_sqlstate_with_its_class_and_meaning() {
        let document = include_str!("../../../docs/faults.md");
        let rows = document.lines().skip_while(|line| *line != "| SQLSTATE | class | meaning |");
        let listed: Vec<&str> = rows.skip(2).take_while(|line| !line.is_empty()).collect();
        let known = SQLSTATES
            .map(|(code, class, meaning)| format!("| {code} | {} | {meaning} |", class.name()));
        assert_eq!(listed, known);
    }

    #[test]
    fn a_longer_code_comes_before_the_class_that_it_begins_with() {
        for (place, (code, ..)) in SQLSTATES.iter().enumerate() {
            let first = SQLSTATES.iter().position(|(known, ..)| code.starts_with(known));
            assert_eq!(first, Some(place), "{code}");
        }
    }
}
