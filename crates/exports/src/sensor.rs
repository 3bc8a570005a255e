//! Readings of glucose sensors that are out of their range.

/// Where glucose sensors write `Low` and `High` instead of a number: unit, lowest, highest. Dexcom's
/// user guide has these bounds; those of other makers lie in the same ranges of the consensus.
const SENSOR_BOUNDS: [(&str, &str, &str); 2] = [("mg/dL", "40", "400"), ("mmol/L", "2.2", "22.2")];

/// The comparator that the word for a reading out of the range means.
pub fn out_of_range(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "low" | "lo" => Some("<"),
        "high" | "hi" => Some(">"),
        _ => None,
    }
}

/// The bound of a glucose sensor in this unit.
pub fn bounds_of_sensor(unit: &str, comparator: &str) -> Option<&'static str> {
    let (_, low, high) = SENSOR_BOUNDS.iter().find(|(of, ..)| unit.eq_ignore_ascii_case(of))?;
    Some(if comparator == "<" { low } else { high })
}

/// A reading of a glucose sensor: its comparator and its value. The decimal sign may be a comma.
pub(crate) fn reading(text: &str, unit: &str) -> Option<(Option<&'static str>, f64)> {
    let text = text.trim();
    if let Some(comparator) = out_of_range(text) {
        return Some((Some(comparator), bounds_of_sensor(unit, comparator)?.parse().ok()?));
    }
    text.replace(',', ".").parse().ok().map(|value| (None, value))
}
