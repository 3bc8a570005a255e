//! Reads a result and its own reference range together.
//!
//! `1,234` is 1.234 or 1234. One laboratory wrote the result and the range, so they prove each
//! other's decimal sign:
//! - **Rule 1.** A text that can be read with only one decimal sign has that sign: `0,2-1,2`,
//!   `1.5`, `12,345,678`. So has `500-1.200`, as no range ends below its beginning. The numbers in
//!   a text that is no range also prove a sign (`M: 0,2-1,2 F: 0,1-1,1`).
//! - **Rule 2.** A text that can be read with both has the sign that the other text proves. `1,100`
//!   beside `0,2-1,2` is 1.1, and beside `0.2-1.2` it is 1100. `1.100` beside `0,2-1,2` is 1100,
//!   too: the range says that a dot separates thousands. A reading nearer to the range is no proof:
//!   it would take a heart attack (`1,234` beside `<14`) for a normal result.
//! - **Rule 3.** Without any proof, a dot is the decimal sign, and a comma separates thousands:
//!   `1,100` is 1100.
//! - **Rule 4.** The laboratory's own flag compares these two. It reverses rules 2 and 3 if it
//!   contradicts their reading and agrees with the other one. `24.000` beside `<35,0` is 24 if it
//!   is flagged N, as an analyser that writes dots feeds a report with commas. `1,100` beside `1-2`
//!   is 1.1 if it is flagged N, and `1.100` beside `150-400` is 1100 if it is flagged H. `5.100`
//!   beside `4-6` stays 5.1 if it is flagged H, as a laboratory may have narrower limits than it
//!   prints.
//!
//! Other rows do not matter: the reading of a row depends on that row alone.

use super::analyte::OwnUnit;
use super::flag::{Flag, OwnFlag};
use super::number::DecimalSign::{self, Comma, Dot};
use super::range::ReferenceRange;
use super::value::LabValue;
use crate::Reason;

/// A result and its reference range, read as they were reported.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) value: LabValue,
    pub(super) range: Option<ReferenceRange>,
    pub(super) flag: Option<Flag>,
}

impl Reading {
    /// Reads the texts of one row; `range` is blank if there is none.
    ///
    /// # Errors
    /// See [`LabValue::read`].
    pub(super) fn read(
        value: &str,
        range: &str,
        unit: &OwnUnit<'_>,
        own_flag: OwnFlag,
    ) -> Result<Self, Reason> {
        let [value_with_dot, value_with_comma] =
            [Dot, Comma].map(|sign| LabValue::read(value, sign));
        let [range_with_dot, range_with_comma] =
            [Dot, Comma].map(|sign| ReferenceRange::read(range, unit, sign));

        let is_number = |value: &Result<LabValue, Reason>| {
            !matches!(value, Ok(LabValue::Text(_)) | Err(Reason::EmptyResult))
        };
        let of_value = proven(value, is_number(&value_with_dot), is_number(&value_with_comma));
        let of_range = proven(range, range_with_dot.is_some(), range_with_comma.is_some());
        // Whether the flag contradicts the reading with the first sign and agrees with the second
        // one. The range has the sign of the value, unless it has proven its own.
        let flag_prefers = |first: DecimalSign, second: DecimalSign| {
            let from_range = |sign: DecimalSign| {
                let value = match sign {
                    Dot => &value_with_dot,
                    Comma => &value_with_comma,
                };
                let range = match of_range.unwrap_or(sign) {
                    Dot => &range_with_dot,
                    Comma => &range_with_comma,
                };
                range.as_ref().zip(value.as_ref().ok()).and_then(|(range, value)| range.flag(value))
            };
            own_flag.contradicts(from_range(first)) && own_flag.agrees_with(from_range(second))
        };
        // Without a proof, a dot is the decimal sign.
        let likely = of_range.or(of_value).unwrap_or(Dot);
        let unlikely = if likely == Dot { Comma } else { Dot };
        let of_value =
            of_value.unwrap_or(if flag_prefers(likely, unlikely) { unlikely } else { likely });
        let of_range = of_range.unwrap_or(of_value);
        let value = match of_value {
            Dot => value_with_dot,
            Comma => value_with_comma,
        }?;
        let range = match of_range {
            Dot => range_with_dot,
            Comma => range_with_comma,
        };
        let from_range = range.and_then(|range| range.flag(&value));
        Ok(Self { value, range, flag: own_flag.or(from_range) })
    }
}

