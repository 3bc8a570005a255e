//! Finds the days of sleep that a changed raw row may change, and the rows to read for them.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};

use super::LONGEST_GAP_US;
use crate::Timestamp;
use crate::catalogue::Catalogue;
use crate::local_time::{Zone, anywhere_on_earth};
use crate::raw::{Change, LONGEST_INTERVAL_US, Span, union};
use crate::timestamp::DAY_US;
use crate::zones::{BaseZone, Zones};

/// The longest distance of a row from the end of a session that it affects.
///
/// Between a session's ends are at most two margins of [a cut](super::CUT_MARGIN_US) and the time
/// between two noons, 48 hours (if the date line moved): 6 days. A rival begins at most that long
/// before it, and two hours. So does a rival's rival, with which the rival is compared. Its
/// beginning or cut is known from a margin and two hours more. That makes 20 days and 8 hours; the
/// rest is reserve.
pub const FARTHEST_US: i64 = 21 * DAY_US;

/// The margins of reading around the days to compute, tried in this order. The first is enough for
/// nearly every night. The second is enough for recordings of days, such as a bed sensor that is
/// never off. The third is always enough.
const MARGINS_US: [i64; 3] = [LONGEST_GAP_US, 4 * DAY_US, FARTHEST_US];

/// The longest distance of a stored day from the UTC date of a changed row that concerns it. It is
/// [`FARTHEST_US`], and a day more because a date begins up to 16 hours earlier than in UTC.
pub const FARTHEST_STORED_DAY: Days = Days::new(22);

/// The days to recompute, and the rows to read for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SleepScope {
    /// Start and end of each changed row.
    pub(super) changed: BTreeSet<Span>,
    /// The reach of days stored under another context, whose sessions may have other dates now.
    pub(super) outdated: BTreeSet<Span>,
    /// Days that are recomputed regardless of changes.
    pub(super) wanted: BTreeSet<NaiveDate>,
    /// Days whose rows are read. Their sessions may belong to other days; that is known only after
    /// reading.
    pub(super) dates: BTreeSet<NaiveDate>,
    /// How many times the margin was widened: an index into [`MARGINS_US`].
    pub(super) widened: usize,
}

impl SleepScope {
    /// The scope of a backfill: recomputes `dates` regardless of changes.
    pub fn of_dates(dates: BTreeSet<NaiveDate>) -> Self {
        Self { wanted: dates.clone(), dates, ..Self::default() }
    }

    /// Whether there are no days to compute, since no change was one of sleep.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.wanted.is_empty()
    }

    /// The spans of instants of which every row must be read, in order and disjoint. These are rows
    /// of the six metrics, also rejected ones, that start before the second instant and either
    /// start or end at or after the first. An accepted row lasts at most 48 hours, so no row that
    /// starts earlier than 48 hours before the span need be read.
    pub fn spans_to_read(&self) -> Vec<Span> {
        let margin = MARGINS_US.get(self.widened).copied().unwrap_or(FARTHEST_US);
        let dates = self.dates.iter().map(|date| anywhere_on_earth(*date));
        let spans = self.touched().chain(dates);
        // Rows without a gap are one span. The margin is one instant longer than the gap, since a
        // span excludes its end.
        union(spans.map(|(from, to)| (from.plus(-margin), to.plus(margin + 1))).collect())
    }

    /// The dates whose stored days must be read.
    pub fn stored_dates(&self) -> BTreeSet<NaiveDate> {
        let mut dates = self.wanted.clone();
        for (start, end) in &self.changed {
            let (first, last) = (start.to_utc().date_naive(), end.to_utc().date_naive());
            let first = first.checked_sub_days(FARTHEST_STORED_DAY).unwrap_or(NaiveDate::MIN);
            let last = last.checked_add_days(FARTHEST_STORED_DAY).unwrap_or(NaiveDate::MAX);
            dates.extend(first.iter_days().take_while(|date| *date <= last));
        }
        dates
    }

    /// Whether a wider margin is left and would matter.
    pub(super) fn can_widen(&self) -> bool {
        self.widened + 1 < MARGINS_US.len()
    }

    /// Whether a stored day is recomputed: it is requested, or a changed row is within its reach.
    pub(super) fn concerns(&self, date: NaiveDate, reach: Span) -> bool {
        self.wanted.contains(&date) || self.changed.iter().any(|span| meet(*span, reach))
    }

    /// Whether a row changed within `span`, or may get another date there.
    pub(super) fn touches(&self, span: Span) -> bool {
        self.touched().any(|touched| meet(touched, span))
    }

    fn touched(&self) -> impl Iterator<Item = Span> {
        self.changed.iter().chain(&self.outdated).copied()
    }
}

/// Whether two spans share an instant; both include their ends.
fn meet((start, end): Span, (from, to): Span) -> bool {
    start <= to && from <= end
}

/// The scope of those changes that are of sleep.
pub fn scope(changes: &[Change], catalogue: &Catalogue, base: &BaseZone) -> SleepScope {
    let mut zones = Zones::new(base);
    let mut rows: Vec<_> = changes
        .iter()
        .filter(|change| catalogue.stage(&change.metric).is_some())
        .map(|change| {
            let start = change.starts_at.clamp(Timestamp::MIN, Timestamp::MAX);
            let end = change.ends_at.clamp(start, start.plus(LONGEST_INTERVAL_US));
            (start, end.min(Timestamp::MAX), zones.resolve(change.time_zone.as_deref()).ok())
        })
        .collect();
    rows.sort_unstable_by_key(|(start, end, _)| (*start, *end));

    let changed = rows.iter().map(|(start, end, _)| (*start, *end)).collect();
    // Reading these dates first is a guess: sessions of changed rows probably end on them.
    let mut dates = BTreeSet::new();
    let mut last: Option<(Timestamp, Option<Zone>)> = None;
    for (start, end, zone) in rows {
        if let Some((at, Some(zone))) = last.filter(|(at, _)| start.since(*at) > LONGEST_GAP_US) {
            dates.insert(zone.date_of(at));
        }
        let goes_on = last.filter(|(at, _)| start.since(*at) <= LONGEST_GAP_US && *at >= end);
        last = goes_on.or(Some((end, zone)));
    }
    if let Some((at, Some(zone))) = last {
        dates.insert(zone.date_of(at));
    }
    SleepScope { changed, dates, ..SleepScope::default() }
}
