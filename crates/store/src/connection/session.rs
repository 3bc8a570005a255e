//! The settings of each session, and how they reach the server. The pooler decides which way works.

use std::fmt::Write;
use std::time::Duration;

/// The first version of PostgreSQL that can limit a whole transaction.
const KNOWS_TRANSACTION_TIMEOUT: u32 = 17;

/// The pooler between the worker and PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// No pooler: settings are part of the log-in.
    #[default]
    None,
    /// A pooler that gives each client a server session of its own, such as PgBouncer with `pool_mode =
    /// session`. It refuses settings in the log-in, so the worker applies them right after it.
    Session,
    /// A pooler that assigns server sessions per transaction, such as PgBouncer with `pool_mode =
    /// transaction`. Settings end with the transaction, so each transaction begins with them. Single
    /// statements also run in transactions.
    Transaction,
}

/// The settings of each session.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The server cancels statements that run for longer.
    pub statement_timeout: Duration,
    /// The server cancels statements that wait for a lock for longer.
    pub lock_timeout: Duration,
    /// The server ends sessions that are idle in a transaction for longer.
    pub idle_in_transaction_timeout: Duration,
    /// The server ends sessions whose transaction takes longer; from PostgreSQL 17 on.
    pub transaction_timeout: Duration,
    /// Just-in-time compilation; it costs more than it saves on short statements.
    pub jit: bool,
    /// Whether a commit waits for the server's disk. Processing does not need it: a crash of the server
    /// undoes queue changes and figures together.
    pub synchronous_commit: bool,
    /// The name that `pg_stat_activity` shows.
    pub application_name: String,
    /// How the settings reach the server.
    pub pooler: Pooler,
    /// The schema of the tables, a name that needs no escaping; `None` if the role's search path decides.
    pub schema: Option<String>,
}

impl SessionSettings {
    /// The settings of the worker's own sessions.
    ///
    /// Each statement is planned once per connection, because planning is a third of a small group's
    /// cost at the server. So a plan must suit tables of any size, and the planner must not rely on
    /// statistics. After a bulk import they still show an empty queue until autovacuum runs: a plan kept
    /// from an empty queue made a claim of 3 ms take 10 s.
    ///
    /// An index answers all of the worker's queries, row by row. So sequential scans, sorts and the like
    /// are disabled, and the planner uses them only where a statement has no other plan. The cost that
    /// the planner adds for a disabled method would trigger the JIT compiler, which takes 0.4 s a claim.
    pub(crate) fn limited(&self) -> Session {
        let on = |on| if on { "on" } else { "off" }.to_owned();
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let mut session = Session {
            pooler: self.pooler,
            follows_tables: true,
            settings: vec![
                ("statement_timeout", milliseconds(self.statement_timeout)),
                ("lock_timeout", milliseconds(self.lock_timeout)),
                (
                    "idle_in_transaction_session_timeout",
                    milliseconds(self.idle_in_transaction_timeout),
                ),
                ("jit", on(self.jit)),
                ("synchronous_commit", on(self.synchronous_commit)),
                ("plan_cache_mode", "force_generic_plan".to_owned()),
                ("enable_seqscan", "off".to_owned()),
                ("enable_hashjoin", "off".to_owned()),
                ("enable_mergejoin", "off".to_owned()),
                ("enable_bitmapscan", "off".to_owned()),
                ("enable_sort", "off".to_owned()),
                // A policy that hides raw rows would make them look deleted. With this setting the
                // server refuses the statement instead.
                ("row_security", "off".to_owned()),
            ],
            transaction_timeout: Some(self.transaction_timeout),
        };
        session.settings.extend(self.search_path());
        session
    }

    /// The setting of the search path, if the schema of the tables is known.
    fn search_path(&self) -> Option<(&'static str, String)> {
        let schema = self.schema.as_ref()?;
        // Quoted, because a name may have capital letters.
        Some(("search_path", format!("\"{schema}\"")))
    }

    /// The settings of dedicated sessions: imports and migrations have no time limit, and their commits
    /// are durable.
    pub(crate) fn unlimited(&self) -> Session {
        let lock_timeout = ("lock_timeout", self.lock_timeout.as_millis().to_string());
        Session {
            pooler: self.pooler,
            follows_tables: true,
            settings: std::iter::once(lock_timeout).chain(self.search_path()).collect(),
            transaction_timeout: None,
        }
    }
}

