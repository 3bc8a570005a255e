//! Migrates the schema.

use std::fmt;
use std::time::Duration;

use aggregation::UserIdType;
use diesel::connection::BoxableConnection;
use diesel::migration::{
    self, Migration, MigrationMetadata, MigrationName, MigrationSource, MigrationVersion,
};
use diesel::pg::Pg;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::MigrationHarness;

use super::migrations::{MIGRATIONS, SqlMigration, known, up_for};
use super::schema_sql::{other_creators, own_search_path};
use crate::admin::citus::CitusProblem;
use crate::admin::schema_state::{Elsewhere, NamesTaken, SchemaState, schema_state};
use crate::connection::connect::{Connected, Link};
use crate::connection::session::Pooler;
use crate::error::{ConnectError, StoreError};
use crate::pool::Store;
use crate::sql::file::{first_line, statements};
use crate::sql::statement::statement;

/// Interval between attempts to take the migration lock.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// The changes made by a migration run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The names of the migrations that were applied.
    pub applied: Vec<String>,
    /// The trigger functions whose `search_path` named a schema other than their table's, and was
    /// corrected.
    pub functions: Vec<String>,
}

/// An error of a migration run.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The search path contains no schema in which to create the tables.
    #[error(
        "no schema of the search_path exists or may be used by this role: CREATE SCHEMA makes one"
    )]
    NoSchema,
    /// Other roles may create objects in the schema of the tables.
    #[error(
        "{creators} may create objects in schema {schema}, functions and operators among them, which Dayfold \
         would use with its rights: REVOKE CREATE ON SCHEMA {schema} FROM {creators}, or give Dayfold a \
         schema of its own (packaging/sql/roles.sql does)"
    )]
    Creators {
        /// The schema, quoted for SQL.
        schema: String,
        /// The roles that may create objects.
        creators: String,
    },
    /// The tables exist in another schema.
    #[error("{0}")]
    Elsewhere(Elsewhere),
    /// Another program has tables with these names.
    #[error("{0}")]
    NamesTaken(NamesTaken),
    /// Citus cannot hold the tables in its distributed schema.
    #[error("Citus {version} holds this schema, and {problem}: {}", problem.advice())]
    Citus {
        /// The version of the extension.
        version: String,
        /// The problem.
        problem: CitusProblem,
    },
    /// A migration failed and was rolled back. The migrations before it remain applied.
    #[error("a migration failed and was rolled back: {0}")]
    Migration(String),
    /// The search_path of a trigger function could not be set.
    #[error("the search_path of {function} could not be set: {cause}")]
    Function {
        /// The function.
        function: String,
        /// The server's error.
        cause: diesel::result::Error,
    },
    /// The tables have user ids of another type.
    #[error(
        "the tables have user ids of type {present}, which never changes: leave out --user-id, or create the \
         tables with --user-id {asked} in a new database, or in another schema with --beside"
    )]
    UserIdType {
        /// The requested type.
        asked: UserIdType,
        /// The type in the database.
        present: String,
    },
    /// Texts as user ids need a database whose texts are valid and ordered alike everywhere.
    #[error(
        "user ids of type text need a database with the encoding UTF8, and this one has {0}: create one with \
         ENCODING 'UTF8'"
    )]
    Encoding(String),
    /// Another process holds the migration lock for too long.
    #[error(
        "another process has been migrating for more than {0} s; look for it in pg_stat_activity"
    )]
    Busy(u64),
}

statement! {
    struct TryLockMigrations {} -> (Bool)
    "SELECT pg_try_advisory_lock(hashtext('dayfold migrate'), hashtext(current_schema()))"
}

statement! {
    struct Unlock {} -> (BigInt)
    "SELECT count(*) FROM (SELECT pg_advisory_unlock(hashtext('dayfold migrate'), hashtext(current_schema()))) AS unlocked"
}

statement! {
    /// The other roles that may create objects in the schema of the new tables, or PUBLIC.
    struct ReadCreators {} -> (Text, Array<Text>)
    concat!(
        "SELECT pg_catalog.quote_ident(n.nspname), ",
        other_creators!(),
        " FROM pg_catalog.pg_namespace AS n
         WHERE n.nspname OPERATOR(pg_catalog.=) pg_catalog.current_schema()"
    )
}

