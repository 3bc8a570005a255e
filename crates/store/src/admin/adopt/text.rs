//! The SQL of an adoption: pure functions from a checked mapping to text. Identifiers and literals are quoted here and
//! nowhere else.

use std::fmt;

use aggregation::Kind;
use aggregation::text::LONGEST_NAME_BYTES;

use super::mapping::{MappedFrom, Mapping, Takes, required_columns, takes};
use crate::admin::import::raw_table;

/// An identifier, quoted for SQL.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text, quoted for SQL, with either value of `standard_conforming_strings`.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A checked mapping with the types of the app's columns.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) mapping: Mapping,
    /// The app's table, quoted, with its schema.
    pub(crate) table: String,
    /// The type of each mapped column of the app's table.
    pub(crate) types: Vec<(String, String)>,
    /// The schema of Dayfold's tables, quoted.
    pub(crate) schema: String,
    /// The type of Dayfold's user ids.
    pub(crate) user_type: String,
}

/// The SQL of one adoption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptionSql {
    /// Creates the trigger function.
    pub function: String,
    /// Creates the triggers on the app's table.
    pub triggers: String,
    /// Copies the former rows above an id, `$1`, at most `$2` of them.
    pub copy: String,
}

/// A statement with two parameters, in three pieces: a name of the app may look like a parameter.
#[derive(Clone, Debug)]
pub(crate) struct PageSql {
    pub(crate) before: String,
    pub(crate) between: String,
    pub(crate) after: String,
}

impl fmt::Display for PageSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}$1{}$2{}", self.before, self.between, self.after)
    }
}

/// A body of a function, quoted by dollars that it does not contain.
fn dollar_quoted(body: &str) -> String {
    let mut tag = "$adopted$".to_owned();
    while body.contains(&tag) {
        tag.insert(1, '_');
    }
    format!("{tag}{body}{tag}")
}

const OPERATIONS: [(&str, &str, &str); 3] = [
    ("insert", "INSERT", "REFERENCING NEW TABLE AS changed "),
    ("update", "UPDATE", "REFERENCING OLD TABLE AS before NEW TABLE AS changed "),
    ("delete", "DELETE", "REFERENCING OLD TABLE AS before "),
];

impl Checked {
    fn kind(&self) -> Kind {
        self.mapping.kind
    }

    fn type_of(&self, column: &str) -> &str {
        self.types.iter().find(|(name, _)| name == column).map_or("text", |(_, of_type)| of_type)
    }

    /// A value for a column of the raw table. No value of the app may fail its statement. A number
    /// that a double cannot have becomes NaN, and a time outside the calendar infinite. The worker
    /// rejects both rows.
    fn value(&self, target: &str, from: &MappedFrom) -> String {
        let column = match from {
            MappedFrom::Constant(text) => {
                let cast = match takes(target) {
                    Takes::Number => "double precision",
                    Takes::Bool => "boolean",
                    _ => "text",
                };
                return format!("{}::{cast}", literal(text));
            }
            MappedFrom::Column(column) => column,
        };
        let of_type = self.type_of(column);
        let column = format!("r.{}", identifier(column));
        match takes(target) {
            Takes::User if self.user_type == "text" => {
                // A text that the raw tables refuse is no id: the row is left out.
                let text = format!("{column}::text");
                let controls = literal("[\\x01-\\x1f]");
                format!(
                    "CASE WHEN octet_length({text}) BETWEEN 1 AND {LONGEST_NAME_BYTES} AND {text} !~ {controls} THEN {text} END"
                )
            }
            Takes::User => format!("{column}::{}", self.user_type),
            Takes::Id => match self.mapping.add_to_ids {
                None | Some(0) => format!("{column}::bigint"),
                Some(more) => format!("{column}::bigint + ({more})"),
            },
            Takes::Number if of_type == "numeric" => format!(
                "CASE WHEN abs({column}) < 1e-300 THEN 0 WHEN abs({column}) > 1e300 THEN 'NaN' ELSE {column} END::double precision"
            ),
            Takes::Number => format!("{column}::double precision"),
            Takes::Time => self.time(&column, of_type),
            Takes::Bool => format!("coalesce({column}, false)"),
            Takes::Text if target == "metric" && !self.mapping.metrics.is_empty() => {
                let words: String = self
                    .mapping
                    .metrics
                    .iter()
                    .map(|(word, metric)| {
                        format!(" WHEN {} THEN {}", literal(word), literal(metric))
                    })
                    .collect();
                format!("CASE {column}::text{words} END")
            }
            Takes::Text => format!("{column}::text"),
        }
    }

