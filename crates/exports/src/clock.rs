//! Times as exports write them.

use aggregation::Timestamp;
use aggregation::local_time::Zone;
use chrono::{DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, TimeZone};

/// Parses a time with its offset: `2024-05-01 10:00:00 +0200`, or RFC 3339.
pub fn with_offset(text: &str) -> Option<DateTime<FixedOffset>> {
    let text = text.trim();
    if let Some(parsed) = apple(text) {
        return Some(parsed);
    }
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %#z"))
        // The phone's setting of 12 hours, with a narrow no-break space in newer versions.
        .or_else(|_| {
            DateTime::parse_from_str(&text.replace('\u{202f}', " "), "%Y-%m-%d %I:%M:%S %p %#z")
        })
        .ok()
}

/// Parses exactly `YYYY-MM-DD HH:MM:SS +HHMM`, which an export has millions of.
fn apple(text: &str) -> Option<DateTime<FixedOffset>> {
    let bytes: &[u8; 25] = text.as_bytes().try_into().ok()?;
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_i32, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i32::from(byte - b'0'))
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':'), (19, b' ')];
    if separators.iter().any(|(at, byte)| bytes[*at] != *byte) {
        return None;
    }
    let sign = match bytes[20] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let part = |from, to| u32::try_from(number(from, to)?).ok();
    let date = NaiveDate::from_ymd_opt(number(0, 4)?, part(5, 7)?, part(8, 10)?)?;
    let clock = date.and_hms_opt(part(11, 13)?, part(14, 16)?, part(17, 19)?)?;
    let offset = FixedOffset::east_opt(sign * (number(21, 23)? * 3600 + number(23, 25)? * 60))?;
    offset.from_local_datetime(&clock).single()
}

/// The instant of a time with its offset.
pub fn instant(time: DateTime<FixedOffset>) -> Timestamp {
    Timestamp(time.timestamp_micros())
}

/// The offset as the zone of a row, if it says where the time was taken: `Z` does not.
pub fn zone_of_offset(time: DateTime<FixedOffset>) -> Option<String> {
    let offset = *time.offset();
    (offset.local_minus_utc() != 0).then(|| Zone::Fixed(offset).to_string())
}

/// Converts local clock times of one file. When clocks are set back, an hour comes twice; a clock time
/// in it that is before the one of the line above belongs to the second.
#[derive(Debug)]
pub struct LocalClock {
    zone: Zone,
    last: Option<NaiveDateTime>,
    is_second: bool,
}

impl LocalClock {
    /// Reads clock times of this zone.
    pub const fn new(zone: Zone) -> Self {
        Self { zone, last: None, is_second: false }
    }

    /// The instant of a clock time; `None` if clocks skip it.
    pub fn instant(&mut self, clock: NaiveDateTime) -> Option<Timestamp> {
        let before = self.last.replace(clock);
        let zone = match self.zone {
            Zone::Fixed(offset) => {
                let micros = clock.and_utc().timestamp_micros();
                return Some(
                    Timestamp(micros).plus(-i64::from(offset.local_minus_utc()) * 1_000_000),
                );
            }
            Zone::Named(zone) => zone,
        };
        let found = match zone.from_local_datetime(&clock) {
            LocalResult::Single(at) => {
                self.is_second = false;
                at
            }
            LocalResult::Ambiguous(first, second) => {
                self.is_second |= before.is_some_and(|before| clock < before);
                if self.is_second { second } else { first }
            }
            LocalResult::None => return None,
        };
        Some(Timestamp(found.timestamp_micros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<String> {
        with_offset(text).map(|time| time.to_utc().to_rfc3339())
    }

    #[test]
    fn times_with_an_offset_are_read_in_the_spellings_of_exports() {
        for text in [
            "2024-05-01 10:00:00 +0200",
            "2024-05-01T08:00:00Z",
            "2024-05-01T10:00:00+02:00",
            "2024-05-01 10:00:00 AM +0200",
            "2024-05-01 10:00:00\u{202f}AM +0200",
            " 2024-05-01 10:00:00 +0200 ",
        ] {
            assert_eq!(utc(text).as_deref(), Some("2024-05-01T08:00:00+00:00"), "{text}");
        }
        for text in [
            "",
            "2024-05-01",
            "2024-05-01 10:00:00",
            "2024-13-01 10:00:00 +0200",
            "2024-05-01 10:00:00 +9900",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
    }

    #[test]
    fn the_hour_that_comes_twice_is_told_apart_by_the_order_of_lines() {
        let mut clock = LocalClock::new("Europe/Berlin".parse().unwrap());
        let at = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        let instants: Vec<i64> =
            ["2024-10-27 02:30", "2024-10-27 02:55", "2024-10-27 02:00", "2024-10-27 02:30"]
                .map(|text| clock.instant(at(text)).unwrap().0 / 60_000_000)
                .to_vec();
        let steps: Vec<i64> = instants.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(steps, [25, 5, 30]);
        assert_eq!(clock.instant(at("2024-03-31 02:30")), None);
    }
}
