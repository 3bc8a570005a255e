//! The units of a page: those of the person's devices, or those of a system.

use std::collections::BTreeMap;

use aggregation::catalogue::Catalogue;
use aggregation::glucose;
use aggregation::units::Conversion;
use store::{DaysBefore, GlucoseDay, UserDays, UserReport, VitalDay, VitalHour};

/// The units that a reader asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitChoice {
    /// Of everything but glucose and laboratory results, which stay as the laboratory reported them.
    pub system: UnitSystem,
    /// Of glucose; `None`: mg/dL in US units, else as reported.
    pub glucose: Option<GlucoseUnit>,
}

/// A system of units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnitSystem {
    /// Each metric in the unit of its newest row.
    #[default]
    AsReported,
    /// Kilogram, centimetre, kilometre, degree Celsius.
    Metric,
    /// Pound, inch, mile, degree Fahrenheit.
    Us,
}

/// A unit of glucose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlucoseUnit {
    /// Milligram per decilitre.
    MgPerDl,
    /// Millimole per litre.
    MmolPerL,
}

/// The UCUM units for figures in one unit of the catalogue.
struct Units {
    /// The catalogue's unit.
    of: &'static str,
    metric: &'static str,
    us: &'static str,
    /// The units in which devices report it.
    reported: &'static [&'static str],
}

/// Units that readers know by another one. Distances have their own.
const UNITS: [Units; 4] = [
    Units { of: "kg", metric: "kg", us: "[lb_av]", reported: &["kg", "[lb_av]", "g"] },
    Units { of: "Cel", metric: "Cel", us: "[degF]", reported: &["Cel", "[degF]"] },
    Units { of: "cm", metric: "cm", us: "[in_i]", reported: &["cm", "[in_i]", "m", "[ft_i]"] },
    Units { of: "kcal", metric: "kcal", us: "kcal", reported: &["kcal", "kJ"] },
];

/// Units of a distance on foot or by bicycle; metres of anything else stay metres.
const DISTANCE: Units =
    Units { of: "m", metric: "km", us: "[mi_i]", reported: &["m", "km", "[mi_i]", "[ft_i]"] };

const MG_PER_DL: &str = "mg/dL";
const MMOL_PER_L: &str = "mmol/L";

/// The figures of a page in the chosen units.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The days.
    pub days: UserDays,
    /// The days before.
    pub before: DaysBefore,
    /// The unit of glucose.
    pub glucose: GlucoseUnit,
}

/// A unit, and the conversion from it to the unit of the figures.
type Wanted = (&'static str, Conversion);

struct Chooser<'c> {
    catalogue: &'c Catalogue,
    reported: &'c BTreeMap<String, String>,
    choice: UnitChoice,
}

/// Converts the figures of a report.
pub fn in_units(report: &UserReport, catalogue: &Catalogue, choice: UnitChoice) -> Shown {
    let chooser = Chooser { catalogue, reported: &report.reported_units, choice };
    let (mut days, mut before) = (report.days.clone(), report.before.clone());
    for day in days.vitals.iter_mut().chain(&mut before.vitals) {
        chooser.convert_day(day);
    }
    for hour in &mut days.hours {
        chooser.convert_hour(hour);
    }
    let glucose = chooser.wanted(glucose::METRIC, glucose::UNIT);
    for day in days.glucose.iter_mut().chain(&mut before.glucose) {
        if let Some((_, conversion)) = glucose {
            convert_glucose(day, conversion);
        }
    }
    let glucose = match glucose {
        Some((MMOL_PER_L, _)) => GlucoseUnit::MmolPerL,
        _ => GlucoseUnit::MgPerDl,
    };
    Shown { days, before, glucose }
}

impl GlucoseUnit {
    /// The UCUM unit.
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::MgPerDl => MG_PER_DL,
            Self::MmolPerL => MMOL_PER_L,
        }
    }

    /// A value in mg/dL in this unit.
    pub fn show(self, value: f64, catalogue: &Catalogue) -> f64 {
        let metric = catalogue.metric(glucose::METRIC);
        match (self, metric.and_then(|metric| metric.conversion_from(MMOL_PER_L))) {
            (Self::MmolPerL, Some(conversion)) => conversion.undo(value),
            _ => value,
        }
    }
}

