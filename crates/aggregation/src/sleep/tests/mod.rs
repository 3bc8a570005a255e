mod changes;
mod days;
mod properties;
mod reference;
mod sources;
mod store;

use crate::catalogue::Catalogue;
use std::sync::LazyLock;

use super::*;
use crate::local_time::UnknownZone;
use crate::zones::BaseZone;

/// Parsed once: a property uses it hundreds of times.
static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().unwrap());

/// The catalogue and a profile.
#[derive(Clone)]
pub(super) struct World {
    pub(super) catalogue: Catalogue,
    pub(super) base_zone: BaseZone,
    pub(super) source_order: Vec<String>,
}

// A failing property prints its world; the whole catalogue would be too long.
impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}", self.base_zone, self.source_order)
    }
}

impl World {
    pub(super) fn new(base_zone: &str, source_order: &[&str]) -> Self {
        Self {
            catalogue: BUILT_IN.clone(),
            base_zone: base_zone.parse().map_err(|UnknownZone| UnknownZone),
            source_order: source_order.iter().map(|source| (*source).to_owned()).collect(),
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            catalogue: &self.catalogue,
            base_zone: &self.base_zone,
            source_order: &self.source_order,
        }
    }

    fn days(&self, rows: &Rows) -> BTreeMap<String, SleepDay> {
        let days = figures(&self.context(), rows).into_iter();
        days.map(|(date, day)| (date.to_string(), day)).collect()
    }

    /// The figures of the only day with figures.
    fn day(&self, date: &str, rows: &Rows) -> SleepDay {
        let mut days = self.days(rows);
        assert_eq!(days.keys().collect::<Vec<_>>(), [date]);
        days.remove(date).unwrap()
    }
}

/// An instant written `2024-03-05 12:00`, UTC.
pub(super) fn at(text: &str) -> Timestamp {
    let clock = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    Timestamp::from_utc_clock(clock)
}

/// A row from an export of HealthKit, which has neither a value nor a unit.
pub(super) fn row(source: &str, from: &str, to: &str) -> RawVital {
    RawVital {
        id: 1,
        value: 0.0,
        comparator: None,
        unit: "".into(),
        source: source.into(),
        started_at: at(from),
        ended_at: at(to),
        time_zone: None,
        is_daily_total: false,
        workout_type: None,
    }
}

fn in_zone(zone: &str, row: RawVital) -> RawVital {
    RawVital { time_zone: Some(zone.into()), ..row }
}

fn rows(rows: &[(Stage, RawVital)]) -> Rows {
    let mut by_stage = Rows::new();
    for (stage, row) in rows {
        by_stage.entry(*stage).or_default().push(row.clone());
    }
    by_stage
}

/// The rows of one source in UTC, written `(stage, from, to)`.
fn watch(segments: &[(Stage, &str, &str)]) -> Rows {
    rows(&segments.iter().map(|(s, from, to)| (*s, row("watch", from, to))).collect::<Vec<_>>())
}
