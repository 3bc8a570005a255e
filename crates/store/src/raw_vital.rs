//! A raw row of vitals as statements give it.

use std::cell::RefCell;
use std::collections::HashSet;

use aggregation::vitals::RawVital;
use aggregation::{Word, fold_source};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz};

use crate::raw_text::readable;
use crate::time::RawTime;

/// More than the units, sources and zones of a user. With more, the rows of some have words of their own.
const MOST_WORDS: usize = 256;

thread_local! {
    /// The words of the rows read last. What decodes a column is given nothing but its bytes, so they
    /// stand beside it.
    static WORDS: RefCell<HashSet<Word>> = RefCell::default();
}

/// Its columns: id, value, comparator, unit, source, started_at, ended_at, time_zone, is_daily_total.
pub(crate) type RawVitalSql =
    (BigInt, Double, Nullable<Text>, Text, Text, Timestamptz, Timestamptz, Nullable<Text>, Bool);

/// They with the types that are read: the application may have columns of another type, such as `real`,
/// `varchar` or `integer`, and change them while the worker runs.
macro_rules! raw_vital_columns {
    ($row:literal) => {
        concat!(
            $row,
            ".id::bigint, ",
            $row,
            ".value::float8, ",
            crate::raw_text::short_name!(concat!($row, ".comparator")),
            ", ",
            crate::raw_text::short_name!(concat!($row, ".unit")),
            ", ",
            crate::raw_text::short_name!(concat!($row, ".source")),
            ", ",
            $row,
            ".started_at, ",
            $row,
            ".ended_at, ",
            crate::raw_text::short_name!(concat!($row, ".time_zone")),
            ", ",
            $row,
            ".is_daily_total"
        )
    };
}

pub(crate) use raw_vital_columns;

/// The same as they are loaded.
pub(crate) type RawVitalColumns =
    (i64, f64, Option<Shared>, Shared, Source, RawTime, RawTime, Option<Shared>, bool);

/// A text that rows share.
#[derive(Debug, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct Shared(Word);

impl FromSql<Text, Pg> for Shared {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let text = readable(value.as_bytes());
        Ok(Self(WORDS.with_borrow_mut(|words| shared(words, &text))))
    }
}

/// A source's name, folded, that rows share.
#[derive(Debug, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct Source(Word);

impl FromSql<Text, Pg> for Source {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let text = readable(value.as_bytes());
        let name = fold_source(&text);
        Ok(Self(WORDS.with_borrow_mut(|words| shared(words, &name))))
    }
}

fn shared(words: &mut HashSet<Word>, text: &str) -> Word {
    if let Some(known) = words.get(text) {
        return known.clone();
    }
    if words.len() == MOST_WORDS {
        words.clear();
    }
    let word = Word::from(text);
    words.insert(word.clone());
    word
}

/// The row that they make.
pub(crate) fn raw_vital(columns: RawVitalColumns) -> RawVital {
    let (id, value, comparator, unit, source, from, to, time_zone, is_daily_total) = columns;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_words_as_there_may_be_are_kept_and_each_is_right() {
        let mut words = HashSet::new();
        for number in 0..3 * MOST_WORDS {
            let text = (number % (MOST_WORDS + 1)).to_string();
            assert_eq!(&*shared(&mut words, &text), text);
            assert!(words.len() <= MOST_WORDS);
        }
    }
}
