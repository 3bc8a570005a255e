//! Records the dates whose figures a group has changed, in the statement that changes them.
//!
//! The parts of a statement see the rows as they were before it, so a query can compare the written rows, which
//! RETURNING gives, with those that they replace.

use std::any::TypeId;

use aggregation::UserId;
use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, Date, Text};

use crate::sql::user_key::UserKey;

/// Inserts the changed dates of a group. A date that an earlier statement of the transaction recorded is left out.
pub(crate) struct RecordChanges {
    pub(crate) user_id: UserId,
    pub(crate) kind: &'static str,
    /// Dates that are known to have changed.
    pub(crate) dates: Vec<NaiveDate>,
    /// Queries for changed dates, on the parts of the same statement.
    pub(crate) queries: Vec<&'static str>,
}

impl RecordChanges {
    /// The name of its part in the last statement of a group.
    pub(crate) const PART: &'static str = "recorded";

    /// Its part of a statement's identity. The queries follow from the other parts.
    pub(crate) fn id() -> TypeId {
        TypeId::of::<Self>()
    }
}

impl QueryFragment<Pg> for RecordChanges {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO figure_changes (epoch, user_id, local_date, kind)
             SELECT g.epoch, g.user_id, c.local_date, g.kind
             FROM (SELECT coalesce((SELECT f.epoch FROM figure_feed AS f), 1) AS epoch, ",
        );
        out.push_bind_param::<UserKey, _>(&self.user_id)?;
        out.push_sql("::user_key AS user_id, ");
        out.push_bind_param::<Text, _>(self.kind)?;
        out.push_sql(
            "::text AS kind) AS g
             CROSS JOIN (SELECT DISTINCT u.local_date FROM (SELECT unnest(",
        );
        out.push_bind_param::<Array<Date>, _>(&self.dates)?;
        out.push_sql("::date[]) AS local_date");
        for query in &self.queries {
            out.push_sql(" UNION ALL ");
            out.push_sql(query);
        }
        out.push_sql(
            ") AS u) AS c
             WHERE NOT EXISTS (
                 SELECT FROM figure_changes AS r
                 WHERE r.epoch = g.epoch AND r.transaction_id = pg_current_xact_id()
                   AND r.user_id = g.user_id AND r.local_date = c.local_date AND r.kind = g.kind)",
        );
        Ok(())
    }
}

/// The query for the dates of a part's rows whose figures differ from the stored ones. `key` is the key beside user
/// and date.
pub(crate) fn changed_dates(part: &str, table: &str, key: &[&str], figures: &[&str]) -> String {
    let of = |side: &str| {
        let columns = figures.iter().map(|column| format!("{side}.{column}"));
        columns.collect::<Vec<_>>().join(", ")
    };
    let key: String = key.iter().map(|column| format!(" AND o.{column} = n.{column}")).collect();
    format!(
        "SELECT n.local_date FROM {part} AS n
         LEFT JOIN {table} AS o ON o.user_id = n.user_id AND o.local_date = n.local_date{key}
         WHERE ({}) IS DISTINCT FROM ({})",
        of("n"),
        of("o"),
    )
}
