//! The category of a blood pressure.

/// The category of a measurement, ordered from best to worst. The limits are those of the guideline
/// of 2017 of the American College of Cardiology and the American Heart Association (Whelton et
/// al., Hypertension 2018;71:e13, table 6). Above them are the values that the Association calls
/// severe, or a crisis.
///
/// The guideline writes whole numbers. A value between two of them, from a device that measures in
/// kPa, is below the next limit: 129.5 is elevated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Systolic below 120 and diastolic below 80 mmHg.
    Normal,
    /// Systolic 120–129 and diastolic below 80 mmHg.
    Elevated,
    /// Systolic 130–139 or diastolic 80–89 mmHg.
    Stage1,
    /// Systolic from 140 or diastolic from 90 mmHg.
    Stage2,
    /// Systolic above 180 or diastolic above 120 mmHg.
    Severe,
}

impl Category {
    /// Every category, from best to worst.
    pub const ALL: [Self; 5] =
        [Self::Normal, Self::Elevated, Self::Stage1, Self::Stage2, Self::Severe];

    /// The category of a measurement in mmHg: the worse of the categories of its two values.
    pub fn classify(systolic: f64, diastolic: f64) -> Self {
        if systolic > 180.0 || diastolic > 120.0 {
            Self::Severe
        } else if systolic >= 140.0 || diastolic >= 90.0 {
            Self::Stage2
        } else if systolic >= 130.0 || diastolic >= 80.0 {
            Self::Stage1
        } else if systolic >= 120.0 {
            Self::Elevated
        } else {
            Self::Normal
        }
    }

    /// The name in the daily row.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Elevated => "elevated",
            Self::Stage1 => "stage_1",
            Self::Stage2 => "stage_2",
            Self::Severe => "severe",
        }
    }
}
