//! The text of a configuration file, with the places of its entries.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::Origin;

pub(super) type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

/// A file, for locating entries in it.
pub(super) struct Source<'a> {
    path: &'a str,
    /// The bytes at which lines end. A list of thousands of targets would take minutes if each entry counted them.
    line_ends: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a str, text: &str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { path, line_ends: line_ends.map(|(at, _)| at).collect() }
    }

    pub(super) fn origin(&self, key: &Key<'_>) -> Origin {
        let begin = key.span().start;
        let line = 1 + self.line_ends.partition_point(|end| *end < begin);
        Origin::File { path: self.path.to_owned(), line }
    }
}

/// The entries in the order of the file; the table itself sorts them by name.
pub(super) fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Key<'i>, &'t DeValue<'i>)> {
    let mut entries: Vec<_> = table.iter().map(|(key, value)| (key, value.get_ref())).collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Reads a file of at most `most` bytes that `named_by` names.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn read(path: &Path, shown: &str, most: u64, named_by: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(
        |error| {
            format!(
                "cannot read {shown}: {error}; check the path given by {named_by} and its rights"
            )
        },
    )?;
    if bytes.len() as u64 > most {
        return Err(format!(
            "{shown} is larger than {most} bytes, so it is no configuration; \
             check the path given by {named_by}"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        format!("{shown} line {line} is not UTF-8; save the file as UTF-8 text")
    })
}
