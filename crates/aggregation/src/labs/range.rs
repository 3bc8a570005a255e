//! Reference ranges as laboratories print them.

use super::analyte::{OwnUnit, without_brackets};
use super::flag::Flag;
use super::number::{self, DecimalSign};
use super::value::{Comparator, LabValue};
use crate::catalogue::UnitStep;

/// Characters between the two ends of a range: hyphens, dashes and the minus sign.
const DASHES: [char; 7] =
    ['-', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}'];

/// The maximum number of dashes in a range: one between its ends, and the signs of each end and of
/// its exponent. A text of a hundred thousand dashes must not be split at each.
const MOST_DASHES: usize = 5;

/// The maximum length of a range: two numbers, each with the longest unit. So a long remark is not
/// searched.
const LONGEST_BYTES: usize = 1024;

/// One end of a reference range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct End {
    /// The value of the end, in the unit of the result.
    pub(super) value: f64,
    /// Whether the value itself is in the range: false in `<200`, true in `≤200`.
    pub(super) is_inclusive: bool,
}

/// The values that a laboratory expects of healthy people; at least one end is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReferenceRange {
    /// The lower end.
    pub(super) low: Option<End>,
    /// The upper end.
    pub(super) high: Option<End>,
}

impl ReferenceRange {
    /// Reads `4.0-5.6`, `4.0 – 5.6`, `-5 - 10`, `4 to 6` (both ends inclusive), `<200`, `≤200`,
    /// `<=200`, `>40`, `≥40`, `>=40` and `up to 5` (inclusive). Round or square brackets and the
    /// unit of the result are optional. Numbers have this decimal sign.
    ///
    /// `None` for any other text, for a low end above the high one, and for numbers beyond doubles.
    pub(super) fn read(text: &str, unit: &OwnUnit<'_>, sign: DecimalSign) -> Option<Self> {
        if text.len() > LONGEST_BYTES {
            return None;
        }
        let text = unit.strip(without_brackets(unit.strip(text)));
        let number =
            |text: &str| number::read(unit.strip(text), sign).filter(|number| number.is_finite());
        let between = |low: &str, high: &str| {
            let (low, high) = (number(low)?, number(high)?);
            let inclusive = |value| Some(End { value, is_inclusive: true });
            (low <= high).then(|| Self { low: inclusive(low), high: inclusive(high) })
        };
        if let Some((comparator, rest)) = Comparator::strip(text) {
            let value = number(rest)?;
            return Some(match comparator {
                Comparator::Less => Self::up_to(value, false),
                Comparator::LessOrEqual => Self::up_to(value, true),
                Comparator::Greater => Self::from(value, false),
                Comparator::GreaterOrEqual => Self::from(value, true),
            });
        }
        // ASCII lower case keeps byte positions.
        let lower = text.to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("up to ") {
            return Some(Self::up_to(number(rest)?, true));
        }
        if let Some((low, high)) = lower.split_once(" to ") {
            return between(low, high);
        }
        // A dash may also be a sign of a number or of its exponent. If the text is split at a wrong
        // one, one side is no number.
        let dashes = || lower.char_indices().filter(|(_, c)| DASHES.contains(c));
        if dashes().nth(MOST_DASHES).is_some() {
            return None;
        }
        dashes().find_map(|(i, dash)| between(lower.get(..i)?, lower.get(i + dash.len_utf8()..)?))
    }

    const fn up_to(value: f64, is_inclusive: bool) -> Self {
        Self { low: None, high: Some(End { value, is_inclusive }) }
    }

    const fn from(value: f64, is_inclusive: bool) -> Self {
        Self { low: Some(End { value, is_inclusive }), high: None }
    }

    /// The range converted to another unit; `None` if an end is beyond doubles there.
    pub(super) fn converted(self, step: UnitStep) -> Option<Self> {
        let convert = |end: Option<End>| match end {
            None => Some(None),
            Some(end) => {
                let value = step.apply(end.value);
                value.is_finite().then_some(Some(End { value, ..end }))
            }
        };
        Some(Self { low: convert(self.low)?, high: convert(self.high)? })
    }

    /// The flag of a result by this range: L below the range, H above it, N within; never LL or HH.
    ///
    /// A result with a comparator means every value that it allows, and has a flag only if all of
    /// them have the same one. `<5` is L if the range begins at 5 or above, and N if the range has
    /// only an upper end of 5 or above. Otherwise its flag is unknown. Text has no flag.
    pub(super) fn flag(&self, result: &LabValue) -> Option<Flag> {
        let (comparator, value) = match result {
            LabValue::Number(value) => return self.flag_of(*value),
            LabValue::Bound(comparator, value) => (*comparator, *value),
            LabValue::Text(_) => return None,
        };
        // Whether the result allows `value` itself.
        let is_allowed = matches!(comparator, Comparator::LessOrEqual | Comparator::GreaterOrEqual);
        match comparator {
            Comparator::Less | Comparator::LessOrEqual => match (self.low, self.high) {
                (Some(low), _) => {
                    let all_below = value < low.value
                        || (value == low.value && !(is_allowed && low.is_inclusive));
                    all_below.then_some(Flag::Low)
                }
                (None, Some(high)) => {
                    let all_within = value < high.value
                        || (value == high.value && (!is_allowed || high.is_inclusive));
                    all_within.then_some(Flag::Normal)
                }
                (None, None) => None,
            },
            Comparator::Greater | Comparator::GreaterOrEqual => match (self.low, self.high) {
                (_, Some(high)) => {
                    let all_above = value > high.value
                        || (value == high.value && !(is_allowed && high.is_inclusive));
                    all_above.then_some(Flag::High)
                }
                (Some(low), None) => {
                    let all_within = value > low.value
                        || (value == low.value && (!is_allowed || low.is_inclusive));
                    all_within.then_some(Flag::Normal)
                }
                (None, None) => None,
            },
        }
    }

