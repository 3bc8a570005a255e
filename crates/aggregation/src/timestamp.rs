//! Instants as PostgreSQL stores them.

use chrono::{DateTime, NaiveDateTime, Utc};

/// An instant: microseconds since 1970-01-01 00:00 UTC, the resolution of `timestamptz`.
///
/// PostgreSQL's range is wider than that of any calendar library, and includes ±infinity. So a
/// timestamp of a raw row may be outside [`Timestamp::MIN`]..[`Timestamp::MAX`]; such a row is
/// rejected before any computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds in an hour.
pub const HOUR_US: i64 = 60 * MINUTE_US;
/// Microseconds in 24 hours, which is not the length of every local day.
pub const DAY_US: i64 = 24 * HOUR_US;

impl Timestamp {
    /// 0001-01-01 00:00 UTC: the first instant that ISO 8601's four digits can write.
    pub const MIN: Self = Self(-62_135_596_800 * SECOND_US);
    /// 9999-12-31 00:00 UTC: one day before the end of four-digit years, so that a local day fits.
    pub const MAX: Self = Self(253_402_214_400 * SECOND_US);

    /// Whether the instant has a calendar date.
    pub const fn is_datable(self) -> bool {
        Self::MIN.0 <= self.0 && self.0 <= Self::MAX.0
    }

    /// This instant moved by `microseconds`, saturating at the ends of the representable range.
    #[must_use]
    pub const fn plus(self, microseconds: i64) -> Self {
        Self(self.0.saturating_add(microseconds))
    }

    /// Microseconds from `earlier` to this instant.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant as a calendar instant; instants outside the datable range are clamped to it.
    pub fn to_utc(self) -> DateTime<Utc> {
        // The clamped range is inside chrono's, so the default is never used.
        DateTime::from_timestamp_micros(
            self.0.clamp(Self::MIN.0 - DAY_US, Self::MAX.0 + 2 * DAY_US),
        )
        .unwrap_or_default()
    }

    /// Converts a calendar instant to a timestamp.
    pub const fn from_utc(instant: DateTime<Utc>) -> Self {
        Self(instant.timestamp_micros())
    }

    /// The instant at which UTC clocks show `clock`.
    pub const fn from_utc_clock(clock: NaiveDateTime) -> Self {
        Self::from_utc(clock.and_utc())
    }
}
