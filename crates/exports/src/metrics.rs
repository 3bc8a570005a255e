//! The metrics of the catalogue by the names that exports have for them.

use std::borrow::Cow;

use aggregation::catalogue::{AggregationStyle, Catalogue};

/// Names of exports, in lower case with underscores, that differ from those of the catalogue.
const OTHER_NAMES: [(&str, &str); 15] = [
    ("step_count", "steps"),
    ("walking_running_distance", "distance_walking_running"),
    ("active_energy_burned", "active_energy"),
    ("basal_energy_burned", "basal_energy"),
    ("resting_energy", "basal_energy"),
    ("apple_exercise_time", "exercise_time"),
    ("apple_move_time", "move_time"),
    ("apple_stand_hour", "stand_hours"),
    ("heart_rate_variability", "heart_rate_variability_sdnn"),
    ("blood_oxygen_saturation", "oxygen_saturation"),
    ("weight_body_mass", "body_mass"),
    ("weight", "body_mass"),
    ("vo2max", "vo2_max"),
    ("heart_rate_variability_s_d_n_n", "heart_rate_variability_sdnn"),
    ("v_o2_max", "vo2_max"),
];

/// The metric of the catalogue for a name of an export. A metric of the user's own catalogue is found
/// by its name. Stages of sleep are no quantities, so they are not found.
pub fn metric<'c>(catalogue: &'c Catalogue, name: &str) -> Option<&'c str> {
    let name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, of)| of);
    let (name, metric) = catalogue.metrics().find(|(known, _)| *known == name)?;
    (metric.aggregation_style != AggregationStyle::Sleep).then_some(name)
}

/// Whether the metric is a total over time.
pub fn is_cumulative(catalogue: &Catalogue, metric: &str) -> bool {
    let found = catalogue.metric(metric);
    found.is_some_and(|metric| metric.aggregation_style == AggregationStyle::Cumulative)
}

/// The metric of a stage of sleep, by the words of HealthKit and of Health Auto Export.
pub fn stage(word: &str) -> Option<&'static str> {
    let word: String = word.chars().filter(|c| c.is_alphanumeric()).collect();
    Some(match word.to_ascii_lowercase().as_str() {
        "inbed" => "sleep_in_bed",
        "asleep" | "asleepunspecified" | "unspecified" => "sleep_asleep",
        "awake" => "sleep_awake",
        "asleepcore" | "core" => "sleep_core",
        "asleepdeep" | "deep" => "sleep_deep",
        "asleeprem" | "rem" => "sleep_rem",
        _ => return None,
    })
}

/// `StepCount` as `step_count`.
pub fn snake_case(name: &str) -> Cow<'_, str> {
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, character) in name.char_indices() {
        if character.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    Cow::Owned(snake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_healthkit_are_found_in_the_catalogue() {
        let catalogue = Catalogue::built_in().unwrap();
        for (name, expected) in [
            ("StepCount", Some("steps")),
            ("DistanceWalkingRunning", Some("distance_walking_running")),
            ("FlightsClimbed", Some("flights_climbed")),
            ("ActiveEnergyBurned", Some("active_energy")),
            ("BasalEnergyBurned", Some("basal_energy")),
            ("AppleExerciseTime", Some("exercise_time")),
            ("AppleMoveTime", Some("move_time")),
            ("HeartRate", Some("heart_rate")),
            ("RestingHeartRate", Some("resting_heart_rate")),
            ("HeartRateVariabilitySDNN", Some("heart_rate_variability_sdnn")),
            ("RespiratoryRate", Some("respiratory_rate")),
            ("OxygenSaturation", Some("oxygen_saturation")),
            ("BodyTemperature", Some("body_temperature")),
            ("BloodGlucose", Some("blood_glucose")),
            ("BloodPressureSystolic", Some("blood_pressure_systolic")),
            ("BloodPressureDiastolic", Some("blood_pressure_diastolic")),
            ("BodyMass", Some("body_mass")),
            ("Height", Some("height")),
            ("WaistCircumference", Some("waist_circumference")),
            ("BodyFatPercentage", Some("body_fat_percentage")),
            ("VO2Max", Some("vo2_max")),
            ("DietaryProtein", None),
            ("SleepCore", None),
        ] {
            assert_eq!(metric(&catalogue, &snake_case(name)), expected, "{name}");
        }
    }
}
