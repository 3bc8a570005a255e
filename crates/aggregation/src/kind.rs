//! The three kinds of raw rows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of raw rows: each has a raw table, a daily table and a definition of its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Samples and intervals of sensors: `vitals_raw`.
    Vitals,
    /// Food and drink: `nutrition_raw`.
    Nutrition,
    /// Laboratory results: `lab_raw`.
    Labs,
}

impl Kind {
    /// Every kind, in the order in which a drain processes them.
    pub const ALL: [Self; 3] = [Self::Vitals, Self::Nutrition, Self::Labs];

    /// The name in the queue, in logs and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vitals => "vitals",
            Self::Nutrition => "nutrition",
            Self::Labs => "labs",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownKind)
    }
}

/// The text names no kind.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kinds are vitals, nutrition and labs")]
pub struct UnknownKind;
