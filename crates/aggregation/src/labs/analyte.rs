//! The analyte and unit of a result: the key of a day's row.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use super::{LabValue, RawLab};
use crate::Reason;
use crate::catalogue::{Analyte, Analytes, UnitStep, tidy_name};

/// The longest analyte key. PostgreSQL refuses index entries over 2,704 bytes, so one endless name
/// would fail its whole group at each retry. No real test has so long a name.
pub(super) const LONGEST_ANALYTE_BYTES: usize = 1024;
/// The longest unit, for the reason of [`LONGEST_ANALYTE_BYTES`]; the longest UCUM code in use has
/// about 40 bytes.
pub(super) const LONGEST_UNIT_BYTES: usize = 256;

/// The analyte key of a result: the LOINC code, else `name:` and the name. If there is a specimen,
/// `|` and the specimen follow. A LOINC code implies the specimen.
///
/// Different analytes never share a key:
/// - A `|` in the name or the specimen is doubled, so the specimen begins at a run of an odd number
///   of them. A specimen that itself begins with `|` is separated by a space. Otherwise `a|` of `b`
///   and `a` of `|b` would both be `a|||b`.
/// - A code that looks like a name gets the prefix `code:`.
///
/// # Errors
/// [`Reason::UnnamedTest`] if code and name are blank, [`Reason::KeyTooLong`].
pub fn analyte_key(
    loinc_code: Option<&str>,
    test_name: &str,
    specimen: Option<&str>,
) -> Result<String, Reason> {
    let code = loinc_code.unwrap_or_default().trim();
    let key = if code.starts_with("name:") || code.starts_with("code:") {
        format!("code:{code}")
    } else if !code.is_empty() {
        code.to_owned()
    } else {
        let name = tidy_name(test_name).replace('|', "||");
        if name.is_empty() {
            return Err(Reason::UnnamedTest);
        }
        let specimen = tidy_name(specimen.unwrap_or_default()).replace('|', "||");
        let separator = match specimen.chars().next() {
            None => "",
            Some('|') => "| ",
            Some(_) => "|",
        };
        format!("name:{name}{separator}{specimen}")
    };
    if key.len() > LONGEST_ANALYTE_BYTES { Err(Reason::KeyTooLong) } else { Ok(key) }
}

/// The analyte of a raw row.
///
/// # Errors
/// See [`analyte_key`].
pub(super) fn key(row: &RawLab) -> Result<String, Reason> {
    analyte_key(row.loinc_code.as_deref(), &row.test_name, row.specimen.as_deref())
}

/// The unit of a result as written, without surrounding space; empty if there is none.
///
/// # Errors
/// [`Reason::KeyTooLong`].
pub(super) fn reported_unit(row: &RawLab) -> Result<&str, Reason> {
    let unit = row.unit.as_deref().unwrap_or_default().trim();
    if unit.len() > LONGEST_UNIT_BYTES { Err(Reason::KeyTooLong) } else { Ok(unit) }
}

/// The units of a result, and the conversion between them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unit<'a> {
    /// See [`reported_unit`].
    pub(super) reported: &'a str,
    /// The unit for numbers: the analyte's canonical unit if a factor is known, else the reported
    /// one by its UCUM code. All revisions of one result share it.
    pub(super) canonical: Cow<'a, str>,
    /// The unit of the figures, a part of the key of the day's row.
    pub(super) kept: Cow<'a, str>,
    /// The conversion from the reported unit to `kept`.
    pub(super) step: UnitStep,
}

impl<'a> Unit<'a> {
    /// The unit of a result with `value`. Numbers and bounds are kept in the canonical unit of
    /// their analyte. A text cannot be converted, and `4-6` found in mmol/L must not be in a row of
    /// mg/dL. So a text keeps the reported unit, unless that is another spelling of the canonical
    /// one.
    pub(super) fn for_value(
        reported: &'a str,
        value: &LabValue,
        analyte: Option<&'a Analyte>,
        analytes: &Analytes,
    ) -> Self {
        let known =
            analyte.and_then(|analyte| Some((analyte.unit(), analyte.step_from(reported)?)));
        let code = || analytes.unit_code(reported);
        let (canonical, kept, step) = match known {
            None => (code(), code(), UnitStep::IDENTITY),
            Some((unit, step)) if step != UnitStep::IDENTITY && value.text().is_some() => {
                (unit.into(), code(), UnitStep::IDENTITY)
            }
            Some((unit, step)) => (unit.into(), unit.into(), step),
        };
        Self { reported, canonical, kept, step }
    }
}

