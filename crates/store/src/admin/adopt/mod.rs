//! `worker adopt`: mirrors a table of an app into a raw table by triggers that are generated from a mapping.

mod check;
mod mapping;
mod text;

use aggregation::Kind;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text};
use diesel_async::SimpleAsyncConnection;

use crate::error::StoreError;
use crate::pool::Store;
use crate::schema::adopted_tables;
use crate::sql::statement::statement;

pub use check::AppTable;
pub use mapping::{MappedFrom, Mapping, mappable_columns, required_columns};
pub use text::AdoptionSql;

use text::{Checked, PageSql, literal, removal};

/// The longest wait for a lock on an app's table: statements of the app that write to it wait behind.
const LONGEST_LOCK_WAIT: &str = "2s";

/// Where the triggers of an adopted table are in their life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptionState {
    /// Former rows are being copied.
    Copying,
    /// All former rows are copied.
    Copied,
    /// The copies are being deleted.
    Leaving,
}

/// An adopted table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The number of its function.
    pub id: i32,
    /// The kind of its rows.
    pub kind: Kind,
    /// Its mapping as it is stored.
    mapping: String,
    /// Its state.
    pub state: AdoptionState,
    /// The highest id up to which rows are copied, or deleted.
    pub up_to: Option<i64>,
}

/// Facts about Dayfold's own schema, as [`ReadOwnPlace`] lists them.
type OwnPlace = (String, String, bool, bool, bool, bool, i32);

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptionStep {
    /// The highest id that the step reached; `None` if no row is left.
    pub up_to: Option<i64>,
    /// The rows that it read.
    pub rows: u64,
}

statement! {
    /// Facts about a table: its quoted name; its kind and persistence; whether this role owns it; the columns that are
    /// unique on their own, the primary key first; the estimated number of its rows.
    struct ReadAppTable<'a> { table: &'a str => Text } -> (Text, Text, Text, Bool, Array<Text>, BigInt)
    include_str!("read_app_table.sql")
}

statement! {
    /// Each column, its type without a domain, and whether it is a string or an enumeration.
    struct ReadAppColumns<'a> { table: &'a str => Text } -> (Text, Text, Bool)
    include_str!("read_app_columns.sql")
}

statement! {
    /// The schema of Dayfold's tables, quoted; the type of its user ids; whether the raw table has rows; whether the
    /// server knows the zone; the number of the next adoption.
    struct ReadOwnPlace<'a> { zone: &'a str => Text } -> (Text, Text, Bool, Bool, Bool, Bool, Integer)
    include_str!("read_own_place.sql")
}

statement! {
    /// The adoption whose triggers a table has. The name of the table may have changed since.
    struct ReadAdoption<'a> { table: &'a str => Text } -> (Integer, Text, Text, Text, Nullable<BigInt>)
    include_str!("read_adoption.sql")
}

statement! {
    struct NextAdoption {} -> (Integer)
    "SELECT nextval(pg_get_serial_sequence('adopted_tables', 'id'))::integer"
}

/// One page of rows. Its text depends on the app's columns, so it is no `statement!`.
#[derive(Clone)]
struct Page<'a> {
    sql: &'a PageSql,
    above: i64,
    most: i64,
}

impl QueryId for Page<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Page<'_> {
    type SqlType = (Nullable<BigInt>, BigInt);
}

impl QueryFragment<Pg> for Page<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(&self.sql.before);
        out.push_bind_param::<BigInt, _>(&self.above)?;
        out.push_sql(&self.sql.between);
        out.push_bind_param::<BigInt, _>(&self.most)?;
        out.push_sql(&self.sql.after);
        Ok(())
    }
}

