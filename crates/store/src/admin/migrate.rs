//! The schema: migrating it.

use std::fmt;
use std::time::Duration;

use diesel::connection::BoxableConnection;
use diesel::migration::{
    self, Migration, MigrationMetadata, MigrationName, MigrationSource, MigrationVersion,
};
use diesel::pg::Pg;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::MigrationHarness;

use super::migrations::{MIGRATIONS, SqlMigration, known};
use super::schema_sql::{other_creators, own_search_path};
use crate::admin::schema_state::{Elsewhere, NamesTaken, SchemaState, schema_state};
use crate::connection::connect::{Connected, Link};
use crate::connection::session::Pooler;
use crate::error::{ConnectError, StoreError};
use crate::pool::Store;
use crate::sql::file::{first_line, statements};
use crate::sql::statement::statement;

/// How often the migration lock is tried for.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// What migrating has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The names of the migrations that were applied.
    pub applied: Vec<String>,
    /// The trigger functions whose `search_path` named another schema than that of their table.
    pub functions: Vec<String>,
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
    /// Others may put objects beside the tables.
    #[error(
        "{creators} may create objects in schema {schema}, functions and operators among them, which Dayfold \
         would use with its rights: REVOKE CREATE ON SCHEMA {schema} FROM {creators}, or give Dayfold a \
         schema of its own (packaging/sql/roles.sql does)"
    )]
    Creators {
        /// The schema, as SQL writes it.
        schema: String,
        /// The roles.
        creators: String,
    },
    /// The tables are in another schema.
    #[error("{0}")]
    Elsewhere(Elsewhere),
    /// Another program has tables of these names.
    #[error("{0}")]
    NamesTaken(NamesTaken),
    /// A migration failed; it was rolled back, those before it stand.
    #[error("a migration failed and was rolled back: {0}")]
    Migration(String),
    /// The search_path of a trigger function could not be set.
    #[error("the search_path of {function} could not be set: {cause}")]
    Function {
        /// The function.
        function: String,
        /// What the server said.
        cause: diesel::result::Error,
    },
    /// Another worker migrates and does not come to an end.
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
    /// Who else may make objects in the schema in which the tables are made: PUBLIC, or roles.
    struct ReadCreators {} -> (Text, Array<Text>)
    concat!(
        "SELECT pg_catalog.quote_ident(n.nspname), ",
        other_creators!(),
        " FROM pg_catalog.pg_namespace AS n
         WHERE n.nspname OPERATOR(pg_catalog.=) pg_catalog.current_schema()"
    )
}

statement! {
    /// Trigger functions of the raw tables that look in another schema, and what sets that right.
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

/// Brings the schema up to date, and has the trigger functions look in the schema of their tables, which
/// may have been renamed.
///
/// Any number of processes may do so at once: one migrates, the others wait and then find
/// nothing to do. The lock is polled for, because waiting inside the server for an advisory
/// lock holds a snapshot, which a concurrent index build would wait for in turn.
///
/// # Errors
/// If the tables are in another schema, other tables have their names, a migration fails, or another
/// process migrates for longer than `patience`.
pub async fn migrate(store: &Store, patience: Duration) -> Result<Migrated, MigrateError> {
    migrate_at(store, patience, false).await
}

/// Does the same also where another schema of the database has the tables: then this one has them, too.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_beside(store: &Store, patience: Duration) -> Result<Migrated, MigrateError> {
    migrate_at(store, patience, true).await
}

async fn migrate_at(
    store: &Store,
    patience: Duration,
    beside: bool,
) -> Result<Migrated, MigrateError> {
    if store.pooler() == Pooler::Transaction {
        // The lock that keeps others from migrating at the same time belongs to a session.
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
        SchemaState::Elsewhere(elsewhere) if !beside => {
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
    // The lock belongs to the session and ends with it.
    let (applied, mut connection) = apply(connection).await?;
    let functions = lead_functions(&mut connection, &link).await?;
    let _: Vec<(i64,)> =
        Unlock {}.load(&mut connection).await.map_err(|error| link.error(error))?;
    let known = known();
    let name = |version: &String| known.iter().find(|(known, _)| known == version);
    let applied = applied.iter().filter_map(name).map(|(_, name)| (*name).to_owned()).collect();
    Ok(Migrated { applied, functions })
}

/// Waits for the lock that lets one process migrate at a time.
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

/// Sets the search_path of trigger functions that look in another schema than that of their table.
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

/// Applies what is missing, on a thread of its own: the harness blocks, and what it waits for is done by
/// the runtime, which has one thread.
async fn apply(
    connection: AsyncPgConnection,
) -> Result<(Vec<String>, AsyncPgConnection), MigrateError> {
    let (done, applied) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        let applied = harness
            .run_pending_migrations(Embedded)
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

/// [`MIGRATIONS`], for diesel.
struct Embedded;

impl MigrationSource<Pg> for Embedded {
    fn migrations(&self) -> migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        Ok(MIGRATIONS.iter().map(|migration| Box::new(*migration) as _).collect())
    }
}

impl Migration<Pg> for SqlMigration {
    /// Sends one statement after the other: some poolers and extensions refuse several in one message.
    fn run(&self, connection: &mut dyn BoxableConnection<Pg>) -> migration::Result<()> {
        let mut line = 1;
        for (number, statement) in (1..).zip(statements(self.up)) {
            if let Some((before, first)) = first_line(statement)
                && let Err(cause) = connection.batch_execute(statement)
            {
                let (name, line) = (self.name, line + before);
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
        self
    }

    fn name(&self) -> &dyn MigrationName {
        self
    }
}

/// In a transaction, as is the default.
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
