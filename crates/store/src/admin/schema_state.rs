//! Compares the database's schema with the one that this version needs, and finds the schema of the
//! tables.

use std::fmt;

use aggregation::Kind;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text};

use super::migrations::known;
use crate::admin::import::{raw_columns, raw_table};
use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;

/// The database's schema compared with the one that this version of the worker needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The schema is the one that this version needs.
    Current,
    /// Migrations are pending.
    TooOld {
        /// The names of the pending migrations, in order.
        pending: Vec<String>,
    },
    /// No schema of the `search_path` exists or may be used by this role, so the tables cannot be seen.
    OutOfSight,
    /// The database has migrations of a later version of the worker.
    TooNew {
        /// The version numbers of the unknown migrations, in order.
        unknown: Vec<String>,
    },
    /// The tables are in a schema outside the `search_path`.
    Elsewhere(Elsewhere),
    /// Another program has tables of the same names in the schema where Dayfold would create its own.
    NamesTaken(NamesTaken),
}

/// The schemas that have the tables, and the schemas that this role searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    schemas: Vec<String>,
    search_path: String,
    current: Option<String>,
    role: String,
    database: String,
}

impl Elsewhere {
    /// Describes the fault.
    pub fn found(&self) -> String {
        format!(
            "the tables are in schema {}, to which the search_path ({}) does not lead",
            self.schemas
                .iter()
                .map(|schema| format!("{schema:?}"))
                .collect::<Vec<_>>()
                .join(" and "),
            self.search_path
        )
    }

    /// Describes the remedy.
    pub fn advice(&self) -> String {
        let Self { role, database, .. } = self;
        let schema = self.schemas.first().map(String::as_str).unwrap_or_default();
        let is_plain =
            schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let option = if is_plain {
            format!(", or add options=-csearch_path%3D{schema} to DATABASE_URL")
        } else {
            String::new()
        };
        let schema = schema.replace('"', "\"\"");
        let beside = self.current.as_ref().map_or_else(String::new, |current| {
            format!("; `worker migrate --beside` makes a second set of tables in {current:?}")
        });
        format!(
            "ALTER ROLE {role} IN DATABASE {database} SET search_path = \"{schema}\"{option}{beside}"
        )
    }
}

/// Tables of another program with names that Dayfold needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesTaken {
    schema: String,
    role: String,
    database: String,
    tables: Vec<TakenTable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TakenTable {
    name: String,
    lacks: Vec<String>,
    besides: Vec<String>,
}

impl NamesTaken {
    /// Describes the fault.
    pub fn found(&self) -> String {
        let tables: Vec<String> = self.tables.iter().map(ToString::to_string).collect();
        format!(
            "schema {:?} has tables of another program with names that Dayfold needs: {}",
            self.schema,
            tables.join("; ")
        )
    }

    /// Describes the remedy.
    pub fn advice(&self) -> String {
        let Self { role, database, .. } = self;
        format!(
            "give Dayfold a schema of its own: CREATE SCHEMA dayfold; ALTER ROLE {role} IN DATABASE \
             {database} SET search_path = dayfold (packaging/sql/roles.sql does both); then run \
             `worker migrate`"
        )
    }
}

impl fmt::Display for TakenTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut differences = Vec::new();
        for (verb, columns) in [("lacks", &self.lacks), ("has besides", &self.besides)] {
            if !columns.is_empty() {
                differences.push(format!("{verb} {}", some_of(columns)));
            }
        }
        match (self.name.as_str(), differences.is_empty()) {
            ("__diesel_schema_migrations", _) => {
                write!(f, "{} (lists the migrations of another program)", self.name)
            }
            (_, true) => write!(f, "{} (is there already)", self.name),
            (_, false) => write!(f, "{} ({})", self.name, differences.join(", ")),
        }
    }
}

/// The first few names, and the count of the others.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

macro_rules! display_found_and_advice {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}: {}", self.found(), self.advice())
            }
        }
    )*};
}
display_found_and_advice!(Elsewhere, NamesTaken);

