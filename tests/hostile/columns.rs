//! Many rows in one statement, column by column.

use tokio_postgres::types::ToSql;

use crate::support::Database;

/// A value of a column.
#[derive(Clone)]
pub enum Cell {
    Text(Option<String>),
    Number(f64),
    Bool(bool),
}

/// Rows of one kind by column; times are text.
pub struct Columns {
    pub table: &'static str,
    pub names: Vec<&'static str>,
    /// A user and a cell for each name.
    pub rows: Vec<(i64, Vec<Cell>)>,
}

impl Columns {
    /// Inserts some of the rows in one statement.
    pub async fn insert(&self, db: &Database, rows: &[(i64, Vec<Cell>)]) {
        let users: Vec<i64> = rows.iter().map(|(user, _)| *user).collect();
        let mut parameters: Vec<Box<dyn ToSql + Sync>> = vec![Box::new(users)];
        let (mut types, mut values) = (vec!["$1::bigint[]".to_owned()], Vec::new());
        for (index, name) in self.names.iter().enumerate() {
            let cells: Vec<Cell> = rows.iter().map(|(_, cells)| cells[index].clone()).collect();
            let (of_type, column): (&str, Box<dyn ToSql + Sync>) = match &cells[0] {
                Cell::Number(_) => {
                    ("float8", Box::new(cells.iter().map(Cell::number).collect::<Vec<_>>()))
                }
                Cell::Bool(_) => {
                    ("bool", Box::new(cells.iter().map(Cell::is_true).collect::<Vec<_>>()))
                }
                Cell::Text(_) => {
                    ("text", Box::new(cells.iter().map(Cell::owned_text).collect::<Vec<_>>()))
                }
            };
            types.push(format!("${}::{of_type}[]", index + 2));
            parameters.push(column);
            values.push(match *name {
                // `later` is 90 minutes after, where a calendar has that.
                "ended_at" => "CASE WHEN ended_at NOT LIKE 'later %' THEN ended_at::timestamptz
                                    WHEN isfinite(started_at::timestamptz) AND started_at::timestamptz < '9999-01-01'
                                    THEN started_at::timestamptz + interval '90 minutes'
                                    ELSE started_at::timestamptz END"
                    .to_owned(),
                "started_at" | "eaten_at" | "collected_at" => format!("{name}::timestamptz"),
                name => name.to_owned(),
            });
        }
        let names = self.names.join(", ");
        let sql = format!(
            "INSERT INTO {} (user_id, {names}) SELECT user_id, {} FROM unnest({}) AS rows (user_id, {names})",
            self.table,
            values.join(", "),
            types.join(", ")
        );
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(AsRef::as_ref).collect();
        db.client.execute(&sql, &parameters).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }
}

impl Cell {
    fn owned_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => text.clone(),
            _ => panic!("no text"),
        }
    }

    fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            _ => panic!("no number"),
        }
    }

    fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }
}