    fn flag_of(&self, value: f64) -> Option<Flag> {
        let is_at_open = |end: End| value == end.value && !end.is_inclusive;
        if self.low.is_some_and(|low| value < low.value || is_at_open(low)) {
            Some(Flag::Low)
        } else if self.high.is_some_and(|high| value > high.value || is_at_open(high)) {
            Some(Flag::High)
        } else {
            (self.low.is_some() || self.high.is_some()).then_some(Flag::Normal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Low and high end, each with whether it is inclusive.
    type Ends = (Option<(f64, bool)>, Option<(f64, bool)>);

    /// Reads the range of a result in mg/dL.
    fn range(text: &str, sign: DecimalSign) -> Option<ReferenceRange> {
        ReferenceRange::read(text, &OwnUnit::new("mg/dL", None), sign)
    }

    /// The ends with a dot or a comma as decimal sign; if both are possible, they must agree.
    fn ends(text: &str) -> Option<Ends> {
        let tuple = |end: End| (end.value, end.is_inclusive);
        let [dot, comma] = [DecimalSign::Dot, DecimalSign::Comma].map(|sign| {
            range(text, sign).map(|range| (range.low.map(tuple), range.high.map(tuple)))
        });
        assert!(dot.is_none() || comma.is_none() || dot == comma, "{text}");
        dot.or(comma)
    }

    fn flag(of: &str, value_text: &str) -> Option<&'static str> {
        let value = LabValue::read(value_text, DecimalSign::Dot).unwrap();
        range(of, DecimalSign::Dot).unwrap().flag(&value).map(Flag::code)
    }

    #[test]
    fn two_ends_are_inclusive() {
        for (text, low, high) in [
            ("4.0-5.6", 4.0, 5.6),
            (" 4.0 \u{2013} 5.6 ", 4.0, 5.6),
            ("4,0\u{2014}5,6", 4.0, 5.6),
            ("4.0\u{2012}5.6", 4.0, 5.6),
            ("-5 - 10", -5.0, 10.0),
            ("-5--1", -5.0, -1.0),
            ("-5 - -1", -5.0, -1.0),
            ("\u{2212}5\u{2212}\u{2212}1", -5.0, -1.0),
            ("4 to 6", 4.0, 6.0),
            ("-4 TO -2", -4.0, -2.0),
            ("1e-5-2e-4", 1e-5, 2e-4),
            ("500-1.200", 500.0, 1200.0),
            ("900-1,100", 900.0, 1100.0),
            ("0,500-1,200", 0.5, 1.2),
            ("0.5-1,200", 0.5, 1200.0),
            ("1,50,000 - 4,50,000", 150_000.0, 450_000.0),
            ("4'000-11'000", 4000.0, 11_000.0),
            ("4 000 - 11 000", 4000.0, 11_000.0),
            ("0,5-1,2", 0.5, 1.2),
            ("5-5", 5.0, 5.0),
        ] {
            assert_eq!(ends(text), Some((Some((low, true)), Some((high, true)))), "{text}");
        }
    }

    #[test]
    fn one_end_is_inclusive_as_it_says() {
        for (text, high) in [
            ("<200", (200.0, false)),
            ("< 1 000", (1000.0, false)),
            ("\u{2264}200", (200.0, true)),
            ("<= 200", (200.0, true)),
            ("up to 5", (5.0, true)),
            ("Up To  5,5", (5.5, true)),
        ] {
            assert_eq!(ends(text), Some((None, Some(high))), "{text}");
        }
        for (text, low) in
            [(">40", (40.0, false)), ("\u{2265}40", (40.0, true)), (">=-40", (-40.0, true))]
        {
            assert_eq!(ends(text), Some((Some(low), None)), "{text}");
        }
    }

    #[test]
    fn everything_else_stays_text() {
        for text in [
            "",
            "-",
            "5",
            "-5",
            "M:13-17 F:12-15",
            "negative",
            "5.6-4.0",
            "4-",
            "-",
            "4-5-6",
            "4 to",
            "to 5",
            "up to",
            "up to five",
            "<",
            ">40 <60",
            "4-5 mmol/L",
            "(4-5",
            "(4)-(5)",
            "4-5 (fasting)",
            "4-5 mg/dL fasting",
            "mg/dL",
            "0-1e999",
            "<1e999",
            "nan-5",
            "<inf",
            "4.0-5.6%",
            "1:160",
            "=5",
        ] {
            assert_eq!(ends(text), None, "{text}");
        }
    }

    /// An earlier version read the whole text for each dash, which took minutes.
    #[test]
    fn a_text_of_very_many_dashes_is_read_once() {
        for part in ["-", "4-", "1e-", "\u{2212}", "4 \u{2013} "] {
            assert_eq!(ends(&part.repeat(300_000)), None, "{part}");
        }
        assert_eq!(ends("-1e-5--2e-6"), Some((Some((-1e-5, true)), Some((-2e-6, true)))));
    }

    #[test]
    fn ends_with_different_decimal_signs_stay_text() {
        for text in ["0.5-1,2", "4,5-1,234", "1,2-1,234.5"] {
            assert_eq!(ends(text), None, "{text}");
        }
    }

    #[test]
    fn brackets_and_the_unit_of_the_result_do_not_matter() {
        for text in [
            "(4.0-5.6)",
            "[4.0 - 5.6]",
            "4.0-5.6 mg/dL",
            "4.0-5.6mg/dl",
            "4.0 mg/dL - 5.6 mg/dL",
            "( 4.0 - 5.6 MG/DL )",
            "(4.0-5.6) mg/dL",
            "4.0-5.6 (mg/dL)",
            "4.0 to 5.6 [mg/dL]",
        ] {
            assert_eq!(ends(text), ends("4.0-5.6"), "{text}");
            assert!(ends(text).is_some(), "{text}");
        }
        assert_eq!(ends("(<= 200 mg/dL)"), ends("<=200"));
        assert_eq!(ends("up to 5 mg/dL"), ends("up to 5"));
        assert_eq!(ends("(>40)"), ends(">40"));
        assert_eq!(ends("(-5 - 10)"), ends("-5 - 10"));

        let read = |text: &str, reported: &str| {
            let unit = OwnUnit::new(reported, None);
            let range = ReferenceRange::read(text, &unit, DecimalSign::Dot)?;
            Some((range.low?.value, range.high?.value))
        };
        for (text, unit) in [
            ("4-11 10*3/uL", "10*3/uL"),
            ("4-11 x10^9/L", "x10^9/L"),
            ("4-11 \u{3bc}g/L", "\u{b5}g/L"),
            ("4%-11%", "%"),
            ("(4 - 11 mL/min/1.73 m2)", "mL/min/1.73m2"),
        ] {
            assert_eq!(read(text, unit), Some((4.0, 11.0)), "{text}");
        }
        // The last digits of a number are no unit, a part of a unit is none, and a result without a
        // unit has none.
        assert_eq!(read("4-51", "1"), Some((4.0, 51.0)));
        assert_eq!(read("4-11 mmol/L", "L"), None);
        assert_eq!(read("4-11 mmol/L", ""), None);
    }

    #[test]
    fn a_number_is_flagged_by_the_ends_and_what_they_include() {
        for (range, value, expected) in [
            ("4.0-5.6", "3.9", "L"),
            ("4.0-5.6", "4.0", "N"),
            ("4.0-5.6", "5.6", "N"),
            ("4.0-5.6", "57", "H"),
            ("<200", "199.9", "N"),
            ("<200", "200", "H"),
            ("<=200", "200", "N"),
            ("up to 200", "200.1", "H"),
            (">40", "40", "L"),
            (">40", "41", "N"),
            (">=40", "40", "N"),
        ] {
            assert_eq!(flag(range, value), Some(expected), "{value} in {range}");
        }
    }

    #[test]
    fn a_bound_has_a_flag_only_if_every_value_it_allows_has_it() {
        for (range, value, expected) in [
            ("4-6", "<4", Some("L")),
            ("4-6", "<=4", None),
            ("4-6", "<=3.9", Some("L")),
            ("4-6", "<5", None),
            ("4-6", "<100", None),
            (">4", "<4", Some("L")),
            (">4", "<=4", Some("L")),
            (">4", "<4.1", None),
            ("<200", "<200", Some("N")),
            ("<200", "<=200", None),
            ("<=200", "<=200", Some("N")),
            ("<200", "<5", Some("N")),
            ("<200", "<201", None),
            ("4-6", ">6", Some("H")),
            ("4-6", ">=6", None),
            ("4-6", ">=6.1", Some("H")),
            ("4-6", ">5", None),
            ("<200", ">200", Some("H")),
            ("<200", ">=200", Some("H")),
            ("<=200", ">=200", None),
            ("<200", ">199", None),
            (">40", ">40", Some("N")),
            (">40", ">=40", None),
            (">=40", ">=40", Some("N")),
            (">40", ">60", Some("N")),
            (">40", ">39", None),
        ] {
            assert_eq!(flag(range, value), expected, "{value} in {range}");
        }
    }

    #[test]
    fn text_has_no_flag_from_a_range() {
        for text in ["positive", "1:160", "120/80", "< positive"] {
            assert_eq!(flag("4-6", text), None, "{text}");
        }
    }
}
