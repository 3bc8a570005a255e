//! Sleep: the length, stages and times of the sleep of a person who woke on a local day.
//!
//! A row of `vitals_raw` with one of six metrics is a segment: the time from its start to its end
//! was spent in one [`Stage`]. The steps from rows to days:
//!
//! - **Segments.** Rows with the same metric, source, start and end are one sample, the newest. A
//!   row without length is accepted, but counts nothing and joins nothing.
//! - **Sessions.** The segments of one source are joined over gaps of at most [`LONGEST_GAP_US`].
//!   Segments of another source do not fill the gap. A long chain is cut at noons of the base zone,
//!   as the nights of actigraphy go from noon to noon (GGIR). Examples are a newborn's naps, and a
//!   sensor that always reports a person in bed. The chain is cut at each noon from which it continues for at least two
//!   days ([`CUT_MARGIN_US`]) to both sides. So a chain of less than four days is never cut, and no
//!   figure depends on rows farther away than [`FARTHEST_US`].
//! - **The best source.** Sessions of two sources that overlap, or are at most [`LONGEST_GAP_US`]
//!   apart, are rivals, and only the better one counts. So a watch that was worn only for an
//!   afternoon's nap does not decide the night. The next list gives the order.
//! - **Days.** A session belongs to the local date of its end, in the zone of the row that ends it
//!   (of several, the one that began last). Of a day's sessions, the one with the longest sleep is
//!   the main one; others with sleep are naps ([`SleepDay`]). A day without sleep has no main
//!   session.
//!
//! The better of two rivals is decided so:
//!
//! - A session *represents* its night if it has rows of sleep and covers at least half as much time
//!   as each of its rivals. So a watch whose battery ran out leaves the night to the ring. A rival
//!   without sleep counts as at most 12 hours in this comparison: a sensor that always reports a
//!   person in bed must not hide the watch.
//! - Among sessions that represent their nights, the profile's order decides. Sources that it does
//!   not list come after: first those with stages, then by the longer time asleep, the longer time
//!   covered, and the name. These are facts of the session. The id of the newest row would depend
//!   on the order of writes.
//! - All other sessions come after them, by the time covered. A phone that knows when its owner lay
//!   down counts if no source knows of sleep, even if an app wrote an awakening into that time.
//! - A session loses only to a session that counts, so the best is decided first. If all sources
//!   together continue for four days or longer, a session loses to any better rival. Otherwise the
//!   decision could depend on sessions weeks away.
//!
//! An instant of a session has one state: awake, else deep, REM, core, asleep without a stage, in
//! bed. So a short awakening inside a stage, as Fitbit writes it, is no sleep, and the minutes of
//! the stages add up to the time asleep. HealthKit requires that samples do not overlap ("they
//! don't overlap each other", `HKCategoryValueSleepAnalysis`). Health Connect subtracts awake
//! stages from a session that was given as a whole (AOSP, `SessionDurationAggregationData`).
//!
//! All lengths are whole microseconds of unions of intervals until a day's figure is computed, so
//! the order of rows does not matter. A late row, a correction and a deletion are one code path:
//! [`fn@scope`] says which rows to read, and [`fn@recompute`] computes whole days or asks for more
//! rows.

mod day;
pub mod explain;
mod period;
mod recompute;
mod scope;
mod segment;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::NaiveDate;

pub use self::day::SleepDay;
pub use self::explain::explain;
pub use self::recompute::{Outcome, Recomputed, Snapshot, StoredDay, fingerprint, recompute};
pub use self::scope::{FARTHEST_STORED_DAY, FARTHEST_US, SleepScope, scope};
use crate::Timestamp;
pub use crate::catalogue::Stage;
use crate::raw::{Context, RawVital};
use crate::timestamp::{DAY_US, MINUTE_US};

/// The longest gap over which segments are joined; a gap of exactly this length joins.
pub const LONGEST_GAP_US: i64 = 120 * MINUTE_US;

/// The minimum length of a chain on both sides of a noon at which it is cut.
///
/// Without a bound, one row could move the end of a session by months, and with it its date. Only
/// an ill person or a sensor that is never switched off is in bed for four days without a break of
/// two hours. Both get their nights on their own dates.
pub const CUT_MARGIN_US: i64 = 2 * DAY_US;

/// Raw rows by stage, in any order.
pub type Rows = BTreeMap<Stage, Vec<RawVital>>;

/// Computes the figures of every day from scratch; `rows` are all rows of one user.
pub fn figures(context: &Context<'_>, rows: &Rows) -> BTreeMap<NaiveDate, SleepDay> {
    let judged = segment::judge_all(context, rows);
    let all = (Timestamp::MIN, Timestamp::MAX);
    let parts = day::parts(session::sessions(context, &judged.segments, all), judged.rejected);
    let figures = parts.into_iter().map(|(date, parts)| (date, parts.figures(date, context)));
    figures.filter_map(|(date, figures)| Some((date, figures?))).collect()
}
