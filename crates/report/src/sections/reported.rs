//! Results as their laboratories reported them.

use std::borrow::Cow;

use store::LabResults;

use crate::text;

/// A result as its laboratory reported it, and the figures that differ from it.
pub struct Reported<'r> {
    /// The result.
    pub value: Cow<'r, str>,
    /// Its unit; empty if the laboratory gave none.
    pub unit: &'r str,
    /// Its reference range.
    pub range: Option<&'r str>,
    /// The value that was read, if the text differs.
    pub figure: Option<String>,
    /// The range that was read, if the text differs.
    pub range_figure: Option<String>,
    /// The unit of the figures, if it differs from the reported one.
    pub other_unit: Option<&'r str>,
}

impl<'r> Reported<'r> {
    /// Compares the text with the figures.
    pub fn from_row(row: &'r LabResults) -> Self {
        let range = row.reported_range.as_deref();
        let says_ends = |text: &str| {
            let ends = [row.reference_low, row.reference_high].into_iter().flatten();
            ends.into_iter().all(|end| text.contains(&end.to_string()))
        };
        let says_range = range.is_some_and(says_ends);
        let figures_of_range = |write| self::range(row, write).filter(|_| !says_range);
        // Days of older versions only have the figures.
        let Some(value) = row.reported_value.as_deref() else {
            return Self {
                value: said(row, text::result).into(),
                unit: &row.unit,
                range,
                figure: None,
                range_figure: figures_of_range(text::result),
                other_unit: None,
            };
        };
        let unit = row.reported_unit.as_deref().unwrap_or_default();
        let number = value.trim_start_matches(['<', '>', '=', '\u{2264}', '\u{2265}']).trim();
        let says_value = row.last_value.is_none() || number.parse().ok() == row.last_value;
        let is_converted = !row.unit.eq_ignore_ascii_case(unit)
            && (!says_value || figures_of_range(text::result).is_some());
        let other_unit = Some(row.unit.as_str()).filter(|_| is_converted);
        let write = if is_converted { text::converted } else { text::result };
        let with_unit = |figure: String| match other_unit {
            Some(unit) => format!("{figure} {unit}"),
            None => figure,
        };
        Self {
            value: value.into(),
            unit,
            range,
            figure: (!says_value).then(|| with_unit(said(row, write))),
            range_figure: figures_of_range(write).map(with_unit),
            other_unit,
        }
    }
}

/// The result with its comparator, as a laboratory would write it.
pub fn said(row: &LabResults, write: fn(f64) -> String) -> String {
    let comparator = row.last_comparator.as_deref().unwrap_or_default();
    match (row.last_value, &row.last_text) {
        (Some(value), _) => format!("{comparator}{}", write(value)),
        (None, Some(text)) => text.clone(),
        (None, None) => text::NONE.to_owned(),
    }
}

/// The range in the figure's unit.
pub fn range(row: &LabResults, write: fn(f64) -> String) -> Option<String> {
    match (row.reference_low, row.reference_high) {
        (Some(low), Some(high)) => Some(format!("{}–{}", write(low), write(high))),
        (Some(low), None) => Some(format!("from {}", write(low))),
        (None, Some(high)) => Some(format!("up to {}", write(high))),
        (None, None) => None,
    }
}

/// A flag that is readable without colour.
pub fn flagged(flag: &str) -> String {
    match flag {
        "HH" => "HH ▲▲".to_owned(),
        "H" => "H ▲".to_owned(),
        "L" => "L ▼".to_owned(),
        "LL" => "LL ▼▼".to_owned(),
        other => other.to_owned(),
    }
}

/// A flag in a word; `None` for one that needs none.
pub fn meaning(flag: &str) -> Option<&'static str> {
    match flag {
        "HH" => Some("far above"),
        "H" => Some("above"),
        "L" => Some("below"),
        "LL" => Some("far below"),
        "A" | "AA" => Some("abnormal"),
        _ => None,
    }
}

/// The difference to the result before.
pub fn delta(row: &LabResults, unit: Option<&str>) -> String {
    let signed = |value: f64, text: String| if value > 0.0 { format!("+{text}") } else { text };
    let Some(delta) = row.delta else { return text::NONE.to_owned() };
    let percent = row
        .delta_percent
        .map(|percent| format!(" ({} %)", signed(percent, text::places(Some(percent), 0))));
    let unit = unit.map_or_else(String::new, |unit| format!(" {unit}"));
    format!("{}{unit}{}", signed(delta, text::result(delta)), percent.unwrap_or_default())
}