statement! {
    /// The search_path was set on purpose if it differs from the server's default and its first schema
    /// is not `public`. It then says where to create the tables. Schemas that this role may not use are
    /// listed only if the search_path contains a usable schema.
    struct ReadPlace {
        names: Vec<&'static str> => Array<Text>,
    } -> (Nullable<Text>, Text, Bool, Text, Text, Bool, Array<Text>, Array<Text>)
    include_str!("read_place.sql")
}

type PlaceColumns = (Option<String>, String, bool, String, String, bool, Vec<String>, Vec<String>);

diesel::table! {
    /// Diesel's list of applied migrations.
    __diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}

statement! {
    struct ReadColumns {
        tables: Vec<String> => Array<Text>,
    } -> (Text, Array<Text>)
    include_str!("read_columns.sql")
}

/// The columns of a table of Dayfold that an application may also have, with other columns.
fn columns_of(table: &str) -> Option<Vec<&'static str>> {
    if table == "user_profiles" {
        return Some(vec!["user_id", "time_zone", "source_priority", "created_at"]);
    }
    let kind = Kind::ALL.into_iter().find(|kind| raw_table(*kind) == table)?;
    let mut columns = raw_columns(kind);
    columns.extend(["id", "created_at"]);
    Some(columns)
}

impl TakenTable {
    fn compare((name, columns): (String, Vec<String>)) -> Self {
        let Some(ours) = columns_of(&name) else {
            return Self { name, lacks: Vec::new(), besides: Vec::new() };
        };
        let lacks = ours.iter().filter(|ours| !columns.iter().any(|c| c == *ours));
        let lacks = lacks.map(ToString::to_string).collect();
        let besides = columns.into_iter().filter(|c| !ours.contains(&c.as_str())).collect();
        Self { name, lacks, besides }
    }
}

/// Compares the database's schema with the one that this version needs. Changes nothing.
///
/// # Errors
/// If the database fails.
pub async fn schema_state(store: &Store) -> Result<SchemaState, StoreError> {
    let names = crate::admin::examine::table_names();
    let place: Vec<PlaceColumns> = store.load("schema", ReadPlace { names }).await?;
    let Some(place) = place.into_iter().next() else {
        return Err(StoreError::Internal("the server returned no schemas"));
    };
    let (current, search_path, is_asked_for, role, database, is_listed, schemas, taken) = place;
    // Read after the place, so that a table that another process creates meanwhile counts as applied,
    // not as taken.
    use self::__diesel_schema_migrations as m;
    let read = m::table.select(m::version).order(m::version);
    let applied: Vec<String> =
        if is_listed { store.load("schema", read).await? } else { Vec::new() };
    let known = known();
    let is_known = |version: &&String| known.iter().any(|(known, _)| known == *version);
    let (ours, unknown): (Vec<&String>, Vec<&String>) = applied.iter().partition(is_known);
    if ours.is_empty() {
        if !schemas.is_empty() && !is_asked_for {
            let elsewhere = Elsewhere { schemas, search_path, current, role, database };
            return Ok(SchemaState::Elsewhere(elsewhere));
        }
        let Some(schema) = current else { return Ok(SchemaState::OutOfSight) };
        // An empty list of migrations is Dayfold's: its first migration failed.
        let is_list = |name: &String| name == "__diesel_schema_migrations";
        let taken: Vec<String> =
            taken.into_iter().filter(|name| !is_list(name) || !unknown.is_empty()).collect();
        if !taken.is_empty() {
            let tables: Vec<(String, Vec<String>)> =
                store.load("schema", ReadColumns { tables: taken }).await?;
            let tables = tables.into_iter().map(TakenTable::compare).collect();
            let taken = NamesTaken { schema, role, database, tables };
            return Ok(SchemaState::NamesTaken(taken));
        }
    } else if !unknown.is_empty() {
        return Ok(SchemaState::TooNew { unknown: unknown.into_iter().cloned().collect() });
    }
    let pending: Vec<String> = known
        .iter()
        .filter(|(version, _)| !applied.contains(version))
        .map(|(_, name)| (*name).to_owned())
        .collect();
    Ok(if pending.is_empty() { SchemaState::Current } else { SchemaState::TooOld { pending } })
}
