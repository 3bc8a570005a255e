//! The migrations of this version of the worker.

use std::borrow::Cow;

use aggregation::UserIdType;
use diesel::migration::MigrationName;

/// A migration of this version of the worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct SqlMigration {
    /// The name of the migration's folder, such as `2026-11-21-000001_raw_tables`.
    pub(super) name: &'static str,
    /// The content of `up.sql`.
    pub(super) up: &'static str,
}

/// All migrations of this version of the worker, in order. `build.rs` writes the list.
pub(super) const MIGRATIONS: &[SqlMigration] =
    &include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Version and name of all migrations of this version of the worker, in order.
pub(super) fn known() -> Vec<(String, &'static str)> {
    MIGRATIONS.iter().map(|migration| (migration.version().to_string(), migration.name)).collect()
}

/// A column of a table in the files of the migrations, and its type for ids of type text. They are compared
/// by their bytes.
const COLUMNS: [(&str, &str); 2] = [
    ("user_id bigint NOT NULL", "user_id text COLLATE \"C\" NOT NULL"),
    ("user_id bigint PRIMARY KEY", "user_id text COLLATE \"C\" PRIMARY KEY"),
];

/// The domain in the files of the migrations.
const DOMAIN: &str = "CREATE DOMAIN user_key AS bigint;";

/// The domain for ids of type text, and the same rule for the tables that apps write to.
const DOMAIN_OF_TEXTS: &str = r#"CREATE DOMAIN user_key AS text COLLATE "C"
    CHECK (octet_length(VALUE) BETWEEN 1 AND 1024 AND VALUE !~ '[\x01-\x1f]');
ALTER TABLE user_profiles ADD CHECK (octet_length(user_id) BETWEEN 1 AND 1024 AND user_id !~ '[\x01-\x1f]');
ALTER TABLE vitals_raw ADD CHECK (octet_length(user_id) BETWEEN 1 AND 1024 AND user_id !~ '[\x01-\x1f]');
ALTER TABLE nutrition_raw ADD CHECK (octet_length(user_id) BETWEEN 1 AND 1024 AND user_id !~ '[\x01-\x1f]');
ALTER TABLE lab_raw ADD CHECK (octet_length(user_id) BETWEEN 1 AND 1024 AND user_id !~ '[\x01-\x1f]');"#;

// The limit is a literal in the SQL above.
const _: () = assert!(aggregation::text::LONGEST_NAME_BYTES == 1024);

/// The SQL of a migration for ids of users of this type. The files have ids of type bigint.
pub(super) fn up_for(up: &'static str, id_type: UserIdType) -> Cow<'static, str> {
    let mut sql = Cow::Borrowed(up);
    let mut replace = |from: &str, to: &str| {
        if sql.contains(from) {
            sql = sql.replace(from, to).into();
        }
    };
    match id_type {
        UserIdType::Bigint => {}
        UserIdType::Uuid => replace(DOMAIN, "CREATE DOMAIN user_key AS uuid;"),
        UserIdType::Text => {
            replace(DOMAIN, DOMAIN_OF_TEXTS);
            for (from, to) in COLUMNS {
                replace(from, to);
            }
        }
    }
    if id_type != UserIdType::Bigint {
        replace("user_id bigint", &format!("user_id {id_type}"));
        replace("user_id::bigint", &format!("user_id::{id_type}"));
    }
    sql
}