#[cfg(test)]
pub mod tests {
    use aggregation::Timestamp;
    use chrono::NaiveDate;
    use store::DayRow;

    use super::*;

    /// A result of potassium.
    pub fn result(low: Option<f64>, high: Option<f64>) -> LabResults {
        LabResults {
            day: DayRow {
                date: NaiveDate::default(),
                time_zone: "UTC".to_owned(),
                is_partial: false,
                rejected: None,
                algorithm_version: 2,
                computed_at: Timestamp(0),
                sources: Vec::new(),
            },
            analyte: "2823-3".to_owned(),
            unit: "mmol/L".to_owned(),
            result_count: 1,
            last_value: Some(4.0),
            last_comparator: None,
            last_text: None,
            last_at: Timestamp(0),
            min: Some(4.0),
            max: Some(4.0),
            reference_low: low,
            reference_high: high,
            reported_value: Some("4.0".to_owned()),
            reported_unit: Some("mmol/l".to_owned()),
            reported_range: None,
            last_flag: None,
            worst_flag: None,
            delta: None,
            delta_percent: None,
        }
    }

    #[test]
    fn a_result_is_shown_as_reported_and_the_figures_only_where_they_are_others() {
        let shown = |row: &LabResults| {
            let reported = Reported::from_row(row);
            [
                Some(reported.value.into_owned()),
                Some(reported.unit.to_owned()),
                reported.figure,
                reported.range.map(str::to_owned),
                reported.range_figure,
                reported.other_unit.map(str::to_owned),
            ]
            .map(|text| text.unwrap_or_else(|| "-".to_owned()))
        };
        let row = |value: &str, unit: &str, range: &str, figure: f64| LabResults {
            unit: "mg/dL".to_owned(),
            last_value: Some(figure),
            reported_value: Some(value.to_owned()),
            reported_unit: Some(unit.to_owned()),
            reported_range: Some(range.to_owned()),
            ..result(Some(0.5), Some(1.5))
        };
        assert_eq!(
            shown(&row("80", "\u{b5}mol/L", "44.2-132.6", 0.905)),
            ["80", "\u{b5}mol/L", "0.905 mg/dL", "44.2-132.6", "0.5\u{2013}1.5 mg/dL", "mg/dL"]
        );
        assert_eq!(
            shown(&row("0.90", "mg/dl", "0.5 - 1.5", 0.9)),
            ["0.90", "mg/dl", "-", "0.5 - 1.5", "-", "-"]
        );
        assert_eq!(
            shown(&row("1,100", "mg/dL", "0,5 - 1,5", 1.1)),
            ["1,100", "mg/dL", "1.1", "0,5 - 1,5", "0.5\u{2013}1.5", "-"]
        );
        let old = LabResults { reported_value: None, reported_range: None, ..row("", "", "", 1.1) };
        assert_eq!(shown(&old), ["1.1", "mg/dL", "-", "-", "0.5\u{2013}1.5", "-"]);
        let words = LabResults {
            unit: "mmol/L".to_owned(),
            last_value: None,
            last_text: Some("trace".to_owned()),
            ..row("trace", "mmol/L", "negative", 0.0)
        };
        let words = LabResults { reference_low: None, reference_high: None, ..words };
        assert_eq!(shown(&words), ["trace", "mmol/L", "-", "negative", "-", "-"]);
    }

    #[test]
    fn a_result_is_said_as_a_laboratory_writes_it() {
        let bound = LabResults { last_comparator: Some("<".to_owned()), ..result(None, None) };
        assert_eq!(said(&bound, text::result), "<4");
        let words = LabResults {
            last_value: None,
            last_text: Some("positive".to_owned()),
            ..result(None, None)
        };
        assert_eq!(said(&words, text::result), "positive");
        let fallen =
            LabResults { delta: Some(-1.25), delta_percent: Some(-23.8), ..result(None, None) };
        assert_eq!(delta(&fallen, None), "−1.25 (−24 %)");
        assert_eq!(delta(&fallen, Some("mg/dL")), "−1.25 mg/dL (−24 %)");
    }
}
