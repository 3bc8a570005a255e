//! The schema and its versions.

use std::time::Duration;

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::connect::Connected;
use crate::error::{ConnectError, StoreError};
use crate::pool::Store;
use crate::session::Pooler;
use crate::statement::statement;

/// Every migration that this version of the worker knows.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// How often the migration lock is tried for.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// How the database's schema compares with the one this version of the worker needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// It is the one.
    Current,
    /// These migrations are still to be applied.
    TooOld {
        /// Their names, in order.
        pending: Vec<String>,
    },
    /// None of the schemas of the `search_path` is there, or may be used by this role: what is in them
    /// is not seen.
    OutOfSight,
    /// It has migrations of a later version of the worker.
    TooNew {
        /// Their version numbers, in order.
        unknown: Vec<String>,
    },
}

/// Migration failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nowhere to make the tables.
    #[error(
        "no schema of the search_path exists or may be used by this role: CREATE SCHEMA makes one"
    )]
    NoSchema,
    /// A migration failed; it was rolled back, those before it stand.
    #[error("a migration failed and was rolled back: {0}")]
    Migration(String),
    /// Another worker migrates and does not come to an end.
    #[error(
        "another process has been migrating for more than {0} s; look for it in pg_stat_activity"
    )]
    Busy(u64),
}

statement! {
    struct HasMigrationsTable {} -> (Bool)
    "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL"
}

statement! {
    struct AppliedMigrations {} -> (Text)
    "SELECT version FROM __diesel_schema_migrations ORDER BY version"
}

statement! {
    struct TryLockMigrations {} -> (Bool)
    "SELECT pg_try_advisory_lock(hashtext('dayfold migrate'), hashtext(current_schema()))"
}

statement! {
    struct HasSchema {} -> (Bool)
    "SELECT current_schema() IS NOT NULL"
}

statement! {
    struct Unlock {} -> (BigInt)
    "SELECT count(*) FROM (SELECT pg_advisory_unlock(hashtext('dayfold migrate'), hashtext(current_schema()))) AS unlocked"
}

/// Brings the schema up to date and returns the names of the migrations it applied.
///
/// Any number of processes may do so at once: one migrates, the others wait and then find
/// nothing to do. The lock is polled for, because waiting inside the server for an advisory
/// lock holds a snapshot, which a concurrent index build would wait for in turn.
///
/// # Errors
/// If a migration fails, or another process migrates for longer than `patience`.
pub async fn migrate(store: &Store, patience: Duration) -> Result<Vec<String>, MigrateError> {
    if store.pooler() == Pooler::Transaction {
        // The lock that keeps others from migrating at the same time belongs to a session.
        return Err(StoreError::NeedsSession("migrating").into());
    }
    let Connected { mut connection, link } = store.dedicated().await?;
    let schema: Vec<(bool,)> =
        HasSchema {}.load(&mut connection).await.map_err(|error| link.error(error))?;
    if schema != [(true,)] {
        return Err(MigrateError::NoSchema);
    }
    let mut waited = Duration::ZERO;
    loop {
        let locked: Vec<(bool,)> =
            TryLockMigrations {}.load(&mut connection).await.map_err(|error| link.error(error))?;
        if locked == [(true,)] {
            break;
        }
        if waited >= patience {
            return Err(MigrateError::Busy(patience.as_secs()));
        }
        tokio::time::sleep(LOCK_POLL).await;
        waited += LOCK_POLL;
    }
    // The lock belongs to the session and ends with it.
    let (applied, mut connection) = apply(connection).await?;
    let _: Vec<(i64,)> =
        Unlock {}.load(&mut connection).await.map_err(|error| link.error(error))?;
    let known = known()?;
    let name = |version: &String| known.iter().find(|(known, _)| known == version);
    Ok(applied.iter().filter_map(name).map(|(_, name)| name.clone()).collect())
}

/// Applies what is missing, on a thread of its own: the harness blocks, and what it waits for is done by
/// the runtime, which has one thread.
async fn apply(
    connection: AsyncPgConnection,
) -> Result<(Vec<String>, AsyncPgConnection), MigrateError> {
    let (done, applied) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        let applied = harness
            .run_pending_migrations(MIGRATIONS)
            .map(|versions| versions.iter().map(ToString::to_string).collect::<Vec<_>>())
            .map_err(|error| MigrateError::Migration(error.to_string()));
        let _ = done.send(applied.map(|applied| (applied, harness.into_inner())));
    });
    let ended = "the thread that migrates has ended";
    applied.await.map_err(|_| StoreError::Internal(ended))?
}

/// Version and name of every migration that this version of the worker knows.
fn known() -> Result<Vec<(String, String)>, StoreError> {
    Ok(MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .map_err(|_| StoreError::Internal("the embedded migrations cannot be read"))?
        .iter()
        .map(|migration| (migration.name().version().to_string(), migration.name().to_string()))
        .collect())
}

/// Compares the database's schema with the one this version needs, changing nothing.
///
/// # Errors
/// If the database fails.
pub async fn schema_state(store: &Store) -> Result<SchemaState, StoreError> {
    let exists: Vec<(bool,)> = store.load("schema", HasMigrationsTable {}).await?;
    let applied: Vec<(String,)> = if exists == [(true,)] {
        store.load("schema", AppliedMigrations {}).await?
    } else if store.load::<_, (bool,)>("schema", HasSchema {}).await? == [(false,)] {
        return Ok(SchemaState::OutOfSight);
    } else {
        Vec::new()
    };
    let applied: Vec<String> = applied.into_iter().map(|(version,)| version).collect();
    let known = known()?;
    let unknown: Vec<String> = applied
        .iter()
        .filter(|a| known.iter().all(|(version, _)| version != *a))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Ok(SchemaState::TooNew { unknown });
    }
    let mut pending: Vec<String> = known
        .into_iter()
        .filter(|(version, _)| !applied.contains(version))
        .map(|(_, name)| name)
        .collect();
    pending.sort();
    Ok(if pending.is_empty() { SchemaState::Current } else { SchemaState::TooOld { pending } })
}
