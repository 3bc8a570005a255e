//! Splits a file into records: lines, joined while a quote is open (RFC 4180).
//!
//! A library that joins lines cannot split them again, and an unclosed quote would swallow the following
//! rows. Here only the line with the quote is invalid, and the next line is read as a record.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

/// Maximum length of a line, which is kept in memory. A row with all columns has some hundred bytes.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Maximum length of a field: a longer text is no name, unit or result.
pub const MAX_FIELD_BYTES: usize = 1 << 16;

/// A line of the file, without its line break.
struct PhysicalLine {
    bytes: Vec<u8>,
    is_too_long: bool,
}

/// One record of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The number of its first line, from 1.
    pub number: u64,
    /// Its fields.
    pub fields: Vec<Vec<u8>>,
    /// The reason why it is invalid.
    pub problem: Option<String>,
}

/// Reads a file record by record.
pub struct Records<R> {
    file: R,
    /// Lines read ahead that belong to no record yet.
    ahead: VecDeque<PhysicalLine>,
    /// The lines of the last record after its first one.
    joined: Vec<PhysicalLine>,
    /// The number of the next line.
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Records<R> {
    /// Starts at the beginning of a file.
    pub fn new(file: R) -> Self {
        Self { file, ahead: VecDeque::new(), joined: Vec::new(), number: 1, bytes: 0 }
    }

    /// Number of bytes read from the file.
    pub const fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// The next record; `None` at the end. An empty line is a record with one empty field.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Record>> {
        self.number += self.joined.len() as u64;
        self.joined.clear();
        let Some(first) = self.line()? else { return Ok(None) };
        let mut record = Record { number: self.number, ..Record::default() };
        self.number += 1;
        if first.is_too_long {
            record.problem = Some(format!("it is longer than {MAX_LINE_BYTES} bytes"));
            return Ok(Some(record));
        }
        let mut parser = Parser::default();
        let mut outcome = parser.line(&first.bytes, &mut record.fields);
        let mut length = first.bytes.len();
        while outcome == Outcome::Open {
            let Some(next) = self.line()? else {
                outcome = Outcome::NeverClosed;
                break;
            };
            length += next.bytes.len() + 1;
            outcome = if next.is_too_long || length > MAX_LINE_BYTES {
                Outcome::NeverClosed
            } else {
                parser.line(&next.bytes, &mut record.fields)
            };
            self.joined.push(next);
        }
        let column = record.fields.len();
        let problem = match outcome {
            _ if record.fields.iter().any(|field| field.len() > MAX_FIELD_BYTES) => {
                Some(format!("a field is longer than {MAX_FIELD_BYTES} bytes"))
            }
            Outcome::Closed => None,
            Outcome::TextBehindQuote if self.joined.is_empty() => {
                Some(format!("field {column} has text behind its closing quote"))
            }
            Outcome::TextBehindQuote | Outcome::Open | Outcome::NeverClosed => {
                Some("a quote opens in it and is not closed".to_owned())
            }
        };
        if problem.is_some() {
            self.take_apart();
        }
        record.problem = problem;
        Ok(Some(record))
    }

    /// The last record's lines after its first one, each parsed as a record.
    pub fn joined(&self) -> impl Iterator<Item = Vec<Vec<u8>>> {
        self.joined.iter().map(|line| {
            let mut fields = Vec::new();
            Parser::default().line(&line.bytes, &mut fields);
            fields
        })
    }

    /// Makes the last record's lines after its first one records of their own.
    pub fn take_apart(&mut self) {
        for line in self.joined.drain(..).rev() {
            self.ahead.push_front(line);
        }
    }

    /// The next line; `None` at the end. Only the beginning of a line over the limit is kept.
    fn line(&mut self) -> io::Result<Option<PhysicalLine>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        let most = MAX_LINE_BYTES as u64 + 1;
        let mut read = self.file.by_ref().take(most).read_until(b'\n', &mut bytes)? as u64;
        if read == 0 {
            return Ok(None);
        }
        let is_too_long = read == most && bytes.last() != Some(&b'\n');
        if is_too_long {
            read += self.file.skip_until(b'\n')? as u64;
            bytes.truncate(0);
        } else if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        self.bytes += read;
        Ok(Some(PhysicalLine { bytes, is_too_long }))
    }
}

