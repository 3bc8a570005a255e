//! The analytes of the catalogue: the units in which laboratories report them, and their conversion
//! to the canonical unit.
//!
//! An entry only says how results convert. Its LOINC codes and names share a molar mass, but each
//! of them stays an analyte of its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::names::tidy_name;
use crate::fingerprint::Fingerprint;
use crate::units::{Spellings, is_factor_of_mass};

/// The conversion of a number from the reported unit to the analyte's canonical unit: one
/// multiplication or one division, then one addition. Each step is rounded once as IEEE 754 says,
/// so the same number gives the same bits everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitStep {
    factor: Factor,
    add: f64,
}

/// The factor as the catalogue writes it. A division by 0.0555 and a multiplication by its rounded
/// reciprocal differ in the last bits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Factor {
    MultiplyBy(f64),
    DivideBy(f64),
}

impl UnitStep {
    /// Converts a unit to itself.
    pub const IDENTITY: Self = Self { factor: Factor::MultiplyBy(1.0), add: 0.0 };

    /// The number in the canonical unit; it can be infinite, and is never −0.
    pub fn apply(self, value: f64) -> f64 {
        let scaled = match self.factor {
            Factor::MultiplyBy(factor) => value * factor,
            Factor::DivideBy(divisor) => value / divisor,
        };
        scaled + self.add
    }

    /// The inverse of [`UnitStep::apply`], up to rounding.
    pub fn undo(self, converted: f64) -> f64 {
        let scaled = converted - self.add;
        match self.factor {
            Factor::MultiplyBy(factor) => scaled / factor,
            Factor::DivideBy(divisor) => scaled * divisor,
        }
    }
}

/// One entry: an analyte and its units.
#[derive(Clone, Debug, PartialEq)]
pub struct Analyte {
    unit: String,
    /// Conversions by UCUM code: the canonical unit and those that convert to it.
    steps: BTreeMap<String, UnitStep>,
    spellings: Arc<Spellings>,
}

impl Analyte {
    /// The canonical UCUM unit of every figure of this analyte.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// The UCUM units that convert to it, in order.
    pub fn units(&self) -> impl Iterator<Item = &str> {
        self.steps.keys().map(String::as_str).filter(|unit| *unit != self.unit)
    }

    /// The conversion of a number in `unit`, as a laboratory spells it, to the canonical unit;
    /// `None` if no factor is known.
    pub fn step_from(&self, unit: &str) -> Option<UnitStep> {
        let readings = self.spellings.read(unit);
        readings.find(|code| {
            let step = *self.steps.get(code)?;
            let is_of_substance = readings
                .molar_mass
                .is_none_or(|mass| is_factor_of_mass(mass, code, &self.unit, step.apply(1.0)));
            is_of_substance.then_some(step)
        })
    }
}

/// All entries, by LOINC code and by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analytes {
    names: Vec<String>,
    entries: Vec<Analyte>,
    by_code: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    spellings: Arc<Spellings>,
}

impl Analytes {
    /// Finds the entry of a result by its LOINC code, or without one by its name. The name of a
    /// result with a code is ignored: results of one code come under many names, and all of them
    /// must convert alike.
    pub fn find(&self, loinc_code: Option<&str>, test_name: &str) -> Option<&Analyte> {
        let code = loinc_code.unwrap_or_default().trim();
        let index = if code.is_empty() {
            self.by_name.get(&tidy_name(test_name))
        } else {
            self.by_code.get(code)
        };
        self.entries.get(*index?)
    }

    /// A digest of all parts of the catalogue that decide the figures of an analyte with this
    /// entry, or without an entry.
    pub(crate) fn fingerprint(&self, entry: Option<&Analyte>) -> i64 {
        let mut digest = Fingerprint::new();
        digest.integer(self.spellings.fingerprint());
        if let Some(analyte) = entry {
            digest.text(&analyte.unit);
            for (unit, step) in &analyte.steps {
                let (way, number) = match step.factor {
                    Factor::MultiplyBy(factor) => (0, factor),
                    Factor::DivideBy(divisor) => (1, divisor),
                };
                digest.text(unit).integer(way).number(number).number(step.add);
            }
        }
        digest.finish().cast_signed()
    }

