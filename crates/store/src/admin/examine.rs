//! Facts about the database that `worker doctor` checks and that processing does not need.

use aggregation::fingerprint::Fingerprint;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text};

use super::schema_sql::{other_creators, own_search_path};
use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;

/// The rights that the worker needs, by table. `packaging/sql/grants.sql` grants them. Importing also
/// needs INSERT on the raw tables, and migrating needs ownership of all tables.
const RIGHTS: [(&str, &[&str]); 26] = [
    ("__diesel_schema_migrations", &["SELECT"]),
    ("vitals_raw", &["SELECT"]),
    ("nutrition_raw", &["SELECT"]),
    ("lab_raw", &["SELECT"]),
    ("user_profiles", &["SELECT"]),
    ("aggregation_queue", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("frozen_figures", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("frozen_figures_of_users", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("rejected_rows", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("aggregation_runs", &["SELECT", "INSERT", "DELETE"]),
    ("worker_presence", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("worker_throttle", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("operator_actions", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("paused_kinds", &["SELECT", "INSERT", "DELETE"]),
    ("alert_conditions", &["SELECT", "INSERT", "UPDATE"]),
    ("alert_outbox", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("figure_changes", &["SELECT", "INSERT", "DELETE"]),
    ("figure_feed", &["SELECT", "INSERT", "UPDATE"]),
    ("figure_webhook", &["SELECT", "INSERT", "UPDATE"]),
    ("vitals_hourly", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("vitals_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("sleep_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("blood_pressure_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("glucose_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("nutrition_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("lab_daily", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
];

/// All tables of Dayfold, and the list of migrations.
pub(crate) fn table_names() -> Vec<&'static str> {
    RIGHTS.iter().map(|(table, _)| *table).collect()
}

/// Facts about the server and this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// `server_version`, such as `15.18`.
    pub version: String,
    /// `server_version_num`, such as 150018.
    pub version_number: i32,
    /// The role of the session, quoted for SQL.
    pub role: String,
    /// The name of the database.
    pub database: String,
    /// The first schema of the search path, in which the worker's tables are expected.
    pub schema: Option<String>,
    /// Whether the server is a standby.
    pub in_recovery: bool,
    /// Whether transactions are read-only.
    pub read_only: bool,
    /// `session_replication_role`. The triggers that fill the queue fire only if it is `origin`.
    pub replication_role: String,
    /// The TLS version of the connection to the server; `None` without TLS.
    pub tls: Option<String>,
    /// Whether this role may see what other roles' sessions do.
    pub sees_others: bool,
    /// `server_encoding`. With `SQL_ASCII` the server does not validate text.
    pub encoding: String,
    /// The roles that may create objects in the schema, without its owner, the owner of the tables, and
    /// this role.
    pub creators: Vec<String>,
    /// Time-outs in the worker's transactions, in milliseconds: `statement_timeout`, `lock_timeout`,
    /// `idle_in_transaction_session_timeout`, and `transaction_timeout` if the server has it.
    pub timeouts: Vec<(String, i64)>,
}

/// Rights on one object that the worker needs and lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRights {
    /// The missing rights, such as `UPDATE, DELETE`.
    pub rights: String,
    /// `TABLE`, `FUNCTION` or `DATABASE`.
    pub kind: String,
    /// The name of the object, quoted for SQL, with its schema.
    pub object: String,
}

statement! {
    struct ReadServer {} -> (
        Text, Integer, Text, Text, Nullable<Text>, Bool, Bool, Text, Nullable<Text>, Bool, Text,
        Array<Text>
    )
    concat!("SELECT current_setting('server_version'),
            current_setting('server_version_num')::integer,
            quote_ident(current_user),
            current_database()::text,
            current_schema()::text,
            pg_is_in_recovery(),
            current_setting('transaction_read_only')::boolean,
            current_setting('session_replication_role'),
            (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
            pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
            current_setting('server_encoding'),
            coalesce((SELECT ", other_creators!(), "
                      FROM pg_namespace AS n WHERE n.nspname = current_schema()), ARRAY[]::text[])")
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
    /// requeue queues and a group fails.
    struct ReadMissingRights {
        tables: Vec<&'static str> => Array<Text>,
        rights: Vec<&'static str> => Array<Text>,
    } -> (Text, Text, Text)
    include_str!("read_missing_rights.sql")
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
    struct ReadMissingTables {
        tables: Vec<&'static str> => Array<Text>,
    } -> (Text)
    "SELECT needed.name FROM unnest({tables}::text[]) AS needed (name)
     WHERE to_regclass(needed.name) IS NULL"
}

/// A fault of a trigger of a raw table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerFault {
    /// A description of the fault, with the name of the trigger.
    pub found: String,
    /// Whether the trigger fills the queue in spite of the fault.
    pub is_harmless: bool,
}

statement! {
    /// Each required trigger: its table and kind; whether it is enabled (D: disabled, R: for replicas
    /// only); then its function: name, text, rights, search_path, and schema.
    struct ReadTriggers {} -> (
        Text, Text, Text, Text, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Bool>,
        Nullable<Bool>, Nullable<Text>
    )
    concat!(
        "SELECT raw.name, raw.kind, needed.name, n.nspname::text,
                t.tgenabled::text, p.proname::text, p.prosrc,
                p.prosecdef AND has_table_privilege(p.proowner, to_regclass('aggregation_queue'), 'INSERT'),
                p.pronamespace = n.oid AND ",
        own_search_path!(),
        " = ANY (coalesce(p.proconfig, ARRAY[]::text[])),
                coalesce((SELECT substr(of.setting, 13) FROM unnest(p.proconfig) AS of (setting)
                          WHERE of.setting LIKE 'search_path=%'), 'the session''s')
         FROM (VALUES ('vitals_raw', 'vitals'), ('nutrition_raw', 'nutrition'), ('lab_raw', 'labs'))
                  AS raw (name, kind)
         CROSS JOIN unnest(ARRAY['queue_inserted', 'queue_updated', 'queue_deleted', 'queue_truncated',
                                 'queue_replicated'])
                  AS needed (name)
         JOIN pg_class AS c ON c.oid = to_regclass(raw.name)
         JOIN pg_namespace AS n ON n.oid = c.relnamespace
         LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = needed.name
         LEFT JOIN pg_proc AS p ON p.oid = t.tgfoid
         ORDER BY raw.name, needed.name"
    )
}

/// The trigger functions and the digests of their texts. The migration generates them from one text for
/// all kinds, so the text of a single function is not in the file. If a function changes, the test below
/// prints the new digest.
const TRIGGER_FUNCTIONS: &[(&str, u64)] = &[
    ("queue_changed_labs", 0xbf41_5881_8be8_784c),
    ("queue_changed_nutrition", 0xebac_d8d1_9bb4_0a8c),
    ("queue_changed_vitals", 0xf49b_c760_20b4_9524),
    ("queue_replicated_labs", 0xd7dd_d6bc_d2ca_3a22),
    ("queue_replicated_nutrition", 0x14d1_d6aa_eea7_1804),
    ("queue_replicated_vitals", 0x8078_3f61_8f5d_e70c),
    ("queue_truncated_labs", 0x07e3_c15a_8b02_38bb),
    ("queue_truncated_nutrition", 0xbcda_f83a_cadf_7dac),
    ("queue_truncated_vitals", 0xed3c_93d0_2b81_0757),
    ("queue_updated_labs", 0x8a4e_26d2_11e8_1102),
    ("queue_updated_nutrition", 0x1c5c_7433_179d_e2f4),
    ("queue_updated_vitals", 0xc897_5ee7_81e5_79a9),
];

/// The functions of a database with ids of another type cast them to that type.
fn text_digest(source: &str) -> u64 {
    let source = source
        .replace("user_id::uuid", "user_id::bigint")
        .replace("user_id::text", "user_id::bigint");
    Fingerprint::new().text(&source).finish()
}

type TriggerColumns = (
    String,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<bool>,
    Option<bool>,
    Option<String>,
);

impl TriggerFault {
    fn from_row(row: TriggerColumns) -> Option<Self> {
        let (table, kind, trigger, schema, enabled, function, source, has_rights, is_led, path) =
            row;
        let wrong = |what: &str| Some(format!("{trigger} on {table} ({what})"));
        let harmful = |found| Self { found, is_harmless: false };
        let Some(function) = function else { return wrong("it is missing").map(harmful) };
        match (trigger.as_str(), enabled.as_deref()) {
            ("queue_replicated", Some("R" | "A")) => {}
            ("queue_replicated", _) => {
                return wrong("it is not enabled for replicas").map(harmful);
            }
            (_, Some("D" | "R")) => return wrong("it is disabled").map(harmful),
            _ => {}
        }
        let expected = match trigger.as_str() {
            "queue_inserted" | "queue_deleted" => format!("queue_changed_{kind}"),
            _ => format!("{trigger}_{kind}"),
        };
        let text = text_digest(&source.unwrap_or_default());
        if function != expected || !TRIGGER_FUNCTIONS.contains(&(function.as_str(), text)) {
            return wrong(&format!("its function {function} is not that of this version"))
                .map(harmful);
        }
        if has_rights != Some(true) {
            return wrong(&format!("{function} has no right to insert into the queue"))
                .map(harmful);
        }
        let path = path.unwrap_or_default();
        (is_led != Some(true)).then(|| Self {
            found: format!(
                "trigger functions look in {path} and not in {schema:?}, where their tables are"
            ),
            is_harmless: true,
        })
    }
}

impl Store {
    /// Reads facts about the server and this session.
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
            Option<String>,
            bool,
            String,
            Vec<String>,
        );
        let server: Vec<Columns> = self.load("doctor", ReadServer {}).await?;
        let timeouts = self.load("doctor", ReadTimeouts {}).await?;
        let Some(server) = server.into_iter().next() else {
            return Err(StoreError::Internal("the server returned no facts about itself"));
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
            tls: server.8,
            sees_others: server.9,
            encoding: server.10,
            creators: server.11,
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

    /// The tables that the worker needs and that are missing although their migrations were applied.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn missing_tables(&self) -> Result<Vec<String>, StoreError> {
        let read = ReadMissingTables { tables: table_names() };
        let rows: Vec<(String,)> = self.load("doctor", read).await?;
        Ok(rows.into_iter().map(|(table,)| table).collect())
    }

    /// The tables whose row security shows this role only part of the rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn row_security(&self) -> Result<Vec<String>, StoreError> {
        let read = ReadRowSecurity { tables: table_names() };
        let rows: Vec<(String,)> = self.load("doctor", read).await?;
        Ok(rows.into_iter().map(|(table,)| table).collect())
    }

    /// Faults of the raw tables' triggers that the server's catalog shows. The content that they queue
    /// is not checked.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn trigger_faults(&self) -> Result<Vec<TriggerFault>, StoreError> {
        let rows: Vec<TriggerColumns> = self.load("doctor", ReadTriggers {}).await?;
        let mut faults: Vec<TriggerFault> = Vec::new();
        for fault in rows.into_iter().filter_map(TriggerFault::from_row) {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
    use local_postgres::{Binaries, LocalPostgres};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_functions_of_a_migrated_database_are_those_of_this_version() {
        let binaries = Binaries::find_or_install(|_| ()).unwrap();
        let server = LocalPostgres::start(&binaries).unwrap();
        let mut client = AsyncPgConnection::establish(&server.url("postgres")).await.unwrap();
        for up in crate::admin::migrate::up_texts() {
            client.batch_execute(up).await.unwrap();
        }
        client.batch_execute("RESET search_path").await.unwrap();
        let rows: Vec<TriggerColumns> =
            RunQueryDsl::load(ReadTriggers {}, &mut client).await.unwrap();
        let mut found: Vec<(String, u64)> =
            rows.into_iter().map(|row| (row.5.unwrap(), text_digest(&row.6.unwrap()))).collect();
        found.sort();
        found.dedup();
        let found: Vec<(&str, u64)> = found.iter().map(|(name, text)| (&**name, *text)).collect();
        assert_eq!(found, TRIGGER_FUNCTIONS, "{found:x?}");
    }
}
