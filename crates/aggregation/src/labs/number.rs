//! Numbers as laboratories print them.
//!
//! The rules for every value and every end of a reference range:
//! - A sign (`+`, `-`, U+2212), digits, an optional exponent (`e` or `E`, sign, digits).
//! - The [`DecimalSign`] is a dot or a comma. It has digits after it, though not necessarily before
//!   it: `.5` but not `5.`.
//! - A thousands separator divides groups of exactly three digits, after a first group of one to
//!   three that does not begin with 0. It is the mark that is not the decimal sign, a space (plain,
//!   non-breaking, figure, thin or narrow non-breaking) or an apostrophe (Switzerland). A number
//!   has one kind of separator.
//! - With commas, the groups before the last one may have two digits, as in India: `1,50,000`.
//!
//! Every other text is text. `1,234` is one number with a decimal dot and another with a decimal
//! comma; the row decides, see [`super::reading`].
//!
//! The standard library's parser would also accept `nan`, `inf` and `infinity`, so it only gets
//! digits that were checked here.

/// Spaces that separate groups of three digits.
const GROUP_SPACES: [char; 5] = [' ', '\u{a0}', '\u{2007}', '\u{2009}', '\u{202f}'];

/// Apostrophes that separate groups of three digits: the typewriter's and the typographic one.
const APOSTROPHES: [char; 2] = ['\'', '\u{2019}'];

/// The mark between the whole and the fraction of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecimalSign {
    /// `1.5`, with commas between thousands.
    Dot,
    /// `1,5`, with dots between thousands.
    Comma,
}

impl DecimalSign {
    const fn mark(self) -> char {
        match self {
            Self::Dot => '.',
            Self::Comma => ',',
        }
    }

    /// The sign of a text, given whether it can be read with each; `Some` if exactly one is
    /// possible.
    pub(super) const fn proven_by(with_dot: bool, with_comma: bool) -> Option<Self> {
        match (with_dot, with_comma) {
            (true, false) => Some(Self::Dot),
            (false, true) => Some(Self::Comma),
            _ => None,
        }
    }

    /// The sign that the numbers in a text prove, if they agree: `M: 0,2-1,2 F: <1,1` has commas.
    ///
    /// Digits that begin with 0 and another digit are part of a date or a code.
    pub(super) fn in_text(text: &str) -> Option<Self> {
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',') || is_apostrophe(c);
        let words = text
            .split(|c| !is_part(c))
            .map(|word| word.trim_end_matches(|c: char| !c.is_ascii_digit()));
        let mut found = [false; 2];
        for word in words {
            // A number without a mark reads alike with both signs.
            if !word.contains(['.', ',']) {
                continue;
            }
            let behind_zero = word.strip_prefix('0').unwrap_or_default();
            if behind_zero.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            let readable = |sign| read(word, sign).is_some();
            match Self::proven_by(readable(Self::Dot), readable(Self::Comma)) {
                Some(Self::Dot) => found[0] = true,
                Some(Self::Comma) => found[1] = true,
                None => {}
            }
        }
        Self::proven_by(found[0], found[1])
    }
}

fn is_apostrophe(c: char) -> bool {
    APOSTROPHES.contains(&c)
}

/// Reads the whole `text` as a number by the rules above; `None` if it is text.
///
/// The number is infinite if it is beyond the range of doubles, and never NaN or −0.
pub(super) fn read(text: &str, decimal_sign: DecimalSign) -> Option<f64> {
    let (sign, unsigned) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(unsigned) => ("-", unsigned),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = match mantissa.split_once(decimal_sign.mark()) {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None if mantissa.is_empty() => return None,
        None => (mantissa, ""),
    };
    if !is_digits(fraction) {
        return None;
    }
    let whole = read_whole(whole, decimal_sign)?;
    // Adding zero turns −0 into 0, which sorts and prints as zero.
    Some(format!("{sign}0{whole}.{fraction}0e{exponent}").parse::<f64>().ok()? + 0.0)
}

/// Checks an exponent without the `e`.
fn read_exponent(text: &str) -> Option<&str> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    (!digits.is_empty() && is_digits(digits)).then_some(text)
}