/// The unit of a result, as it may follow the numbers of its reference range.
#[derive(Clone, Debug)]
pub(super) struct OwnUnit<'a> {
    /// See [`reported_unit`].
    reported: &'a str,
    /// The reported unit in the form of [`plain`], for comparisons.
    plain: String,
    /// The analyte and the conversion of this unit, if the analyte has one.
    conversion: Option<(&'a Analyte, UnitStep)>,
    /// Cached answers of [`OwnUnit::is_spelled`]. A range is read with both decimal signs, and
    /// split at each of its dashes, so the same ends of texts are compared repeatedly.
    spellings: RefCell<HashMap<String, bool>>,
}

impl<'a> OwnUnit<'a> {
    pub(super) fn new(reported: &'a str, analyte: Option<&'a Analyte>) -> Self {
        let conversion = analyte.and_then(|analyte| Some((analyte, analyte.step_from(reported)?)));
        Self { reported, plain: plain(reported), conversion, spellings: RefCell::default() }
    }

    /// A text without this unit after its last number or bracket, trimmed. A text that ends with
    /// another unit stays unchanged.
    pub(super) fn strip<'t>(&self, text: &'t str) -> &'t str {
        let text = text.trim();
        // Other spellings are hardly longer. Without a limit, each digit of a long text would be
        // tried.
        let longest = 2 * self.reported.len() + 40;
        let is_end = |c: &char| c.is_ascii_digit() || matches!(c, ')' | ']');
        let ends = text.char_indices().rev().take_while(|(start, _)| text.len() - start <= longest);
        ends.filter(|(_, c)| is_end(c))
            .map(|(start, _)| text.split_at(start + 1))
            // Digits in a row are one number. The longest tail that is a spelling is removed.
            .filter(|(_, tail)| {
                !tail.starts_with(|c: char| c.is_ascii_digit())
                    && self.is_spelled(without_brackets(tail.trim()))
            })
            .last()
            .map_or(text, |(number, _)| number)
    }

    /// Whether `unit` is a spelling of this unit: equal except for case, spaces and the code point
    /// of the micro sign, or with an equal conversion.
    fn is_spelled(&self, unit: &str) -> bool {
        if unit.is_empty() || self.reported.is_empty() {
            return false;
        }
        if let Some(known) = self.spellings.borrow().get(unit) {
            return *known;
        }
        let is_spelled = plain(unit) == self.plain
            || self.conversion.is_some_and(|(analyte, step)| analyte.step_from(unit) == Some(step));
        self.spellings.borrow_mut().insert(unit.to_owned(), is_spelled);
        is_spelled
    }
}

/// A unit in lower case, without spaces, and with one code point for the micro sign.
fn plain(unit: &str) -> String {
    tidy_name(unit).replace(' ', "").replace(['\u{b5}', '\u{3bc}'], "u")
}

