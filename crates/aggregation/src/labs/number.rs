//! Numbers as laboratories print them.
//!
//! The rule, which every value and every end of a reference range follows:
//! - A sign (`+`, `-`, U+2212), digits, an optional exponent (`e` or `E`, sign, digits).
//! - A thousands separator stands between groups of exactly three digits, after a first group of
//!   one to three that does not begin with 0. It is a comma, a dot or a space (plain,
//!   non-breaking, thin or narrow non-breaking), and the same one throughout.
//! - A single dot is always the decimal mark: `1.234` is less than two. A single comma is the
//!   thousands separator where it can be one (`1,234` → 1234), else the decimal mark (`4,2`,
//!   `0,123`). With both, the last one is the decimal mark: `1,234.5`, `1.234,5`.
//! - A decimal mark has digits after it, though not necessarily before it: `.5` but not `5.`.
//!
//! Everything else is text. The standard library's parser would also take `nan`, `inf` and
//! `infinity`, so it only ever sees digits that were checked here.

/// Spaces that separate groups of three digits.
const GROUP_SPACES: [char; 4] = [' ', '\u{a0}', '\u{2009}', '\u{202f}'];

/// A number and the marks that it was written with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Written {
    /// The value; infinite if it is beyond what a double holds, never NaN and never −0.
    pub(super) value: f64,
    decimal_mark: Option<char>,
    thousands_mark: Option<char>,
}

impl Written {
    /// Whether one number uses as decimal mark what the other uses between thousands, so that
    /// nobody could have written both: `0,5` beside `1,200`.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let clash = |decimal: Option<char>, thousands| decimal.is_some() && decimal == thousands;
        clash(self.decimal_mark, other.thousands_mark)
            || clash(other.decimal_mark, self.thousands_mark)
    }
}

/// Reads `text`, all of it, as a number by the rule above; `None` if it is text.
pub(super) fn read(text: &str) -> Option<Written> {
    let (sign, unsigned) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(unsigned) => ("-", unsigned),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
        None => (unsigned, "0"),
    };
    let (whole, decimal_mark, fraction) = split_fraction(mantissa)?;
    let (whole, thousands_mark) = read_whole(whole, decimal_mark)?;
    // Adding zero turns −0 into 0, which sorts and prints like the zero that it is.
    let value = format!("{sign}0{whole}.{fraction}0e{exponent}").parse::<f64>().ok()? + 0.0;
    Some(Written { value, decimal_mark, thousands_mark })
}

/// An exponent without the `e`, checked.
fn read_exponent(text: &str) -> Option<&str> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    (!digits.is_empty() && is_digits(digits)).then_some(text)
}

/// Parts a mantissa at its decimal mark, if it has one. The fraction is checked, the rest not.
fn split_fraction(mantissa: &str) -> Option<(&str, Option<char>, &str)> {
    let count = |mark: char| mantissa.matches(mark).count();
    let mark = match (count('.'), count(',')) {
        (1, 0) => '.',
        (0, 1) if read_groups(mantissa, &[',']).is_none() => ',',
        // Without a mark, or with thousands separators alone.
        (_, 0) | (0, _) => return Some((mantissa, None, "")),
        _ => mantissa.chars().rfind(|c| matches!(c, '.' | ','))?,
    };
    let (whole, fraction) = mantissa.rsplit_once(mark)?;
    (!fraction.is_empty() && is_digits(fraction)).then_some((whole, Some(mark), fraction))
}

/// The digits before the decimal mark and the thousands separator between them.
fn read_whole(whole: &str, decimal_mark: Option<char>) -> Option<(String, Option<char>)> {
    if is_digits(whole) {
        let is_complete = !whole.is_empty() || decimal_mark.is_some();
        return is_complete.then(|| (whole.to_owned(), None));
    }
    [&[','][..], &['.'], &GROUP_SPACES]
        .into_iter()
        .filter(|marks| decimal_mark.is_none_or(|decimal| !marks.contains(&decimal)))
        .find_map(|marks| Some((read_groups(whole, marks)?, marks.first().copied())))
}

