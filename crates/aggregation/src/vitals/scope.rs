//! Finds the hours that a changed raw row touches, and the rows to read to recompute them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::hour::HourKey;
use crate::catalogue::{AggregationStyle, Catalogue};
use crate::local_time::{WIDEST_OFFSET_US, Zone, anywhere_on_earth};
use crate::raw::{Change, LONGEST_INTERVAL_US, RawVital};
use crate::timestamp::{DAY_US, HOUR_US, Timestamp};
use crate::zones::{BaseZone, Zones};

pub use crate::raw::{Span, union};

/// The hours and days of one metric to recompute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricScope {
    /// Hours whose first instant is in one of these spans are recomputed.
    pub hour_starts: Vec<Span>,
    /// Days whose hours are all recomputed.
    pub whole_dates: BTreeSet<NaiveDate>,
    /// The zone of every row that may belong to a whole date, if they are known to share one.
    pub zone_of_whole_dates: Option<Zone>,
    /// Days whose figures are merged again from their hours.
    pub dates: BTreeSet<NaiveDate>,
    /// Start and end of each changed row. Rows that share both may be one sample: when the newest
    /// comes or goes, another one stops or starts to count, which may have another zone.
    pub changed: BTreeSet<(Timestamp, Timestamp)>,
}

impl MetricScope {
    /// Whether the hour is recomputed; otherwise its stored figures are used.
    pub fn contains(&self, hour: &HourKey) -> bool {
        self.whole_dates.contains(&hour.date)
            || self.hour_starts.iter().any(|(from, to)| (*from..*to).contains(&hour.start))
    }

    /// The dates near which stored days may concern this scope: an instant's local dates in two
    /// zones differ by at most two days.
    pub fn dates_to_look_at(&self) -> BTreeSet<NaiveDate> {
        let ends = self.changed.iter().flat_map(|(start, end)| [start, end]);
        let in_utc = ends.map(|instant| instant.to_utc().date_naive());
        self.dates.iter().copied().chain(in_utc).collect()
    }

    /// Whether a stored day concerns this scope. It is one of the scope's dates, or it was stored
    /// in another zone and a changed row is within its bounds, so that it may have counted the row.
    pub fn concerns(&self, date: NaiveDate, (day_start, day_end): Span) -> bool {
        let is_within = |(start, end): &Span| *start < day_end && *end >= day_start;
        self.dates.contains(&date) || self.changed.iter().any(is_within)
    }

    /// The spans of instants of which every sample must be read, in order and disjoint.
    ///
    /// An hour is at most 60 minutes long, so an hour that begins in a span ends at most 60 minutes
    /// after it. A whole date reaches as far as the date lasts anywhere on earth, because rows with
    /// other zones may belong to it. If there are no such rows, it ends with its zone's day.
    pub fn spans_to_read(&self) -> Vec<Span> {
        let hours = self.hour_starts.iter().map(|(from, to)| (*from, to.plus(HOUR_US)));
        let whole_dates: Vec<Span> = match self.zone_of_whole_dates {
            Some(zone) => {
                let dates = self.whole_dates.iter();
                dates.map(|date| (zone.day_start(*date), zone.day_end(*date))).collect()
            }
            None => self.spans_of_whole_dates(),
        };
        union(hours.chain(whole_dates).collect())
    }

    /// The spans of instants of which every row may belong to a whole date, regardless of its zone;
    /// in order and disjoint.
    pub fn spans_of_whole_dates(&self) -> Vec<Span> {
        union(self.whole_dates.iter().map(|date| anywhere_on_earth(*date)).collect())
    }

    /// This scope, extended by the hours and days of those `rows` that may be one sample with a
    /// changed row.
    pub(super) fn with_twins(
        &self,
        rows: &[RawVital],
        style: AggregationStyle,
        zones: &mut Zones<'_>,
    ) -> Self {
        let mut wider = self.clone();
        for row in rows {
            if self.changed.contains(&(row.started_at, row.ended_at))
                && let Ok(zone) = zones.resolve(row.time_zone.as_deref())
            {
                wider.touch(style, zone, row.started_at, row.ended_at, row.is_daily_total);
            }
        }
        wider.hour_starts = union(wider.hour_starts);
        wider
    }

    /// Adds the hours and days that a row touches; afterwards `hour_starts` may overlap.
    ///
    /// A sample of a discrete metric touches the hour that contains its start, in its own zone. An
    /// interval may win segments from intervals of other zones, whose hours begin elsewhere, so it
    /// touches every hour that can overlap it. A daily total drops its source's samples of that
    /// date in every zone, and other sources win the time that they covered.
    fn touch(
        &mut self,
        style: AggregationStyle,
        zone: Zone,
        start: Timestamp,
        end: Timestamp,
        whole_day: bool,
    ) {
        let start = start.max(Timestamp::MIN).min(Timestamp::MAX);
        if style == AggregationStyle::Discrete {
            let hour = zone.hour_of(start);
            let span = (hour.start, hour.start.plus(1));
            self.dates.insert(hour.date);
            // Neighbouring rows nearly always touch the same hour.
            if self.hour_starts.last() != Some(&span) {
                self.hour_starts.push(span);
            }
            return;
        }
        let date = zone.date_of(start);
        let ((from, to), last) = if whole_day {
            (anywhere_on_earth(date), date)
        } else {
            let end = end.min(start.plus(LONGEST_INTERVAL_US)).max(start);
            ((start, end), zone.date_of(end))
        };
        self.dates.extend(date.iter_days().take_while(|date| *date <= last));
        // The interval is still open at its end, where it may displace a row without length.
        self.hour_starts.push((from.plus(1 - HOUR_US), to.plus(1)));
    }
}

/// The longest distance from an hour of the start of a daily total that affects it: the instants of
/// one date anywhere on earth are within 24 + 2 × 16 hours.
pub const FARTHEST_DAILY_TOTAL_US: i64 = DAY_US + 2 * WIDEST_OFFSET_US;

/// The hours and days to recompute, by metric.
pub type Scope = BTreeMap<String, MetricScope>;

/// The scope of some changes. Unknown metrics have no scope. Neither has sleep, which has no hours:
/// see [`crate::sleep::scope()`].
pub fn scope(changes: &[Change], catalogue: &Catalogue, base: &BaseZone) -> Scope {
    let mut zones = Zones::new(base);
    let mut scope = Scope::new();
    for change in changes {
        let Some(metric) = catalogue.metric(&change.metric) else { continue };
        if metric.aggregation_style == AggregationStyle::Sleep {
            continue;
        }
        let of_metric = match scope.get_mut(&change.metric) {
            Some(known) => known,
            None => scope.entry(change.metric.clone()).or_default(),
        };
        let Change { starts_at, ends_at, whole_day, .. } = *change;
        of_metric.changed.insert((starts_at, ends_at));
        match zones.resolve(change.time_zone.as_deref()) {
            Ok(zone) => {
                of_metric.touch(metric.aggregation_style, zone, starts_at, ends_at, whole_day)
            }
            // Without a zone the row has no date now, but it may have been counted under another
            // profile. It may also be the newest of several rows for one sample, so these are read.
            Err(_) => {
                let start = starts_at.clamp(Timestamp::MIN, Timestamp::MAX);
                of_metric.hour_starts.push((start.plus(1 - HOUR_US), start.plus(1)));
            }
        }
    }
    for of_metric in scope.values_mut() {
        of_metric.hour_starts = union(std::mem::take(&mut of_metric.hour_starts));
    }
    scope
}