statement! {
    /// Trigger functions of the raw tables whose search path names another schema, and the SQL that
    /// corrects it.
    struct ReadMisledFunctions {} -> (Text, Text)
    concat!(
        "SELECT DISTINCT p.proname::text,
                format('ALTER FUNCTION %s SET search_path = %I, pg_temp', p.oid::regprocedure, n.nspname)
         FROM pg_trigger AS t
         JOIN pg_class AS c ON c.oid = t.tgrelid
         JOIN pg_namespace AS n ON n.oid = c.relnamespace
         JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = n.oid
         WHERE t.tgrelid IN (to_regclass('vitals_raw'), to_regclass('nutrition_raw'), to_regclass('lab_raw'))
           AND t.tgname LIKE 'queue\\_%' AND p.proname LIKE 'queue\\_%'
           AND ",
        own_search_path!(),
        " <> ALL (coalesce(p.proconfig, ARRAY[]::text[]))
         ORDER BY 1"
    )
}

statement! {
    /// The type of user ids of the tables in this schema, if there are any, and the encoding of the database.
    /// The queue is always Dayfold's own table; before it is there, a raw table is.
    struct ReadTypes {} -> (Nullable<Text>, Text)
    include_str!("read_types.sql")
}

/// How to migrate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigrateOptions {
    /// Create the tables also if another schema of the database has them.
    pub beside: bool,
    /// The type of user ids for new tables; without it, bigint. Existing tables must have it.
    pub user_id: Option<UserIdType>,
}

/// Applies the missing migrations. It also sets the trigger functions' search path to the schema of
/// their tables, which may have been renamed.
///
/// Any number of processes may call this at once: one migrates, and the others wait and then find
/// nothing to do. The lock is polled: waiting for an advisory lock inside the server holds a snapshot,
/// and a concurrent index build would wait for that snapshot.
///
/// # Errors
/// If the tables are in another schema, other tables have their names, a migration fails, or another
/// process migrates for longer than `patience`.
pub async fn migrate(store: &Store, patience: Duration) -> Result<Migrated, MigrateError> {
    migrate_with(store, patience, MigrateOptions::default()).await
}

/// As [`migrate`], with options.
///
/// # Errors
/// As [`migrate`]; also if the tables have user ids of another type than the requested one, or the database
/// cannot have texts as user ids.
pub async fn migrate_with(
    store: &Store,
    patience: Duration,
    options: MigrateOptions,
) -> Result<Migrated, MigrateError> {
    if store.pooler() == Pooler::Transaction {
        // A session lock keeps other processes from migrating at the same time.
        return Err(StoreError::NeedsSession("migrating").into());
    }
    let Connected { mut connection, link } = store.dedicated().await?;
    let schema: Vec<(String, Vec<String>)> =
        ReadCreators {}.load(&mut connection).await.map_err(|error| link.error(error))?;
    let has_schema = !schema.is_empty();
    if has_schema {
        lock(&mut connection, &link, patience).await?;
    }
    match schema_state(store).await? {
        SchemaState::Elsewhere(elsewhere) if !options.beside => {
            return Err(MigrateError::Elsewhere(elsewhere));
        }
        SchemaState::NamesTaken(taken) => return Err(MigrateError::NamesTaken(taken)),
        _ => {}
    }
    match schema.into_iter().next() {
        None => return Err(MigrateError::NoSchema),
        Some((schema, creators)) if !creators.is_empty() => {
            return Err(MigrateError::Creators { schema, creators: creators.join(", ") });
        }
        Some(_) => {}
    }
    if let Some(citus) = store.citus().await?
        && let Some(problem) = citus.problem()
    {
        return Err(MigrateError::Citus { version: citus.version, problem });
    }
    // The lock belongs to the session and ends with it.
    let id_type = user_id_type(&mut connection, &link, options.user_id).await?;
    let (applied, mut connection) = apply(connection, id_type).await?;
    let functions = lead_functions(&mut connection, &link).await?;
    let _: Vec<(i64,)> =
        Unlock {}.load(&mut connection).await.map_err(|error| link.error(error))?;
    let known = known();
    let name = |version: &String| known.iter().find(|(known, _)| known == version);
    let applied = applied.iter().filter_map(name).map(|(_, name)| (*name).to_owned()).collect();
    Ok(Migrated { applied, functions })
}

