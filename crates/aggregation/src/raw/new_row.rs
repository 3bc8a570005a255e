//! Raw rows before they are inserted: those of one user, without an id.

use crate::Timestamp;

/// A row of `vitals_raw` to insert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewVital<'a> {
    /// Name in the catalogue.
    pub metric: &'a str,
    /// The value in `unit`.
    pub value: f64,
    /// `<` or `>`: the value is only a bound.
    pub comparator: Option<&'a str>,
    /// The unit as the sender spells it.
    pub unit: &'a str,
    /// The device or app.
    pub source: &'a str,
    /// The start.
    pub started_at: Timestamp,
    /// The end; the start for an instant.
    pub ended_at: Timestamp,
    /// The row's own zone.
    pub time_zone: Option<&'a str>,
    /// Whether it is the source's total of the whole local day.
    pub is_daily_total: bool,
    /// The type of the workout as the source names it.
    pub workout_type: Option<&'a str>,
}

/// A row of `lab_raw` to insert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewLab<'a> {
    /// The name of the test.
    pub test_name: &'a str,
    /// Its LOINC code.
    pub loinc_code: Option<&'a str>,
    /// The result as reported.
    pub value_text: &'a str,
    /// The unit as reported.
    pub unit: Option<&'a str>,
    /// The range as reported.
    pub reference_range: Option<&'a str>,
    /// The laboratory's flag.
    pub flag: Option<&'a str>,
    /// The specimen.
    pub specimen: Option<&'a str>,
    /// `final`, `amended`, `corrected`, `preliminary`, `cancelled` or `entered-in-error`.
    pub status: &'a str,
    /// The time of the specimen.
    pub collected_at: Timestamp,
    /// The row's own zone.
    pub time_zone: Option<&'a str>,
    /// The laboratory or system.
    pub source: &'a str,
}
