//! The migrations of this version of the worker.

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