impl Store {
    /// Reads facts about an app's table; `None` if there is no such table.
    ///
    /// # Errors
    /// If the database fails, or `table` is no name of a table.
    pub async fn app_table(&self, table: &str) -> Result<Option<AppTable>, StoreError> {
        type Facts = (String, String, String, bool, Vec<String>, i64);
        let facts: Vec<Facts> = self.load("adopt", ReadAppTable { table }).await?;
        let Some(facts) = facts.into_iter().next() else { return Ok(None) };
        let columns = self.load("adopt", ReadAppColumns { table }).await?;
        Ok(Some(AppTable {
            name: facts.0,
            relation_kind: facts.1,
            persistence: facts.2,
            is_owned: facts.3,
            unique_columns: facts.4,
            estimated_rows: u64::try_from(facts.5).unwrap_or(0),
            columns,
        }))
    }

    /// The adoption of a table, if it is adopted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn adoption(&self, table: &str) -> Result<Option<Adoption>, StoreError> {
        type Columns = (i32, String, String, String, Option<i64>);
        let rows: Vec<Columns> = self.load("adopt", ReadAdoption { table }).await?;
        let adoption = |(id, kind, mapping, state, up_to): Columns| {
            let state = match state.as_str() {
                "copying" => AdoptionState::Copying,
                "copied" => AdoptionState::Copied,
                _ => AdoptionState::Leaving,
            };
            Some(Adoption { id, kind: kind.parse().ok()?, mapping, state, up_to })
        };
        Ok(rows.into_iter().find_map(adoption))
    }

    /// The names of all adopted tables, as they were at their adoption.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn adopted_tables(&self) -> Result<Vec<String>, StoreError> {
        let names = adopted_tables::table.select(adopted_tables::app_table);
        self.load("adopt", names.order(adopted_tables::app_table)).await
    }

    /// Checks a mapping against a table.
    ///
    /// # Errors
    /// If the database fails. The inner error has one message for each mistake.
    pub async fn check_mapping(
        &self,
        table: &AppTable,
        mapping: &Mapping,
    ) -> Result<Result<CheckedMapping, Vec<String>>, StoreError> {
        let zone = mapping.time_zone.as_deref().unwrap_or_default();
        let place: Vec<OwnPlace> = self.load("adopt", ReadOwnPlace { zone }).await?;
        let Some((schema, user_type, vitals, nutrition, labs, knows_zone, next)) =
            place.into_iter().next()
        else {
            return Err(StoreError::Internal("the server returned no facts about itself"));
        };
        let has_rows = match mapping.kind {
            Kind::Vitals => vitals,
            Kind::Nutrition => nutrition,
            Kind::Labs => labs,
        };
        let own = check::Own { schema, user_type, has_rows, knows_zone };
        let checked = check::check(table, mapping, &own);
        Ok(checked.map(|checked| CheckedMapping { checked, next }))
    }

    /// Creates triggers and function in one transaction. From then on, the app's statements copy their rows.
    ///
    /// # Errors
    /// If the database fails, or another session holds a lock on the table for long.
    pub async fn begin_adoption(&self, mapping: &CheckedMapping) -> Result<i32, StoreError> {
        let checked = &mapping.checked;
        let next: Vec<(i32,)> = self.load("adopt", NextAdoption {}).await?;
        let Some((id,)) = next.into_iter().next() else {
            return Err(StoreError::Internal("the server returned no number"));
        };
        let sql = format!(
            "INSERT INTO adopted_tables (id, app_table, kind, mapping) OVERRIDING SYSTEM VALUE
             VALUES ({id}, {}, {}, {});\n{};\n{}",
            literal(&checked.table),
            literal(checked.mapping.kind.name()),
            literal(&checked.mapping.to_text()),
            checked.function(id, false),
            checked.triggers(id),
        );
        self.run_text(&sql).await?;
        Ok(id)
    }

    /// Copies the next former rows.
    ///
    /// # Errors
    /// As [`Store::begin_adoption`]. A row that a transaction of the app holds is an error of the class `Locked`:
    /// repeat the step.
    pub async fn copy_page(
        &self,
        mapping: &CheckedMapping,
        id: i32,
        above: Option<i64>,
        most: u32,
    ) -> Result<AdoptionStep, StoreError> {
        self.page(&mapping.checked.copy(id), above, most).await
    }

    /// Records that all former rows are copied.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_copying(&self, id: i32) -> Result<(), StoreError> {
        let copying = adopted_tables::table.find(id).filter(adopted_tables::state.eq("copying"));
        let copied = diesel::update(copying).set(adopted_tables::state.eq("copied"));
        self.execute("adopt", copied).await.map(drop)
    }

    /// From now on the triggers copy nothing, and delete the copy of each row that changes. The statement waits until
    /// no transaction writes to the table, so that all copies are visible afterwards.
    ///
    /// # Errors
    /// As [`Store::begin_adoption`].
    pub async fn begin_leaving(&self, mapping: &CheckedMapping, id: i32) -> Result<(), StoreError> {
        let checked = &mapping.checked;
        let sql = format!(
            "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE;\n{};\n
             UPDATE adopted_tables SET state = 'leaving', up_to = NULL WHERE id = {id}",
            checked.table,
            checked.function(id, true),
        );
        self.run_text(&sql).await
    }

    /// Deletes the copies of the next rows.
    ///
    /// # Errors
    /// As [`Store::copy_page`].
    pub async fn discard_page(
        &self,
        mapping: &CheckedMapping,
        id: i32,
        above: Option<i64>,
        most: u32,
    ) -> Result<AdoptionStep, StoreError> {
        self.page(&mapping.checked.discard(id), above, most).await
    }

    /// Removes triggers and function.
    ///
    /// # Errors
    /// As [`Store::begin_adoption`].
    pub async fn end_adoption(&self, table: &AppTable, id: i32) -> Result<(), StoreError> {
        let place: Vec<OwnPlace> = self.load("adopt", ReadOwnPlace { zone: "" }).await?;
        let Some((schema, ..)) = place.into_iter().next() else {
            return Err(StoreError::Internal("the server returned no facts about itself"));
        };
        self.run_text(&removal(&table.name, &schema, id)).await
    }

    async fn page(
        &self,
        sql: &PageSql,
        above: Option<i64>,
        most: u32,
    ) -> Result<AdoptionStep, StoreError> {
        let page = Page { sql, above: above.unwrap_or(i64::MIN), most: most.into() };
        let rows: Vec<(Option<i64>, i64)> = self.load("adopt", page).await?;
        let Some((up_to, rows)) = rows.into_iter().next() else {
            return Err(StoreError::Internal("the server returned no count"));
        };
        Ok(AdoptionStep { up_to, rows: u64::try_from(rows).unwrap_or(0) })
    }

    /// Runs statements that lock the app's table, in one transaction: the server ends it at the end of the message.
    async fn run_text(&self, sql: &str) -> Result<(), StoreError> {
        // Behind a pooler in transaction mode, the session's settings come first.
        let settings = self.in_transaction();
        let sql = format!("{settings};\nSET LOCAL lock_timeout = '{LONGEST_LOCK_WAIT}';\n{sql}");
        let mut connection = self.hold("adopt").await?;
        connection.unfinished = true;
        let ran = self.in_time(connection.batch_execute(&sql)).await?;
        let ran = ran.map_err(|cause| connection.error(cause));
        connection.unfinished = false;
        connection.answered = ran.is_ok();
        ran
    }
}

/// A mapping that fits its table.
#[derive(Clone, Debug)]
pub struct CheckedMapping {
    checked: Checked,
    next: i32,
}

impl CheckedMapping {
    /// The mapping, with the id that it has by default.
    pub const fn mapping(&self) -> &Mapping {
        &self.checked.mapping
    }

    /// The SQL that an adoption would run.
    pub fn sql(&self) -> AdoptionSql {
        self.checked.sql(self.next)
    }
}

impl Adoption {
    /// The mapping with which the table was adopted; `None` if another version stored it.
    pub fn mapping(&self) -> Option<Mapping> {
        Mapping::from_text(self.kind, &self.mapping)
    }
}
