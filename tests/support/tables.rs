//! Converts whole tables to text for exact comparison, and copies raw rows to another database.

use super::Database;

/// The tables of facts.
pub const RAW: [&str; 3] = ["vitals_raw", "nutrition_raw", "lab_raw"];

/// Columns that may differ between computations at different times.
const OF_THE_MOMENT: [&str; 4] = ["computed_at", "is_partial", "future_count", "first_seen_at"];

impl Database {
    /// The tables that the worker computes: every daily and hourly one, and the rejected rows.
    pub async fn figure_tables(&self) -> Vec<String> {
        let rows = self
            .query(
                r"SELECT c.relname::text FROM pg_class AS c
                  WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p')
                    AND (c.relname ~ '_(hourly|daily)$' OR c.relname = 'rejected_rows')
                  ORDER BY 1",
                &[],
            )
            .await;
        let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(tables.len() >= 5, "{tables:?}");
        tables
    }

    /// The rows of a table that meet a condition, as text and ordered by it. The bits of doubles follow
    /// their values. Columns that depend on the time of the computation are left out.
    pub async fn rows_as_text(&self, table: &str, condition: &str) -> Vec<String> {
        let columns = self
            .query(
                "SELECT column_name::text, data_type::text FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name = $1
                 ORDER BY ordinal_position",
                &[&table],
            )
            .await;
        let texts: Vec<String> = columns
            .iter()
            .map(|column| (column.get::<_, String>(0), column.get::<_, String>(1)))
            .filter(|(name, _)| !OF_THE_MOMENT.contains(&name.as_str()))
            .map(|(name, of_type)| match of_type.as_str() {
                "double precision" => format!(
                    "'{name}=' || coalesce({name}::text || ':' || encode(float8send({name}), 'hex'), 'NULL')"
                ),
                _ => format!("'{name}=' || coalesce({name}::text, 'NULL')"),
            })
            .collect();
        assert!(!texts.is_empty(), "{table}");
        let sql = format!(
            "SELECT concat_ws('  ', {}) FROM {table} WHERE {condition} ORDER BY 1",
            texts.join(", ")
        );
        self.query(&sql, &[]).await.iter().map(|row| row.get(0)).collect()
    }

    /// Every row of every computed table.
    pub async fn figures_as_text(&self) -> Vec<String> {
        let mut figures = Vec::new();
        for table in self.figure_tables().await {
            let rows = self.rows_as_text(&table, "true").await;
            figures.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        figures
    }

    /// The rows of a table in PostgreSQL's own notation.
    pub async fn raw_rows(&self, table: &str) -> Vec<String> {
        let sql = format!("SELECT raw::text FROM {table} AS raw ORDER BY user_id");
        self.query(&sql, &[]).await.iter().map(|row| row.get(0)).collect()
    }

    /// Inserts the rows read by [`Database::raw_rows`] with their ids, in one statement and in this
    /// order.
    pub async fn insert_raw_rows(&self, table: &str, rows: &[String]) {
        let sql = format!(
            "INSERT INTO {table}
             SELECT (raw).* FROM (
                 SELECT line::{table} AS raw, place
                 FROM unnest($1::text[]) WITH ORDINALITY AS lines (line, place)
                 OFFSET 0) AS parsed
             ORDER BY place"
        );
        self.client.execute(&sql, &[&rows]).await.unwrap();
    }

    /// Empties every table, as if the database were new.
    pub async fn wipe(&self) {
        let mut sql = String::from("DELETE FROM user_profiles;");
        let figures = self.figure_tables().await;
        // The queue comes last, because deleting raw rows fills it.
        for table in RAW.into_iter().chain(figures.iter().map(String::as_str)) {
            sql.push_str(&format!("DELETE FROM {table};"));
        }
        sql.push_str("DELETE FROM aggregation_queue;");
        self.execute(&sql).await;
    }
}

/// The first lines that are in only one of two lists, for a message.
pub fn difference(ours: &[String], theirs: &[String]) -> Option<String> {
    let only = |here: &[String], there: &[String], mark: &str| -> Vec<String> {
        here.iter().filter(|l| !there.contains(l)).map(|l| format!("{mark} {l}")).take(4).collect()
    };
    if ours == theirs {
        return None;
    }
    let lines = [only(ours, theirs, "-"), only(theirs, ours, "+")].concat();
    Some(format!("{} rows and {}:\n{}", ours.len(), theirs.len(), lines.join("\n")))
}
