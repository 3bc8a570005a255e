//! Workouts as rows: one that counts the workout, and its duration, energy and distance.

use aggregation::Timestamp;
use aggregation::catalogue::Catalogue;
use aggregation::raw::NewVital;
use aggregation::timestamp::MINUTE_US;

use crate::item::{Handler, Item, ReadError, hand_over_vital, type_name};

/// The metric of the distance.
pub const DISTANCE: &str = "workout_distance";

/// The metrics of a workout.
const METRICS: [&str; 4] = ["workouts", "workout_duration", "workout_energy", DISTANCE];

/// A number and its unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amount {
    pub value: f64,
    pub unit: String,
}

/// A workout of any type.
#[derive(Clone, Copy, Debug)]
pub struct Workout<'a> {
    /// The type as the export names it.
    pub kind: Option<&'a str>,
    pub source: &'a str,
    pub start: Timestamp,
    pub end: Timestamp,
    pub time_zone: Option<&'a str>,
    /// The time without pauses. Without it, the time from start to end is the duration.
    pub duration: Option<&'a Amount>,
    /// The active energy. Apps write 0 where they know none, so 0 is no row.
    pub energy: Option<&'a Amount>,
    /// The distance; 0 is no row.
    pub distance: Option<&'a Amount>,
}

/// Whether the catalogue has a metric of workouts.
pub fn has_metric(catalogue: &Catalogue) -> bool {
    METRICS.iter().any(|metric| catalogue.metric(metric).is_some())
}

impl Workout<'_> {
    /// Hands over the rows of the metrics that the catalogue has, and says if it does not list the type.
    ///
    /// # Errors
    /// If `handler` refuses to go on.
    pub fn hand_over(
        &self,
        catalogue: &Catalogue,
        place: &dyn Fn() -> String,
        handler: Handler<'_>,
    ) -> Result<(), ReadError> {
        if self.end < self.start {
            let problem = "it ends before it begins".to_owned();
            return handler(Item::Bad { place: place(), problem });
        }
        let minutes = self.end.since(self.start) as f64 / MINUTE_US as f64;
        let whole = Amount { value: minutes, unit: "min".to_owned() };
        let duration = self.duration.or((minutes > 0.0).then_some(&whole));
        let is_known = |amount: &&Amount| amount.value != 0.0;
        let one = Amount { value: 1.0, unit: "{count}".to_owned() };
        let [count, of_duration, of_energy, of_distance] = METRICS;
        for (metric, amount) in [
            (count, Some(&one)),
            (of_duration, duration),
            (of_energy, self.energy.filter(is_known)),
            (of_distance, self.distance.filter(is_known)),
        ] {
            let Some(amount) = amount.filter(|_| catalogue.metric(metric).is_some()) else {
                continue;
            };
            let vital = NewVital {
                metric,
                value: amount.value,
                comparator: None,
                unit: &amount.unit,
                source: self.source,
                started_at: self.start,
                ended_at: self.end,
                time_zone: self.time_zone,
                is_daily_total: false,
                workout_type: self.kind,
            };
            hand_over_vital(vital, place, handler)?;
        }
        match self.kind.filter(|kind| catalogue.workout_types().find(kind).is_none()) {
            Some(kind) => handler(Item::UnlistedWorkout(type_name(&kind.replace(' ', ".")))),
            None => Ok(()),
        }
    }
}
