//! Whether what stands between the worker and PostgreSQL is what the configuration says: a pooler
//! that nobody told of would drop time-outs, or hand one worker's session to another.

use diesel::sql_types::{BigInt, Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::connect::Target;
use crate::error::ConnectError;
use crate::session::Pooler;
use crate::statement::statement;

const SETTINGS_DROPPED: &str = "the settings of the session do not reach PostgreSQL, so that nothing would limit the \
     worker's statements: a pooler stands between them and drops options; set database.pooler to \
     \"session\" or \"transaction\", as its pool_mode is";

const BY_TRANSACTION: &str = "database.pooler is \"session\", but the pooler gives out server sessions by transaction \
     (pool_mode): set database.pooler to \"transaction\"";

const NOT_CARRIED: &str = "database.pooler is \"transaction\", but prepared statements are not carried from one server \
     session to the next: with PgBouncer it takes version 1.21 and max_prepared_statements above \
     0, or else pool_mode = session and database.pooler = \"session\"; without a pooler set \
     database.pooler to \"none\"";

statement! {
    struct ReadStatementTimeout {} -> (Text)
    "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"
}

statement! {
    struct ReadProcess {} -> (Integer)
    "SELECT pg_backend_pid()"
}

statement! {
    /// Under which names the server knows this very statement. The driver's are s and a number; a
    /// pooler that carries statements over gives them names of its own.
    struct CountRenamed {} -> (BigInt)
    "SELECT count(*) FROM pg_prepared_statements
     WHERE statement LIKE '%dayfold asks for the name of this statement%' AND name !~ '^s[0-9]+$'"
}

/// Asks a first connection whether settings and statements arrive as they must.
///
/// # Errors
/// What is in the way, and what to set.
pub(crate) async fn require_settings(
    connection: &mut AsyncPgConnection,
    target: &Target,
) -> Result<(), ConnectError> {
    if target.pooler() == Pooler::Transaction {
        // A server session that does not know the statement is an answer, too.
        let asking = target.asks(CountRenamed {}.load(connection));
        let renamed: Vec<(i64,)> = asking.await.unwrap_or_default();
        return match renamed.as_slice() {
            [(1..,)] => Ok(()),
            _ => Err(ConnectError::Pooler(NOT_CARRIED)),
        };
    }
    let limits: Vec<(String,)> = target.asks(ReadStatementTimeout {}.load(connection)).await?;
    let wanted = target.statement_timeout();
    if limits.iter().any(|(limit,)| wanted.is_none_or(|wanted| wanted == limit)) {
        Ok(())
    } else {
        Err(ConnectError::Pooler(SETTINGS_DROPPED))
    }
}

/// Asks two connections at once whether each has a server session of its own.
///
/// # Errors
/// What to set if not.
pub(crate) async fn require_sessions(
    first: &mut AsyncPgConnection,
    second: &mut AsyncPgConnection,
    target: &Target,
) -> Result<(), ConnectError> {
    let mut processes = Vec::new();
    for again in [false, true, false] {
        let connection = if again { &mut *second } else { &mut *first };
        let process: Vec<(i32,)> = target.asks(ReadProcess {}.load(connection)).await?;
        processes.extend(process);
    }
    let [one, two, one_again] = processes.as_slice() else { return Ok(()) };
    if one != two && one == one_again { Ok(()) } else { Err(ConnectError::Pooler(BY_TRANSACTION)) }
}
