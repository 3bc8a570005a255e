//! The catalogue: aggregation style, canonical unit, accepted units and plausible limits of
//! metrics. It also has the units of laboratory analytes and the plausible limits of nutrients.

mod analytes;
mod error;
mod memo;
mod names;
mod nearest;
mod nutrients;
mod overlay;
mod stage;
mod workout_types;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use self::analytes::AnalyteEntry;
pub use self::analytes::{Analyte, AnalyteError, Analytes, UnitStep};
pub use self::error::CatalogueError;
use self::memo::Memo;
pub use self::names::NUTRIENTS;
pub(crate) use self::names::tidy_name;
pub use self::nutrients::{Limits, Nutrients};
pub use self::stage::Stage;
pub use self::workout_types::WorkoutTypes;
use crate::fingerprint::Fingerprint;
use crate::units::{Conversion, Spellings, conversion, is_factor_of_mass};

/// The catalogue that comes with the worker.
const BUILT_IN: &str = include_str!("../../../../config/catalogue.toml");

/// The way rows of a metric become a daily figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AggregationStyle {
    /// Intervals that add up (steps): only the total has a meaning.
    Cumulative,
    /// Samples (heart rate): count, mean, spread, extremes and percentiles.
    Discrete,
    /// Intervals of one stage of sleep: only their start and end have a meaning, see
    /// [`mod@crate::sleep`].
    Sleep,
}

/// One metric of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The way rows become figures.
    pub aggregation_style: AggregationStyle,
    /// Canonical UCUM unit of every figure.
    pub unit: String,
    /// LOINC code, if the metric has one.
    pub loinc: Option<String>,
    /// The lowest plausible value of a row, in the canonical unit.
    pub min: f64,
    /// The highest plausible value of a row, in the canonical unit.
    pub max: f64,
    /// Whether a row counts whole, at the middle of its time, instead of by the share of each hour.
    pub counts_whole: bool,
    /// The types of workouts, if the metric has a total for each.
    pub workout_types: Option<Arc<WorkoutTypes>>,
    /// Names that senders use for the metric; [`Catalogue::nearest_metric`] alone uses them.
    synonyms: Vec<String>,
    /// Factors by UCUM code where UCUM itself has no conversion.
    factors: BTreeMap<String, f64>,
    spellings: Arc<Spellings>,
    /// Conversions by listed spelling, so that a usual row costs one look-up.
    conversions: HashMap<String, Conversion>,
    /// Cached conversions of other spellings.
    met: Memo<Option<Conversion>>,
    fingerprint: u64,
}

impl Metric {
    /// The conversion of a value in `unit`, as a raw row spells it, to the canonical unit; `None`
    /// if there is none.
    pub fn conversion_from(&self, unit: &str) -> Option<Conversion> {
        match self.conversions.get(unit) {
            Some(known) => Some(*known),
            None => self.met.get_or_insert_with(unit, || self.conversion_from_unlisted(unit)),
        }
    }

    fn conversion_from_unlisted(&self, unit: &str) -> Option<Conversion> {
        let readings = self.spellings.read(unit);
        readings.find(|code| {
            let conversion = conversion(code, &self.unit, &self.factors)?;
            let is_of_substance = readings.molar_mass.is_none_or(|mass| {
                is_factor_of_mass(mass, code, &self.unit, conversion.apply(1.0))
            });
            is_of_substance.then_some(conversion)
        })
    }

    /// A value in the canonical unit. Apps write a percentage as a fraction with the unit `%`. So
    /// if both plausible limits are above 1 %, a value of at most 1 is read as a fraction.
    pub fn in_canonical_unit(&self, value: f64, conversion: Conversion) -> f64 {
        let converted = conversion.apply(value);
        let is_fraction = self.unit == "%"
            && self.min > 1.0
            && conversion == Conversion::IDENTITY
            && converted <= 1.0;
        if is_fraction { converted * 100.0 } else { converted }
    }

    /// Whether `value`, in the canonical unit, is within the plausible limits.
    pub fn is_plausible(&self, value: f64) -> bool {
        self.min <= value && value <= self.max
    }

