//! The length limits of a raw row's texts.
//!
//! An app may send anything, and one row of a gigabyte would end the worker. The statements that
//! read raw rows compare the length of each text before they return it. A text over its limit is
//! replaced by one that is a byte longer than the limit. The row is then rejected with
//! [`Reason::TextTooLong`].

use crate::Reason;

/// The longest name or code: source, metric, unit, comparator, zone, type of a meal, LOINC code,
/// status. The longest ones in use have about 100 bytes. A day has up to 86,400 readings with a
/// name each, which must fit into memory.
pub const LONGEST_NAME_BYTES: usize = 1024;

/// The longest text that people write: a food, a test, a specimen, a flag, a result, a range.
pub const LONGEST_TEXT_BYTES: usize = 4096;

/// Rejects a row if one name or one text is too long.
pub(crate) fn require_short<'a>(
    names: impl IntoIterator<Item = &'a str>,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<(), Reason> {
    let is_short = names.into_iter().all(|name| name.len() <= LONGEST_NAME_BYTES)
        && texts.into_iter().all(|text| text.len() <= LONGEST_TEXT_BYTES);
    if is_short { Ok(()) } else { Err(Reason::TextTooLong) }
}
