//! Reads and checks the lines of a file one by one.

use std::io::BufRead;

use anyhow::{Context, bail};
use exports::records::Records;
use store::ImportRow;

use super::columns::{Column, Columns, Empty};
use crate::tables::counted;

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The fields, converted for the database.
    Good(ImportRow),
    /// An invalid line.
    Bad(BadLine),
}

/// A line that is skipped.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Number of the line in the file, from 1; the header is line 1.
    pub number: u64,
    /// Description of the problem, without any value of the line.
    pub problem: String,
}

/// Maximum length of a column's name in an error.
const MAX_NAME: usize = 60;

/// Reads a file line by line.
pub struct Lines<'c, R> {
    records: Records<R>,
    columns: &'c Columns,
    /// The index in the file of each known column.
    places: Vec<Option<usize>>,
    width: usize,
    /// Columns of the file that are skipped.
    skipped: Vec<String>,
}

impl<'c, R: BufRead> Lines<'c, R> {
    /// Reads the header. Unknown columns are skipped if `skip_unknown` is set.
    ///
    /// # Errors
    /// If a column is missing, unknown or repeated, or if the file is not UTF-8 text.
    pub fn new(file: R, columns: &'c Columns, skip_unknown: bool) -> anyhow::Result<Self> {
        let mut records = Records::new(file);
        let header = records.read().context("cannot read the first line")?.unwrap_or_default();
        let bytes = header.fields.concat();
        if bytes.starts_with(&[0xff, 0xfe])
            || bytes.starts_with(&[0xfe, 0xff])
            || bytes.contains(&0)
        {
            bail!(
                "line 1: the file is UTF-16 or binary, but must be UTF-8; convert it with \
                 `iconv -f UTF-16 -t UTF-8 FILE > NEW.csv`, or save it as CSV UTF-8"
            );
        }
        if let Some(problem) = header.problem {
            bail!("line 1: {problem}");
        }
        let written: Vec<String> = header
            .fields
            .iter()
            .map(|name| {
                let name = String::from_utf8_lossy(name);
                let name = name.trim().trim_start_matches('\u{feff}').trim();
                name.trim_matches('"').chars().take(MAX_NAME).collect()
            })
            .collect();
        if written.iter().all(String::is_empty) {
            bail!("line 1: the file is empty; its first line must name the columns");
        }
        let names: Vec<String> = written.iter().map(|name| name.to_ascii_lowercase()).collect();
        let mut skipped = Vec::new();
        for (index, (name, written)) in names.iter().zip(&written).enumerate() {
            if let [_] = names.as_slice()
                && name.contains([';', '\t', '|'])
            {
                bail!("line 1: the columns must be separated by commas");
            }
            if !columns.0.iter().any(|column| column.name == name) {
                if !skip_unknown {
                    bail!(
                        "line 1: there is no column {written:?}{} --skip-unknown-columns leaves unknown \
                         columns out",
                        suggestion(name, columns)
                    );
                }
                skipped.push(written.clone());
            } else if names[..index].contains(name) {
                bail!("line 1: column {name:?} is named twice");
            }
        }
        let place = |column: &Column| names.iter().position(|name| name == column.name);
        let places: Vec<Option<usize>> = columns.0.iter().map(place).collect();
        let required = columns
            .0
            .iter()
            .zip(&places)
            .filter(|(column, place)| column.empty == Empty::Refused && place.is_none());
        let missing: Vec<&str> = required.map(|(column, _)| column.name).collect();
        if !missing.is_empty() {
            bail!("line 1: the file lacks the column {}", missing.join(", "));
        }
        Ok(Self { records, columns, places, width: names.len(), skipped })
    }