    /// A digest of all inputs of this metric's figures in the catalogue.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// All metrics, analytes and nutrients.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    metrics: BTreeMap<String, Metric>,
    analytes: Analytes,
    nutrients: Nutrients,
    workout_types: Arc<WorkoutTypes>,
    /// The names of the entries in a user's file.
    own: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    spellings: BTreeMap<String, String>,
    metrics: BTreeMap<String, MetricEntry>,
    #[serde(default)]
    lab_spellings: BTreeMap<String, String>,
    #[serde(default)]
    analytes: BTreeMap<String, AnalyteEntry>,
    #[serde(default)]
    nutrients: BTreeMap<String, Limits>,
    #[serde(default)]
    workout_types: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricEntry {
    aggregation_style: AggregationStyle,
    unit: String,
    loinc: Option<String>,
    min: f64,
    max: f64,
    #[serde(default)]
    counts_whole: bool,
    #[serde(default)]
    by_workout_type: bool,
    #[serde(default)]
    factors: BTreeMap<String, f64>,
    #[serde(default)]
    synonyms: Vec<String>,
}

impl Catalogue {
    /// The catalogue that comes with the worker, `config/catalogue.toml`.
    ///
    /// # Errors
    /// As [`Catalogue::parse`]; a test proves that the file is sound.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::parse(BUILT_IN)
    }

    /// The stage of sleep of a metric; `None` if the catalogue does not give it the style sleep.
    pub fn stage(&self, metric: &str) -> Option<Stage> {
        let is_sleep = self.metric(metric)?.aggregation_style == AggregationStyle::Sleep;
        Stage::from_metric(metric).filter(|_| is_sleep)
    }

    /// Reads a catalogue from TOML.
    ///
    /// # Errors
    /// The error names the metric, analyte or line that is refused, and the reason.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let file: CatalogueFile = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        for (spelling, code) in file.spellings.iter().chain(&file.lab_spellings) {
            if octofhir_ucum::validate(code).is_err() {
                let (spelling, code) = (spelling.clone(), code.clone());
                return Err(CatalogueError::Spelling { spelling, code });
            }
        }
        let shared = Shared {
            listed: &file.spellings,
            spellings: Arc::new(Spellings::new([&file.spellings])),
            workout_types: Arc::new(WorkoutTypes::new(file.workout_types)?),
        };
        let metrics = file
            .metrics
            .into_iter()
            .map(|(name, entry)| Ok((name.clone(), metric(&name, entry, &shared)?)))
            .collect::<Result<_, CatalogueError>>()?;
        let workout_types = shared.workout_types;
        let spellings = Spellings::new([&file.spellings, &file.lab_spellings]);
        let analytes = Analytes::new(file.analytes, Arc::new(spellings))?;
        let nutrients = Nutrients::from_entries(&file.nutrients)?;
        Ok(Self { metrics, analytes, nutrients, workout_types, own: BTreeSet::new() })
    }

    /// The metric called `name`, exactly as raw rows write it.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.get(name)
    }

    /// Every metric with its name, ordered by name.
    pub fn metrics(&self) -> impl Iterator<Item = (&str, &Metric)> {
        self.metrics.iter().map(|(name, metric)| (name.as_str(), metric))
    }

    /// Whether a user's file has a metric, an analyte or a nutrient of this name.
    pub fn is_own(&self, name: &str) -> bool {
        self.own.contains(name)
    }

    /// The analytes whose units convert.
    pub const fn analytes(&self) -> &Analytes {
        &self.analytes
    }

    /// The plausible limits of nutrients.
    pub const fn nutrients(&self) -> &Nutrients {
        &self.nutrients
    }

    /// The types of workouts.
    pub fn workout_types(&self) -> &WorkoutTypes {
        &self.workout_types
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> CatalogueError {
    let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(""));
    CatalogueError::Syntax {
        line: before.matches('\n').count() + 1,
        message: error.message().to_owned(),
    }
}

/// The parts of a catalogue that its metrics share.
struct Shared<'f> {
    listed: &'f BTreeMap<String, String>,
    spellings: Arc<Spellings>,
    workout_types: Arc<WorkoutTypes>,
}