/// The type of user ids of the tables, or for them.
async fn user_id_type(
    connection: &mut AsyncPgConnection,
    link: &Link,
    asked: Option<UserIdType>,
) -> Result<UserIdType, MigrateError> {
    let types: Vec<(Option<String>, String)> =
        ReadTypes {}.load(connection).await.map_err(|error| link.error(error))?;
    let (present, encoding) = types.into_iter().next().unwrap_or_default();
    if let Some(present) = present {
        // An int4 of old tables is of no type that can be chosen, and stays.
        let known = UserIdType::from_name(&present);
        return match asked {
            Some(asked) if known != Some(asked) => Err(MigrateError::UserIdType { asked, present }),
            _ => Ok(known.unwrap_or_default()),
        };
    }
    let chosen = asked.unwrap_or_default();
    if chosen == UserIdType::Text && encoding != "UTF8" {
        return Err(MigrateError::Encoding(encoding));
    }
    Ok(chosen)
}

/// Waits for the session lock that lets one process migrate at a time.
async fn lock(
    connection: &mut AsyncPgConnection,
    link: &Link,
    patience: Duration,
) -> Result<(), MigrateError> {
    let mut waited = Duration::ZERO;
    loop {
        let locked: Vec<(bool,)> =
            TryLockMigrations {}.load(connection).await.map_err(|error| link.error(error))?;
        if locked == [(true,)] {
            return Ok(());
        }
        if waited >= patience {
            return Err(MigrateError::Busy(patience.as_secs()));
        }
        tokio::time::sleep(LOCK_POLL).await;
        waited += LOCK_POLL;
    }
}

/// Corrects the search_path of trigger functions that name a schema other than their table's.
async fn lead_functions(
    connection: &mut AsyncPgConnection,
    link: &Link,
) -> Result<Vec<String>, MigrateError> {
    let misled: Vec<(String, String)> =
        ReadMisledFunctions {}.load(connection).await.map_err(|error| link.error(error))?;
    let mut functions = Vec::new();
    for (function, alter) in misled {
        if let Err(cause) = connection.batch_execute(&alter).await {
            return Err(MigrateError::Function { function, cause });
        }
        functions.push(function);
    }
    Ok(functions)
}

/// Applies the missing migrations on a separate thread. The harness blocks its thread, and the I/O that
/// it waits for runs on the single-threaded runtime.
async fn apply(
    connection: AsyncPgConnection,
    id_type: UserIdType,
) -> Result<(Vec<String>, AsyncPgConnection), MigrateError> {
    let (done, applied) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        let applied = harness
            .run_pending_migrations(Embedded(id_type))
            .map(|versions| versions.iter().map(ToString::to_string).collect::<Vec<_>>())
            .map_err(|error| MigrateError::Migration(error.to_string()));
        let _ = done.send(applied.map(|applied| (applied, harness.into_inner())));
    });
    let ended = "the thread that migrates has ended";
    applied.await.map_err(|_| StoreError::Internal(ended))?
}

/// The SQL of every migration, in order.
#[cfg(test)]
pub(crate) fn up_texts() -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().map(|migration| migration.up)
}

/// [`MIGRATIONS`] as a source for diesel's harness, for user ids of this type.
struct Embedded(UserIdType);

struct TypedMigration {
    migration: SqlMigration,
    id_type: UserIdType,
}

impl MigrationSource<Pg> for Embedded {
    fn migrations(&self) -> migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        let typed = |migration: &SqlMigration| {
            Box::new(TypedMigration { migration: *migration, id_type: self.0 }) as _
        };
        Ok(MIGRATIONS.iter().map(typed).collect())
    }
}

impl Migration<Pg> for TypedMigration {
    /// Sends the statements one by one: some poolers and extensions refuse several in one message.
    fn run(&self, connection: &mut dyn BoxableConnection<Pg>) -> migration::Result<()> {
        let mut line = 1;
        let up = up_for(self.migration.up, self.id_type);
        for (number, statement) in (1..).zip(statements(&up)) {
            if let Some((before, first)) = first_line(statement)
                && let Err(cause) = connection.batch_execute(statement)
            {
                let (name, line) = (self.migration.name, line + before);
                return Err(format!(
                    "{name}/up.sql, statement {number} in line {line} ({first}): {cause}"
                )
                .into());
            }
            line += statement.matches('\n').count();
        }
        Ok(())
    }

    fn revert(&self, _: &mut dyn BoxableConnection<Pg>) -> migration::Result<()> {
        Err("the worker takes no migration back".into())
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        &self.migration
    }

    fn name(&self) -> &dyn MigrationName {
        &self.migration
    }
}

/// Each migration runs in a transaction, which is the default.
impl MigrationMetadata for SqlMigration {}

impl MigrationName for SqlMigration {
    fn version(&self) -> MigrationVersion<'_> {
        self.name.split('_').next().unwrap_or_default().replace('-', "").into()
    }
}

impl fmt::Display for SqlMigration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