    /// The UCUM code of a unit as a laboratory spells it, so that two spellings of one unit are
    /// equal. A text that is no unit, or that is ambiguous, is returned unchanged.
    pub fn unit_code<'u>(&self, unit: &'u str) -> Cow<'u, str> {
        let code = self.spellings.read(unit).find(|code| Some(code.to_owned()));
        code.map_or(Cow::Borrowed(unit), Cow::Owned)
    }

    /// Each entry with its name, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Analyte)> {
        self.names.iter().map(String::as_str).zip(&self.entries)
    }

    /// Builds the analytes from the entries of the file.
    pub(super) fn new(
        entries: BTreeMap<String, AnalyteEntry>,
        spellings: Arc<Spellings>,
    ) -> Result<Self, AnalyteError> {
        let mut analytes = Self { spellings, ..Self::default() };
        let names: Vec<String> = entries.keys().cloned().collect();
        for (index, (entry_name, entry)) in entries.into_iter().enumerate() {
            let fail = |problem| AnalyteError { analyte: entry_name.clone(), problem };
            if entry.loinc.is_empty() && entry.names.is_empty() {
                return Err(fail(Problem::Nameless));
            }
            let listed_by =
                |other: usize| names.get(other).cloned().unwrap_or_else(|| entry_name.clone());
            for code in &entry.loinc {
                if !is_loinc(code) {
                    return Err(fail(Problem::Code(code.clone())));
                }
                if let Some(other) = analytes.by_code.insert(code.clone(), index) {
                    return Err(fail(Problem::Twice(code.clone(), listed_by(other))));
                }
            }
            for name in &entry.names {
                let tidied = tidy_name(name);
                if tidied.is_empty() {
                    return Err(fail(Problem::Nameless));
                }
                if let Some(other) = analytes.by_name.insert(tidied, index) {
                    return Err(fail(Problem::Twice(name.clone(), listed_by(other))));
                }
            }
            let spellings = Arc::clone(&analytes.spellings);
            analytes.entries.push(analyte(entry, spellings).map_err(fail)?);
        }
        analytes.names = names;
        Ok(analytes)
    }
}

/// An entry as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnalyteEntry {
    #[serde(default)]
    loinc: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    unit: String,
    #[serde(default)]
    units: BTreeMap<String, UnitEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnitEntry {
    multiply_by: Option<f64>,
    divide_by: Option<f64>,
    #[serde(default)]
    add: f64,
}

