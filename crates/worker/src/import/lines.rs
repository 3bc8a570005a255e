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
mod tests {
    use aggregation::UserIdType;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::ImportKind;
    use exports::records::{MAX_FIELD_BYTES, MAX_LINE_BYTES};

    fn read(kind: ImportKind, text: &str) -> anyhow::Result<Vec<Line>> {
        let columns = Columns::for_kind(kind, UserIdType::Bigint);
        let mut lines = Lines::new(text.as_bytes(), &columns, false)?;
        let mut found = Vec::new();
        while let Some(line) = lines.next()? {
            found.push(line);
        }
        Ok(found)
    }

    const HEADER: &str = "user_id,metric,value,started_at";

    fn problem(line: &str) -> String {
        match read(ImportKind::Vitals, &format!("{HEADER}\n{line}\n")).unwrap().as_slice() {
            [Line::Bad(bad)] => format!("line {}: {}", bad.number, bad.problem),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_needs_only_the_columns_that_must_be_known() {
        let lines =
            read(ImportKind::Vitals, &format!("{HEADER}\n7,steps,12,2024-01-02T03:04:05+01:00\n"));
        let time = Some("2024-01-02T02:04:05.000000Z".to_owned());
        let expected = vec![
            Some("7".to_owned()),
            Some("steps".to_owned()),
            Some("12".to_owned()),
            None,
            Some(String::new()),
            Some(String::new()),
            time.clone(),
            time,
            None,
            Some("false".to_owned()),
        ];
        assert_eq!(lines.unwrap(), [Line::Good(expected)]);
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_column_but_without_its_value() {
        assert_eq!(
            problem("x,steps,12,2024-01-02T03:04:05Z"),
            "line 2: user_id is not a whole number of 64 bits"
        );
        assert_eq!(problem("7,steps,1OO,2024-01-02T03:04:05Z"), "line 2: value is not a number");
        assert_eq!(
            problem("7,steps,1e999,2024-01-02T03:04:05Z"),
            "line 2: value is a number too large for 64 bits"
        );
        assert_eq!(problem("7,,12,2024-01-02T03:04:05Z"), "line 2: metric is empty");
        assert_eq!(
            problem("7,steps,12"),
            "line 2: it has 3 fields, but the first line names 4 columns"
        );
        assert_eq!(
            problem("7,a\0b,12,2024-01-02T03:04:05Z"),
            "line 2: metric must not contain a NUL character"
        );
        assert!(
            problem("7,steps,12,yesterday")
                .starts_with("line 2: started_at is not a time with offset")
        );
        assert!(
            problem("7,steps,12,2024-01-02 03:04:05")
                .starts_with("line 2: started_at is not a time")
        );
    }

    #[test]
    fn postgresql_s_own_notation_of_times_is_understood() {
        let text = format!("{HEADER}\n7,steps,12,2024-01-02 03:04:05.25+00\n");
        let lines = read(ImportKind::Vitals, &text).unwrap();
        assert!(
            matches!(&lines[0], Line::Good(row) if row[6].as_deref() == Some("2024-01-02T03:04:05.250000Z"))
        );
    }

    #[test]
    fn a_header_that_does_not_fit_says_why() {
        let error = |text: &str| read(ImportKind::Vitals, text).unwrap_err().to_string();
        assert_eq!(
            error("user_id,metrik,value,started_at\n"),
            "line 1: there is no column \"metrik\"; did you mean metric? --skip-unknown-columns leaves \
             unknown columns out"
        );
        assert_eq!(
            error("user_id,value,value,started_at\n"),
            "line 1: column \"value\" is named twice"
        );
        assert_eq!(
            error("user_id,value\n"),
            "line 1: the file lacks the column metric, started_at"
        );
        assert!(error("").starts_with("line 1: the file is empty"));
        for utf16 in ["\u{0}u\u{0}s\u{0}e\u{0}r", "u\u{0}s\u{0}e\u{0}r\u{0}"] {
            assert!(error(utf16).contains("iconv -f UTF-16 -t UTF-8"), "{}", error(utf16));
        }
    }

    #[test]
    fn columns_are_known_in_any_case_and_with_spaces_and_quotes_around_them() {
        let text = "\u{feff}\"User_ID\", METRIC ,Value,\"Started_At\"\r\n7,steps,12,2024-01-02T03:04:05Z\r\n";
        let lines = read(ImportKind::Vitals, text).unwrap();
        assert!(matches!(lines.as_slice(), [Line::Good(_)]), "{lines:?}");
    }

    #[test]
    fn unknown_columns_are_left_out_if_asked_to_and_named() {
        let columns = Columns::for_kind(ImportKind::Vitals, UserIdType::Bigint);
        let text = "user_id,Device,metric,value,started_at\n7,x,steps,12,2024-01-02T03:04:05Z\n";
        let mut lines = Lines::new(text.as_bytes(), &columns, true).unwrap();
        assert_eq!(lines.skipped(), ["Device"]);
        assert!(matches!(lines.next().unwrap(), Some(Line::Good(_))));
    }

    #[test]
    fn a_comparator_before_the_value_is_one_and_a_word_instead_of_a_number_is_none() {
        let header = "user_id,metric,value,comparator,started_at";
        let good = |value: &str, comparator: &str| {
            let text = format!("{header}\n7,g,{value},{comparator},2024-01-02T03:04:05Z\n");
            match read(ImportKind::Vitals, &text).unwrap().remove(0) {
                Line::Good(row) => Ok((row[2].clone().unwrap(), row[3].clone())),
                Line::Bad(bad) => Err(bad.problem),
            }
        };
        let read = |value: &str, comparator: Option<&str>| {
            Ok((value.to_owned(), comparator.map(str::to_owned)))
        };
        assert_eq!(good("<40", ""), read("40", Some("<")));
        assert_eq!(good("> 400.5", ""), read("400.5", Some(">")));
        assert_eq!(good("<40", "<"), read("40", Some("<")));
        assert_eq!(good("40", ">"), read("40", Some(">")));
        assert_eq!(good("40", ""), read("40", None));
        assert_eq!(good("<40", ">"), Err("comparator differs from the one in value".to_owned()));
        for word in ["Low", "HIGH", "Lo", "hi"] {
            assert!(
                good(word, "").unwrap_err().contains("has its bound here and < or >"),
                "{word}"
            );
        }
        for word in ["<", "<low", "<=40", "<<40", "-"] {
            assert_eq!(good(word, ""), Err("value is not a number".to_owned()), "{word}");
        }
    }

    #[test]
    fn lines_after_a_bad_one_are_read() {
        let text =
            format!("{HEADER}\nx,steps,12,2024-01-02T03:04:05Z\n7,steps,12,2024-01-02T03:04:05Z\n");
        let lines = read(ImportKind::Vitals, &text).unwrap();
        assert!(matches!(lines.as_slice(), [Line::Bad(_), Line::Good(_)]));
    }

    #[test]
    fn a_bad_line_has_its_number_also_after_empty_lines_and_at_the_end_of_the_file() {
        let good = "7,steps,12,2024-01-02T03:04:05Z";
        let text = format!("{HEADER}\n\n{good}\n\n\nx\n{good}\n\ny");
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let lines = read(ImportKind::Vitals, &text).unwrap();
            let bad = lines.iter().filter_map(|line| match line {
                Line::Bad(bad) => Some(bad.number),
                Line::Good(_) => None,
            });
            assert_eq!((bad.collect::<Vec<_>>(), lines.len()), (vec![6, 9], 4));
        }
    }

    #[test]
    fn a_quote_that_nobody_closes_is_told_with_the_line_where_it_opens() {
        for before in ["", "\n\n", "7,steps,1,2024-01-02T03:04:05Z\n"] {
            for behind in ["", "\n", "\n7,steps,1\n"] {
                let text = format!("{HEADER}\n{before}7,\"steps,1,2{behind}");
                let lines = read(ImportKind::Vitals, &text).unwrap();
                let bad = lines.iter().find_map(|line| match line {
                    Line::Bad(bad) => Some(bad),
                    Line::Good(_) => None,
                });
                let expected = 2 + before.matches('\n').count() as u64;
                assert_eq!(bad.map(|bad| bad.number), Some(expected), "{text:?}");
            }
        }
    }

    #[test]
    fn two_rows_between_two_quotes_are_not_one() {
        let header = "user_id,metric,value,source,started_at";
        let rows = "7,steps,1,\"watch,2024-01-02T03:04:05Z\n7,steps,2,phone\",2024-01-02T03:04:05Z\n\
                    7,steps,3,\"wa\ntch\",2024-01-02T03:04:05Z\n";
        let lines = read(ImportKind::Vitals, &format!("{header}\n{rows}")).unwrap();
        let [Line::Bad(bad), Line::Good(second), Line::Good(third)] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!((bad.number, bad.problem.contains("a quote opens in it")), (2, true), "{bad:?}");
        assert_eq!(second[5].as_deref(), Some("phone\""));
        // A text of two lines is one field.
        assert_eq!(third[5].as_deref(), Some("wa\ntch"));
    }

    #[test]
    fn a_field_that_is_too_long_is_a_bad_line() {
        let long = "x".repeat(MAX_FIELD_BYTES + 1);
        assert!(problem(&format!("7,{long},12,2024-01-02T03:04:05Z")).contains("field is longer"));
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        assert!(problem(&format!("7,{long},12,2024-01-02T03:04:05Z")).contains("it is longer"));
    }

    #[test]
    fn text_that_is_not_utf_8_is_a_bad_line() {
        let columns = Columns::for_kind(ImportKind::Vitals, UserIdType::Bigint);
        let text = [HEADER.as_bytes(), b"\n7,\xff\xfe,12,2024-01-02T03:04:05Z\n"].concat();
        let mut lines = Lines::new(text.as_slice(), &columns, false).unwrap();
        let Some(Line::Bad(bad)) = lines.next().unwrap() else { panic!() };
        assert_eq!(bad.problem, "metric is not UTF-8 text");
    }

    /// A field as a spreadsheet writes it, or arbitrary bytes.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"7".to_vec()),
            Just(b"heart_rate".to_vec()),
            Just(b"-1.5e300".to_vec()),
            Just(b"2024-01-02T03:04:05Z".to_vec()),
            Just(b"\"quoted, and \"\"more\"".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20),
            "\\PC{0,20}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn whatever_a_file_holds_each_line_is_good_or_bad(
            header in any::<bool>(),
            fields in prop::collection::vec(prop::collection::vec(field(), 0..8), 0..8),
        ) {
            let mut text = if header { format!("{HEADER}\n").into_bytes() } else { Vec::new() };
            for line in &fields {
                text.extend(line.join(&b','));
                text.push(b'\n');
            }
            for kind in [ImportKind::Vitals, ImportKind::Nutrition, ImportKind::Labs, ImportKind::Profiles] {
                let columns = Columns::for_kind(kind, UserIdType::Bigint);
                let Ok(mut lines) = Lines::new(text.as_slice(), &columns, false) else { continue };
                let (mut last, mut count) = (1, 0);
                while let Some(line) = lines.next().unwrap() {
                    count += 1;
                    if let Line::Bad(bad) = line {
                        prop_assert!(bad.number > last, "{} behind {last}", bad.number);
                        last = bad.number;
                    }
                }
                prop_assert!(count <= text.iter().filter(|byte| **byte == b'\n').count());
            }
        }
    }
}
