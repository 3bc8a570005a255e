//! Tables of other systems: a header somewhere at the beginning, then rows.

use std::io::BufRead;

use crate::item::ReadError;
use crate::records::{Record, Records};

/// The header of a table is among its first lines.
const LINES_BEFORE_HEADER: u64 = 5;

/// The rows of a table, with the columns that are needed.
pub struct Table<R> {
    records: Records<R>,
    names: Vec<String>,
}

impl<R: BufRead> Table<R> {
    /// Finds the header: the first line that has the column `mark`.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(file: R, mark: &str) -> Result<Self, ReadError> {
        let mut records = Records::new(file);
        for _ in 0..LINES_BEFORE_HEADER {
            let Some(record) = records.read()? else { break };
            let names: Vec<String> = record
                .fields
                .iter()
                .map(|name| {
                    text(name).trim_start_matches('\u{feff}').trim_matches('"').trim().to_owned()
                })
                .collect();
            if names.iter().any(|name| name.starts_with(mark)) {
                return Ok(Self { records, names });
            }
        }
        let problem = format!("the header with the column {mark} is missing");
        Err(ReadError::Malformed { place: "line 1".to_owned(), problem })
    }

    /// The index of the column whose name begins so, and the rest of its name.
    pub fn column(&self, name: &str) -> Option<(usize, &str)> {
        let mut names = self.names.iter().enumerate();
        names.find_map(|(index, known)| Some((index, known.strip_prefix(name)?)))
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self) -> Result<Option<Row>, ReadError> {
        loop {
            let Some(mut record) = self.records.read()? else { return Ok(None) };
            if record.problem.is_none()
                && record.fields.iter().all(|field| field.trim_ascii().is_empty())
            {
                continue;
            }
            if record.problem.is_none()
                && record.fields.iter().any(|field| std::str::from_utf8(field).is_err())
            {
                record.problem = Some("it is not UTF-8 text".to_owned());
            }
            return Ok(Some(Row(record)));
        }
    }
}

/// A row of a table.
pub struct Row(pub Record);

impl Row {
    /// The field of a column without white space around it; empty if the row is too short.
    pub fn field(&self, column: usize) -> &str {
        let field = self.0.fields.get(column).map_or(&[][..], Vec::as_slice);
        text(field)
    }

    /// The place of the row.
    pub fn place(&self) -> String {
        format!("line {}", self.0.number)
    }
}

fn text(field: &[u8]) -> &str {
    std::str::from_utf8(field).unwrap_or_default().trim()
}
