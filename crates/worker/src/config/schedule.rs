//! Cron patterns.

use croner::parser::{CronParser, Seconds};

/// Second, minute, hour, day of month, month, day of week.
const FIELDS: usize = 6;

/// The requirement on a pattern, as the end of a sentence.
pub(super) const EXPECTED: &str = "be a cron pattern of six fields (second, minute, hour, day of \
                                   month, month, day of week) that matches some time, or empty";

/// The pattern, if it is usable. The scheduler itself accepts a pattern that never matches, and then
/// silently drops it.
pub(super) fn pattern(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return Some(String::new());
    }
    if text.split_whitespace().count() != FIELDS {
        return None;
    }
    let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
    let cron = parser.parse(text).ok()?;
    cron.find_next_occurrence(&chrono::DateTime::UNIX_EPOCH, false).ok()?;
    Some(text.to_owned())
}
