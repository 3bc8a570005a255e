//! The local date of a row, and the zone of a day.
//!
//! Meals, laboratory results, glucose and blood pressure follow this one rule.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::change::{Change, Span, union};
use super::row::RawVital;
use crate::local_time::Zone;
use crate::zones::{BaseZone, Zones};
use crate::{Reason, Timestamp};

/// A row's local date, and the zone that dates it: its own, else the base zone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalDate {
    pub(crate) zone: Zone,
    pub(crate) date: NaiveDate,
}

/// Computes the local dates of rows.
#[derive(Debug)]
pub(crate) struct LocalDates<'a> {
    base: &'a BaseZone,
    zones: Zones<'a>,
}

impl<'a> LocalDates<'a> {
    /// Rows without a zone of their own use `base`.
    pub(crate) fn new(base: &'a BaseZone) -> Self {
        Self { base, zones: Zones::new(base) }
    }

    /// The local date of a row of instant `at` with zone text `own`.
    ///
    /// # Errors
    /// [`Reason::TimeOutOfRange`], then those of [`Zones::resolve`].
    pub(crate) fn find(&mut self, at: Timestamp, own: Option<&str>) -> Result<LocalDate, Reason> {
        if !at.is_datable() {
            return Err(Reason::TimeOutOfRange);
        }
        let zone = self.zones.resolve(own)?;
        Ok(LocalDate { zone, date: zone.date_of(at) })
    }

    /// The zone of the day's row: the one that all `dates` share, else the base zone. If the base
    /// zone is unknown and rows have several zones, it is the first row's; so `dates` must be in
    /// fact order. `None` without a date.
    ///
    /// Rejected rows decide only if there are no others: a day of rejected rows that all name one
    /// zone has that zone.
    pub(crate) fn zone_of_day(&self, dates: impl IntoIterator<Item = LocalDate>) -> Option<Zone> {
        let mut zones = dates.into_iter().map(|date| date.zone);
        let first = zones.next()?;
        if zones.all(|zone| zone == first) {
            return Some(first);
        }
        Some(self.base.as_ref().ok().copied().unwrap_or(first))
    }
}

/// The local dates of changed rows, and of the rows that start near one of them. Each row is dated
/// once, even if it is near several changes.
pub(crate) fn touched_near<'r>(
    changes: &[&Change],
    rows: impl IntoIterator<Item = &'r RawVital>,
    span_near: fn(&Change) -> Span,
    base: &BaseZone,
) -> BTreeSet<NaiveDate> {
    let near = union(changes.iter().map(|change| span_near(change)).collect());
    let is_near = |row: &&RawVital| {
        let before = near.partition_point(|(from, _)| *from <= row.started_at).checked_sub(1);
        before.and_then(|before| near.get(before)).is_some_and(|(_, to)| row.started_at < *to)
    };
    let own = changes.iter().map(|change| (change.starts_at, change.time_zone.as_deref()));
    let mut dates = LocalDates::new(base);
    rows.into_iter()
        .filter(is_near)
        .map(|row| (row.started_at, row.time_zone.as_deref()))
        .chain(own)
        .filter_map(|(at, zone)| dates.find(at, zone).ok())
        .map(|found| found.date)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_time::UnknownZone;

    /// 2023-11-14 22:13:20 UTC.
    const EVENING: Timestamp = Timestamp(1_700_000_000_000_000);

    fn zone(text: &str) -> Zone {
        text.parse().unwrap()
    }

    #[test]
    fn a_rows_own_zone_dates_it_before_the_base_zone() {
        let base = Ok(zone("America/New_York"));
        let mut dates = LocalDates::new(&base);
        assert_eq!(dates.find(EVENING, None).unwrap().date.to_string(), "2023-11-14");
        assert_eq!(dates.find(EVENING, Some("+05:30")).unwrap().date.to_string(), "2023-11-15");
    }

    #[test]
    fn an_unknown_zone_is_never_replaced_by_the_base_zone() {
        let base = Ok(zone("UTC"));
        let mut dates = LocalDates::new(&base);
        for own in ["Mars", "", "utc+1"] {
            assert_eq!(dates.find(EVENING, Some(own)).unwrap_err(), Reason::UnknownTimeZone);
        }
    }

    #[test]
    fn an_unknown_base_zone_matters_only_to_rows_without_their_own() {
        let mut dates = LocalDates::new(&Err(UnknownZone));
        assert_eq!(dates.find(EVENING, None).unwrap_err(), Reason::UnknownTimeZone);
        assert!(dates.find(EVENING, Some("Europe/Berlin")).is_ok());
    }

    #[test]
    fn a_time_outside_the_calendar_is_told_before_an_unknown_zone() {
        let mut dates = LocalDates::new(&Err(UnknownZone));
        for at in [Timestamp(i64::MIN), Timestamp(i64::MAX)] {
            assert_eq!(dates.find(at, Some("Mars")).unwrap_err(), Reason::TimeOutOfRange);
        }
    }

    #[test]
    fn a_day_takes_the_zone_that_all_its_rows_share_else_the_base_zone() {
        let zone_of_day = |base: &BaseZone, rows: &[Option<&'static str>]| {
            let mut dates = LocalDates::new(base);
            let found: Vec<_> = rows.iter().map(|own| dates.find(EVENING, *own).unwrap()).collect();
            dates.zone_of_day(found)
        };
        let (tokyo, seoul) = (Some("Asia/Tokyo"), Some("Asia/Seoul"));

        let berlin = Ok(zone("Europe/Berlin"));
        assert_eq!(zone_of_day(&berlin, &[]), None);
        assert_eq!(zone_of_day(&berlin, &[tokyo, tokyo]), Some(zone("Asia/Tokyo")));
        assert_eq!(zone_of_day(&berlin, &[tokyo, seoul]), Some(zone("Europe/Berlin")));
        assert_eq!(zone_of_day(&berlin, &[tokyo, None]), Some(zone("Europe/Berlin")));

        let unknown = Err(UnknownZone);
        assert_eq!(zone_of_day(&unknown, &[tokyo, seoul]), Some(zone("Asia/Tokyo")));
        assert_eq!(zone_of_day(&unknown, &[]), None);
    }
}
