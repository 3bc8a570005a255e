//! Finds the metric that an unknown name most likely means.

use strsim::damerau_levenshtein;

use super::Catalogue;

/// Names are compared up to this length, which bounds the cost. Every metric's name is shorter.
const LONGEST_NAME_CHARS: usize = 64;

/// One edit for every three letters is a typing error; with more edits the name is another word.
const LETTERS_PER_EDIT: usize = 3;

/// With more edits than this, long names of different measures look alike (`…_sdnn`, `…_rmssd`).
const MAX_EDITS: usize = 3;

/// Words that say nothing of the measure: statistics, units, and words that platforms add.
const OTHER_WORDS: [&str; 35] = [
    "avg",
    "average",
    "mean",
    "daily",
    "total",
    "sum",
    "value",
    "level",
    "reading",
    "sample",
    "samples",
    "measurement",
    "record",
    "data",
    "delta",
    "raw",
    "bpm",
    "kg",
    "lb",
    "lbs",
    "cm",
    "km",
    "m",
    "mi",
    "kcal",
    "mg",
    "dl",
    "mmol",
    "l",
    "ms",
    "mmhg",
    "min",
    "minutes",
    "pct",
    "percent",
];

/// Prefixes of Apple HealthKit's identifiers.
const APPLE_PREFIXES: [&str; 2] = ["hk_quantity_type_identifier_", "hk_category_type_identifier_"];

impl Catalogue {
    /// The metric that the unknown name `sent` most likely means; `None` if no name is close.
    ///
    /// The name is compared with the metrics' names and synonyms. First, case, separators,
    /// statistics and units are ignored; then up to three typing errors are allowed. Of equally
    /// close names, the first in alphabetical order is taken.
    pub fn nearest_metric(&self, sent: &str) -> Option<&str> {
        let sent = snake_case(sent);
        let without_prefix = APPLE_PREFIXES.iter().find_map(|prefix| sent.strip_prefix(prefix));
        let sent = without_prefix.unwrap_or(&sent);
        self.metric_called(sent).or_else(|| self.metric_called(&without_other_words(sent))).or_else(
            || {
                let edits = |name: &str| {
                    let edits = damerau_levenshtein(sent, name);
                    (edits <= MAX_EDITS && edits * LETTERS_PER_EDIT <= sent.len()).then_some(edits)
                };
                let near = self.names().filter_map(|(name, of)| Some((edits(name)?, of)));
                near.min_by_key(|(edits, _)| *edits).map(|(_, of)| of)
            },
        )
    }

    /// The metric with this name, else the first with this synonym.
    fn metric_called(&self, name: &str) -> Option<&str> {
        let own = self.metrics.get_key_value(name).map(|(name, _)| name.as_str());
        own.or_else(|| self.names().find(|(other, _)| *other == name).map(|(_, of)| of))
    }

    /// Every name and synonym, with its metric.
    fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metrics.iter().flat_map(|(name, metric)| {
            let synonyms = metric.synonyms.iter().map(String::as_str);
            synonyms.chain([name.as_str()]).map(|other| (other, name.as_str()))
        })
    }
}

/// The name in lower case, the words separated by `_`: `HKQuantityTypeIdentifierBodyMass` has six
/// words.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut letters = name.chars().take(LONGEST_NAME_CHARS).peekable();
    let mut before = None;
    while let Some(letter) = letters.next() {
        let begins_word = letter.is_uppercase()
            && before.is_some_and(|before: char| {
                let next_is_lower = letters.peek().is_some_and(|next| next.is_lowercase());
                before.is_lowercase() || (before.is_uppercase() && next_is_lower)
            });
        if begins_word {
            snake.push('_');
        }
        if letter.is_alphanumeric() {
            snake.extend(letter.to_lowercase());
        } else if !snake.ends_with('_') {
            snake.push('_');
        }
        before = Some(letter);
    }
    snake.trim_matches('_').to_owned()
}

fn without_other_words(snake: &str) -> String {
    let words: Vec<&str> = snake.split('_').filter(|word| !OTHER_WORDS.contains(word)).collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_metric_is_named_by_its_meaning_its_platforms_name_or_despite_a_typing_error() {
        let catalogue = Catalogue::built_in().unwrap();
        for (sent, nearest) in [
            ("weight", "body_mass"),
            ("Weight (kg)", "body_mass"),
            ("HKQuantityTypeIdentifierBodyMass", "body_mass"),
            ("HKQuantityTypeIdentifierStepCount", "steps"),
            ("HKQuantityTypeIdentifierVO2Max", "vo2_max"),
            ("StepsRecord", "steps"),
            ("Step Count", "steps"),
            ("heartRate", "heart_rate"),
            ("HEART-RATE", "heart_rate"),
            ("avg_heart_rate_bpm", "heart_rate"),
            ("hearth_rate", "heart_rate"),
            ("resting_hr", "resting_heart_rate"),
            ("SpO2", "oxygen_saturation"),
            ("blood_glucose_mg_dl", "blood_glucose"),
            ("blood_presure_sistolic", "blood_pressure_systolic"),
            ("sleep_light", "sleep_core"),
            ("flights_climed", "flights_climbed"),
        ] {
            assert_eq!(catalogue.nearest_metric(sent), Some(nearest), "{sent}");
        }
    }

    #[test]
    fn another_measure_is_not_taken_for_one_of_the_catalogue() {
        let catalogue = Catalogue::built_in().unwrap();
        let long = "weight".repeat(100_000);
        for sent in [
            "",
            "_",
            "mood",
            "kg",
            "body",
            "heart_rate_variability_rmssd",
            "wheelchair_pushes",
            "\u{200b}💧",
            &long,
        ] {
            assert_eq!(catalogue.nearest_metric(sent), None, "{sent:.40}");
        }
    }

    #[test]
    fn every_synonym_leads_to_its_own_metric() {
        let catalogue = Catalogue::built_in().unwrap();
        for (name, metric) in catalogue.metrics() {
            for sent in metric.synonyms.iter().map(String::as_str).chain([name]) {
                assert_eq!(catalogue.nearest_metric(sent), Some(name), "{sent}");
            }
        }
    }

    #[test]
    fn a_users_own_metrics_and_synonyms_are_found() {
        let own = "[metrics.wheelchair_pushes]\naggregation_style = \"cumulative\"\nunit = \"{count}\"\nmin = 0\n\
                   max = 1e5\nsynonyms = [\"pushes\"]\n[metrics.body_mass]\nsynonyms = [\"poids\"]\n";
        let catalogue = Catalogue::extended_by(own).unwrap();
        assert_eq!(catalogue.nearest_metric("Pushes"), Some("wheelchair_pushes"));
        assert_eq!(catalogue.nearest_metric("poids"), Some("body_mass"));
        let same = Catalogue::built_in().unwrap();
        let fingerprint = |of: &Catalogue| of.metric("body_mass").unwrap().fingerprint();
        assert_eq!(fingerprint(&catalogue), fingerprint(&same));
    }
}
