//! Checks that the pooler between the worker and PostgreSQL matches the configuration. An undeclared
//! pooler would drop time-outs, or give one worker's session to another client.
//!
//! The worker applies no settings before this check. Behind a pooler in transaction mode, a setting
//! would remain in a session that the application uses next.

use diesel::sql_types::{BigInt, Integer, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use crate::connection::connect::{Connected, Target};
use crate::connection::session::Pooler;
use crate::error::ConnectError;
use crate::sql::statement::statement;

const SETTINGS_DROPPED: &str = "the settings of the session do not reach PostgreSQL, so no time-out would limit the \
     worker's statements: a pooler between them drops options; set database.pooler to \
     \"session\" or \"transaction\", as its pool_mode is";

const BY_TRANSACTION: &str = "database.pooler is \"session\", but the pooler assigns server sessions per transaction \
     (pool_mode): set database.pooler to \"transaction\"";

const TOO_FEW: &str = "database.pooler is \"session\", and the check of it needs two connections: set \
     pool.max_size to at least 2";

const NOT_CARRIED: &str = "database.pooler is \"transaction\", but prepared statements are not carried from one server \
     session to the next: PgBouncer needs version 1.21 and max_prepared_statements above \
     0, or else pool_mode = session and database.pooler = \"session\"; without a pooler set \
     database.pooler to \"none\"";

/// How often two connections are asked for their server process. At a busy pooler they may match by
/// chance, but hardly this often.
const ROUNDS: u32 = 8;

statement! {
    struct ReadStatementTimeout {} -> (Text)
    "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"
}

statement! {
    struct ReadProcess {} -> (Integer)
    "SELECT pg_backend_pid()"
}

statement! {
    /// Counts the prepared copies of this very statement whose name is not the driver's: `s` and a
    /// number. A pooler that carries prepared statements over assigns names of its own, and only one in
    /// transaction mode must do so.
    struct CountRenamed {} -> (BigInt)
    "SELECT count(*) FROM pg_prepared_statements
     WHERE statement LIKE '%dayfold asks for the name of this statement%' AND name !~ '^s[0-9]+$'"
}

/// Opens the first connections of a pool, checks them, and applies their settings.
///
/// # Errors
/// The reason why connecting failed, or the mismatch and the setting that corrects it.
pub(crate) async fn proven(target: &Target, max_size: u32) -> Result<Vec<Connected>, ConnectError> {
    let mut connections = vec![target.connect_bare().await?];
    match target.pooler() {
        Pooler::None => require_settings(&mut connections, target).await?,
        Pooler::Transaction => {
            if !is_renamed(&mut connections, target).await {
                return Err(ConnectError::Pooler(NOT_CARRIED));
            }
        }
        Pooler::Session if max_size < 2 => return Err(ConnectError::Pooler(TOO_FEW)),
        Pooler::Session => {
            connections.push(target.connect_bare().await?);
            require_sessions(&mut connections, target).await?;
        }
    }
    for connection in &mut connections {
        target.settle(connection).await?;
    }
    Ok(connections)
}

async fn require_settings(
    connections: &mut [Connected],
    target: &Target,
) -> Result<(), ConnectError> {
    for connection in connections {
        let limits: Vec<(String,)> =
            target.asks(ReadStatementTimeout {}.load(&mut **connection)).await?;
        let wanted = target.statement_timeout();
        if !limits.iter().any(|(limit,)| wanted.is_none_or(|wanted| wanted == limit)) {
            return Err(ConnectError::Pooler(SETTINGS_DROPPED));
        }
    }
    Ok(())
}

/// An error that the statement is unknown also answers the question.
async fn is_renamed(connections: &mut [Connected], target: &Target) -> bool {
    for connection in connections {
        let asking = target.asks(CountRenamed {}.load(&mut **connection));
        let renamed: Vec<(i64,)> = asking.await.unwrap_or_default();
        if matches!(renamed.as_slice(), [(1.., ..)]) {
            return true;
        }
    }
    false
}

/// Requires that each connection keeps one server process of its own.
async fn require_sessions(
    connections: &mut [Connected],
    target: &Target,
) -> Result<(), ConnectError> {
    let by_transaction = Err(ConnectError::Pooler(BY_TRANSACTION));
    if is_renamed(connections, target).await {
        return by_transaction;
    }
    let mut first_round: Vec<i32> = Vec::new();
    for round in 0..ROUNDS {
        for (index, connection) in connections.iter_mut().enumerate() {
            let asked: Result<Vec<(i32,)>, _> =
                target.asks(ReadProcess {}.load(&mut **connection)).await;
            let process = match asked {
                Ok(rows) => rows.as_slice().first().map_or(0, |(process,)| *process),
                // If the session answers but lost a statement that was prepared a moment ago, it is
                // another session.
                Err(error) => match target.asks(connection.batch_execute("")).await {
                    Ok(()) => return by_transaction,
                    Err(_) => return Err(error),
                },
            };
            if round == 0 && !first_round.contains(&process) {
                first_round.push(process);
            } else if round == 0 || first_round.get(index) != Some(&process) {
                return by_transaction;
            }
        }
    }
    Ok(())
}
