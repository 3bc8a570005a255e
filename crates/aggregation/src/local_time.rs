//! Local days and hours.
//!
//! A day is [first valid instant of local date d, first valid instant of d + 1). It is 23 or 25
//! hours long if clocks change. If midnight does not exist, the day begins at the first instant
//! that does. An hour begins wherever a local clock shows a full hour, a day begins or an offset
//! changes. Its first instant is its key. So hours never overlap, none is longer than 60 minutes,
//! and together they make up the day.

use std::cell::Cell;
use std::str::FromStr;

use chrono::{Datelike, Days, FixedOffset, NaiveDate, NaiveTime, Offset, TimeZone};
use chrono::{LocalResult, NaiveDateTime};
use chrono_tz::{GapInfo, Tz};

use crate::Timestamp;
use crate::timestamp::{DAY_US, HOUR_US, SECOND_US};

/// The largest distance of a local date from the UTC date: the widest offset of any zone in the
/// IANA data (Manila before 1844, −15:56), rounded up.
pub const WIDEST_OFFSET_US: i64 = 16 * HOUR_US;

/// The widest offset accepted from a raw row, as in ISO 8601 practice (Kiribati is +14:00).
const WIDEST_FIXED_OFFSET_HOURS: i32 = 14;

/// A time zone of a raw row or a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// A zone of the IANA database, by its name.
    Named(Tz),
    /// A fixed offset from UTC, written `+05:30`.
    Fixed(FixedOffset),
}

/// The text is neither an IANA name nor an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an IANA time zone such as Europe/Berlin nor an offset such as +05:30")]
pub struct UnknownZone;

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(zone) = text.parse::<Tz>() {
            return Ok(Self::Named(zone));
        }
        fixed_offset(text).map(Self::Fixed).ok_or(UnknownZone)
    }
}

/// Parses `±HH:MM` up to ±14:00, or `Z`.
fn fixed_offset(text: &str) -> Option<FixedOffset> {
    if text == "Z" {
        return FixedOffset::east_opt(0);
    }
    let (sign, clock) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let two_digits = |part: &str| {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<i32>().ok())
            .flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if minutes > 59 || hours * 60 + minutes > WIDEST_FIXED_OFFSET_HOURS * 60 {
        return None;
    }
    FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(zone) => f.write_str(zone.name()),
            Self::Fixed(offset) => write!(f, "{offset}"),
        }
    }
}

impl Zone {
    /// Microseconds by which local clocks are ahead of UTC at `instant`.
    fn offset_us(self, instant: Timestamp) -> i64 {
        let seconds = match self {
            Self::Named(zone) => {
                zone.offset_from_utc_datetime(&instant.to_utc().naive_utc()).fix().local_minus_utc()
            }
            Self::Fixed(offset) => offset.local_minus_utc(),
        };
        i64::from(seconds) * SECOND_US
    }

    /// The local date and time at `instant`.
    pub fn clock(self, instant: Timestamp) -> NaiveDateTime {
        local_clock(instant, self.offset_us(instant))
    }

    /// The first instant of local `date`.
    ///
    /// If clocks skip midnight, this is the instant after the gap. If midnight comes twice, it is
    /// the earlier one. A date that a zone skipped (Samoa, 2011-12-30) begins where the next one
    /// does, and is empty.
    pub fn day_start(self, date: NaiveDate) -> Timestamp {
        let midnight = date.and_time(NaiveTime::MIN);
        match self {
            Self::Fixed(offset) => at_offset(midnight, offset),
            Self::Named(zone) => match zone.from_local_datetime(&midnight) {
                LocalResult::Single(start) => Timestamp(start.timestamp_micros()),
                LocalResult::Ambiguous(one, other) => {
                    Timestamp(one.timestamp_micros().min(other.timestamp_micros()))
                }
                LocalResult::None => {
                    GapInfo::new(&midnight, &zone).and_then(|gap| gap.end).map_or_else(
                        || at_offset(midnight, zone.offset_from_utc_datetime(&midnight).fix()),
                        |end| Timestamp(end.timestamp_micros()),
                    )
                }
            },
        }
    }

    /// The first instant after local `date`: the start of the next date.
    pub fn day_end(self, date: NaiveDate) -> Timestamp {
        self.day_start(next(date))
    }

    /// The local date whose day contains `instant`.
    pub fn date_of(self, instant: Timestamp) -> NaiveDate {
        self.day_of(instant).date
    }