/// The decimal sign of a text that is a number or a range with these signs.
fn proven(text: &str, with_dot: bool, with_comma: bool) -> Option<DecimalSign> {
    if with_dot || with_comma {
        DecimalSign::proven_by(with_dot, with_comma)
    } else {
        DecimalSign::in_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value, both ends of the range, and the flag.
    type Figures = (Option<f64>, Option<f64>, Option<f64>, Option<&'static str>);

    fn read(value: &str, range: &str, flag: &str) -> Figures {
        let unit = OwnUnit::new("mg/dL", None);
        let reading = Reading::read(value, range, &unit, OwnFlag::read(Some(flag))).unwrap();
        let end = |end: Option<super::super::range::End>| end.map(|end| end.value);
        (
            reading.value.value(),
            reading.range.and_then(|range| end(range.low)),
            reading.range.and_then(|range| end(range.high)),
            reading.flag.map(Flag::code),
        )
    }

    #[test]
    fn a_range_proves_the_decimal_sign_of_its_result() {
        for (value, range, number, low, high, flag) in [
            ("1,100", "0,2-1,2", 1.1, 0.2, 1.2, "N"),
            ("2,345", "0,27 - 4,20", 2.345, 0.27, 4.2, "N"),
            ("<1,100", "0,2-1,2 mg/dL", 1.1, 0.2, 1.2, ""),
            ("1,100", "(0,500-1,200)", 1.1, 0.5, 1.2, "N"),
            ("1.100", "500-1.200", 1100.0, 500.0, 1200.0, "N"),
            ("1,100", "900-1,200", 1100.0, 900.0, 1200.0, "N"),
            ("1,100", "0.2-1.2", 1100.0, 0.2, 1.2, "H"),
            ("1.100", "0,2-1,2", 1100.0, 0.2, 1.2, "H"),
            ("1.100", "30,0-400,0", 1100.0, 30.0, 400.0, "H"),
            ("1.100", "0.2-1.2", 1.1, 0.2, 1.2, "N"),
            ("250.000", "150.000-400.000,0", 250_000.0, 150_000.0, 400_000.0, "N"),
        ] {
            let flag = Some(flag).filter(|flag| !flag.is_empty());
            let expected = (Some(number), Some(low), Some(high), flag);
            assert_eq!(read(value, range, ""), expected, "{value} beside {range}");
        }
        assert_eq!(read("1,100", "<1,2", ""), (Some(1.1), None, Some(1.2), Some("N")));
        assert_eq!(read("1,100", ">1,2", ""), (Some(1.1), Some(1.2), None, Some("L")));
    }

    #[test]
    fn a_result_proves_the_decimal_sign_of_its_range() {
        assert_eq!(read("1,8", "1,100-2,500", ""), (Some(1.8), Some(1.1), Some(2.5), Some("N")));
        assert_eq!(
            read("1800.5", "1,100-2,500", ""),
            (Some(1800.5), Some(1100.0), Some(2500.0), Some("N"))
        );
        assert_eq!(
            read("1 800,5", "1.100-2.500", ""),
            (Some(1800.5), Some(1100.0), Some(2500.0), Some("N"))
        );
        assert_eq!(read("titre 2,5", "1,100-2,500", "").1, Some(1.1));
    }

    #[test]
    fn the_numbers_of_a_range_that_stays_text_prove_it_too() {
        for range in ["M: 0,2-1,2 F: 0,1-1,1", "0,2-1,2 mmol/L", "bis 1,2", "0,2 - 1,2 (nüchtern)"]
        {
            assert_eq!(read("1,100", range, ""), (Some(1.1), None, None, None), "{range}");
        }
        assert_eq!(read("1,100", "M: 0.2-1.2 F: 0.1-1.1", "").0, Some(1100.0));
        assert_eq!(read("1.100", "M:150-1.200,5", "").0, Some(1100.0));
    }

    #[test]
    fn a_result_and_a_range_that_prove_different_signs_keep_their_own() {
        assert_eq!(read("1.15", "0,2-1,2", ""), (Some(1.15), Some(0.2), Some(1.2), Some("N")));
        assert_eq!(read("1,15", "0.2-1.2", ""), (Some(1.15), Some(0.2), Some(1.2), Some("N")));
    }

    #[test]
    fn the_laboratorys_flag_decides_where_it_fits_one_reading_alone() {
        assert_eq!(read("24.000", "<35,0", "N").0, Some(24.0));
        assert_eq!(read("24.000", "<35,0", "").0, Some(24000.0));
        assert_eq!(read("1.100", "0,2-1,2", "N").0, Some(1.1));
        assert_eq!(read("1,100", "0.2-1.2", "N").0, Some(1.1));
        assert_eq!(read("1,100", "0.2-1.2", "H").0, Some(1100.0));
        assert_eq!(read("1,100", "150-400", "H").0, Some(1100.0));
        assert_eq!(read("1,100", "150-400", "LL").0, Some(1.1));
        assert_eq!(read("1.100", "150-400", "HH").0, Some(1100.0));
        assert_eq!(read("1,100", "1-2", "N").0, Some(1.1));
        assert_eq!(read("1,100", "1-2", "").0, Some(1100.0));
        assert_eq!(read("2", "1,100-2,500", "N").1, Some(1.1));
        // The flag proves nothing if it agrees with both readings or with none, or names no
        // direction.
        assert_eq!(read("1,100", "1,000-1,200", "N").0, Some(1100.0));
        assert_eq!(read("1,100", "1-2", "L").0, Some(1100.0));
        assert_eq!(read("1,100", "1-2", "A").0, Some(1100.0));
        assert_eq!(read("5.100", "4-6", "H").0, Some(5.1));
        assert_eq!(read("5.100", "<6", "H").0, Some(5.1));
        // Nor does it prove anything if neither reading fits it.
        assert_eq!(read("1,100", "0,2-1,2", "H").0, Some(1.1));
        assert_eq!(read("1.100", "30,0-400,0", "N").0, Some(1100.0));
    }

    #[test]
    fn without_any_proof_a_dot_is_the_decimal_sign() {
        for range in ["", "150-400", "negative", "M:13-17 F:12-15", "0.5-1,2"] {
            assert_eq!(read("1,100", range, "").0, Some(1100.0), "{range}");
            assert_eq!(read("1.100", range, "").0, Some(1.1), "{range}");
            assert_eq!(read("1,50,000", range, "").0, Some(150_000.0), "{range}");
        }
        assert_eq!(read("5", "1,100-2,500", "").1, Some(1100.0));
    }
}
