//! Rejected rows by hour.

use std::collections::BTreeMap;

use super::hour::{HourFigures, HourKey};
use crate::Timestamp;
use crate::local_time::Zone;
use crate::zones::BaseZone;

/// The rejected rows of each hour: how many, and their zones by name.
#[derive(Debug, Default)]
pub(super) struct Rejected(BTreeMap<HourKey, (i32, BTreeMap<String, Zone>)>);

impl Rejected {
    /// Adds rows by their start and zone.
    pub(super) fn add(&mut self, rows: &[(Timestamp, Zone)]) {
        for (start, zone) in rows {
            let key = HourKey::from_hour(zone.hour_of(*start));
            let (count, zones) = self.0.entry(key).or_default();
            *count += 1;
            zones.insert(zone.to_string(), *zone);
        }
    }

    /// Counts them in their hours. They have no say in the zone of an hour that has samples.
    pub(super) fn count_in(self, hours: &mut BTreeMap<HourKey, HourFigures>, base: &BaseZone) {
        for (key, (count, zones)) in self.0 {
            let figures = hours.entry(key).or_default();
            figures.rejected_count += count;
            if !figures.has_samples() {
                figures.time_zone = shared_zone(zones.into_values(), base);
            }
        }
    }
}

/// The zone that all rows share, else the base zone, else the first one.
pub(super) fn shared_zone(zones: impl IntoIterator<Item = Zone>, base: &BaseZone) -> String {
    let mut shared = None;
    for zone in zones {
        match shared {
            None => shared = Some(zone),
            Some(first) if first == zone => {}
            Some(first) => return base.as_ref().unwrap_or(&first).to_string(),
        }
    }
    shared.map_or_else(String::new, |zone| zone.to_string())
}
