//! The server's sessions that this role may see: connections by application, and transactions open for
//! long.

use std::fmt;
use std::time::Duration;

use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;

/// Sessions with the same application and state.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// Their `application_name` up to the @. After it, the worker puts host and process.
    pub application: String,
    /// `active`, `idle`, `idle in transaction` and the like; `hidden` if this role may not see it.
    pub state: String,
    /// How many there are.
    pub count: i64,
    /// Age of their oldest open transaction, in seconds.
    pub longest_transaction_seconds: Option<f64>,
}

/// A transaction that has been open for long. Meanwhile the server keeps all row versions newer than it.
/// The queue, whose rows are deleted soon, then becomes slow.
#[derive(Clone, Debug, PartialEq)]
pub struct OldTransaction {
    /// The type of its holder: `session`, `prepared transaction` or `replication slot`.
    pub holder: String,
    /// The name of the application, prepared transaction or slot.
    pub name: String,
    /// The session's process at the server; 0 if there is none.
    pub process: i32,
    /// Age in seconds; unknown for a slot.
    pub seconds: Option<f64>,
}

impl OldTransaction {
    /// Whether both observations are of the same transaction.
    pub fn is(&self, other: &Self) -> bool {
        let which = |of: &Self| (of.holder.clone(), of.name.clone(), of.process);
        which(self) == which(other)
    }
}

impl fmt::Display for OldTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holder, name, process, seconds } = self;
        write!(f, "a {holder} of {name:?}")?;
        if *process != 0 {
            write!(f, " (process {process})")?;
        }
        match seconds {
            Some(seconds) => write!(f, " has been open for {seconds:.0} s"),
            None => f.write_str(" has been behind for a million transactions"),
        }
    }
}

statement! {
    struct ReadSessions {} -> (Text, Text, BigInt, Nullable<Double>)
    include_str!("read_sessions.sql")
}

statement! {
    /// Transactions of other databases hold back nothing in this one. The age of a slot's horizon is
    /// known in transactions only. At a million of them, the slot counts as stalled.
    struct ReadOldTransactions {
        seconds: f64 => Double,
    } -> (Text, Text, Integer, Nullable<Double>)
    include_str!("read_old_transactions.sql")
}

impl Store {
    /// The sessions of all clients but this one, by application and state.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sessions(&self) -> Result<Vec<Sessions>, StoreError> {
        let rows: Vec<(String, String, i64, Option<f64>)> =
            self.load("sessions", ReadSessions {}).await?;
        let sessions = rows.into_iter();
        Ok(sessions
            .map(|(application, state, count, longest_transaction_seconds)| Sessions {
                application,
                state,
                count,
                longest_transaction_seconds,
            })
            .collect())
    }

    /// Transactions that have been open for longer than this, oldest first. Only members of
    /// `pg_read_all_stats` see those of other roles.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn old_transactions(
        &self,
        than: Duration,
    ) -> Result<Vec<OldTransaction>, StoreError> {
        let read = ReadOldTransactions { seconds: than.as_secs_f64() };
        let rows: Vec<(String, String, i32, Option<f64>)> = self.load("sessions", read).await?;
        Ok(rows
            .into_iter()
            .map(|(holder, name, process, seconds)| OldTransaction {
                holder,
                name,
                process,
                seconds,
            })
            .collect())
    }
}
