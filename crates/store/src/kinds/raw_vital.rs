//! A raw row of vitals as the statements return it.

use std::cell::RefCell;

use aggregation::vitals::RawVital;
use aggregation::{SharedStr, fold_source};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz};

use crate::sql::raw_text::readable;
use crate::sql::time::RawTime;

/// Maximum of shared texts. The units, sources and zones of a user are fewer; beyond it, rows have
/// copies of their own.
const MAX_WORDS: usize = 64;

thread_local! {
    /// Texts of the last rows read. Decoders see only a column's bytes, so the texts are kept
    /// here.
    static WORDS: RefCell<Words> = RefCell::default();
    /// Texts that are folded names of sources.
    static SOURCES: RefCell<Words> = RefCell::default();
}

/// Texts that rows share, frequent ones first.
#[derive(Default)]
struct Words(Vec<SharedStr>);

impl Words {
    /// The shared text with these bytes. An entry is UTF-8, so the bytes are as well.
    fn get(&mut self, bytes: &[u8]) -> Option<SharedStr> {
        let at = self.0.iter().position(|word| word.as_bytes() == bytes)?;
        self.0.swap(at, at / 2);
        self.0.get(at / 2).cloned()
    }

    fn get_or_insert(&mut self, text: &str) -> SharedStr {
        self.get(text.as_bytes()).unwrap_or_else(|| {
            self.0.truncate(MAX_WORDS - 1);
            let word = SharedStr::from(text);
            self.0.push(word.clone());
            word
        })
    }
}

/// The SQL types of the columns: id, value, comparator, unit, source, started_at, ended_at, time_zone,
/// is_daily_total, workout_type.
pub(crate) type RawVitalSql = (
    BigInt,
    Double,
    Nullable<Text>,
    Text,
    Text,
    Timestamptz,
    Timestamptz,
    Nullable<Text>,
    Bool,
    Nullable<Text>,
);

/// The columns, cast to the types that the worker reads. The application may have other types, such as
/// `real`, `varchar` or `integer`, and change them while the worker runs.
macro_rules! raw_vital_columns {
    ($row:literal) => {
        concat!(
            $row,
            ".id::bigint, ",
            $row,
            ".value::float8, ",
            crate::sql::raw_text::short_name!(concat!($row, ".comparator")),
            ", ",
            crate::sql::raw_text::short_name!(concat!($row, ".unit")),
            ", ",
            crate::sql::raw_text::short_name!(concat!($row, ".source")),
            ", ",
            $row,
            ".started_at, ",
            $row,
            ".ended_at, ",
            crate::sql::raw_text::short_name!(concat!($row, ".time_zone")),
            ", ",
            $row,
            ".is_daily_total, ",
            crate::sql::raw_text::short_name!(concat!($row, ".workout_type"))
        )
    };
}

pub(crate) use raw_vital_columns;

/// The Rust types of the columns of a raw row.
pub(crate) type RawVitalColumns = (
    i64,
    f64,
    Option<Shared>,
    Shared,
    Source,
    RawTime,
    RawTime,
    Option<Shared>,
    bool,
    Option<Shared>,
);

/// A text shared between rows.
#[derive(Debug, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct Shared(SharedStr);

impl FromSql<Text, Pg> for Shared {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let bytes = value.as_bytes();
        let insert = |words: &mut Words| words.get_or_insert(&readable(bytes));
        Ok(Self(WORDS.with_borrow_mut(|words| words.get(bytes).unwrap_or_else(|| insert(words)))))
    }
}

/// A source's folded name, shared between rows.
#[derive(Debug, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct Source(SharedStr);

impl FromSql<Text, Pg> for Source {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let bytes = value.as_bytes();
        // Folding a folded name does not change it.
        let insert = |words: &mut Words| words.get_or_insert(&fold_source(&readable(bytes)));
        Ok(Self(SOURCES.with_borrow_mut(|words| words.get(bytes).unwrap_or_else(|| insert(words)))))
    }
}

/// Builds the row from its columns.
pub(crate) fn raw_vital(columns: RawVitalColumns) -> RawVital {
    let (id, value, comparator, unit, source, from, to, time_zone, is_daily_total, workout_type) =
        columns;
    RawVital {
        id,
        value,
        comparator: comparator.map(|comparator| comparator.0),
        unit: unit.0,
        source: source.0,
        started_at: from.0,
        ended_at: to.0,
        time_zone: time_zone.map(|zone| zone.0),
        is_daily_total,
        workout_type: workout_type.map(|name| name.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_right_and_shared_also_if_there_are_more_than_are_kept() {
        let mut words = Words::default();
        for number in 0..3 * MAX_WORDS {
            let text = (number % (MAX_WORDS + 1)).to_string();
            assert_eq!(&*words.get_or_insert(&text), text);
            assert!(words.0.len() <= MAX_WORDS);
        }
        let (one, other) = (words.get_or_insert("bpm"), words.get_or_insert("bpm"));
        assert!(std::ptr::eq(&*one, &*other));
    }
}
