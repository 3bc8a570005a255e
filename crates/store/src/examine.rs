//! What an examination of the database looks at, beside what the work itself needs to know.

use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::statement::statement;

/// The rights that the worker needs, by table; `packaging/sql/grants.sql` gives them. Loading files
/// needs INSERT on the raw tables, and migrating needs to own them all, beside these.
const RIGHTS: [(&str, &[&str]); 17] = [
    ("__diesel_schema_migrations", &["SELECT"]),
    ("vitals_raw", &["SELECT"]),
    ("nutrition_raw", &["SELECT"]),
    ("lab_raw", &["SELECT"]),
    ("user_profiles", &["SELECT"]),
    ("aggregation_queue", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("rejected_rows", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("aggregation_runs", &["SELECT", "INSERT", "DELETE"]),
    ("alert_conditions", &["SELECT", "INSERT", "UPDATE"]),
    ("alert_outbox", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("vitals_hourly", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("vitals_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("sleep_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("blood_pressure_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("glucose_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("nutrition_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("lab_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
];

/// The server and this session, as an examination finds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// `server_version`, such as `15.18`.
    pub version: String,
    /// `server_version_num`, such as 150018.
    pub version_number: i32,
    /// The role that is logged in, as SQL writes it.
    pub role: String,
    /// The database.
    pub database: String,
    /// The schema in which the worker's tables are looked for first.
    pub schema: Option<String>,
    /// It is a standby.
    pub in_recovery: bool,
    /// It takes no changes.
    pub read_only: bool,
    /// `session_replication_role`; only with `origin` do the triggers fire that feed the queue.
    pub replication_role: String,
    /// The language of the server's messages.
    pub messages: String,
    /// The protocol of TLS between the server and its client; none without TLS.
    pub tls: Option<String>,
    /// Whether this role may see what other roles' sessions do.
    pub sees_others: bool,
    /// `statement_timeout`, `lock_timeout`, `idle_in_transaction_session_timeout` and, where the
    /// server knows it, `transaction_timeout`, as they hold in the worker's transactions, in
    /// milliseconds.
    pub timeouts: Vec<(String, i64)>,
}

/// Rights that the worker needs and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRights {
    /// The rights, such as `UPDATE, DELETE`.
    pub rights: String,
    /// `TABLE`, `SEQUENCE`, `FUNCTION` or `DATABASE`.
    pub kind: String,
    /// On what, as SQL writes it, with its schema.
    pub object: String,
}

statement! {
    struct ReadServer {} -> (
        Text, Integer, Text, Text, Nullable<Text>, Bool, Bool, Text, Text, Nullable<Text>, Bool
    )
    "SELECT current_setting('server_version'),
            current_setting('server_version_num')::integer,
            quote_ident(current_user),
            current_database()::text,
            current_schema()::text,
            pg_is_in_recovery(),
            current_setting('transaction_read_only')::boolean,
            current_setting('session_replication_role'),
            current_setting('lc_messages'),
            (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
            pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"
}

statement! {
    struct ReadTimeouts {} -> (Text, BigInt)
    "SELECT name, setting::bigint FROM pg_settings
     WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',
                    'transaction_timeout')
     ORDER BY name"
}

statement! {
    /// Objects that are not there are the schema's business. The functions are those by which a
    /// requeue queues, and in the database are the temporary tables of a verification.
    struct ReadMissingRights {
        tables: Vec<&'static str> => Array<Text>,
        rights: Vec<&'static str> => Array<Text>,
    } -> (Text, Text, Text)
    "SELECT string_agg(needed.privilege, ', ' ORDER BY needed.place), 'TABLE',
            format('%I.%I', (SELECT nspname FROM pg_namespace AS n WHERE n.oid = c.relnamespace), c.relname)
     FROM unnest({tables}::text[], {rights}::text[])
              WITH ORDINALITY AS needed (name, privilege, place)
     JOIN pg_class AS c ON c.oid = to_regclass(needed.name)
     WHERE NOT has_table_privilege(c.oid, needed.privilege)
     GROUP BY c.oid, c.relnamespace, c.relname
     UNION ALL
     SELECT 'USAGE', 'SEQUENCE', format('%I.%I', (SELECT nspname FROM pg_namespace AS n WHERE n.oid = c.relnamespace), c.relname)
     FROM pg_class AS c
     WHERE c.oid = to_regclass('aggregation_lease')
       AND NOT has_sequence_privilege(c.oid, 'USAGE')
     UNION ALL
     SELECT 'EXECUTE', 'FUNCTION', format('%I.%I(%s)', (SELECT nspname FROM pg_namespace AS n WHERE n.oid = p.pronamespace),
            p.proname, pg_get_function_identity_arguments(p.oid))
     FROM pg_proc AS p
     WHERE p.oid IN (to_regprocedure('aggregation_datable(timestamptz)'),
                     to_regprocedure('aggregation_end(timestamptz, timestamptz)'))
       AND NOT has_function_privilege(p.oid, 'EXECUTE')
     UNION ALL
     SELECT 'TEMPORARY', 'DATABASE', quote_ident(current_database())
     WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
     ORDER BY 3"
}

statement! {
    struct ReadRowSecurity {
        tables: Vec<&'static str> => Array<Text>,
    } -> (Text)
    "SELECT needed.name
     FROM unnest({tables}::text[]) AS needed (name)
     WHERE to_regclass(needed.name) IS NOT NULL AND row_security_active(to_regclass(needed.name))"
}

statement! {
    /// D: disabled; R: fires for replicas only.
    struct ReadSilentTriggers {} -> (Text)
    "SELECT format('%s on %s', tgname, tgrelid::regclass)
     FROM pg_trigger
     WHERE tgrelid IN (to_regclass('vitals_raw'), to_regclass('nutrition_raw'), to_regclass('lab_raw'))
       AND tgname LIKE 'queue\\_%' AND tgenabled IN ('D', 'R')
     UNION ALL
     SELECT format('%s on %s (it is not there)', needed.name, raw.name)
     FROM unnest(ARRAY['queue_inserted', 'queue_updated', 'queue_deleted', 'queue_truncated'])
              AS needed (name),
          unnest(ARRAY['vitals_raw', 'nutrition_raw', 'lab_raw']) AS raw (name)
     WHERE to_regclass(raw.name) IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_trigger
                       WHERE tgrelid = to_regclass(raw.name) AND tgname = needed.name)
     ORDER BY 1"
}

impl Store {
    /// What the server and this session are like.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn examine(&self) -> Result<Examination, StoreError> {
        type Columns = (
            String,
            i32,
            String,
            String,
            Option<String>,
            bool,
            bool,
            String,
            String,
            Option<String>,
            bool,
        );
        let server: Vec<Columns> = self.load("doctor", ReadServer {}).await?;
        let timeouts = self.load("doctor", ReadTimeouts {}).await?;
        let Some(server) = server.into_iter().next() else {
            return Err(StoreError::Internal("the server does not tell what it is"));
        };
        Ok(Examination {
            version: server.0,
            version_number: server.1,
            role: server.2,
            database: server.3,
            schema: server.4,
            in_recovery: server.5,
            read_only: server.6,
            replication_role: server.7,
            messages: server.8,
            tls: server.9,
            sees_others: server.10,
            timeouts,
        })
    }

    /// The rights that the worker lacks.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn missing_rights(&self) -> Result<Vec<MissingRights>, StoreError> {
        let needed =
            || RIGHTS.iter().flat_map(|(table, rights)| rights.iter().map(move |r| (table, r)));
        let read = ReadMissingRights {
            tables: needed().map(|(table, _)| *table).collect(),
            rights: needed().map(|(_, right)| *right).collect(),
        };
        let rows: Vec<(String, String, String)> = self.load("doctor", read).await?;
        let missing = rows.into_iter();
        Ok(missing.map(|(rights, kind, object)| MissingRights { rights, kind, object }).collect())
    }

    /// The tables of which this role sees the rows of some policy only.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn row_security(&self) -> Result<Vec<String>, StoreError> {
        let read = ReadRowSecurity { tables: RIGHTS.iter().map(|(table, _)| *table).collect() };
        let rows: Vec<(String,)> = self.load("doctor", read).await?;
        Ok(rows.into_iter().map(|(table,)| table).collect())
    }

    /// The triggers of the raw tables that do not fire, or are not there, in words: what they should
    /// queue is never computed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn silent_triggers(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = self.load("doctor", ReadSilentTriggers {}).await?;
        Ok(rows.into_iter().map(|(trigger,)| trigger).collect())
    }
}
