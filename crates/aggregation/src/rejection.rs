//! The reasons for which raw rows are rejected.

/// The reason for which a raw row is rejected.
///
/// A rejected row never fails its group. `rejected_rows` lists it with [`Reason::code`], without
/// any health value. The worker judges the row again when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A number is NaN or infinite.
    NonFiniteValue,
    /// A number lies outside the limits of the catalogue.
    ImplausibleValue,
    /// A text is longer than [`crate::text`] allows.
    TextTooLong,
    /// The catalogue does not have the metric.
    UnknownMetric,
    /// The unit is neither an accepted spelling nor convertible to the metric's own.
    UnknownUnit,
    /// The comparator is neither `<` nor `>`.
    UnknownComparator,
    /// The zone (the row's own, or its profile's) is neither an IANA name nor an offset.
    UnknownTimeZone,
    /// A time is infinite or outside the years 1 to 9999.
    TimeOutOfRange,
    /// The interval ends before it starts.
    EndBeforeStart,
    /// The interval is longer than 48 hours.
    IntervalTooLong,
    /// The laboratory's status is unknown.
    UnknownStatus,
    /// The result is blank.
    EmptyResult,
    /// The result is longer than the daily table keeps.
    ResultTooLong,
    /// The row has neither a LOINC code nor a test name.
    UnnamedTest,
    /// The analyte or its unit is longer than a key of the daily table may be.
    KeyTooLong,
    /// It is new or changed, and starts on a local date whose figures are frozen.
    Frozen,
}

impl Reason {
    /// The stable code written to `rejected_rows.reason`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NonFiniteValue => "non_finite_value",
            Self::ImplausibleValue => "implausible_value",
            Self::TextTooLong => "text_too_long",
            Self::UnknownMetric => "unknown_metric",
            Self::UnknownUnit => "unknown_unit",
            Self::UnknownComparator => "unknown_comparator",
            Self::UnknownTimeZone => "unknown_time_zone",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::EndBeforeStart => "end_before_start",
            Self::IntervalTooLong => "interval_too_long",
            Self::UnknownStatus => "unknown_status",
            Self::EmptyResult => "empty_result",
            Self::ResultTooLong => "result_too_long",
            Self::UnnamedTest => "unnamed_test",
            Self::KeyTooLong => "key_too_long",
            Self::Frozen => "frozen",
        }
    }
}
