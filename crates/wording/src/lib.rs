//! Formats numbers, counts and durations for people and for the log.

use std::time::Duration;

/// A whole number with a comma before every third digit.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 row`, `2,000 rows`.
pub fn counted(number: i64, one: &str, several: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { several })
}

/// A duration in seconds, in words.
pub fn age(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole / 60),
        7200..172_800 => format!("{} h", whole / 3600),
        _ => format!("{} days", whole / 86_400),
    }
}

/// Milliseconds, rounded to three decimal places.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_the_unit_that_fits() {
        let said = [0.04, 9.96, 59.0, 150.0, 10_000.0, 1e6].map(age);
        assert_eq!(said, ["0.0 s", "10.0 s", "59 s", "2 min", "2 h", "11 days"]);
    }

    #[test]
    fn thousands_are_separated() {
        let written = [0, 999, 1000, 1_234_567, -1_234].map(thousands);
        assert_eq!(written, ["0", "999", "1,000", "1,234,567", "-1,234"]);
    }

    #[test]
    fn things_are_counted_in_words() {
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!(counted(2_000, "row", "rows"), "2,000 rows");
    }
}