/// A text without the brackets around it.
pub(super) fn without_brackets(text: &str) -> &str {
    let inside = |open, close| text.strip_prefix(open)?.strip_suffix(close);
    inside('(', ')').or_else(|| inside('[', ']')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::super::number::DecimalSign;
    use super::super::tests::{analytes, lab};
    use super::*;

    fn key_of(name: &str, code: Option<&str>, specimen: Option<&str>) -> Result<String, Reason> {
        key(&RawLab {
            test_name: name.to_owned(),
            loinc_code: code.map(str::to_owned),
            specimen: specimen.map(str::to_owned),
            ..lab("2024-03-05 08:00", "1")
        })
    }

    #[test]
    fn the_loinc_code_names_the_analyte_without_its_specimen() {
        assert_eq!(key_of("Glucose", Some(" 2345-7 "), Some("Serum")).unwrap(), "2345-7");
        assert_eq!(key_of("", Some("2345-7"), None).unwrap(), "2345-7");
    }

    #[test]
    fn without_a_code_name_and_specimen_do_whatever_their_case_and_spaces() {
        let key = key_of("  Vitamin   D\tTotal ", Some("  "), Some(" Whole\u{a0}Blood "));
        assert_eq!(key.unwrap(), "name:vitamin d total|whole blood");
        assert_eq!(key_of("GLUCOSE", None, Some("  ")).unwrap(), "name:glucose");
        assert_eq!(key_of("a|b", None, Some("c|d")).unwrap(), "name:a||b|c||d");
    }

    #[test]
    fn a_test_without_code_and_name_is_unnamed() {
        assert_eq!(key_of(" \t", None, Some("blood")), Err(Reason::UnnamedTest));
        assert_eq!(key_of("", Some(" "), None), Err(Reason::UnnamedTest));
    }

    #[test]
    fn different_analytes_never_share_a_key() {
        let texts = ["a", "a|", "|a", "|", "||", "a|a", "a||a", "| a", "a |", "| |", "a b"];
        let mut keys: Vec<String> = Vec::new();
        for name in texts {
            keys.push(key_of(name, None, None).unwrap());
            keys.extend(texts.iter().map(|specimen| key_of(name, None, Some(specimen)).unwrap()));
        }
        keys.extend(["name:a", "code:name:a", "a"].map(|c| key_of("x", Some(c), None).unwrap()));
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn a_key_that_no_index_could_hold_is_rejected() {
        let long = "x".repeat(LONGEST_ANALYTE_BYTES - "name:".len());
        assert!(key_of(&long, None, None).is_ok());
        assert_eq!(key_of(&format!("{long}x"), None, None), Err(Reason::KeyTooLong));
        assert_eq!(key_of("x", Some(&"9".repeat(1025)), None), Err(Reason::KeyTooLong));
        assert_eq!(kept("4548-4", Some(&"g".repeat(257)), "5"), Err(Reason::KeyTooLong));
    }

    /// The unit in which a result is kept.
    fn kept(code: &str, unit: Option<&str>, value: &str) -> Result<String, Reason> {
        let row = RawLab {
            loinc_code: Some(code.to_owned()),
            unit: unit.map(str::to_owned),
            ..lab("2024-03-05 08:00", value)
        };
        let value = LabValue::read(value, DecimalSign::Dot).unwrap();
        let reported = reported_unit(&row)?;
        let analyte = analytes().find(Some(code), &row.test_name);
        Ok(Unit::for_value(reported, &value, analyte, analytes()).kept.into_owned())
    }

    #[test]
    fn units_without_a_factor_are_kept_by_their_ucum_code() {
        for code in ["2276-4", "2345-7"] {
            assert_eq!(kept(code, Some(" ng/mL "), "5").unwrap(), "ng/mL");
            assert_eq!(kept(code, Some("  "), "5").unwrap(), "");
            assert_eq!(kept(code, None, "5").unwrap(), "");
        }
        for unit in ["ng/ml", "NG/ML", "ng / mL"] {
            assert_eq!(kept("2276-4", Some(unit), "5").unwrap(), "ng/mL");
        }
        for unit in ["\u{b5}g/L", "\u{3bc}g/l", "mcg/L"] {
            assert_eq!(kept("2276-4", Some(unit), "5").unwrap(), "ug/L");
        }
        // The first is no unit. The second is the gauss, which a French laboratory uses for 10*9.
        for unit in ["spoons", "G/L"] {
            assert_eq!(kept("2276-4", Some(unit), "5").unwrap(), unit);
        }
    }

    #[test]
    fn numbers_and_bounds_are_kept_in_the_canonical_unit_and_texts_as_reported() {
        for unit in ["mg/dL", "mg/dl", " mmol/L"] {
            assert_eq!(kept("2345-7", Some(unit), "5").unwrap(), "mg/dL");
            assert_eq!(kept("2345-7", Some(unit), "<5").unwrap(), "mg/dL");
        }
        assert_eq!(kept("2345-7", Some("mmol/l"), "4-6").unwrap(), "mmol/L");
        assert_eq!(kept("2345-7", Some("mg/dl"), "4-6").unwrap(), "mg/dL");
    }
}