/// An entry cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("analytes.{analyte}: {problem}")]
pub struct AnalyteError {
    analyte: String,
    problem: Problem,
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum Problem {
    #[error("needs a LOINC code (loinc) or a name (names), and no blank one")]
    Nameless,
    #[error("\"{0}\" is no LOINC code: digits, a hyphen and the check digit")]
    Code(String),
    #[error("\"{0}\" is listed already, by analytes.{1}")]
    Twice(String, String),
    #[error("\"{0}\" is not a UCUM unit (https://ucum.org/ucum)")]
    Unit(String),
    #[error("units.\"{0}\" is the canonical unit itself")]
    Canonical(String),
    #[error("units.\"{0}\" needs either multiply_by or divide_by")]
    Factor(String),
    #[error("units.\"{0}\": {1} must be a positive number")]
    NotPositive(String, f64),
    #[error("units.\"{0}\": add = {1} must be a number")]
    NotFinite(String, f64),
}

fn analyte(entry: AnalyteEntry, spellings: Arc<Spellings>) -> Result<Analyte, Problem> {
    let AnalyteEntry { unit, units, .. } = entry;
    let mut steps = BTreeMap::from([(unit.clone(), UnitStep::IDENTITY)]);
    for (code, entry) in units {
        if code == unit {
            return Err(Problem::Canonical(code));
        }
        let step = step(&code, &entry)?;
        steps.insert(code, step);
    }
    if let Some(code) = steps.keys().find(|code| octofhir_ucum::validate(code).is_err()) {
        return Err(Problem::Unit(code.clone()));
    }
    Ok(Analyte { unit, steps, spellings })
}

fn step(code: &str, entry: &UnitEntry) -> Result<UnitStep, Problem> {
    let (factor, number) = match (entry.multiply_by, entry.divide_by) {
        (Some(number), None) => (Factor::MultiplyBy(number), number),
        (None, Some(number)) => (Factor::DivideBy(number), number),
        _ => return Err(Problem::Factor(code.to_owned())),
    };
    // A negative factor would swap the ends of a reference range.
    if !(number.is_finite() && number > 0.0) {
        return Err(Problem::NotPositive(code.to_owned(), number));
    }
    if !entry.add.is_finite() {
        return Err(Problem::NotFinite(code.to_owned(), entry.add));
    }
    Ok(UnitStep { factor, add: entry.add + 0.0 })
}

/// Whether the last digit of a LOINC code is the check digit (Mod 10) of those before the hyphen.
fn is_loinc(code: &str) -> bool {
    let Some((number, check)) = code.split_once('-') else {
        return false;
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=7).contains(&number.len()) || check.len() != 1 || !is_digits(number) {
        return false;
    }
    let sum: u32 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            let weighed = if place % 2 == 0 { digit * 2 } else { digit };
            weighed / 10 + weighed % 10
        })
        .sum();
    check == ((10 - sum % 10) % 10).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn convert(loinc_code: Option<&str>, name: &str, value: f64, unit: &str) -> Option<f64> {
        let catalogue = Catalogue::built_in().unwrap();
        let step = catalogue.analytes().find(loinc_code, name)?.step_from(unit)?;
        Some(step.apply(value))
    }

    fn error(body: &str) -> String {
        let text = format!("[spellings]\n[metrics]\n{body}\n");
        Catalogue::parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn the_factors_of_the_domain_lead_from_si_to_conventional_units() {
        for (code, unit, factor) in [
            ("2093-3", "mmol/L", 0.02586),
            ("2085-9", "mmol/L", 0.02586),
            ("2571-8", "mmol/L", 0.01129),
            ("2160-0", "umol/L", 88.4),
            ("1975-2", "umol/L", 17.1),
            ("3094-0", "mmol/L", 0.357),
            ("17861-6", "mmol/L", 0.2495),
            ("3084-1", "umol/L", 59.48),
        ] {
            assert_eq!(convert(Some(code), "", 5.3, unit), Some(5.3 / factor), "{code}");
            assert_eq!(convert(Some(code), "", 5.3, "mg/dL"), Some(5.3), "{code}");
        }
        // Glucose converts as it does in vitals.
        assert_eq!(convert(Some("2345-7"), "", 5.3, "mmol/L"), Some(5.3 * 18.01559));
        assert_eq!(convert(Some("4548-4"), "", 38.0, "mmol/mol"), Some(0.09148 * 38.0 + 2.152));
        assert_eq!(convert(Some("4548-4"), "", 5.6, "%"), Some(5.6));
    }

    #[test]
    fn the_molar_code_of_an_analyte_converts_as_its_mass_code() {
        for (mass, molar) in [
            ("2345-7", "14749-6"),
            ("2093-3", "14647-2"),
            ("2085-9", "14646-4"),
            ("13457-7", "39469-2"),
            ("2571-8", "14927-8"),
            ("2160-0", "14682-9"),
            ("1975-2", "14631-6"),
            ("3094-0", "14937-7"),
            ("17861-6", "2000-8"),
            ("3084-1", "14933-6"),
        ] {
            for unit in ["mg/dL", "mmol/L"] {
                let converted = convert(Some(mass), "", 5.3, unit);
                assert!(converted.is_some(), "{mass} {unit}");
                assert_eq!(convert(Some(molar), "", 5.3, unit), converted, "{mass} {unit}");
            }
        }
        let ngsp = convert(Some("4548-4"), "", 53.0, "mmol/mol");
        assert_eq!(convert(Some("59261-8"), "", 53.0, "mmol/mol"), ngsp);
    }

    #[test]
    fn everyday_spellings_of_names_and_units_are_known() {
        assert_eq!(convert(None, "  Fasting  GLUCOSE ", 5.5, "mmol/l"), Some(5.5 * 18.01559));
        assert_eq!(convert(None, "creatinine", 88.4, " \u{b5}mol/L "), Some(1.0));
        assert_eq!(convert(None, "creatinine", 88.4, "\u{3bc}mol/l"), Some(1.0));
        assert_eq!(convert(None, "BUN", 12.0, "MG/DL"), Some(12.0));
        assert_eq!(convert(None, "HbA1c", 5.6, "% of total Hgb"), Some(5.6));
        assert_eq!(convert(None, "Glucose", 1.0, "g/L"), Some(100.0));
        assert_eq!(convert(None, "Glucose", 1.0, "G/L"), Some(100.0));
        assert_eq!(convert(None, "Glucose", 5.0, "mmol<180.156>/L"), Some(5.0 * 18.01559));
    }

    #[test]
    fn what_has_no_factor_does_not_convert() {
        // Urea weighs 2.14 times the nitrogen in it, and is reported in the same units.
        assert_eq!(convert(None, "urea", 5.0, "mmol/L"), None);
        assert_eq!(convert(None, "glucose", 5.0, "mmol"), None);
        // The molar mass of cholesterol.
        assert_eq!(convert(None, "glucose", 5.0, "mmol<386.65>/L"), None);
        assert_eq!(convert(None, "glucose", 5.0, ""), None);
        assert_eq!(convert(None, "glucose", 5.0, &"m".repeat(300)), None);
        // An unknown code is not a known name.
        assert_eq!(convert(Some("9999-9"), "glucose", 5.0, "mmol/L"), None);
        assert_eq!(convert(Some(" "), "glucose", 5.0, "mg/dL"), Some(5.0));
    }

    #[test]
    fn a_number_in_the_canonical_unit_keeps_its_bits() {
        for value in [0.1, 5e-324, 1.797e308, -7.3, 0.0] {
            assert_eq!(UnitStep::IDENTITY.apply(value).to_bits(), value.to_bits());
        }
        let vanishing = UnitStep { factor: Factor::DivideBy(88.4), add: 0.0 };
        assert_eq!(vanishing.apply(-5e-324).to_bits(), 0);
    }

    #[test]
    fn the_check_digit_of_a_code_is_checked() {
        for code in ["2345-7", "14749-6", "4548-4", "59261-8", "12345-5"] {
            assert!(is_loinc(code), "{code}");
        }
        for code in ["2345-8", "2345", "-7", "2345-", "2345-77", "23x5-7", "glucose", ""] {
            assert!(!is_loinc(code), "{code}");
        }
    }

    #[test]
    fn an_entry_that_cannot_be_used_says_which_and_why() {
        let entry = |body: &str| error(&format!("[analytes.iron]\n{body}"));
        assert_eq!(
            entry("unit=\"ug/dL\""),
            "catalogue: analytes.iron: needs a LOINC code (loinc) or a name (names), and no blank one"
        );
        assert!(entry("names=[\" \"]\nunit=\"ug/dL\"").contains("no blank one"));
        assert!(
            entry("loinc=[\"2498-5\"]\nunit=\"ug/dL\"").contains("\"2498-5\" is no LOINC code")
        );
        assert!(
            entry("names=[\"Fe\",\"fe \"]\nunit=\"ug/dL\"").contains("\"fe \" is listed already")
        );
        assert!(entry("names=[\"fe\"]\nunit=\"parsec/\"").contains("\"parsec/\" is not a UCUM"));
        let units = |units: &str| entry(&format!("names=[\"fe\"]\nunit=\"ug/dL\"\nunits={units}"));
        assert!(units("{\"ug/dL\"={divide_by=1}}").contains("is the canonical unit itself"));
        assert!(units("{\"u mol\"={divide_by=1}}").contains("\"u mol\" is not a UCUM unit"));
        assert!(units("{\"umol/L\"={}}").contains("needs either multiply_by or divide_by"));
        assert!(units("{\"umol/L\"={divide_by=1,multiply_by=1}}").contains("needs either"));
        assert!(units("{\"umol/L\"={divide_by=0}}").contains("0 must be a positive number"));
        assert!(units("{\"umol/L\"={divide_by=1,add=nan}}").contains("add = NaN must be a number"));
        assert!(units("{\"umol/L\"={subtract=1}}").contains("unknown field `subtract`"));
        let twice = "[analytes.fe]\nnames=[\"iron\"]\nunit=\"ug/dL\"\n\
                     [analytes.iron]\nnames=[\"Iron\"]\nunit=\"ug/dL\"";
        assert!(error(twice).contains("analytes.iron: \"Iron\" is listed already, by analytes.fe"));
    }
}
