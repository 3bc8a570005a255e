//! Tables of figures: the statement that writes computed rows, and the query that compares them.
//!
//! Both are made from one query for the computed rows. So `verify` compares exactly the rows that a group would
//! write.

use std::marker::PhantomData;

use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Date, Integer, Nullable};

use crate::sql::cte::AnyStatement;
use crate::sql::user_key::UserKey;

/// The tables of figures, by kind.
pub(crate) const TABLES: [(Kind, &str); 7] = [
    (Kind::Vitals, "vitals_hourly"),
    (Kind::Vitals, "vitals_daily"),
    (Kind::Vitals, "sleep_daily"),
    (Kind::Vitals, "blood_pressure_daily"),
    (Kind::Vitals, "glucose_daily"),
    (Kind::Nutrition, "nutrition_daily"),
    (Kind::Labs, "lab_daily"),
];

/// The columns that depend on the database's clock, besides `computed_at`.
const OF_CLOCK: [&str; 2] = ["is_partial", "future_count"];

/// A table of figures. A query for its rows returns the user, the other columns of the key, and then the columns of
/// the table, in this order.
pub(crate) struct FigureTable {
    /// The SQL before and behind the rows that are written.
    write: [String; 2],
    /// The columns of an image of the row `s`.
    image: String,
    /// The names of all columns of a row.
    columns: String,
    is_of_day: bool,
}

impl FigureTable {
    /// A table of which the rows have these columns. `group` is the column by whose value rows of one date belong
    /// together; `key` is the key beside the user.
    pub(crate) fn new<C: AsRef<str>>(
        name: &'static str,
        key: &[&str],
        group: Option<&str>,
        columns: &[C],
    ) -> Self {
        let columns: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
        let figures: Vec<&str> =
            columns.iter().copied().filter(|column| !OF_CLOCK.contains(column)).collect();
        // Hours are parts of a day and have no columns of the clock.
        let is_of_day = columns.contains(&"is_partial");
        let written = columns.iter().chain(is_of_day.then_some(&"computed_at"));
        let updates: Vec<String> =
            written.map(|column| format!("{column} = excluded.{column}")).collect();
        let all = [&["user_id"], key, &columns].concat().join(", ");
        let write = [
            format!("INSERT INTO {name} ({all}) "),
            format!(
                " ON CONFLICT (user_id, {}) DO UPDATE SET {} RETURNING {}",
                key.join(", "),
                updates.join(", "),
                if is_of_day { "*" } else { "local_date" }
            ),
        ];
        let place = TABLES.iter().position(|(_, table)| *table == name).unwrap_or(TABLES.len());
        let own = |column: &str, of_type: &str| {
            let is_own = figures.contains(&column);
            if is_own { format!("s.{column}") } else { format!("NULL::{of_type}") }
        };
        let of_row = |columns: &[&str]| {
            columns.iter().map(|column| format!("s.{column}")).collect::<Vec<_>>().join(", ")
        };
        let image = format!(
            "{place}, s.local_date, hashtextextended(concat_ws(chr(31), {}), 0), {}, {}, {},
             hashtextextended(s.time_zone, 0), sha256(record_send(ROW({})))",
            of_row(key),
            group.map_or_else(
                || "0::bigint".to_owned(),
                |group| format!("hashtextextended(s.{group}, 0)")
            ),
            own("algorithm_version", "integer"),
            own("context_fingerprint", "bigint"),
            of_row(&figures),
        );
        Self { write, image, columns: all, is_of_day }
    }

    /// The names of all columns of a row, for SQL.
    pub(crate) fn columns(&self) -> &str {
        &self.columns
    }

    /// Whether its rows are days, which have columns of the clock.
    pub(crate) const fn is_of_day(&self) -> bool {
        self.is_of_day
    }

    /// The query for the images of stored rows `s` of a user and dates, whose parameters follow `asked`.
    pub(crate) fn stored(&self, name: &str, contradicts_clock: &str) -> String {
        format!(
            "SELECT {}, {contradicts_clock} FROM {name} AS s
             WHERE s.user_id = (SELECT user_id FROM asked)
               AND s.local_date = ANY ((SELECT dates FROM asked)::date[])",
            self.image
        )
    }
}

/// The statement that writes the rows of a query into a table, over those of the same keys.
pub(crate) struct Upsert<S> {
    pub(crate) table: &'static FigureTable,
    pub(crate) rows: S,
}

/// The key under which connections cache the statement that writes the rows of a query.
pub(crate) struct UpsertId<I>(PhantomData<I>);

impl<S: QueryId> QueryId for Upsert<S> {
    type QueryId = UpsertId<S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

impl<S: QueryFragment<Pg>> QueryFragment<Pg> for Upsert<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let [before, behind] = &self.table.write;
        out.push_sql(before);
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(behind);
        Ok(())
    }
}

/// The columns of an image: the place of the table, the date, hashes of key and group, version, fingerprint, a hash
/// of the zone, the digest of all figures, and whether columns of the clock contradict it.
pub(crate) type ImageSql =
    (Integer, Date, BigInt, BigInt, Nullable<Integer>, Nullable<BigInt>, BigInt, Binary, Bool);

/// The columns of [`ImageSql`].
pub(crate) type ImageColumns =
    (i32, NaiveDate, i64, i64, Option<i32>, Option<i64>, i64, Vec<u8>, bool);

/// The images of computed rows. They are made by the server, from the values and types that it would store.
pub(crate) struct ComputedImages {
    pub(crate) table: &'static FigureTable,
    pub(crate) rows: AnyStatement,
}

/// The images of the stored rows of some dates.
pub(crate) struct StoredImages<'a> {
    pub(crate) user_id: UserId,
    pub(crate) dates: &'a [NaiveDate],
    /// The queries of [`FigureTable::stored`], joined by UNION ALL.
    pub(crate) sql: &'static str,
}

// There is no static id: a connection caches these statements by their text.
impl QueryId for ComputedImages {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ComputedImages {
    type SqlType = ImageSql;
}

impl QueryFragment<Pg> for ComputedImages {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(&self.table.image);
        out.push_sql(", false FROM (");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(") AS s (");
        out.push_sql(&self.table.columns);
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for StoredImages<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for StoredImages<'_> {
    type SqlType = ImageSql;
}

impl QueryFragment<Pg> for StoredImages<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS MATERIALIZED (SELECT ");
        out.push_bind_param::<UserKey, _>(&self.user_id)?;
        out.push_sql("::user_key AS user_id, ");
        out.push_bind_param::<Array<Date>, _>(self.dates)?;
        out.push_sql("::date[] AS dates) ");
        out.push_sql(self.sql);
        Ok(())
    }
}
