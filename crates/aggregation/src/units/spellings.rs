//! Finds the possible meanings of a unit as it is written.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use octofhir_ucum::{Case, evaluate, is_comparable, lookup_unit, parse_expression};

use super::fold::fold;
use crate::fingerprint::Fingerprint;

/// The aliases of the catalogue: everyday spellings of units, or of their parts, with their UCUM
/// codes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spellings {
    by_text: HashMap<String, String>,
    /// Aliases by lower-case text; `None` if two of them mean different units.
    by_lower_case: HashMap<String, Option<String>>,
    /// See [`Spellings::fingerprint`].
    fingerprint: u64,
}

/// The UCUM codes that a unit may mean.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Readings {
    /// Readings with regard to case: an alias, then UCUM.
    exact: Vec<String>,
    /// Readings without regard to case, unless an exact one measures the same quantity: Mmol/L and
    /// mmol/L.
    any_case: Vec<String>,
    /// See [`fold`].
    pub(crate) molar_mass: Option<f64>,
}

impl Readings {
    /// The result of the first exact reading that `accept` accepts; else the result that all other
    /// accepted readings share.
    pub(crate) fn find<T: PartialEq>(&self, accept: impl Fn(&str) -> Option<T>) -> Option<T> {
        let accepted =
            |codes: &[String]| codes.iter().filter_map(|code| accept(code)).collect::<Vec<_>>();
        accepted(&self.exact).into_iter().next().or_else(|| {
            let mut others = accepted(&self.any_case).into_iter();
            let first = others.next()?;
            others.all(|other| other == first).then_some(first)
        })
    }
}

impl Spellings {
    /// If two tables have the same text, the later one wins.
    pub(crate) fn new<'t>(tables: impl IntoIterator<Item = &'t BTreeMap<String, String>>) -> Self {
        let mut spellings = Self::default();
        for (text, code) in tables.into_iter().flatten() {
            if let Some(folded) = fold(text) {
                spellings.by_text.insert(folded.text, code.clone());
            }
        }
        let mut digest = Fingerprint::new();
        for (text, code) in spellings.by_text.iter().collect::<BTreeMap<_, _>>() {
            digest.text(text).text(code);
        }
        spellings.fingerprint = digest.finish();
        // The case of a count has no meaning: {Steps} are {steps}.
        let counts = spellings.by_text.values().filter(|code| code.starts_with('{'));
        for (text, code) in spellings.by_text.iter().chain(counts.map(|code| (code, code))) {
            spellings
                .by_lower_case
                .entry(text.to_lowercase())
                .and_modify(|known| {
                    if known.as_ref() != Some(code) {
                        *known = None;
                    }
                })
                .or_insert_with(|| Some(code.clone()));
        }
        spellings
    }

    /// A digest of all spellings.
    pub(crate) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The possible meanings of a unit; empty for a text that is no unit.
    pub(crate) fn read(&self, unit: &str) -> Readings {
        let Some(folded) = fold(unit) else { return Readings::default() };
        let text = folded.text.as_str();
        let alias = self.by_text.get(text).cloned();
        let code = self.code(text, Case::Sensitive);
        let lower_case = text.to_lowercase();
        let in_lower_case = self.by_lower_case.get(&lower_case).cloned().flatten();
        let mut any_case: Vec<String> = in_lower_case
            .into_iter()
            .chain(self.code(text, Case::Insensitive))
            .chain(ucum_symbol(text, text, Case::Insensitive))
            .collect();
        if let Some(code) = code.as_ref().filter(|code| !code.starts_with('{')) {
            any_case.retain(|other| !is_comparable(code, other).unwrap_or(false));
        }
        // A single letter is ambiguous without case: M, D, S.
        if text.chars().count() == 1 {
            any_case.clear();
        }
        let exact = alias.into_iter().chain(code).collect();
        Readings { exact, any_case, molar_mass: folded.molar_mass }
    }

    /// The UCUM code of an expression whose parts are aliases or UCUM symbols, without annotations.
    /// A count is an annotation alone, such as `{steps}`, and stays unchanged.
    fn code(&self, text: &str, case: Case) -> Option<String> {
        let bare = without_annotations(text);
        if bare.is_empty() {
            return is_ucum(text).then(|| text.to_owned());
        }
        let mut code = String::with_capacity(bare.len());
        for part in bare.split_inclusive(['/', '.', '(', ')']) {
            let (component, separator) =
                part.split_at(part.trim_end_matches(['/', '.', '(', ')']).len());
            if !component.is_empty() {
                let read = self.component(component, case)?;
                // An alias may mean a quotient: U/mM is U/(mmol/L).
                if component != bare && read.contains('/') {
                    code.push_str(&format!("({read})"));
                } else {
                    code.push_str(&read);
                }
            }
            code.push_str(separator);
        }
        // An alias may mean a count.
        let code = without_annotations(&code).into_owned();
        is_ucum(&code).then_some(code)
    }

    /// One symbol with its exponent. If an alias and a UCUM symbol mean different units without
    /// regard to case, the text is no part of an expression.
    fn component(&self, component: &str, case: Case) -> Option<String> {
        let number = |c: char| c.is_ascii_digit();
        if component.chars().all(number) {
            return Some(component.to_owned());
        }
        // A number before a unit is a factor: per 24h is per (24.h). But 10* is a symbol.
        let unit = component.trim_start_matches(number);
        if unit.len() < component.len() && !unit.starts_with(['*', '^']) {
            let count = component.strip_suffix(unit)?;
            return Some(format!("({count}.{})", self.component(unit, case)?));
        }
        let symbol = component.trim_end_matches(number).trim_end_matches(['-', '+']);
        let exponent = component.get(symbol.len()..).unwrap_or_default();
        let own = self.by_text.get(symbol);
        let in_ucum = ucum_symbol(component, symbol, case);
        let alias = match case {
            Case::Sensitive => own,
            Case::Insensitive => {
                own.or_else(|| self.by_lower_case.get(&symbol.to_lowercase())?.as_ref())
            }
        };
        let Some(alias) = alias else { return in_ucum };
        // Only a symbol may have an exponent, mmol/L may not.
        let is_symbol = exponent.is_empty() || lookup_unit(alias, Case::Sensitive).is_some();
        let aliased = is_symbol.then(|| format!("{alias}{exponent}"));
        let is_ambiguous = own.is_none() && in_ucum.is_some() && in_ucum != aliased;
        aliased.filter(|_| !is_ambiguous)
    }
}