/// The digits before the decimal sign, without separators of groups.
fn read_whole(whole: &str, decimal_sign: DecimalSign) -> Option<String> {
    if is_digits(whole) {
        return Some(whole.to_owned());
    }
    let mark: &[char] = match decimal_sign {
        DecimalSign::Dot => &[','],
        DecimalSign::Comma => &['.'],
    };
    [mark, &GROUP_SPACES, &APOSTROPHES].into_iter().find_map(|marks| {
        let groups: Vec<&str> = whole.split(marks).collect();
        let (first, others) = groups.split_first()?;
        let (last, middle) = others.split_last()?;
        let is_sound =
            |group: &&str, lengths: &[usize]| lengths.contains(&group.len()) && is_digits(group);
        let is_western = is_sound(first, &[1, 2, 3]) && middle.iter().all(|g| is_sound(g, &[3]));
        let is_indian = decimal_sign == DecimalSign::Dot
            && marks == mark
            && is_sound(first, &[1, 2])
            && middle.iter().all(|g| is_sound(g, &[2]));
        let is_number =
            (is_western || is_indian) && is_sound(last, &[3]) && !first.starts_with('0');
        is_number.then(|| groups.concat())
    })
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::DecimalSign::{Comma, Dot};
    use super::*;

    /// The number with a dot and with a comma as decimal sign.
    fn both(text: &str) -> [Option<f64>; 2] {
        [Dot, Comma].map(|sign| read(text, sign))
    }

    #[test]
    fn digits_signs_and_exponents_are_read() {
        for (text, number) in [
            ("5", 5.0),
            ("007", 7.0),
            ("+3", 3.0),
            ("\u{2212}3", -3.0),
            ("1e+2", 100.0),
            ("1e-999", 0.0),
        ] {
            assert_eq!(both(text), [Some(number); 2], "{text}");
        }
        for (text, number) in
            [("5.60", 5.6), (".5", 0.5), ("-3.5", -3.5), ("1.5e3", 1500.0), ("0.1", 0.1)]
        {
            assert_eq!(both(text), [Some(number), None], "{text}");
            let text = text.replace('.', ",");
            assert_eq!(both(&text), [None, Some(number)], "{text}");
        }
    }

    #[test]
    fn the_decimal_sign_decides_where_both_are_possible() {
        for (text, with_dot, with_comma) in [
            ("1,234", 1234.0, 1.234),
            ("12.345", 12.345, 12_345.0),
            ("-999,000e1", -9_990_000.0, -9990.0),
        ] {
            assert_eq!(both(text), [Some(with_dot), Some(with_comma)], "{text}");
        }
    }

    #[test]
    fn other_marks_prove_the_decimal_sign() {
        for (text, number) in [
            ("1,234.5", 1234.5),
            ("1,234.567", 1234.567),
            ("12,345,678", 12_345_678.0),
            ("12,345,678.9", 12_345_678.9),
            ("0.123", 0.123),
            ("1234.567", 1234.567),
            ("12.34", 12.34),
            ("1.2345", 1.2345),
            ("1 234.5", 1234.5),
            ("1'234.567", 1234.567),
            ("1\u{2019}234\u{2019}567.8", 1_234_567.8),
        ] {
            assert_eq!(both(text), [Some(number), None], "{text}");
            let german = text.replace(',', "#").replace('.', ",").replace('#', ".");
            assert_eq!(both(&german), [None, Some(number)], "{german}");
        }
        for text in ["1 234 567", "1\u{a0}234\u{2009}567", "1'234'567", "1\u{202f}234\u{2007}567"] {
            assert_eq!(both(text), [Some(1_234_567.0); 2], "{text}");
        }
    }

    #[test]
    fn indian_groups_have_two_digits_before_the_last_three() {
        for (text, number) in [
            ("1,50,000", 150_000.0),
            ("12,34,567.8", 1_234_567.8),
            ("9,12,34,56,789", 9_123_456_789.0),
            ("-10,00,000", -1_000_000.0),
        ] {
            assert_eq!(both(text), [Some(number), None], "{text}");
        }
        for text in ["1.50.000", "123,45,678", "1,50,00", "0,50,000", "1,50,0000", "1 50 000"] {
            assert_eq!(both(text), [None; 2], "{text}");
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
            "positive",
            "1:160",
            "120/80",
            "5 mg",
            "5%",
            "10^3",
            "1.2.3",
            "12.03.2024",
            "1,2,3",
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
            "1'234 567",
            "1'23",
            "1.5 000",
            "٣",
            "５",
            "½",
            "5\0",
        ] {
            assert_eq!(both(text), [None; 2], "{text}");
        }
    }

    #[test]
    fn a_number_beyond_doubles_is_infinite_and_zero_has_no_sign() {
        assert_eq!(read("1e999", Dot), Some(f64::INFINITY));
        assert_eq!(read("-1e99999999999999999999", Comma), Some(f64::NEG_INFINITY));
        assert_eq!(read("-0.0", Dot).map(f64::to_bits), Some(0));
    }

    #[test]
    fn the_numbers_of_a_text_prove_a_sign_if_they_agree() {
        for text in ["M: 0,2-1,2 F: 1,100", "bis 5,5.", "ab 03.2024: 4,5 (nüchtern)", "x1'234,567"]
        {
            assert_eq!(DecimalSign::in_text(text), Some(Comma), "{text}");
        }
        for text in ["M:13.5-17 F:12.0,", "(1.25)", "1,50,000 or 2"] {
            assert_eq!(DecimalSign::in_text(text), Some(Dot), "{text}");
        }
        for text in ["", "1,100", "0.5-1,2", "M:13-17 F:12-15", "12.03.2024", "see p. 5, 6", "é,'"]
        {
            assert_eq!(DecimalSign::in_text(text), None, "{text}");
        }
    }
}
