//! Raw rows, instants, and the figures of all rows computed from scratch.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Timestamp;
use aggregation::catalogue::Catalogue;
use aggregation::local_time::UnknownZone;
use aggregation::vitals::scope::MetricScope;
use aggregation::vitals::{
    Context, DayFigures, HourFigures, HourKey, Outcome, RawVital, Scope, Snapshot, recompute,
};
use aggregation::zones::BaseZone;
use chrono::{DateTime, Days, NaiveDate};

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::from_utc(DateTime::parse_from_rfc3339(text).unwrap().to_utc())
}

pub(crate) fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// A row without a zone of its own.
pub(crate) fn row(id: i64, source: &str, unit: &str, from: &str, to: &str, value: f64) -> RawVital {
    RawVital {
        id,
        value,
        comparator: None,
        unit: unit.into(),
        source: source.into(),
        started_at: at(from),
        ended_at: at(to),
        time_zone: None,
        is_daily_total: false,
        workout_type: None,
    }
}

pub(crate) fn steps(id: i64, source: &str, from: &str, to: &str, value: f64) -> RawVital {
    row(id, source, "steps", from, to, value)
}

pub(crate) fn beats(id: i64, source: &str, at: &str, value: f64) -> RawVital {
    row(id, source, "bpm", at, at, value)
}

pub(crate) fn in_zone(zone: &str, row: RawVital) -> RawVital {
    RawVital { time_zone: Some(zone.into()), ..row }
}

pub(crate) fn daily_total(row: RawVital) -> RawVital {
    RawVital { is_daily_total: true, ..row }
}

/// Hours and days of one metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) hours: BTreeMap<HourKey, HourFigures>,
    pub(crate) days: BTreeMap<NaiveDate, DayFigures>,
}

impl Figures {
    pub(crate) fn day(&self, day: &str) -> &DayFigures {
        &self.days[&date(day)]
    }

    pub(crate) fn total(&self, day: &str) -> Option<f64> {
        self.days.get(&date(day)).and_then(|figures| figures.total)
    }

    pub(crate) fn hour_totals(&self) -> Vec<Option<f64>> {
        self.hours.values().map(|hour| hour.total).collect()
    }
}

/// The catalogue and a profile.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) catalogue: Catalogue,
    pub(crate) base_zone: BaseZone,
    pub(crate) source_order: Vec<String>,
}

// A failing property prints its world; the whole catalogue would be too long.
impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}", self.base_zone, self.source_order)
    }
}

impl World {
    pub(crate) fn new(base_zone: &str, source_order: &[&str]) -> Self {
        Self {
            catalogue: Catalogue::built_in().unwrap(),
            base_zone: base_zone.parse().map_err(|UnknownZone| UnknownZone),
            source_order: source_order.iter().map(|source| (*source).to_owned()).collect(),
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            catalogue: &self.catalogue,
            base_zone: &self.base_zone,
            source_order: &self.source_order,
        }
    }

    /// This world with the steps of one row limited to 150, so that many rows are rejected.
    pub(crate) fn with_stricter_limits(mut self) -> Self {
        let toml = include_str!("../../../../config/catalogue.toml");
        self.catalogue = Catalogue::parse(&toml.replace("max = 200_000", "max = 150")).unwrap();
        self
    }

    /// The figures of all `rows` of one metric, from scratch.
    pub(crate) fn figures(&self, metric: &str, rows: &[RawVital]) -> Figures {
        let dates = dates_concerned(rows);
        let whole = MetricScope { whole_dates: dates.clone(), dates, ..MetricScope::default() };
        let scope = Scope::from([(metric.to_owned(), whole)]);
        let snapshot = Snapshot { rows: rows.to_vec(), ..Snapshot::default() };
        let snapshots = BTreeMap::from([(metric.to_owned(), snapshot)]);
        match recompute(&self.context(), &scope, &snapshots).unwrap() {
            Outcome::Complete(mut figures) => {
                let figures = figures.remove(metric).unwrap_or_default();
                let days = figures.days.into_iter();
                Figures {
                    hours: figures.changed_hours,
                    days: days.filter_map(|(date, figures)| Some((date, figures?))).collect(),
                }
            }
            Outcome::Widen(scope) => panic!("whole dates of all rows want still more: {scope:?}"),
        }
    }
}

/// Every date that a row can belong to or reach, in any zone.
pub(crate) fn dates_concerned(rows: &[RawVital]) -> BTreeSet<NaiveDate> {
    let mut dates = BTreeSet::new();
    for row in rows {
        let first = row.started_at.to_utc().date_naive() - Days::new(1);
        let last = row.started_at.to_utc().date_naive() + Days::new(4);
        dates.extend(first.iter_days().take_while(|date| *date <= last));
    }
    dates
}
