//! Citus, if the database has it: whether a distributed schema can hold the tables.

use std::fmt;

use diesel::sql_types::{Bool, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;

/// The first major version whose schema-based sharding was tried.
const OLDEST_VERSION: u32 = 13;

statement! {
    /// Without its library, the extension has no settings.
    struct ReadCitus {} -> (Text, Nullable<Text>, Bool)
    "SELECT extversion, current_setting('citus.enable_unsafe_triggers', true),
            to_regclass('pg_catalog.pg_dist_schema') IS NOT NULL
     FROM pg_extension WHERE extname = 'citus'"
}

statement! {
    struct ReadIsDistributed {} -> (Bool)
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_schema
                    WHERE schemaid = to_regnamespace(quote_ident(current_schema()))::oid)"
}

/// Citus in a database, as seen from the session's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citus {
    /// The version of the extension, such as `13.2-1`.
    pub version: String,
    /// The setting `citus.enable_unsafe_triggers`; `None` if the server has not loaded Citus.
    pub unsafe_triggers: Option<String>,
    /// Whether Citus places the schema on one of its nodes. Otherwise its tables are ordinary ones.
    pub is_distributed: bool,
}

/// Why a distributed schema cannot hold the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CitusProblem {
    /// The version is older than 13.
    TooOld,
    /// The server has the extension, but has not loaded its library.
    NotLoaded,
    /// Citus refuses the triggers that fill the queue.
    NoTriggers,
}

impl CitusProblem {
    /// The change that solves the problem, and who makes it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::TooOld => "install Citus 13 or later on every node",
            Self::NotLoaded => {
                "add citus to shared_preload_libraries of every node, and restart the nodes"
            }
            Self::NoTriggers => {
                "a superuser runs on every node: ALTER SYSTEM SET citus.enable_unsafe_triggers = on; \
                 SELECT pg_reload_conf()"
            }
        }
    }
}

impl fmt::Display for CitusProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooOld => "its schema-based sharding was not tried with Dayfold",
            Self::NotLoaded => "the server has not loaded its library",
            Self::NoTriggers => {
                "it refuses the triggers that fill the queue, because citus.enable_unsafe_triggers is off"
            }
        })
    }
}

impl Citus {
    /// Why the schema cannot hold the tables; `None` if it can.
    pub fn problem(&self) -> Option<CitusProblem> {
        let digits = self.version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let is_old = digits.parse::<u32>().is_ok_and(|major| major < OLDEST_VERSION);
        match self.unsafe_triggers.as_deref() {
            _ if !self.is_distributed => None,
            _ if is_old => Some(CitusProblem::TooOld),
            None => Some(CitusProblem::NotLoaded),
            Some("on" | "true") => None,
            Some(_) => Some(CitusProblem::NoTriggers),
        }
    }
}

impl Store {
    /// Citus; `None` if the database does not have it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn citus(&self) -> Result<Option<Citus>, StoreError> {
        let found: Vec<(String, Option<String>, bool)> = self.load("doctor", ReadCitus {}).await?;
        let Some((version, unsafe_triggers, has_schemas)) = found.into_iter().next() else {
            return Ok(None);
        };
        let is_distributed = has_schemas && {
            let found: Vec<(bool,)> = self.load("doctor", ReadIsDistributed {}).await?;
            found.first().is_some_and(|(is_distributed,)| *is_distributed)
        };
        Ok(Some(Citus { version, unsafe_triggers, is_distributed }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn citus(version: &str, unsafe_triggers: Option<&str>, is_distributed: bool) -> Citus {
        let unsafe_triggers = unsafe_triggers.map(str::to_owned);
        Citus { version: version.to_owned(), unsafe_triggers, is_distributed }
    }

    #[test]
    fn a_distributed_schema_needs_citus_13_its_library_and_triggers() {
        for (version, triggers, problem) in [
            ("13.2-1", Some("on"), None),
            ("14.0-1", Some("on"), None),
            ("13.0-1", Some("off"), Some(CitusProblem::NoTriggers)),
            ("13.0-1", None, Some(CitusProblem::NotLoaded)),
            ("12.1-1", Some("on"), Some(CitusProblem::TooOld)),
            ("9.5-1", Some("on"), Some(CitusProblem::TooOld)),
        ] {
            assert_eq!(citus(version, triggers, true).problem(), problem, "{version} {triggers:?}");
        }
        assert!(CitusProblem::NoTriggers.advice().contains("superuser"));
    }

    #[test]
    fn an_ordinary_schema_of_a_database_with_citus_needs_nothing() {
        assert_eq!(citus("11.0-1", Some("off"), false).problem(), None);
        assert_eq!(citus("13.2-1", None, false).problem(), None);
    }
}
