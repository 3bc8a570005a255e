//! `src/schema.rs` is what `diesel print-schema` prints of a migrated database, with `diesel.toml`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use diesel::sql_types::{Array, Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use support::{start, store};

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Array<Text>)]
    key: Vec<String>,
    #[diesel(sql_type = Array<Text>)]
    columns: Vec<String>,
    #[diesel(sql_type = Array<Text>)]
    types: Vec<String>,
    #[diesel(sql_type = Array<Bool>)]
    not_null: Vec<bool>,
}

/// As the catalogue has them.
const TABLES: &str = "
    SELECT c.relname::text AS name,
           ARRAY(SELECT k.attname::text
                 FROM pg_index AS i
                 CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS of (attnum, place)
                 JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = of.attnum
                 WHERE i.indrelid = c.oid AND i.indisprimary
                 ORDER BY of.place) AS key,
           array_agg(a.attname::text ORDER BY a.attnum) AS columns,
           array_agg(t.typname::text ORDER BY a.attnum) AS types,
           array_agg(a.attnotnull ORDER BY a.attnum) AS not_null
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    GROUP BY c.oid, c.relname
    ORDER BY c.relname";

/// The name of a type in `diesel::sql_types`.
fn sql_type(name: &str, not_null: bool) -> String {
    let name = match name.strip_prefix('_') {
        Some(element) => format!("Array<{}>", sql_type(element, false)),
        None => name[..1].to_uppercase() + &name[1..],
    };
    if not_null { name } else { format!("Nullable<{name}>") }
}

/// Without the tables that `diesel.toml` leaves out; diesel leaves out its own.
fn is_printed(table: &Table) -> bool {
    let settings = include_str!("../../../diesel.toml");
    let left_out = settings.lines().find_map(|line| line.strip_prefix("except_tables = ")).unwrap();
    !table.name.starts_with("__") && !left_out.contains(&format!("\"{}\"", table.name))
}

fn printed(table: &Table) -> String {
    let columns = table.columns.iter().zip(&table.types).zip(&table.not_null);
    let columns: String = columns
        .map(|((column, name), not_null)| {
            format!("        {column} -> {},\n", sql_type(name, *not_null))
        })
        .collect();
    let (name, key) = (&table.name, table.key.join(", "));
    format!("diesel::table! {{\n    {name} ({key}) {{\n{columns}    }}\n}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_in_rust_is_that_of_a_migrated_database() {
    let server = start(&[]);
    let url = server.url("postgres");
    store::migrate(&store(&url).await, Duration::from_secs(10)).await.unwrap();
    let mut app = AsyncPgConnection::establish(&url).await.unwrap();
    let tables: Vec<Table> = sql_query(TABLES).load(&mut app).await.unwrap();
    let printed: Vec<String> =
        tables.iter().filter(|table| is_printed(table)).map(printed).collect();
    let printed = format!("// @generated automatically by Diesel CLI.\n\n{}", printed.join("\n"));
    let schema = include_str!("../src/schema.rs");
    if let Some((number, (ours, wanted))) = (1..)
        .zip(schema.lines().chain([""]).zip(printed.lines().chain([""])))
        .find(|(_, (ours, wanted))| ours != wanted)
    {
        panic!(
            "src/schema.rs, line {number} is {ours:?}, must be {wanted:?}; the whole file:\n{printed}"
        );
    }
    assert_eq!(schema, printed);
}