/// A component with a UCUM symbol, in the case of UCUM's codes.
fn ucum_symbol(component: &str, symbol: &str, case: Case) -> Option<String> {
    // M alone may be the meter, the month, the mole in a liter, or a million.
    if case == Case::Insensitive && component == "M" {
        return None;
    }
    let (prefix, unit) = lookup_unit(symbol, case)?;
    let exponent = component.get(symbol.len()..).unwrap_or_default();
    // UCUM has two codes for the liter.
    let code = if unit.code == "l" { "L" } else { unit.code };
    Some(format!("{}{code}{exponent}", prefix.map_or("", |prefix| prefix.symbol)))
}

fn is_ucum(code: &str) -> bool {
    parse_expression(code).is_ok_and(|expression| evaluate(&expression).is_ok())
}

/// The expression without UCUM annotations, `{…}`, and without comments in parentheses after a
/// symbol, `mg/dL(calc)`. An annotation that is a whole factor is 1: `{beats}/min` is `/min`. Empty
/// if nothing else is left.
fn without_annotations(text: &str) -> Cow<'_, str> {
    if !text.contains(['{', '(']) {
        return text.into();
    }
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let is_behind_symbol = !bare.is_empty() && !bare.ends_with(['/', '.', '(']);
        let end = match character {
            '{' => rest.find('}'),
            '(' if is_behind_symbol => rest.find(')'),
            _ => None,
        };
        match end {
            Some(end) => {
                rest = rest.get(end + 1..).unwrap_or_default();
                let is_last = rest.is_empty() || rest.starts_with(['/', '.', ')']);
                if !is_behind_symbol && is_last {
                    bare.push('1');
                }
            }
            None => {
                bare.push(character);
                rest = rest.get(character.len_utf8()..).unwrap_or_default();
            }
        }
    }
    if bare == "1" {
        return "".into();
    }
    match bare.strip_prefix("1/") {
        Some(denominator) => format!("/{denominator}").into(),
        None => bare.trim_end_matches("/1").to_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spellings() -> Spellings {
        let table = [
            ("bpm", "/min"),
            ("mmHg", "mm[Hg]"),
            ("Cal", "kcal"),
            ("mM", "mmol/L"),
            ("hr", "h"),
            ("mcg", "ug"),
            ("mIU", "m[IU]"),
            ("beats", "{beats}"),
            ("{step}", "{steps}"),
            ("mL/min·kg", "mL/kg/min"),
        ];
        let table = table.map(|(text, code)| (text.to_owned(), code.to_owned()));
        Spellings::new([&BTreeMap::from(table)])
    }

    /// The one UCUM code that a unit is read as.
    fn code(unit: &str) -> Option<String> {
        spellings().read(unit).find(|code| Some(code.to_owned()))
    }

    #[test]
    fn an_annotation_never_changes_a_unit() {
        for (written, expected) in [
            ("{beats}/min", "/min"),
            ("{Beats}/min", "/min"),
            ("beats/min", "/min"),
            ("kg{body}", "kg"),
            ("mg/dL(calc)", "mg/dL"),
            ("mmol/mol{Hb}", "mmol/mol"),
            ("10*3{cells}/uL", "10*3/uL"),
            ("{cells}/uL", "/uL"),
            ("mL/min/{1.73_m2}", "mL/min"),
            ("mL/({kg}.min)", "mL/(1.min)"),
            ("{step}", "{steps}"),
            ("{flights}", "{flights}"),
            ("{INR}", "{INR}"),
        ] {
            assert_eq!(code(written).as_deref(), Some(expected), "{written}");
        }
        for written in ["{", "{beats", "{}", "}{", "kg{", "({)"] {
            assert_eq!(code(written), None, "{written}");
        }
    }

    #[test]
    fn case_is_ignored_where_ucum_has_no_second_meaning() {
        for (written, expected) in [
            ("MMHG", "mm[Hg]"),
            ("Kg", "kg"),
            ("KG/M2", "kg/m2"),
            ("ng/ml", "ng/mL"),
            ("NG/ML", "ng/mL"),
            ("MG/DL", "mg/dL"),
            ("MMOL/L", "mmol/L"),
            ("MIU/L", "m[IU]/L"),
            ("mCg/dl", "ug/dL"),
            ("BPM", "/min"),
            ("Min", "min"),
        ] {
            assert_eq!(code(written).as_deref(), Some(expected), "{written}");
        }
    }

    #[test]
    fn case_is_kept_where_it_has_a_meaning() {
        for (written, expected) in [
            ("Mmol/L", Some("Mmol/L")),
            ("mmol/L", Some("mmol/L")),
            ("Mg", Some("Mg")),
            ("cal", Some("cal")),
            ("Cal", Some("kcal")),
            ("CAL", None),
            ("M", None),
            ("mM", Some("mmol/L")),
            ("MM", None),
        ] {
            assert_eq!(code(written).as_deref(), expected, "{written}");
        }
        // A megagauss is no mass, so only the milligram fits where a mass is required.
        let milligrams =
            |unit: &str| spellings().read(unit).find(|code| (code == "mg").then_some(()));
        assert_eq!(milligrams("MG"), Some(()));
        assert_eq!(milligrams("Mg"), None);
        // A single letter is read with regard to case.
        assert_eq!(spellings().read("G").find(|code| (code == "g").then_some(())), None);
    }

    #[test]
    fn an_alias_goes_before_ucum_also_for_a_part() {
        assert_eq!(code("mL/min·kg").as_deref(), Some("mL/kg/min"));
        assert_eq!(code("mcg/dL").as_deref(), Some("ug/dL"));
        assert_eq!(code("km/hr").as_deref(), Some("km/h"));
        assert_eq!(code("hr-1").as_deref(), Some("h-1"));
        assert_eq!(code("mg/24hr").as_deref(), Some("mg/(24.h)"));
        assert_eq!(code("U/mM").as_deref(), Some("U/(mmol/L)"));
        assert_eq!(code("mM2"), None);
    }

    #[test]
    fn what_is_no_unit_has_no_code() {
        for written in
            ["", "furlongs per fortnight", "//", "/", "mg//dL", "mg/", "💧", "1e400", "((((", "0"]
        {
            assert_eq!(code(written), None, "{written}");
        }
    }
}
