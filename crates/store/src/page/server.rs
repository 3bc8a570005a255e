//! The server, and the alerts of the database that fire.

use aggregation::Timestamp;
use diesel::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Double, Text, Timestamptz};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;
use crate::sql::time::{RawTime, clock_timestamp, from_postgres};

/// The server, as the page shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `server_version`.
    pub version: String,
    /// The database.
    pub database: String,
    /// The role that the worker logs in as.
    pub role: String,
    /// It is a standby, which takes no changes.
    pub in_recovery: bool,
    /// Its clock.
    pub now: Timestamp,
    /// For how long it has run, in seconds.
    pub up_seconds: f64,
}

/// A rule of the database that fires.
#[derive(Clone, Debug, PartialEq)]
pub struct FiringAlert {
    /// The rule's name.
    pub rule: String,
    /// Since when it fires, in seconds by the database's clock.
    pub seconds: f64,
}

statement! {
    struct ReadServer {} -> (Text, Text, Text, Bool, Timestamptz, Double)
    "SELECT current_setting('server_version'), current_database()::text, current_user::text,
            pg_is_in_recovery(), clock_timestamp(),
            extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8"
}

/// The rules that are listed at most.
const MAX_FIRING: i64 = 50;

impl Store {
    /// The server's version and state.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn server(&self) -> Result<Server, StoreError> {
        type Columns = (String, String, String, bool, PgTimestamp, f64);
        let rows: Vec<Columns> = self.load("page", ReadServer {}).await?;
        let Some((version, database, role, in_recovery, now, up_seconds)) = rows.into_iter().next()
        else {
            return Err(StoreError::Internal("the server does not tell what it is"));
        };
        let now = from_postgres(now);
        Ok(Server { version, database, role, in_recovery, now, up_seconds })
    }

    /// The rules of the database that fire, the longest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn firing_alerts(&self) -> Result<Vec<FiringAlert>, StoreError> {
        use crate::schema::alert_conditions as c;
        let read = c::table
            .filter(c::resolved_at.is_null())
            .order(c::fired_at)
            .limit(MAX_FIRING)
            .select((c::rule, c::fired_at, clock_timestamp()));
        let rows: Vec<(String, RawTime, RawTime)> = self.load("page", read).await?;
        let firing = |(rule, fired_at, now): (String, RawTime, RawTime)| FiringAlert {
            rule,
            seconds: fired_at.seconds_until(now),
        };
        Ok(rows.into_iter().map(firing).collect())
    }
}