    fn time(&self, column: &str, of_type: &str) -> String {
        let zone = literal(self.mapping.time_zone.as_deref().unwrap_or("UTC"));
        let local = match of_type {
            "date" => format!("({column} + time '12:00')"),
            "timestamp without time zone" => column.to_owned(),
            _ => return column.to_owned(),
        };
        format!(
            "CASE WHEN {column} > '9999-12-30' THEN 'infinity' WHEN {column} < '0001-01-02' THEN '-infinity' \
             ELSE {local} AT TIME ZONE {zone} END"
        )
    }

    /// The columns of the raw table that are written, and a query of them over `rows`, which has the columns of the
    /// app's table. Rows that lack a required value are left out.
    fn columns_and_query(&self, rows: &str) -> (Vec<&str>, String) {
        let mut columns: Vec<&str> = Vec::new();
        let mut values = Vec::new();
        for (target, from) in &self.mapping.columns {
            columns.push(target);
            values.push(format!("{} AS {target}", self.value(target, from)));
        }
        let times: &[(&str, &str)] = match self.kind() {
            Kind::Vitals => &[("ended_at", "started_at")],
            Kind::Nutrition | Kind::Labs => &[],
        };
        for (target, like) in times {
            let Some(from) = self.mapping.source(like) else { continue };
            let otherwise = self.value(like, from);
            match columns.iter().position(|column| column == target) {
                Some(place) => {
                    let given = self.mapping.source(target).map(|from| self.value(target, from));
                    values[place] =
                        format!("coalesce({}, {otherwise}) AS {target}", given.unwrap_or_default());
                }
                None => {
                    columns.push(target);
                    values.push(format!("{otherwise} AS {target}"));
                }
            }
        }
        if let (Some(zone), None) = (&self.mapping.time_zone, self.mapping.source("time_zone")) {
            columns.push("time_zone");
            values.push(format!("{}::text AS time_zone", literal(zone)));
        }
        let needed: Vec<String> = ["id"]
            .iter()
            .chain(required_columns(self.kind()))
            .map(|column| format!("{column} IS NOT NULL"))
            .collect();
        let query = format!(
            "SELECT * FROM (\n            SELECT {}\n            FROM {rows} AS r) AS mapped\n        WHERE {}",
            values.join(",\n                   "),
            needed.join(" AND ")
        );
        (columns, query)
    }

    fn raw_table(&self) -> String {
        format!("{}.{}", self.schema, raw_table(self.kind()))
    }

    /// The trigger function. With `is_leaving` it only deletes copies.
    pub(crate) fn function(&self, id: i32, is_leaving: bool) -> String {
        let raw = self.raw_table();
        let (columns, now) = self.columns_and_query("changed");
        let (_, was) = self.columns_and_query("before");
        let (_, all) = self.columns_and_query(&self.table);
        let list = columns.join(", ");
        let set: Vec<String> = columns
            .iter()
            .filter(|column| !["user_id", "id"].contains(*column))
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        let conflict =
            format!("ON CONFLICT (user_id, id) DO UPDATE\n        SET {}", set.join(", "));
        let delete = format!(
            "WITH was AS (\n        {was})
        DELETE FROM {raw} AS c USING was WHERE c.user_id = was.user_id AND c.id = was.id"
        );
        let both = format!("WITH is_now AS (\n        {now}),\n        was AS (\n        {was})");
        let (insert, update) = if is_leaving {
            ("NULL;".to_owned(), format!("{delete};"))
        } else {
            (
                format!(
                    "WITH is_now AS (\n        {now})
        INSERT INTO {raw} ({list})
        SELECT {list} FROM is_now
        ON CONFLICT DO NOTHING;"
                ),
                format!(
                    "{both}
        DELETE FROM {raw} AS c USING was WHERE c.user_id = was.user_id AND c.id = was.id
          AND NOT EXISTS (SELECT FROM is_now WHERE is_now.user_id = was.user_id AND is_now.id = was.id);
        -- A row of which no mapped column changed is left alone, so a column of status changes nothing.
        {both},
        different AS (SELECT {list} FROM is_now EXCEPT SELECT {list} FROM was)
        INSERT INTO {raw} ({list})
        SELECT {list} FROM different
        {conflict};"
                ),
            )
        };
        let body = format!(
            "
BEGIN
    IF TG_OP = 'INSERT' THEN
        {insert}
    ELSIF TG_OP = 'UPDATE' THEN
        {update}
    ELSIF TG_OP = 'DELETE' THEN
        {delete};
    ELSE
        IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
            RAISE EXCEPTION 'TRUNCATE of % needs a transaction at READ COMMITTED', TG_TABLE_NAME
                USING ERRCODE = 'invalid_transaction_state';
        END IF;
        WITH everything AS (
        {all})
        DELETE FROM {raw} AS c USING everything AS e WHERE c.user_id = e.user_id AND c.id = e.id;
    END IF;
    RETURN NULL;
END "
        );
        format!(
            "CREATE OR REPLACE FUNCTION {schema}.adopted_{id}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS {};
-- Otherwise a trigger on another table could copy rows with the rights of the owner.
REVOKE EXECUTE ON FUNCTION {schema}.adopted_{id}() FROM PUBLIC",
            dollar_quoted(&body),
            schema = self.schema,
        )
    }

