//! Maps the spellings of a unit that only differ in characters to one text.

use unicode_normalization::UnicodeNormalization;

/// The longest unit. It bounds the work for a text that is no unit.
const LONGEST_UNIT_BYTES: usize = 128;

/// A unit in the characters of UCUM, and the molar mass written beside it.
#[derive(Debug, PartialEq)]
pub(super) struct Folded {
    pub(super) text: String,
    /// Apple writes the substance of an amount as its molar mass in g/mol: `mmol<180.156>/L`.
    pub(super) molar_mass: Option<f64>,
}

/// Folds a unit: compatibility folding (NFKC), no white space, and the signs of UCUM for
/// multiplication, division and powers. `None` if it is empty or too long to be a unit.
pub(super) fn fold(unit: &str) -> Option<Folded> {
    if unit.len() > LONGEST_UNIT_BYTES {
        return None;
    }
    let characters: String = marked_powers(unit).nfkc().filter_map(in_ucum).collect();
    let (text, molar_mass) = without_molar_mass(&characters);
    let text = powers_of_ten(&text.replace("**", "^"));
    (!text.is_empty()).then_some(Folded { text, molar_mass })
}

/// Adds `^` before superscript digits: NFKC alone would turn 10⁹ into 109.
fn marked_powers(unit: &str) -> String {
    let mut marked = String::with_capacity(unit.len());
    let mut was_superscript = false;
    for character in unit.chars() {
        let is_superscript = matches!(
            character,
            '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{2070}' | '\u{2074}'
                ..='\u{2079}' | '\u{207a}' | '\u{207b}'
        );
        if is_superscript && !was_superscript {
            marked.push('^');
        }
        marked.push(character);
        was_superscript = is_superscript;
    }
    marked
}

/// The UCUM character for one that looks alike; `None` for white space and invisible ones.
fn in_ucum(character: char) -> Option<char> {
    match character {
        '\u{b5}' | '\u{3bc}' => Some('u'),
        // Middle dot, bullet, dot operator.
        '\u{b7}' | '\u{2022}' | '\u{2219}' | '\u{22c5}' => Some('.'),
        // Multiplication signs.
        '\u{d7}' | '\u{2715}' => Some('x'),
        // Fraction and division slashes.
        '\u{2044}' | '\u{2215}' => Some('/'),
        // Hyphens and the minus sign.
        '\u{2010}' | '\u{2011}' | '\u{2212}' => Some('-'),
        // Soft hyphen, zero-width characters, byte order mark.
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => None,
        other => (!other.is_whitespace() && !other.is_control()).then_some(other),
    }
}

/// Splits `<180.156>` off the text.
fn without_molar_mass(unit: &str) -> (String, Option<f64>) {
    let parts = || {
        let (before, rest) = unit.split_once("mol<")?;
        let (mass, after) = rest.split_once('>')?;
        let mass = mass.parse().ok().filter(|mass: &f64| mass.is_finite() && *mass > 0.0)?;
        Some((format!("{before}mol{after}"), Some(mass)))
    };
    parts().unwrap_or_else(|| (unit.to_owned(), None))
}

/// UCUM's `10*9` for `10^9`, `x10E9`, `10e9`, `10(9)` and `10x9`. Elsewhere an exponent has no sign
/// before it (`m^2` is `m2`), and multiplication is `.` (`kg*min`).
fn powers_of_ten(unit: &str) -> String {
    let mut rest = unit;
    let mut text = String::with_capacity(unit.len());
    while let Some(character) = rest.chars().next() {
        let begins_number = !text.ends_with(|c: char| c.is_ascii_digit() || c == '.');
        let times = rest.strip_prefix(['x', 'X', '*']).filter(|_| text.is_empty()).unwrap_or(rest);
        if begins_number && let Some((exponent, after)) = power_of_ten(times) {
            text.push_str("10*");
            text.push_str(exponent);
            rest = after;
            continue;
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
        match character {
            '^' => {}
            '*' => text.push('.'),
            other => text.push(other),
        }
    }
    text
}

/// The exponent of the power of ten at the beginning of the text, and the text after it.
fn power_of_ten(text: &str) -> Option<(&str, &str)> {
    let behind_ten = text.strip_prefix("10")?;
    let signed = behind_ten.strip_prefix(['^', '*', 'e', 'E', 'x', 'X', '('])?;
    let digits = signed.strip_prefix(['-', '+']).unwrap_or(signed);
    let end = signed.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (exponent, after) = signed.split_at_checked(end)?;
    if !exponent.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let after = if behind_ten.starts_with('(') { after.strip_prefix(')')? } else { after };
    Some((exponent.trim_start_matches('+'), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(unit: &str) -> String {
        fold(unit).unwrap().text
    }

    #[test]
    fn characters_that_look_alike_are_one() {
        for (written, text) in [
            (" mmHg\u{a0}", "mmHg"),
            ("mm Hg", "mmHg"),
            ("\u{b5}g/L", "ug/L"),
            ("\u{3bc}g/L", "ug/L"),
            ("\u{2103}", "°C"),
            ("ｍｇ／ｄＬ", "mg/dL"),
            ("㎎/㎗", "mg/dl"),
            ("％", "%"),
            ("mL/min·kg", "mL/min.kg"),
            ("mL⋅kg⁻¹⋅min⁻¹", "mL.kg-1.min-1"),
            ("kg/m²", "kg/m2"),
            ("kg/m^2", "kg/m2"),
            ("ml/(kg*min)", "ml/(kg.min)"),
            ("mg\u{200b}/dL\u{feff}", "mg/dL"),
        ] {
            assert_eq!(folded(written), text, "{written}");
        }
    }

    #[test]
    fn powers_of_ten_are_those_of_ucum() {
        for written in [
            "10*9/L",
            "10^9/L",
            "×10^9/L",
            "x10^9/L",
            "X10E9/L",
            "10⁹/L",
            "× 10⁹ / L",
            "10e9/L",
            "10**9/L",
            "x10(9)/L",
            "10x9/L",
            "10^+9/L",
        ] {
            assert_eq!(folded(written), "10*9/L", "{written}");
        }
        assert_eq!(folded("10*-3.mol"), "10*-3.mol");
        assert_eq!(folded("/10*6"), "/10*6");
        assert_eq!(folded("10"), "10");
        assert_eq!(folded("10^L"), "10L");
        assert_eq!(folded("110^3"), "1103");
    }

    #[test]
    fn the_molar_mass_of_apple_is_set_apart() {
        let apple = fold("mmol<180.1558800000541>/L").unwrap();
        assert_eq!((apple.text.as_str(), apple.molar_mass), ("mmol/L", Some(180.1558800000541)));
        for written in ["mmol<x>/L", "mmol<-1>/L", "mmol<1", "mol<NaN>"] {
            assert_eq!(fold(written).unwrap().molar_mass, None, "{written}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_a_unit_is_not_looked_into() {
        assert_eq!(fold(""), None);
        assert_eq!(fold(" \u{a0}\u{200b}"), None);
        assert_eq!(fold(&"m".repeat(1_000_000)), None);
    }
}
