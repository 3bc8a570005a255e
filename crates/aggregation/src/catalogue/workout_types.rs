//! The types of workouts: a short list, and the names that sources have for each.

use std::collections::{BTreeMap, HashMap};

use super::CatalogueError;
use crate::SharedStr;
use crate::fingerprint::Fingerprint;

/// The type of workouts whose row names none.
pub const UNKNOWN: &str = "unknown";

/// The type of workouts with a name that is not listed.
pub const OTHER: &str = "other";

/// Beginnings of names that say nothing: those of HealthKit and of Health Connect.
const PREFIXES: [&str; 2] = ["hkworkoutactivitytype", "exercisetype"];

/// The types of workouts of a catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkoutTypes {
    /// The types by tidied name.
    by_name: HashMap<String, SharedStr>,
    names: BTreeMap<String, Vec<String>>,
    unknown: SharedStr,
    other: SharedStr,
    fingerprint: u64,
}

impl WorkoutTypes {
    /// The types with the names that sources have for them. A type is also a name of itself.
    ///
    /// # Errors
    /// A type is not in lower case with underscores, or a name is empty or listed twice.
    pub(super) fn new(names: BTreeMap<String, Vec<String>>) -> Result<Self, CatalogueError> {
        let mut by_name = HashMap::new();
        let mut digest = Fingerprint::new();
        for (of_type, others) in &names {
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if of_type.is_empty() || !of_type.chars().all(is_name) || of_type == UNKNOWN {
                return Err(CatalogueError::WorkoutType { name: of_type.clone() });
            }
            let shared = SharedStr::from(of_type.as_str());
            digest.text(of_type);
            for name in std::iter::once(of_type).chain(others) {
                let tidy = tidy(name);
                digest.text(&tidy);
                let is_empty = tidy.is_empty();
                let former = by_name.insert(tidy, shared.clone());
                let problem = match former.filter(|former| *former != shared) {
                    Some(former) => format!("is one of \"{}\" already", &*former),
                    None if is_empty => "has no letters".to_owned(),
                    None => continue,
                };
                let (of_type, name) = (of_type.clone(), name.clone());
                return Err(CatalogueError::WorkoutName { of_type, name, problem });
            }
        }
        let fingerprint = digest.finish();
        Ok(Self { by_name, names, unknown: UNKNOWN.into(), other: OTHER.into(), fingerprint })
    }

    /// The type with this name in any spelling: case, spaces and punctuation do not matter. `None` if
    /// it is not listed.
    pub fn find(&self, name: &str) -> Option<&SharedStr> {
        self.by_name.get(&tidy(name))
    }

    /// The type of a workout by the name in its row: `other` for one that is not listed, `unknown`
    /// without a name.
    pub fn of_row(&self, name: Option<&str>) -> &SharedStr {
        match name.filter(|name| !name.trim().is_empty()) {
            Some(name) => self.find(name).unwrap_or(&self.other),
            None => &self.unknown,
        }
    }

    /// Each type with the names that sources have for it, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.names.iter().map(|(of_type, names)| (of_type.as_str(), names.as_slice()))
    }

    pub(super) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// The letters and digits of a name in lower case, without a prefix that says nothing.
fn tidy(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    let tidy: String = letters.flat_map(char::to_lowercase).collect();
    let rest = PREFIXES.iter().find_map(|prefix| tidy.strip_prefix(prefix));
    rest.map(str::to_owned).unwrap_or(tidy)
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;

    #[test]
    fn names_of_sources_are_types_in_any_spelling() {
        let catalogue = Catalogue::built_in().unwrap();
        let types = catalogue.workout_types();
        for (name, expected) in [
            ("HKWorkoutActivityTypeRunning", "running"),
            ("Running", "running"),
            ("Outdoor Run", "running"),
            ("EXERCISE_TYPE_RUNNING_TREADMILL", "running"),
            ("HKWorkoutActivityTypeTraditionalStrengthTraining", "strength_training"),
            ("Functional Strength Training", "strength_training"),
            ("strength_training", "strength_training"),
            ("Pool Swim", "swimming"),
            ("Bicycling", "cycling"),
            ("HIIT", "high_intensity_interval_training"),
            ("Other", "other"),
            ("Quidditch", "other"),
        ] {
            assert_eq!(&**types.of_row(Some(name)), expected, "{name}");
        }
        for name in [None, Some(""), Some("  ")] {
            assert_eq!(&**types.of_row(name), "unknown");
        }
        assert!(types.find("Quidditch").is_none());
    }

    #[test]
    fn a_users_file_names_further_types_and_what_cannot_be_used_has_its_line() {
        let own = "[workout_types]\nquidditch = [\"Broom Flying\"]\n";
        let catalogue = Catalogue::extended_by(own).unwrap();
        assert_eq!(&**catalogue.workout_types().of_row(Some("broom-flying")), "quidditch");
        assert_eq!(&**catalogue.workout_types().of_row(Some("Run")), "running");
        let before = Catalogue::built_in().unwrap();
        for (metric, is_same) in [("workouts", false), ("workout_energy", false), ("steps", true)] {
            let of = |catalogue: &Catalogue| catalogue.metric(metric).unwrap().fingerprint();
            assert_eq!(of(&before) == of(&catalogue), is_same, "{metric}");
        }
        for (text, line, problem) in [
            (
                "[workout_types]\nbroom = []\nquidditch = [\"Pool Swim\"]\n",
                3,
                "one of \"quidditch\" already",
            ),
            ("[workout_types]\n\"Broom Flying\" = []\n", 2, "\"Broom Flying\""),
            ("[workout_types]\nunknown = [\"x\"]\n", 2, "\"unknown\""),
            ("[workout_types]\nbroom = [\"!\"]\n", 2, "\"!\""),
            ("[metrics.heart_rate]\nby_workout_type = true\n", 2, "only for cumulative metrics"),
        ] {
            let error = Catalogue::extended_by(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("catalogue, line {line}: ")), "{error}");
            assert!(error.contains(problem), "{error}");
        }
    }
}