    /// Creates the triggers.
    pub(crate) fn triggers(&self, id: i32) -> String {
        let function = format!("{}.adopted_{id}()", self.schema);
        let mut triggers: Vec<String> = OPERATIONS
            .iter()
            .map(|(name, operation, referencing)| {
                format!(
                    "CREATE TRIGGER dayfold_{name} AFTER {operation} ON {}\n    {referencing}FOR EACH STATEMENT EXECUTE FUNCTION {function}",
                    self.table
                )
            })
            .collect();
        triggers.push(format!(
            "CREATE TRIGGER dayfold_truncate BEFORE TRUNCATE ON {}\n    FOR EACH STATEMENT EXECUTE FUNCTION {function}",
            self.table
        ));
        triggers.join(";\n")
    }

    fn id_column(&self) -> String {
        match self.mapping.source("id") {
            Some(MappedFrom::Column(column)) => identifier(column),
            _ => "id".to_owned(),
        }
    }

    /// A statement over the next rows above an id, at most this many. They are locked against
    /// changes until they are copied: a row that is deleted meanwhile would otherwise stay as a
    /// copy. NOWAIT, because a wait could deadlock with the app. It returns the highest id, if
    /// there is any row, and the number of rows.
    fn page(&self, id: i32, then: &str) -> PageSql {
        let (table, key) = (&self.table, self.id_column());
        PageSql {
            before: format!("WITH page AS MATERIALIZED (SELECT * FROM {table} WHERE {key} > "),
            between: format!(" ORDER BY {key} LIMIT "),
            after: format!(
                " FOR SHARE NOWAIT),
{then},
noted AS (UPDATE adopted_tables SET up_to = (SELECT max({key}) FROM page)
          WHERE id = {id} AND EXISTS (SELECT FROM page))
SELECT max({key})::bigint, count(*) FROM page"
            ),
        }
    }

    /// Copies a page.
    pub(crate) fn copy(&self, id: i32) -> PageSql {
        let (columns, query) = self.columns_and_query("page");
        let (list, raw) = (columns.join(", "), self.raw_table());
        self.page(
            id,
            &format!(
                "mapped AS (\n        {query}),
copied AS (INSERT INTO {raw} ({list}) SELECT {list} FROM mapped ON CONFLICT DO NOTHING)"
            ),
        )
    }

    /// Deletes the copies of a page.
    pub(crate) fn discard(&self, id: i32) -> PageSql {
        let (_, query) = self.columns_and_query("page");
        let raw = self.raw_table();
        self.page(
            id,
            &format!(
                "mapped AS (\n        {query}),
gone AS (DELETE FROM {raw} AS c USING mapped AS m WHERE c.user_id = m.user_id AND c.id = m.id)"
            ),
        )
    }

    /// All of it, as `--dry-run` shows it.
    pub(crate) fn sql(&self, id: i32) -> AdoptionSql {
        AdoptionSql {
            function: self.function(id, false),
            triggers: self.triggers(id),
            copy: self.copy(id).to_string(),
        }
    }
}

/// Removes triggers and function.
pub(crate) fn removal(table: &str, schema: &str, id: i32) -> String {
    let drops: String = OPERATIONS
        .iter()
        .map(|(name, ..)| *name)
        .chain(["truncate"])
        .map(|name| format!("DROP TRIGGER IF EXISTS dayfold_{name} ON {table};\n"))
        .collect();
    format!(
        "{drops}DROP FUNCTION IF EXISTS {schema}.adopted_{id}();\nDELETE FROM adopted_tables WHERE id = {id}"
    )
}

#[cfg(test)]
mod tests {
    use super::{dollar_quoted, identifier, literal};

    #[test]
    fn names_and_texts_are_quoted_with_any_content() {
        assert_eq!(identifier("a\"; DROP TABLE x"), "\"a\"\"; DROP TABLE x\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(dollar_quoted("$adopted$"), "$_adopted$$adopted$$_adopted$");
        assert_eq!(literal("\\'"), "E'\\\\'''");
    }
}
