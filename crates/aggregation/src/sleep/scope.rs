//! Which days of sleep a changed raw row may change, and what must be read to compute them.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};

use super::LONGEST_GAP_US;
use crate::Timestamp;
use crate::catalogue::Catalogue;
use crate::local_time::{Zone, anywhere_on_earth};
use crate::raw::{Change, LONGEST_INTERVAL_US, Span, union};
use crate::timestamp::DAY_US;
use crate::zones::{BaseZone, Zones};

/// No row farther than this from a session's end has a part in the session, or in whether it counts.
///
/// Between a session's ends lie two margins of [a cut](super::CUT_MARGIN_US) and the time between
/// two noons, 48 hours at most (where the date line moved): 6 days. A rival begins so long before it
/// at most, and two hours; so does a rival's rival, which the rival is measured by. Where that begins,
/// or is cut, shows within a margin and two hours more: 20 days and 8 hours; the rest is room.
pub const FARTHEST_US: i64 = 21 * DAY_US;

/// How much is read around what is to be computed: first what does for nearly every night; then what
/// does for all that goes on for days, a bed that nobody ever leaves among them; then what can ever
/// be needed.
const MARGINS_US: [i64; 3] = [LONGEST_GAP_US, 4 * DAY_US, FARTHEST_US];

/// How far from a changed row's UTC date a stored day can lie that it concerns: as far as
/// [`FARTHEST_US`], and a date begins up to 16 hours earlier than in UTC.
pub const FARTHEST_STORED_DAY: Days = Days::new(22);

/// What must be read, and computed again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SleepScope {
    /// Start and end of each changed row.
    pub(super) changed: BTreeSet<Span>,
    /// The reach of days stored under another context, whose sessions may have other dates now.
    pub(super) outdated: BTreeSet<Span>,
    /// Days that are computed again whatever changed.
    pub(super) wanted: BTreeSet<NaiveDate>,
    /// Days whose rows are read. Their sessions may have to be among the days computed; that
    /// shows when they have been read.
    pub(super) dates: BTreeSet<NaiveDate>,
    /// How often more had to be read around all this; see [`MARGINS_US`].
    pub(super) widened: usize,
}

impl SleepScope {
    /// The scope of computing `dates` again, whatever changed: a backfill.
    pub fn of_dates(dates: BTreeSet<NaiveDate>) -> Self {
        Self { wanted: dates.clone(), dates, ..Self::default() }
    }

    /// Whether nothing is to be computed: no change was one of sleep.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.wanted.is_empty()
    }

    /// The spans of instants of which every row must be read, in order and disjoint: those of the
    /// six metrics, rejected ones too, that start before the second instant and either start or end
    /// at or after the first. An accepted row lasts 48 hours at most, so that no row need be
    /// looked for that starts earlier than 48 hours before the span.
    pub fn spans_to_read(&self) -> Vec<Span> {
        let margin = MARGINS_US.get(self.widened).copied().unwrap_or(FARTHEST_US);
        let dates = self.dates.iter().map(|date| anywhere_on_earth(*date));
        let spans = self.touched().chain(dates);
        // Rows without a gap are one span; the margin is more than the gap by the instant that a
        // span does not contain.
        union(spans.map(|(from, to)| (from.plus(-margin), to.plus(margin + 1))).collect())
    }

    /// The dates of which it must be said what is stored, if anything is.
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

    /// Whether more could be read around all this, and would matter.
    pub(super) fn can_widen(&self) -> bool {
        self.widened + 1 < MARGINS_US.len()
    }

    /// Whether a stored day is computed again: it is asked for, or a changed row lies within its
    /// reach.
    pub(super) fn concerns(&self, date: NaiveDate, reach: Span) -> bool {
        self.wanted.contains(&date) || self.changed.iter().any(|span| meet(*span, reach))
    }

    /// Whether something changed within `span`, or may be dated differently there.
    pub(super) fn touches(&self, span: Span) -> bool {
        self.touched().any(|touched| meet(touched, span))
    }

    fn touched(&self) -> impl Iterator<Item = Span> {
        self.changed.iter().chain(&self.outdated).copied()
    }
}

/// Whether two spans have an instant in common; both their ends belong to them.
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
    // The date on which changed rows that may be one session end is likely to be computed.
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
