//! Texts of the application's tables.
//!
//! A database with the encoding SQL_ASCII stores any bytes. The server returns them unchanged if the
//! client uses the same encoding. Otherwise each statement that reads invalid UTF-8 fails, and with it
//! the rows of all other users.

use std::borrow::Cow;
use std::fmt::Write;

use aggregation::fold_source;
use aggregation::text::{LONGEST_NAME_BYTES, LONGEST_TEXT_BYTES};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::Text;

/// The encoding of a database that does not validate text.
pub(crate) const NO_ENCODING: &str = "SQL_ASCII";

/// The expression for a text column of a raw table. A text over the limit is never read. The server
/// returns a text one byte longer than the limit instead, by which the row is rejected. octet_length()
/// needs only the length stored in the row.
macro_rules! short {
    ($column:expr, $limit:literal) => {
        concat!(
            "CASE WHEN octet_length(",
            $column,
            "::text) > ",
            $limit,
            " THEN repeat('?', ",
            $limit,
            " + 1) ELSE ",
            $column,
            "::text END"
        )
    };
}

/// A name or a code of at most [`LONGEST_NAME_BYTES`].
macro_rules! short_name {
    ($column:expr) => {
        crate::sql::raw_text::short!($column, 1024)
    };
}

/// A free text of at most [`LONGEST_TEXT_BYTES`].
macro_rules! short_text {
    ($column:expr) => {
        crate::sql::raw_text::short!($column, 4096)
    };
}

// The limits are literals in the SQL above.
const _: () = assert!(LONGEST_NAME_BYTES == 1024 && LONGEST_TEXT_BYTES == 4096);

pub(crate) use {short, short_name, short_text};

/// A text whose bytes may be invalid UTF-8. Each invalid byte becomes `\xb0` or the like, so different
/// texts remain different.
#[derive(Clone, Debug, PartialEq, Eq, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct RawText(String);

impl FromSql<Text, Pg> for RawText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(readable(value.as_bytes()).into_owned()))
    }
}

impl RawText {
    /// The name of a source, folded for comparison.
    pub(crate) fn into_source(self) -> String {
        fold_source(&self.0).into_owned()
    }
}

impl From<RawText> for String {
    fn from(text: RawText) -> Self {
        text.0
    }
}

/// The text of the bytes, with invalid bytes escaped.
pub(crate) fn readable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn each_byte_that_is_no_utf_8_is_shown_and_all_others_stay() {
        for (bytes, text) in [
            ("Café °C".as_bytes(), "Café °C"),
            (b"Caf\xe9", "Caf\\xe9"),
            (b"\xb0C", "\\xb0C"),
            (b"\xc3", "\\xc3"),
            (b"", ""),
        ] {
            assert_eq!(readable(bytes), text);
        }
        assert_ne!(readable(b"\xe4"), readable(b"\xfc"));
    }
}
