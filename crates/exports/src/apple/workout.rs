//! `Workout`: its attributes, and in newer exports its `WorkoutStatistics`.
//!
//! Until 2022 the totals were attributes. Since then they are children with the sum of each type. A
//! workout of several sports has a distance for each, and they are added. The statistics of a part of a
//! workout are one level deeper, and not read.

use aggregation::catalogue::Catalogue;
use quick_xml::events::BytesStart;

use super::attributes;
use crate::workout::{Amount, DISTANCE};

const NOT_A_NUMBER: &str = "a total of the workout is not a number";

/// A workout whose end has not been read.
#[derive(Debug, Default)]
pub struct OpenWorkout {
    pub kind: String,
    pub source: String,
    pub start: String,
    pub end: String,
    pub zone: Option<String>,
    pub duration: Option<Amount>,
    pub energy: Option<Amount>,
    /// The total distance.
    distance: Option<Amount>,
    /// The sum of the children's distances.
    distances: Option<Amount>,
    /// It cannot be read.
    pub problem: Option<&'static str>,
}

impl OpenWorkout {
    /// Takes the attributes of the element.
    pub fn read(element: &BytesStart<'_>) -> Self {
        let mut workout = Self::default();
        let (mut duration, mut energy, mut distance) = <(Total, Total, Total)>::default();
        let done = attributes::each(element, |name, text| {
            let field = match name {
                b"workoutActivityType" => &mut workout.kind,
                b"sourceName" => &mut workout.source,
                b"startDate" => &mut workout.start,
                b"endDate" => &mut workout.end,
                b"duration" => &mut duration.0,
                b"durationUnit" => &mut duration.1,
                b"totalEnergyBurned" => &mut energy.0,
                b"totalEnergyBurnedUnit" => &mut energy.1,
                b"totalDistance" => &mut distance.0,
                b"totalDistanceUnit" => &mut distance.1,
                _ => return,
            };
            text.as_ref().clone_into(field);
        });
        if duration.1.is_empty() {
            "min".clone_into(&mut duration.1);
        }
        workout.problem = done.err();
        workout.duration = workout.amount(duration);
        // The totals are 0 where the statistics have them.
        workout.energy = workout.amount(energy).filter(|energy| energy.value != 0.0);
        workout.distance = workout.amount(distance).filter(|distance| distance.value != 0.0);
        workout
    }

    /// Takes the energy or a distance of a child.
    pub fn add(&mut self, statistics: Statistics, catalogue: &Catalogue) {
        let Statistics { kind, sum, problem } = statistics;
        self.problem = self.problem.or(problem);
        match kind.strip_prefix("HKQuantityTypeIdentifier") {
            Some("ActiveEnergyBurned") if self.energy.is_none() => self.energy = self.amount(sum),
            Some(kind) if kind.starts_with("Distance") => {
                let Some(more) = self.amount(sum) else { return };
                match add(self.distances.take(), more, catalogue) {
                    Some(distances) => self.distances = Some(distances),
                    None => self.problem = Some("its distances have units that cannot be added"),
                }
            }
            _ => {}
        }
    }

    /// The distance: the total, or else the sum of the children.
    pub fn distance(&self) -> Option<&Amount> {
        self.distance.as_ref().or(self.distances.as_ref())
    }

    fn amount(&mut self, Total(value, unit): Total) -> Option<Amount> {
        if value.is_empty() {
            return None;
        }
        let value = value.trim().parse().ok();
        if value.is_none() {
            self.problem = Some(NOT_A_NUMBER);
        }
        Some(Amount { value: value?, unit })
    }
}

/// The text of a number, and its unit.
#[derive(Debug, Default)]
struct Total(String, String);

/// A `WorkoutStatistics`.
#[derive(Debug, Default)]
pub struct Statistics {
    kind: String,
    sum: Total,
    problem: Option<&'static str>,
}

impl Statistics {
    /// Takes the attributes of the element.
    pub fn read(element: &BytesStart<'_>) -> Self {
        let mut statistics = Self::default();
        let done = attributes::each(element, |name, text| {
            let field = match name {
                b"type" => &mut statistics.kind,
                b"sum" => &mut statistics.sum.0,
                b"unit" => &mut statistics.sum.1,
                _ => return,
            };
            text.as_ref().clone_into(field);
        });
        statistics.problem = done.err();
        statistics
    }
}

/// Adds two distances; `None` if a unit is unknown.
fn add(former: Option<Amount>, more: Amount, catalogue: &Catalogue) -> Option<Amount> {
    let Some(former) = former else { return Some(more) };
    if former.unit == more.unit {
        return Some(Amount { value: former.value + more.value, unit: more.unit });
    }
    let metric = catalogue.metric(DISTANCE)?;
    let canonical = |amount: &Amount| {
        let conversion = metric.conversion_from(&amount.unit)?;
        Some(metric.in_canonical_unit(amount.value, conversion))
    };
    let value = canonical(&former)? + canonical(&more)?;
    Some(Amount { value, unit: metric.unit.clone() })
}