    /// The local day that contains `instant`.
    fn day_of(self, instant: Timestamp) -> LocalSpan {
        DAYS.with(|days| {
            days.get_or_insert_with(self, instant, || {
                let date = local_clock(instant, self.offset_us(instant)).date();
                // Clocks set back across midnight show the old date again, although the new day has
                // begun. So the bounds of the day decide, not the clock.
                let tomorrow = self.day_end(date);
                if instant < tomorrow {
                    return LocalSpan { date, start: self.day_start(date), end: tomorrow };
                }
                let date = next(date);
                LocalSpan { date, start: tomorrow, end: self.day_end(date) }
            })
        })
    }

    /// The local hour that contains `instant`, at most 60 minutes long. Its first instant is its key.
    pub fn hour_of(self, instant: Timestamp) -> LocalSpan {
        HOURS.with(|hours| {
            hours.get_or_insert_with(self, instant, || {
                let day = self.day_of(instant);
                let offset = self.offset_us(instant);
                let full = instant.plus(-instant.plus(offset).0.rem_euclid(HOUR_US));
                let full_end = full.plus(HOUR_US);
                LocalSpan {
                    date: day.date,
                    start: self.offset_since(full, instant, offset).max(day.start),
                    end: self.offset_until(instant, full_end, offset).min(day.end),
                }
            })
        })
    }

    /// The first instant after `from` and not after `at` from which `offset` applies, or `from`.
    fn offset_since(self, from: Timestamp, at: Timestamp, offset: i64) -> Timestamp {
        if self.offset_us(from) == offset {
            return from;
        }
        let (mut other, mut same) = (from.0, at.0);
        while same - other > 1 {
            let middle = other + (same - other) / 2;
            if self.offset_us(Timestamp(middle)) == offset {
                same = middle;
            } else {
                other = middle;
            }
        }
        Timestamp(same)
    }

    /// The first instant after `at` and before `to` at which `offset` no longer applies, or `to`.
    fn offset_until(self, at: Timestamp, to: Timestamp, offset: i64) -> Timestamp {
        if self.offset_us(Timestamp(to.0 - 1)) == offset {
            return to;
        }
        let (mut same, mut other) = (at.0, to.0 - 1);
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if self.offset_us(Timestamp(middle)) == offset {
                same = middle;
            } else {
                other = middle;
            }
        }
        Timestamp(other)
    }
}

/// A local hour or day: [`start`, `end`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalSpan {
    /// The local date it belongs to.
    pub date: NaiveDate,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl LocalSpan {
    /// Whether `instant` lies in it.
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }
}

thread_local! {
    static DAYS: Recent<DAY_US> = const { Recent::new() };
    static HOURS: Recent<HOUR_US> = const { Recent::new() };
}

/// The size of the cache: the days or hours of a group of rows, and of the next groups.
const RECENT: usize = 64;

/// A cache of recent spans, each about `LENGTH_US` long. Each computation reads the zone's table of
/// offsets several times, and rows share most spans.
struct Recent<const LENGTH_US: i64>([Cell<Option<(Zone, LocalSpan)>>; RECENT]);

impl<const LENGTH_US: i64> Recent<LENGTH_US> {
    const fn new() -> Self {
        Self([const { Cell::new(None) }; RECENT])
    }

    fn get_or_insert_with(
        &self,
        zone: Zone,
        instant: Timestamp,
        compute: impl FnOnce() -> LocalSpan,
    ) -> LocalSpan {
        let place = instant.0.div_euclid(LENGTH_US).rem_euclid(RECENT as i64);
        let slot = &self.0[place as usize];
        match slot.get() {
            Some((of, span)) if of == zone && span.contains(instant) => span,
            _ => {
                let span = compute();
                slot.set(Some((zone, span)));
                span
            }
        }
    }
}

/// The first and the last instant at which some zone has the date `date`.
pub fn anywhere_on_earth(date: NaiveDate) -> (Timestamp, Timestamp) {
    let midnight = |date: NaiveDate| Timestamp::from_utc_clock(date.and_time(NaiveTime::MIN));
    (midnight(date).plus(-WIDEST_OFFSET_US), midnight(next(date)).plus(WIDEST_OFFSET_US))
}

fn next(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX)
}

fn at_offset(local: NaiveDateTime, offset: FixedOffset) -> Timestamp {
    Timestamp::from_utc_clock(local).plus(-i64::from(offset.local_minus_utc()) * SECOND_US)
}

fn local_clock(instant: Timestamp, offset: i64) -> NaiveDateTime {
    instant.plus(offset).to_utc().naive_utc()
}

/// Days since 0001-01-01, for keys that must be integers.
pub fn day_number(date: NaiveDate) -> i32 {
    date.num_days_from_ce()
}