fn metric(name: &str, entry: MetricEntry, shared: &Shared<'_>) -> Result<Metric, CatalogueError> {
    let MetricEntry {
        aggregation_style,
        unit,
        loinc,
        min,
        max,
        counts_whole,
        by_workout_type,
        factors,
        synonyms,
    } = entry;
    let is_cumulative = aggregation_style == AggregationStyle::Cumulative;
    if (counts_whole || by_workout_type) && !is_cumulative {
        return Err(CatalogueError::NotCumulative { metric: name.to_owned() });
    }
    if aggregation_style == AggregationStyle::Sleep && Stage::from_metric(name).is_none() {
        return Err(CatalogueError::NotSleep { metric: name.to_owned() });
    }
    if octofhir_ucum::validate(&unit).is_err() {
        return Err(CatalogueError::Unit { metric: name.to_owned(), unit });
    }
    if !(min.is_finite() && max.is_finite() && min < max) {
        return Err(CatalogueError::Limits { metric: name.to_owned(), min, max });
    }
    if let Some((code, factor)) = factors.iter().find(|(_, f)| !(f.is_finite() && **f > 0.0)) {
        return Err(CatalogueError::Factor {
            metric: name.to_owned(),
            unit: code.clone(),
            factor: *factor,
        });
    }

    let listed = shared.listed;
    let codes = listed.values().chain(factors.keys()).chain([&unit]);
    let spelled = listed.iter().chain(codes.map(|code| (code, code)));
    let mut fingerprint = Fingerprint::new();
    fingerprint.text(&format!("{aggregation_style:?}")).text(&unit).number(min).number(max);
    let mut conversions = HashMap::new();
    for (spelling, code) in spelled {
        if let Some(found) = conversion(code, &unit, &factors) {
            fingerprint.text(spelling).text(code);
            conversions.insert(spelling.clone(), found);
        }
    }
    for (code, factor) in &factors {
        fingerprint.text(code).number(*factor);
    }
    // Metrics without these keep the fingerprint of earlier versions.
    if counts_whole {
        fingerprint.text("counts_whole");
    }
    if by_workout_type {
        fingerprint.text("by_workout_type").integer(shared.workout_types.fingerprint());
    }
    Ok(Metric {
        aggregation_style,
        unit,
        loinc,
        min,
        max,
        counts_whole,
        workout_types: by_workout_type.then(|| Arc::clone(&shared.workout_types)),
        synonyms,
        factors,
        spellings: Arc::clone(&shared.spellings),
        conversions,
        met: Memo::default(),
        fingerprint: fingerprint.finish(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_has_every_metric_of_the_domain() {
        let catalogue = Catalogue::built_in().unwrap();
        let names: Vec<_> = catalogue.metrics().map(|(name, _)| name).collect();
        for expected in [
            "steps",
            "distance_walking_running",
            "flights_climbed",
            "active_energy",
            "basal_energy",
            "exercise_time",
            "stand_hours",
            "light_activity_time",
            "moderate_activity_time",
            "vigorous_activity_time",
            "move_time",
            "workouts",
            "workout_duration",
            "workout_energy",
            "workout_distance",
            "heart_rate",
            "resting_heart_rate",
            "heart_rate_variability_sdnn",
            "respiratory_rate",
            "oxygen_saturation",
            "body_temperature",
            "blood_glucose",
            "blood_pressure_systolic",
            "blood_pressure_diastolic",
            "body_mass",
            "height",
            "body_mass_index",
            "waist_circumference",
            "body_fat_percentage",
            "vo2_max",
            "sleep_in_bed",
            "sleep_asleep",
            "sleep_awake",
            "sleep_core",
            "sleep_deep",
            "sleep_rem",
        ] {
            assert!(names.contains(&expected), "{expected} is missing");
        }
    }

    #[test]
    fn every_listed_spelling_stands_for_a_ucum_unit() {
        let file: CatalogueFile =
            toml::from_str(include_str!("../../../../config/catalogue.toml")).unwrap();
        for (spelling, code) in file.spellings.into_iter().chain(file.lab_spellings) {
            assert!(octofhir_ucum::validate(&code).is_ok(), "{spelling} = {code}");
        }
    }

    #[test]
    fn everyday_spellings_and_ucum_codes_convert() {
        let catalogue = Catalogue::built_in().unwrap();
        let convert = |metric: &str, value: f64, unit: &str| {
            catalogue.metric(metric).unwrap().conversion_from(unit).map(|c| c.apply(value))
        };
        assert_eq!(convert("heart_rate", 61.0, "bpm"), Some(61.0));
        assert_eq!(convert("heart_rate", 1.0, "/s"), Some(60.0));
        assert_eq!(convert("blood_pressure_systolic", 120.0, " mmHg "), Some(120.0));
        assert_eq!(convert("body_mass", 100.0, "lbs"), Some(45.359237));
        assert_eq!(convert("body_temperature", 98.6, "°F").map(|c| (c * 1e9).round()), Some(37e9));
        assert_eq!(convert("oxygen_saturation", 0.97, "fraction"), Some(97.0));
        assert_eq!(convert("blood_glucose", 5.5, "mmol/L"), Some(5.5 * 18.01559));
        assert_eq!(convert("blood_glucose", 90.0, "mg/dl"), Some(90.0));
        assert_eq!(convert("steps", 12.0, "count"), Some(12.0));
        assert_eq!(convert("distance_walking_running", 2.0, "km"), Some(2000.0));
        for unit in ["{beats}/min", "{Beats}/min", "count/min", "beats per minute", "BPM", "1/min"]
        {
            assert_eq!(convert("heart_rate", 61.0, unit), Some(61.0), "{unit}");
        }
        for unit in ["mL/min·kg", "ml/(kg*min)", "mL/kg/min", "mL.kg-1.min-1", "mL⋅kg⁻¹⋅min⁻¹"]
        {
            let converted = convert("vo2_max", 48.5, unit).map(|value| (value * 1e9).round());
            assert_eq!(converted, Some(48.5e9), "{unit}");
        }
        for unit in ["mmol<180.1558800000541>/L", "mmol/l", "MMOL/L", "mM"] {
            assert_eq!(convert("blood_glucose", 5.4, unit), Some(5.4 * 18.01559), "{unit}");
        }
        assert_eq!(convert("body_mass", 81.6, "kg{body}"), Some(81.6));
        assert_eq!(convert("body_mass", 81.6, "Kg"), Some(81.6));
        assert_eq!(convert("body_mass", 0.5, "Mg"), Some(500.0));
        assert_eq!(convert("blood_pressure_systolic", 120.0, "MMHG"), Some(120.0));
        assert_eq!(convert("height", 1.8, "M"), None);
        assert_eq!(convert("active_energy", 5.0, "Cal"), Some(5.0));
        assert_eq!(convert("active_energy", 5.0, "CAL"), None);
        assert_eq!(convert("blood_glucose", 5.4, "mmol<386.65>/L"), None);
        assert_eq!(convert("blood_glucose", 5.4, "Mmol/L"), None);
        for unit in ["{step}", "{steps}", "{Steps}", "count", "1"] {
            assert_eq!(convert("steps", 12.0, unit), Some(12.0), "{unit}");
        }
        for (metric, unit) in
            [("steps", "{flights}"), ("steps", "%"), ("flights_climbed", "{step}")]
        {
            assert_eq!(convert(metric, 12.0, unit), None, "{metric} {unit}");
        }
        assert_eq!(convert("blood_glucose", 5.5, "kg"), None);
        assert_eq!(convert("heart_rate", 61.0, "furlongs per fortnight"), None);
        assert_eq!(convert("heart_rate", 61.0, ""), None);
    }

    #[test]
    fn a_percentage_of_at_most_1_is_a_fraction_where_1_percent_is_implausible() {
        let catalogue = Catalogue::built_in().unwrap();
        let canonical = |metric: &str, value: f64, unit: &str| {
            let metric = catalogue.metric(metric).unwrap();
            metric.in_canonical_unit(value, metric.conversion_from(unit).unwrap())
        };
        assert_eq!(canonical("oxygen_saturation", 0.97, "%"), 97.0);
        assert_eq!(canonical("oxygen_saturation", 1.0, "percent"), 100.0);
        assert_eq!(canonical("oxygen_saturation", 97.0, "%"), 97.0);
        assert_eq!(canonical("oxygen_saturation", 0.97, "1"), 97.0);
        assert_eq!(canonical("body_fat_percentage", 0.235, "%"), 23.5);
        let own = "[metrics.blood_alcohol]\naggregation_style = \"discrete\"\nunit = \"%\"\nmin = 0\nmax = 1\n";
        let own = Catalogue::extended_by(own).unwrap();
        let metric = own.metric("blood_alcohol").unwrap();
        assert_eq!(metric.in_canonical_unit(0.08, Conversion::IDENTITY), 0.08);
    }

    #[test]
    fn a_catalogue_that_cannot_be_used_says_where_and_why() {
        let error = |text: &str| Catalogue::parse(text).unwrap_err().to_string();
        let metric = |body: &str| format!("[spellings]\n[metrics.pulse]\n{body}\n");
        assert!(
            error("[spellings]\n[metrics.pulse]\naggregation_style = \"both\"").contains("line 3")
        );
        assert!(
            error(&metric("aggregation_style=\"discrete\"\nunit=\"parsec/\"\nmin=0\nmax=1"))
                .contains("metrics.pulse.unit = \"parsec/\" is not a UCUM unit")
        );
        assert!(
            error(&metric("aggregation_style=\"discrete\"\nunit=\"/min\"\nmin=9\nmax=1"))
                .contains("min 9 must be below max 1")
        );
        assert!(
            error(&metric("aggregation_style=\"discrete\"\nunit=\"/min\"\nmin=0\nmax=1\nmean=3"))
                .contains("unknown field `mean`")
        );
        assert!(
            error(&metric(
                "aggregation_style=\"discrete\"\nunit=\"/min\"\nmin=0\nmax=1\nfactors={\"1\"=-1.0}"
            ))
            .contains("must be a positive number")
        );
        assert!(
            error(&metric("aggregation_style=\"sleep\"\nunit=\"min\"\nmin=0\nmax=2880")).contains(
                "metrics.pulse cannot have the aggregation_style \"sleep\", which is only for sleep_in"
            )
        );
    }
}