    /// Columns of the file that are skipped.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self) -> anyhow::Result<Option<Line>> {
        loop {
            let Some(record) = self.records.read().context("cannot read the file")? else {
                return Ok(None);
            };
            let (number, fields) = (record.number, record.fields);
            if let Some(problem) = record.problem {
                return Ok(Some(Line::Bad(BadLine { number, problem })));
            }
            if let [field] = fields.as_slice()
                && field.trim_ascii().is_empty()
            {
                continue;
            }
            // If a joined line is valid by itself, the quote has swallowed another row.
            if self.records.joined().any(|fields| self.check(&fields).is_ok()) {
                self.records.take_apart();
                let problem = "a quote opens in it that is closed only in another row".to_owned();
                return Ok(Some(Line::Bad(BadLine { number, problem })));
            }
            return Ok(Some(match self.check(&fields) {
                Ok(row) => Line::Good(row),
                Err(problem) => Line::Bad(BadLine { number, problem }),
            }));
        }
    }

    /// Number of bytes read from the file.
    pub const fn bytes_read(&self) -> u64 {
        self.records.bytes_read()
    }

    fn check(&self, fields: &[Vec<u8>]) -> Result<ImportRow, String> {
        if fields.len() != self.width {
            return Err(format!(
                "it has {}, but the first line names {}",
                counted(fields.len() as i64, "field", "fields"),
                counted(self.width as i64, "column", "columns"),
            ));
        }
        let columns = self.columns.0.iter().zip(&self.places);
        columns.map(|(column, place)| self.field(fields, column, *place)).collect()
    }

    fn field(
        &self,
        fields: &[Vec<u8>],
        column: &Column,
        place: Option<usize>,
    ) -> Result<Option<String>, String> {
        let mut field = self.text(fields, column, place)?;
        match column.name {
            "value" => field = self.reading(fields)?.1,
            "comparator" => {
                let (of_value, _) = self.reading(fields)?;
                if !field.is_empty() && !of_value.is_empty() && field != of_value {
                    return Err("comparator differs from the one in value".to_owned());
                }
                field = if field.is_empty() { of_value } else { field };
            }
            _ => {}
        }
        if !field.is_empty() {
            let checked = column.content.check(field);
            return checked.map(Some).map_err(|problem| format!("{} {problem}", column.name));
        }
        match column.empty {
            Empty::Refused => Err(format!("{} is empty", column.name)),
            Empty::BlankText => Ok(Some(String::new())),
            Empty::Null => Ok(None),
            Empty::Means(value) => Ok(Some(value.to_owned())),
            Empty::SameAs(other) => {
                let found = self.columns.0.iter().zip(&self.places).find(|(c, _)| c.name == other);
                match found {
                    Some((other, place)) => self.field(fields, other, *place),
                    None => Ok(None),
                }
            }
        }
    }

    /// The column `value`: its comparator, which is empty without one, and its number.
    fn reading<'f>(&self, fields: &'f [Vec<u8>]) -> Result<(&'f str, &'f str), String> {
        let value = self.named("value", fields)?;
        let Some(comparator) = exports::out_of_range(value) else {
            return Ok(split_comparator(value));
        };
        let of_glucose = self.named("metric", fields)? == "blood_glucose";
        let unit = self.named("unit", fields)?;
        let bound = of_glucose.then(|| exports::bounds_of_sensor(unit, comparator)).flatten();
        match bound {
            Some(bound) => Ok((comparator, bound)),
            None => Err("value is not a number; a reading out of the sensor's range has its bound here and < \
                         or > in the column comparator"
                .to_owned()),
        }
    }

    /// The column of this name; empty if the kind has none.
    fn named<'f>(&self, name: &str, fields: &'f [Vec<u8>]) -> Result<&'f str, String> {
        let mut columns = self.columns.0.iter().zip(&self.places);
        match columns.find(|(column, _)| column.name == name) {
            Some((column, place)) => self.text(fields, column, *place),
            None => Ok(""),
        }
    }

    fn text<'f>(
        &self,
        fields: &'f [Vec<u8>],
        column: &Column,
        place: Option<usize>,
    ) -> Result<&'f str, String> {
        let field = place.and_then(|place| fields.get(place)).map_or(&[][..], Vec::as_slice);
        let text = std::str::from_utf8(field);
        text.map(str::trim).map_err(|_| format!("{} is not UTF-8 text", column.name))
    }
}

/// Splits a comparator from a value, as in `<40`. Without one, the comparator is empty.
fn split_comparator(value: &str) -> (&str, &str) {
    match value.as_bytes() {
        [b'<' | b'>', b'0'..=b'9' | b' ' | b'.', ..] => {
            let (comparator, number) = value.split_at(1);
            (comparator, number.trim_start())
        }
        _ => ("", value),
    }
}

fn suggestion(name: &str, columns: &Columns) -> String {
    let names = || columns.0.iter().map(|column| column.name);
    let near = names()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, known)) => format!("; did you mean {known}?"),
        None => format!("; the columns are {}.", names().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests;
