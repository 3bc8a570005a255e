//! The server's sessions, as far as this role may see them: who uses how many connections, and who
//! keeps a transaction open.

use std::fmt;
use std::time::Duration;

use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;

/// Sessions that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// Their `application_name` up to an @, behind which the worker has host and process.
    pub application: String,
    /// `active`, `idle`, `idle in transaction` and the like; `hidden` where this role may not see it.
    pub state: String,
    /// How many there are.
    pub count: i64,
    /// For how long the first of them has been in its transaction, in seconds.
    pub longest_transaction_seconds: Option<f64>,
}

/// A transaction that has been open for long. While it is, the server keeps every row version that
/// came after it, and the queue, where each row is soon gone, grows slow.
#[derive(Clone, Debug, PartialEq)]
pub struct OldTransaction {
    /// What keeps it: `session`, `prepared transaction` or `replication slot`.
    pub holder: String,
    /// Who: the application's name, or that of the prepared transaction or slot.
    pub name: String,
    /// The session's process at the server; 0 if there is none.
    pub process: i32,
    /// For how long, in seconds; of a slot it is not known.
    pub seconds: Option<f64>,
}

impl OldTransaction {
    /// Whether it is the same one, seen at another time.
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
    /// What happens in other databases keeps nothing in this one. A slot's horizon has an age in
    /// transactions only; a million of them is no pause any more.
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

    /// Transactions that have been open for longer than this, oldest first. Those of other roles
    /// are seen by members of `pg_read_all_stats` only.
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