/// The digits of two or more groups of three separated by one of `marks`; the first may be
/// shorter, and does not begin with 0.
fn read_groups(text: &str, marks: &[char]) -> Option<String> {
    let mut groups = text.split(marks);
    let first = groups.next()?;
    let mut digits = String::from(first);
    if !(1..=3).contains(&first.len()) || first.starts_with('0') || !is_digits(first) {
        return None;
    }
    for group in groups {
        if group.len() != 3 || !is_digits(group) {
            return None;
        }
        digits.push_str(group);
    }
    (digits.len() > first.len()).then_some(digits)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<f64> {
        read(text).map(|written| written.value)
    }

    #[test]
    fn digits_signs_and_exponents_are_read() {
        for (text, number) in [
            ("5", 5.0),
            ("007", 7.0),
            ("5.60", 5.6),
            (".5", 0.5),
            (",5", 0.5),
            ("+3", 3.0),
            ("-3.5", -3.5),
            ("\u{2212}3", -3.0),
            ("1.5e3", 1500.0),
            ("4,2E-1", 0.42),
            ("1e+2", 100.0),
            ("1,234e1", 12_340.0),
            ("0.1", 0.1),
            ("1e-999", 0.0),
        ] {
            assert_eq!(value(text), Some(number), "{text}");
        }
    }

    #[test]
    fn commas_dots_and_spaces_are_read_by_rule() {
        for (text, number) in [
            ("1,234", 1234.0),
            ("12,345", 12_345.0),
            ("4,2", 4.2),
            ("0,123", 0.123),
            ("1234,567", 1234.567),
            ("12,34", 12.34),
            ("1,2345", 1.2345),
            ("1.234", 1.234),
            ("1,234.5", 1234.5),
            ("1.234,5", 1234.5),
            ("1,234.567", 1234.567),
            ("1.234,567", 1234.567),
            ("12,345,678", 12_345_678.0),
            ("12.345.678", 12_345_678.0),
            ("12,345,678.9", 12_345_678.9),
            ("1 234", 1234.0),
            ("1\u{a0}234\u{a0}567", 1_234_567.0),
            ("1\u{2009}234", 1234.0),
            ("1\u{202f}234,5", 1234.5),
            ("1 234.5", 1234.5),
            ("1 234,567", 1234.567),
        ] {
            assert_eq!(value(text), Some(number), "{text}");
        }
    }

    #[test]
    fn everything_else_is_text() {
        for text in [
            "",
            " ",
            "+",
            "-",
            ".",
            ",",
            "5.",
            "5,",
            "- 5",
            "5-",
            "--5",
            "1e",
            "1e+",
            "e5",
            "1e5.0",
            "1e5e5",
            "nan",
            "NaN",
            "inf",
            "-inf",
            "infinity",
            "0x10",
            "1_000",
            "1'234",
            "positive",
            "1:160",
            "120/80",
            "5 mg",
            "5%",
            "10^3",
            "1.2.3",
            "12.03.2024",
            "1,2,3",
            "1,23,456",
            "1234,567,890",
            "0,123,456",
            "1.234.5",
            "1,234.567,8",
            "1 234,567,890",
            "12 34",
            "0 123",
            "1  234",
            "1 234\t567",
            "1,234 567",
            "1.5 000",
            "٣",
            "５",
            "½",
            "5\0",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_beyond_doubles_is_infinite_and_zero_has_no_sign() {
        assert_eq!(value("1e999"), Some(f64::INFINITY));
        assert_eq!(value("-1e99999999999999999999"), Some(f64::NEG_INFINITY));
        assert_eq!(value("-0.0").map(f64::to_bits), Some(0));
    }

    #[test]
    fn marks_of_two_numbers_contradict_each_other_only_in_different_roles() {
        let contradict = |a, b| read(a).unwrap().contradicts(&read(b).unwrap());
        assert!(contradict("0,5", "1,200"));
        assert!(contradict("1.234.567", "0.5"));
        assert!(!contradict("0.5", "1,200"));
        assert!(!contradict("0,5", "1.200,5"));
        assert!(!contradict("5", "1 200"));
    }
}