impl Chooser<'_> {
    /// The unit to show for figures of a metric in `unit`; `None` if it is that unit.
    fn wanted(&self, metric: &str, unit: &str) -> Option<Wanted> {
        let known = self.catalogue.metric(metric).filter(|known| known.unit == unit)?;
        let convert = |to: &'static str| Some((to, known.conversion_from(to)?));
        let reported = |candidates: &[&'static str]| {
            let own = known.conversion_from(self.reported.get(metric)?)?;
            candidates.iter().filter_map(|unit| convert(unit)).find(|(_, to)| *to == own)
        };
        let found = if unit == MG_PER_DL {
            match (self.choice.glucose, self.choice.system) {
                (Some(unit), _) => convert(unit.ucum()),
                (None, UnitSystem::Us) => convert(MG_PER_DL),
                (None, _) => reported(&[MG_PER_DL, MMOL_PER_L]),
            }
        } else {
            let distance =
                Some(&DISTANCE).filter(|of| of.of == unit && metric.contains("distance"));
            let units = distance.or_else(|| UNITS.iter().find(|of| of.of == unit))?;
            match self.choice.system {
                UnitSystem::AsReported => reported(units.reported),
                UnitSystem::Metric => convert(units.metric),
                UnitSystem::Us => convert(units.us),
            }
        };
        found.filter(|(to, _)| *to != unit)
    }

    fn convert_day(&self, day: &mut VitalDay) {
        if let Some((_, conversion)) = self.wanted(&day.metric, &day.unit) {
            for total in day.by_workout_type.values_mut() {
                *total = conversion.undo_difference(*total);
            }
        }
        let levels =
            [&mut day.mean, &mut day.min, &mut day.p25, &mut day.p50, &mut day.p75, &mut day.max];
        self.convert(&day.metric, &mut day.unit, [&mut day.total, &mut day.stddev], levels);
    }

    fn convert_hour(&self, hour: &mut VitalHour) {
        let VitalHour { mean, min, p25, p50, p75, max, .. } = hour;
        let levels = [mean, min, p25, p50, p75, max];
        self.convert(&hour.metric, &mut hour.unit, [&mut hour.total, &mut hour.stddev], levels);
    }

    /// Converts differences of values, such as a total, and values.
    fn convert(
        &self,
        metric: &str,
        unit: &mut String,
        differences: [&mut Option<f64>; 2],
        values: [&mut Option<f64>; 6],
    ) {
        let Some((to, conversion)) = self.wanted(metric, unit) else { return };
        to.clone_into(unit);
        for difference in differences {
            *difference = difference.map(|difference| conversion.undo_difference(difference));
        }
        for value in values {
            *value = value.map(|value| conversion.undo(value));
        }
    }
}

/// Risk index and GMI are defined for mg/dL, and have no unit of glucose.
fn convert_glucose(day: &mut GlucoseDay, conversion: Conversion) {
    day.mean = day.mean.map(|mean| conversion.undo(mean));
    day.stddev = day.stddev.map(|stddev| conversion.undo_difference(stddev));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The unit, and a value in it.
    fn shown(
        (metric, unit): (&str, &str),
        value: f64,
        reported: &str,
        choice: UnitChoice,
    ) -> (&'static str, f64) {
        let catalogue = Catalogue::built_in().unwrap();
        let reported = BTreeMap::from([(metric.to_owned(), reported.to_owned())]);
        let chooser = Chooser { catalogue: &catalogue, reported: &reported, choice };
        let (to, conversion) =
            chooser.wanted(metric, unit).unwrap_or(("as stored", Conversion::IDENTITY));
        (to, (conversion.undo(value) * 100.0).round() / 100.0)
    }

    const MASS: (&str, &str) = ("body_mass", "kg");
    const WARMTH: (&str, &str) = ("body_temperature", "Cel");
    const WALK: (&str, &str) = ("distance_walking_running", "m");
    const GLUCOSE: (&str, &str) = ("blood_glucose", "mg/dL");

    fn in_system(system: UnitSystem) -> UnitChoice {
        UnitChoice { system, glucose: None }
    }

    #[test]
    fn values_are_shown_in_the_units_of_a_system() {
        let us = in_system(UnitSystem::Us);
        assert_eq!(shown(MASS, 71.5, "kg", us), ("[lb_av]", 157.63));
        assert_eq!(shown(WARMTH, 37.0, "Cel", us), ("[degF]", 98.6));
        assert_eq!(shown(WALK, 1609.344, "m", us), ("[mi_i]", 1.0));
        assert_eq!(shown(("height", "cm"), 180.34, "cm", us), ("[in_i]", 71.0));
        let metric = in_system(UnitSystem::Metric);
        assert_eq!(shown(MASS, 71.5, "lb", metric), ("as stored", 71.5));
        assert_eq!(shown(WALK, 5_200.0, "mi", metric), ("km", 5.2));
    }

    #[test]
    fn values_are_shown_as_reported_unless_something_else_is_asked_for() {
        let reported = UnitChoice::default();
        assert_eq!(shown(MASS, 71.5, "lbs", reported), ("[lb_av]", 157.63));
        assert_eq!(shown(MASS, 71.5, "kg", reported), ("as stored", 71.5));
        assert_eq!(shown(WARMTH, 37.0, "°F", reported), ("[degF]", 98.6));
        assert_eq!(shown(WALK, 5_200.0, "km", reported), ("km", 5.2));
        assert_eq!(shown(WALK, 5_200.0, "no unit", reported), ("as stored", 5_200.0));
    }

    #[test]
    fn the_unit_of_glucose_is_a_choice_of_its_own() {
        let reported = UnitChoice::default();
        assert_eq!(shown(GLUCOSE, 99.085_745, "mmol/L", reported), ("mmol/L", 5.5));
        assert_eq!(shown(GLUCOSE, 99.0, "mg/dl", reported), ("as stored", 99.0));
        assert_eq!(shown(GLUCOSE, 99.0, "mmol/L", in_system(UnitSystem::Us)), ("as stored", 99.0));
        let metric = in_system(UnitSystem::Metric);
        assert_eq!(shown(GLUCOSE, 99.0, "mg/dL", metric), ("as stored", 99.0));
        let molar = UnitChoice { glucose: Some(GlucoseUnit::MmolPerL), ..metric };
        assert_eq!(shown(GLUCOSE, 180.155_9, "mg/dL", molar), ("mmol/L", 10.0));
    }
}
