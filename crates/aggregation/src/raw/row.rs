//! A raw row of vitals.

use crate::timestamp::HOUR_US;
use crate::{SharedStr, Timestamp};

/// The longest interval; a longer one is rejected. No device counts for longer without a break, and
/// the limit bounds how far back the rows of an hour can begin.
pub const LONGEST_INTERVAL_US: i64 = 48 * HOUR_US;

/// A row of `vitals_raw`. Its metric is that of the list that holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawVital {
    /// `id`; used only to tell the newest of several rows for one sample.
    pub id: i64,
    /// `value`, in `unit`.
    pub value: f64,
    /// `comparator`: the sensor was out of its range.
    pub comparator: Option<SharedStr>,
    /// `unit` as the app wrote it.
    pub unit: SharedStr,
    /// `source`: the device or app that measured, [folded](crate::fold_source).
    pub source: SharedStr,
    /// `started_at`: the first instant.
    pub started_at: Timestamp,
    /// `ended_at`; equal to `started_at` for an instant.
    pub ended_at: Timestamp,
    /// `time_zone`: the row's own zone, if it names one.
    pub time_zone: Option<SharedStr>,
    /// `is_daily_total`: the source's total for the whole local day.
    pub is_daily_total: bool,
    /// `workout_type`: the type of the workout as the source names it.
    pub workout_type: Option<SharedStr>,
}