/// Sets the search path to the schema of the tables alone. Another role may create an operator or a
/// function in another schema of the path, and PostgreSQL would use it wherever its types match better
/// than the server's. For the same reason the text qualifies all names that it uses with their schema.
/// If there are no tables yet, it chooses the schema in which they will be created.
/// `dayfold.path_source` then says which setting the search_path came from.
macro_rules! follow_tables {
    ($locally:literal) => {
        concat!(
            " SELECT CASE WHEN tables.schema IS NULL THEN pg_catalog.set_config('dayfold.path_source',
                         (SELECT s.source FROM pg_catalog.pg_settings AS s
                          WHERE s.name OPERATOR(pg_catalog.=) 'search_path'), ",
            $locally,
            ") END,
                     pg_catalog.set_config('search_path',
                         pg_catalog.concat(COALESCE(tables.schema, own.schema), ', pg_temp'), ",
            $locally,
            ")
              FROM (SELECT pg_catalog.quote_ident(pg_catalog.current_schema()) AS schema) AS own
              LEFT JOIN (SELECT c.relnamespace::pg_catalog.regnamespace::pg_catalog.text AS schema
                         FROM pg_catalog.pg_class AS c
                         WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('__diesel_schema_migrations')
                           AND pg_catalog.to_regclass(pg_catalog.concat(
                                   c.relnamespace::pg_catalog.regnamespace, '.aggregation_queue')) IS NOT NULL)
                     AS tables ON true
              WHERE own.schema IS NOT NULL;"
        )
    };
}

/// Citus cannot plan most statements before it knows their parameters. It makes such a generic plan look dear,
/// so that the server plans with the parameters, unless the setting forces it not to.
macro_rules! plan_as_citus_can {
    ($locally:literal) => {
        concat!(
            " SELECT pg_catalog.set_config('plan_cache_mode', 'auto', ",
            $locally,
            ") WHERE pg_catalog.to_regclass('pg_catalog.pg_dist_schema') IS NOT NULL;"
        )
    };
}

/// The SQL that depends on the database, for the session or for the transaction.
macro_rules! fit_database {
    ($locally:literal) => {
        concat!(follow_tables!($locally), plan_as_citus_can!($locally))
    };
}

/// Settings, and how they reach the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub(crate) pooler: Pooler,
    /// Whether the search path is the schema of the tables alone.
    follows_tables: bool,
    settings: Vec<(&'static str, String)>,
    transaction_timeout: Option<Duration>,
}

impl Session {
    /// The options of the start-up packet, which cost no round trip and always apply.
    pub(crate) fn options(&self) -> String {
        if self.pooler != Pooler::None {
            return String::new();
        }
        let mut options = String::new();
        for (name, value) in &self.settings {
            let _ = write!(options, " -c {name}={value}");
        }
        options
    }

    /// The SQL of the settings after the log-in, for a server of this version.
    pub(crate) fn after_login(&self, version: u32) -> String {
        let set = match self.pooler {
            Pooler::None => self.set("SET", &[], version),
            Pooler::Session => self.set("SET", &self.settings, version),
            Pooler::Transaction => return String::new(),
        };
        set + if self.follows_tables { fit_database!("false") } else { "" }
    }

    /// The SQL of the settings at the beginning of each transaction, for a server of this version.
    pub(crate) fn in_transaction(&self, version: u32) -> String {
        match self.pooler {
            Pooler::None | Pooler::Session => String::new(),
            Pooler::Transaction => {
                let set = self.set("SET LOCAL", &self.settings, version);
                set + if self.follows_tables { fit_database!("true") } else { "" }
            }
        }
    }

    /// Formats settings without quoting: all names and values are the worker's own.
    fn set(&self, how: &str, settings: &[(&str, String)], version: u32) -> String {
        let mut sql = String::new();
        for (name, value) in settings {
            let _ = write!(sql, " {how} {name} = {value};");
        }
        // An older server refuses this setting, and the start-up packet is sent before its version is
        // known.
        if let Some(limit) =
            self.transaction_timeout.filter(|_| version >= KNOWS_TRANSACTION_TIMEOUT)
        {
            let _ = write!(sql, " {how} transaction_timeout = {};", limit.as_millis());
        }
        sql
    }

    /// The `statement_timeout` that the check of a new connection expects, in milliseconds.
    pub(crate) fn statement_timeout(&self) -> Option<&str> {
        let is = |(name, _): &&(&'static str, String)| *name == "statement_timeout";
        self.settings.iter().find(is).map(|(_, value)| value.as_str())
    }
}

impl Session {
    /// The time limit of each statement, if there is one.
    pub(crate) fn statement_timeout_duration(&self) -> Option<Duration> {
        self.statement_timeout()?.parse().ok().map(Duration::from_millis)
    }
}

/// The major version in `server_version`, such as 17 in `17.5 (Debian 17.5-1)`; 0 if the text has no
/// number.
pub(crate) fn major_version(text: &str) -> u32 {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Pooler, Session, major_version};
    use std::time::Duration;

    fn session(pooler: Pooler) -> Session {
        Session {
            pooler,
            follows_tables: false,
            settings: vec![("jit", "off".to_owned()), ("lock_timeout", "10".to_owned())],
            transaction_timeout: Some(Duration::from_secs(45)),
        }
    }

    #[test]
    fn settings_go_with_the_log_in_or_behind_it_or_into_each_transaction() {
        let none = session(Pooler::None);
        assert_eq!(none.options(), " -c jit=off -c lock_timeout=10");
        assert_eq!((none.after_login(15), none.in_transaction(15)), (String::new(), String::new()));

        let each = session(Pooler::Session);
        assert_eq!((each.options(), each.in_transaction(15)), (String::new(), String::new()));
        assert_eq!(each.after_login(15), " SET jit = off; SET lock_timeout = 10;");

        let shared = session(Pooler::Transaction);
        assert_eq!((shared.options(), shared.after_login(17)), (String::new(), String::new()));
        let local = " SET LOCAL jit = off; SET LOCAL lock_timeout = 10;";
        assert_eq!(shared.in_transaction(15), local);
    }

    #[test]
    fn a_whole_transaction_is_limited_where_the_server_knows_how() {
        let limit = "transaction_timeout = 45000;";
        assert_eq!(session(Pooler::None).after_login(17), format!(" SET {limit}"));
        assert!(session(Pooler::Session).after_login(18).ends_with(limit));
        assert!(session(Pooler::Transaction).in_transaction(17).ends_with(limit));
        assert!(!session(Pooler::Transaction).in_transaction(16).contains(limit));
    }

    #[test]
    fn the_version_is_its_first_number() {
        for (text, version) in
            [("15.18 (Debian 15.18-0+deb12u1)", 15), ("18beta1", 18), ("17.5", 17), ("", 0)]
        {
            assert_eq!(major_version(text), version, "{text}");
        }
    }
}