/// The state after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The record is complete.
    Closed,
    /// A quote is open.
    Open,
    /// A quote is open at the end of the file, or for too many lines.
    NeverClosed,
    /// A character other than a comma follows a closing quote.
    TextBehindQuote,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    FieldStart,
    Plain,
    Quoted,
    /// After a quote in a quoted field: it either closes the field, or a second quote follows as its
    /// escape.
    QuoteInQuoted,
}

#[derive(Debug, Default)]
struct Parser {
    state: State,
    field: Vec<u8>,
}

impl Parser {
    /// Parses a line, and appends the fields that end in it.
    fn line(&mut self, line: &[u8], fields: &mut Vec<Vec<u8>>) -> Outcome {
        if self.state == State::Quoted {
            self.field.push(b'\n');
        }
        for byte in line {
            self.state = match (self.state, byte) {
                (State::FieldStart, b'"') => State::Quoted,
                (State::FieldStart | State::Plain | State::QuoteInQuoted, b',') => {
                    fields.push(std::mem::take(&mut self.field));
                    State::FieldStart
                }
                (State::Quoted, b'"') => State::QuoteInQuoted,
                (State::QuoteInQuoted, b' ' | b'\t' | b'\r') => State::QuoteInQuoted,
                (State::QuoteInQuoted, b'"') => {
                    self.field.push(b'"');
                    State::Quoted
                }
                (State::QuoteInQuoted, _) => {
                    fields.push(std::mem::take(&mut self.field));
                    return Outcome::TextBehindQuote;
                }
                // A quote in the middle of a field is text, as in 12" pizza.
                (State::FieldStart | State::Plain, _) => {
                    self.field.push(*byte);
                    State::Plain
                }
                (State::Quoted, _) => {
                    self.field.push(*byte);
                    State::Quoted
                }
            };
        }
        if self.state == State::Quoted {
            return Outcome::Open;
        }
        fields.push(std::mem::take(&mut self.field));
        Outcome::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a text: their numbers, and fields or the problem.
    fn read(text: &str) -> Vec<(u64, String)> {
        let mut records = Records::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(record) = records.read().unwrap() {
            let fields = record.fields.iter().map(|field| String::from_utf8_lossy(field));
            let fields = fields.collect::<Vec<_>>().join("|");
            found.push((record.number, record.problem.unwrap_or(fields)));
        }
        found
    }

    #[test]
    fn quoted_fields_may_hold_commas_quotes_and_lines() {
        let text = "a,\"b,\"\"c\"\"\",d\r\n\"two\n\nlines\",12\" x,\n\n\"\",e";
        let expected = [(1, "a|b,\"c\"|d\r"), (2, "two\n\nlines|12\" x|"), (5, ""), (6, "|e")];
        assert_eq!(read(text), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_quote_that_is_not_closed_takes_only_its_own_line() {
        let open = "a quote opens in it and is not closed";
        for (text, expected) in [
            ("1,\"a,2\n3,\"b\",4\n", vec![(1, open), (2, "3|b|4")]),
            ("1,\"a,2\n3,b,4\n5,c,6", vec![(1, open), (2, "3|b|4"), (3, "5|c|6")]),
            ("1,\"a,2\n3,\"\",4\n", vec![(1, open), (2, "3||4")]),
            ("1,\"a\"b,2\n3", vec![(1, "field 2 has text behind its closing quote"), (2, "3")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(n, t)| (*n, (*t).to_owned())).collect();
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_line_or_field_that_is_too_long_takes_only_its_own_line() {
        let long = "x".repeat(3 * MAX_LINE_BYTES);
        let too_long = (1, format!("it is longer than {MAX_LINE_BYTES} bytes"));
        assert_eq!(read(&format!("{long}\na,b")), [too_long, (2, "a|b".to_owned())]);
        let field = "x".repeat(MAX_FIELD_BYTES + 1);
        let too_long = (1, format!("a field is longer than {MAX_FIELD_BYTES} bytes"));
        assert_eq!(read(&format!("a,{field}\nb")), [too_long, (2, "b".to_owned())]);
        // The text read ahead for a quote is limited, too.
        let rows = "1,2\n".repeat(MAX_LINE_BYTES / 2);
        assert_eq!(read(&format!("\"a,b\n{rows}")).len(), 1 + MAX_LINE_BYTES / 2);
    }
}
