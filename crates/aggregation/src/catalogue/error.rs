//! Reasons why a catalogue is refused.

use super::{AnalyteError, NUTRIENTS, Stage};

/// A catalogue is refused: the entry or the line, and the reason.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The text is not TOML of the expected shape.
    #[error("catalogue, line {line}: {message}")]
    Syntax {
        /// Line of the problem, from 1.
        line: usize,
        /// The problem, as the parser says it.
        message: String,
    },
    /// The canonical unit of a metric is not a UCUM code.
    #[error(
        "catalogue: metrics.{metric}.unit = \"{unit}\" is not a UCUM unit (https://ucum.org/ucum)"
    )]
    Unit {
        /// The metric's name.
        metric: String,
        /// The text found.
        unit: String,
    },
    /// The unit of a spelling is not a UCUM code.
    #[error(
        "catalogue: spellings.\"{spelling}\" = \"{code}\" is not a UCUM unit (https://ucum.org/ucum)"
    )]
    Spelling {
        /// The spelling.
        spelling: String,
        /// The text found.
        code: String,
    },
    /// The limits are not finite numbers in ascending order.
    #[error("catalogue: metrics.{metric}: min {min} must be below max {max}, both finite")]
    Limits {
        /// The metric's name.
        metric: String,
        /// The lower limit found.
        min: f64,
        /// The upper limit found.
        max: f64,
    },
    /// A factor is not a positive finite number.
    #[error("catalogue: metrics.{metric}.factors.\"{unit}\" = {factor} must be a positive number")]
    Factor {
        /// The metric's name.
        metric: String,
        /// The UCUM code the factor is for.
        unit: String,
        /// The number found.
        factor: f64,
    },
    /// An analyte's names, codes or units are wrong.
    #[error("catalogue: {0}")]
    Analyte(#[from] AnalyteError),
    /// An entry names a nutrient that raw rows do not have.
    #[error("catalogue: nutrients.{nutrient} is none of the columns {}", NUTRIENTS.join(", "))]
    NoNutrient {
        /// The name found.
        nutrient: String,
    },
    /// The limits of a nutrient are not finite numbers of at least 0 in ascending order.
    #[error(
        "catalogue: nutrients.{nutrient}: min {min} and max {max} must be finite, min at least 0 and \
         below max"
    )]
    NutrientLimits {
        /// The nutrient's name.
        nutrient: String,
        /// The lower limit found.
        min: f64,
        /// The upper limit found.
        max: f64,
    },
    /// A metric of the aggregation style sleep is not one of the stages of sleep.
    #[error(
        "catalogue: metrics.{metric} cannot have the aggregation_style \"sleep\", which is only for {}",
        Stage::ALL.map(Stage::metric).join(", ")
    )]
    NotSleep {
        /// The metric's name.
        metric: String,
    },
    /// A metric that is not cumulative has figures by type of workout, or counts each row whole.
    #[error(
        "catalogue: metrics.{metric}: by_workout_type and counts_whole are only for cumulative metrics"
    )]
    NotCumulative {
        /// The metric's name.
        metric: String,
    },
    /// A type of workouts has a name that is no key of figures.
    #[error(
        "catalogue: workout_types.\"{name}\" must be in lower case with underscores, and not \"unknown\""
    )]
    WorkoutType {
        /// The type found.
        name: String,
    },
    /// A name of a type of workouts is empty, or that of another type.
    #[error("catalogue: workout_types: the name \"{name}\" of \"{of_type}\" {problem}")]
    WorkoutName {
        /// The type.
        of_type: String,
        /// The name found.
        name: String,
        /// The problem with it.
        problem: String,
    },
}
