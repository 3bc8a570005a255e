//! The lines of a file, checked one by one.

use std::io::{self, Chain, Read};

use anyhow::{Context, bail};
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use store::ImportRow;

use super::columns::{Column, Columns, Empty};

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Its fields, as the database takes them.
    Good(ImportRow),
    /// It cannot be used.
    Bad(BadLine),
}

/// A line that is left out.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number in the file, from 1; the header is line 1.
    pub number: u64,
    /// What is wrong with it, without any of its values.
    pub problem: String,
}

/// A file of which it shows whether its end was met.
struct ToTheEnd<R> {
    file: R,
    is_over: bool,
}

impl<R: Read> Read for ToTheEnd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.is_over |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

/// Reads a file line by line.
pub struct Lines<'c, R> {
    reader: Reader<ToTheEnd<Chain<R, &'static [u8]>>>,
    columns: &'c Columns,
    /// For each of our columns, where it stands in the file.
    places: Vec<Option<usize>>,
    width: usize,
    record: ByteRecord,
}

impl<'c, R: Read> Lines<'c, R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If it lacks a column, or has one that is not known or twice.
    pub fn new(file: R, columns: &'c Columns) -> anyhow::Result<Self> {
        // The library counts lines right only where each ends in the terminator: so the \r of
        // \r\n is left to the trimming of fields, and the last line is given its end.
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(ToTheEnd { file: file.chain(b"\n".as_slice()), is_over: false });
        let header = reader.byte_headers().context("cannot read the first line")?.clone();
        let names: Vec<String> = header
            .iter()
            .map(|name| {
                String::from_utf8_lossy(name).trim().trim_start_matches('\u{feff}').to_owned()
            })
            .collect();
        if names.iter().all(String::is_empty) {
            bail!("line 1: the file is empty; its first line must name the columns");
        }
        for (index, name) in names.iter().enumerate() {
            if let [_] = names.as_slice()
                && name.contains([';', '\t', '|'])
            {
                bail!("line 1: the columns must be separated by commas");
            }
            if !columns.0.iter().any(|column| column.name == name) {
                bail!("line 1: there is no column {name:?}{}", suggestion(name, columns));
            }
            if names[..index].contains(name) {
                bail!("line 1: column {name:?} stands twice");
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
        Ok(Self { reader, columns, places, width: names.len(), record: ByteRecord::new() })
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self) -> anyhow::Result<Option<Line>> {
        loop {
            if !self.reader.read_byte_record(&mut self.record).context("cannot read the file")? {
                return Ok(None);
            }
            if self.record.len() > 1 || !self.record.as_slice().trim_ascii().is_empty() {
                break;
            }
        }
        let number = self.number();
        Ok(Some(match self.check() {
            Ok(row) => Line::Good(row),
            Err(problem) => Line::Bad(BadLine { number, problem }),
        }))
    }

    /// The number of the line in which the record begins. The library's own is that of the line
    /// after the previous record, which may be an empty one.
    fn number(&self) -> u64 {
        let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        // The end of the file inside quotes ends a record, too, and is no line.
        let end = u64::from(!self.reader.get_ref().is_over);
        self.reader.position().line().saturating_sub(end + inside)
    }

    /// How much of the file has been read.
    pub fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    fn check(&self) -> Result<ImportRow, String> {
        if self.record.len() != self.width {
            return Err(format!(
                "it has {} fields, but the first line names {} columns",
                self.record.len(),
                self.width
            ));
        }
        self.columns
            .0
            .iter()
            .zip(&self.places)
            .map(|(column, place)| self.field(column, *place))
            .collect()
    }

    fn field(&self, column: &Column, place: Option<usize>) -> Result<Option<String>, String> {
        let field = self.text(column, place)?;
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
                    Some((other, place)) => self.field(other, *place),
                    None => Ok(None),
                }
            }
        }
    }

    fn text(&self, column: &Column, place: Option<usize>) -> Result<&str, String> {
        let field = place.and_then(|place| self.record.get(place)).unwrap_or_default();
        let text = std::str::from_utf8(field);
        text.map(str::trim).map_err(|_| format!("{} is not UTF-8 text", column.name))
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
        None => format!("; the columns are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::ImportKind;

    fn read(kind: ImportKind, text: &str) -> anyhow::Result<Vec<Line>> {
        let columns = Columns::of(kind);
        let mut lines = Lines::new(text.as_bytes(), &columns)?;
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
            "line 1: there is no column \"metrik\"; did you mean metric?"
        );
        assert_eq!(
            error("user_id,value,value,started_at\n"),
            "line 1: column \"value\" stands twice"
        );
        assert_eq!(
            error("user_id,value\n"),
            "line 1: the file lacks the column metric, started_at"
        );
        assert!(error("").starts_with("line 1: the file is empty"));
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
                let Some(Line::Bad(bad)) = lines.last() else { panic!("{lines:?}") };
                let expected = 2 + before.matches('\n').count() as u64;
                assert_eq!(bad.number, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_a_bad_line() {
        let columns = Columns::of(ImportKind::Vitals);
        let text = [HEADER.as_bytes(), b"\n7,\xff\xfe,12,2024-01-02T03:04:05Z\n"].concat();
        let mut lines = Lines::new(text.as_slice(), &columns).unwrap();
        let Some(Line::Bad(bad)) = lines.next().unwrap() else { panic!() };
        assert_eq!(bad.problem, "metric is not UTF-8 text");
    }

    /// A field: what a table program writes, or anything.
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
                let columns = Columns::of(kind);
                let Ok(mut lines) = Lines::new(text.as_slice(), &columns) else { continue };
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
