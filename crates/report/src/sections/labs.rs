//! Laboratory results with their reference ranges, and a chart of analytes with several results.

use std::borrow::Cow;

use maud::{Markup, html};
use store::LabResults;

use super::section;
use crate::chart::{Chart, Frame, Level, Line, Scale, Series, Shape, Sign, legend, levels, place};
use crate::sheet::{Sheet, feet, figure};
use crate::text;
use wording::thousands;

/// The margin on either side of a gauge's values, as a share of their span.
const GAUGE_MARGIN: f64 = 0.4;
const GAUGE_WIDTH: f64 = 120.0;

/// The results of one analyte in one unit.
struct Analyte<'a> {
    number: usize,
    name: String,
    code: Option<&'a str>,
    unit: &'a str,
    rows: &'a [LabResults],
}

/// The section, if there are results.
pub fn labs(sheet: &Sheet<'_>) -> Option<Markup> {
    let rows = &sheet.days.labs;
    if rows.is_empty() {
        return None;
    }
    let mut analytes: Vec<Analyte<'_>> = rows
        .chunk_by(|a, b| (&a.analyte, &a.unit) == (&b.analyte, &b.unit))
        .filter_map(|rows| Analyte::from_rows(sheet, rows))
        .collect();
    analytes.sort_by(|a, b| (a.name.to_lowercase(), a.unit).cmp(&(b.name.to_lowercase(), b.unit)));
    for (number, analyte) in analytes.iter_mut().enumerate() {
        analyte.number = number;
    }
    let charts: Vec<Markup> = analytes.iter().filter_map(|analyte| analyte.chart(sheet)).collect();
    let content = html! {
        (table(sheet, &analytes))
        @if !charts.is_empty() {
            div.pairs { @for chart in charts { (chart) } }
        }
    };
    Some(section("labs", "Laboratory results", &content))
}

impl<'a> Analyte<'a> {
    fn from_rows(sheet: &Sheet<'a>, rows: &'a [LabResults]) -> Option<Self> {
        let first = rows.first()?;
        let key = first.analyte.as_str();
        let code = (!key.starts_with("name:")).then(|| key.strip_prefix("code:").unwrap_or(key));
        let name = match sheet.days.lab_names.get(key) {
            // A LOINC code implies the specimen.
            Some(name) => match name.specimen.as_deref().filter(|_| code.is_none()) {
                Some(specimen) if !specimen.trim().is_empty() => {
                    format!("{} ({})", name.test_name.trim(), specimen.trim())
                }
                _ => name.test_name.trim().to_owned(),
            },
            None => String::new(),
        };
        let name = match (name.is_empty(), code) {
            (false, _) => name,
            (true, Some(code)) => format!("LOINC {code}"),
            (true, None) => key.strip_prefix("name:").unwrap_or(key).to_owned(),
        };
        Some(Self { number: 0, name, code, unit: &first.unit, rows })
    }

    /// The chart of its results, if there are several.
    fn chart(&self, sheet: &Sheet<'_>) -> Option<Markup> {
        let numbers = self.rows.iter().filter_map(|row| row.last_value).filter(|v| v.is_finite());
        if numbers.clone().count() < 2 {
            return None;
        }
        let by_day = sheet.by_day(self.rows, |row| row.day.date);
        let ends = self.rows.iter().flat_map(|row| [row.reference_low, row.reference_high]);
        let scale = Scale::around(numbers.clone().chain(ends.flatten()))?;
        let level = |row: &LabResults| {
            let flag = row.last_flag.as_deref().filter(|flag| *flag != "N").map(flagged);
            Level {
                value: Some(row.last_value.filter(|value| value.is_finite())?),
                is_bound: row.last_comparator.is_some(),
                words: format!(
                    "{}: {} {}",
                    text::short_date(row.day.date),
                    said(row, text::result),
                    self.unit
                ),
                flag,
                ..Level::default()
            }
            .into()
        };
        let levels_of: Vec<Option<Level>> =
            by_day.iter().map(|row| row.as_ref().and_then(|row| level(row))).collect();
        let feet = feet(&by_day, |row| &row.day);
        let says = sheet.says(self.rows.len(), ["last result of each".to_owned()]);
        let chart = Chart {
            id: format!("lab-{}", self.number),
            title: format!("{} by day, {}", self.name, sheet.when()),
            description: format!("{says}. The table of results has the same in numbers."),
            frame: Frame::SMALL,
            slots: &sheet.slots,
            scale,
            feet: &feet,
        };
        let series = Series { shape: Shape::Disc, levels: levels_of, over_gaps: true };
        let lines = ranges(&by_day);
        let drawing = levels(&chart, &lines, &[series]);
        let mut signs = vec![(Sign::Mark(Shape::Disc), "last result of the day")];
        if self.rows.iter().any(|row| row.last_comparator.is_some()) {
            signs.push((Sign::Bound, "only a bound (< or >)"));
        }
        if !lines.is_empty() {
            signs.push((Sign::Reference, "reference range of the nearest result"));
        }
        let legend = legend(&signs, &feet);
        Some(figure(Frame::SMALL, &self.name, self.unit, &says, &drawing, &legend))
    }
}

/// Ranges belong to a result: each applies from half-way to the previous result to half-way to the
/// next.
fn ranges(by_day: &[Option<&LabResults>]) -> Vec<Line> {
    let days: Vec<(usize, &LabResults)> =
        by_day.iter().enumerate().filter_map(|(index, row)| Some((index, (*row)?))).collect();
    let mut lines: Vec<Line> = Vec::new();
    for (at, (index, row)) in days.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| days.get(at));
        let first = before.map_or(0, |(before, _)| (before + index).div_ceil(2));
        let after = days.get(at + 1);
        let behind = after.map_or(by_day.len(), |(after, _)| (index + after).div_ceil(2));
        let (low, high) = (row.reference_low, row.reference_high);
        if low.or(high).is_none() {
            continue;
        }
        match lines.last_mut() {
            Some(last) if last.slots.1 == first && (last.low, last.high) == (low, high) => {
                last.slots.1 = behind;
            }
            _ => lines.push(Line { slots: (first, behind), low, high }),
        }
    }
    lines
}

fn table(sheet: &Sheet<'_>, analytes: &[Analyte<'_>]) -> Markup {
    html! {
        div.wide {
            table.labs {
                thead {
                    tr {
                        @for head in ["Test", "Date"] { th scope="col" { (head) } }
                        th.number scope="col" { "Result" }
                        @for head in ["Unit", "Flag", "In its range", "Reference range"] {
                            th scope="col" { (head) }
                        }
                        th.number scope="col" { "Since last" }
                        th scope="col" { "Notes" }
                    }
                }
                @for analyte in analytes {
                    tbody {
                        @for (index, row) in analyte.rows.iter().enumerate() {
                            tr {
                                @if index == 0 {
                                    th scope="rowgroup" rowspan=(analyte.rows.len()) {
                                        (analyte.name)
                                        @if let Some(code) = analyte.code { br; span.small { "LOINC " (code) } }
                                    }
                                }
                                (result(sheet, row))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn result(sheet: &Sheet<'_>, row: &LabResults) -> Markup {
    let reported = Reported::from_row(row);
    let several = (row.result_count > 1).then(|| {
        let span = match row.min.zip(row.max) {
            Some((min, max)) if min < max => {
                format!(", {} to {}", text::result(min), text::result(max))
            }
            _ => String::new(),
        };
        format!("last of {} results{span}", thousands(row.result_count.into()))
    });
    let worst = row.worst_flag.as_ref().filter(|worst| Some(*worst) != row.last_flag.as_ref());
    let worst = worst.map(|flag| format!("worst flag of the day {}", flagged(flag)));
    html! {
        td.date { (text::short_date(row.day.date)) }
        td.number[row.last_text.is_none()].finding[row.last_text.is_some()] {
            (reported.value)
            @if let Some(figure) = &reported.figure { br; span.small { "= " (figure) } }
        }
        td.in { (reported.unit) }
        td { @if let Some(flag) = &row.last_flag { (flagged(flag)) } }
        td { @if let Some(value) = row.last_value { (gauge(value, row)) } }
        td.limits {
            @if let Some(range) = reported.range { (range) }
            @if let Some(range) = &reported.range_figure {
                @if reported.range.is_some() { br; }
                span.small { "= " (range) }
            }
        }
        td.number { (delta(row, reported.other_unit)) }
        td.notes { (sheet.notes(&row.day, [several, worst])) }
    }
}

/// A result as its laboratory reported it, and the figures that differ from it.
struct Reported<'r> {
    value: Cow<'r, str>,
    unit: &'r str,
    range: Option<&'r str>,
    /// The value that was read, if the text differs.
    figure: Option<String>,
    /// The range that was read, if the text differs.
    range_figure: Option<String>,
    /// The unit of the figures, if it differs from the reported one.
    other_unit: Option<&'r str>,
}

impl<'r> Reported<'r> {
    fn from_row(row: &'r LabResults) -> Self {
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
fn said(row: &LabResults, write: fn(f64) -> String) -> String {
    let comparator = row.last_comparator.as_deref().unwrap_or_default();
    match (row.last_value, &row.last_text) {
        (Some(value), _) => format!("{comparator}{}", write(value)),
        (None, Some(text)) => text.clone(),
        (None, None) => text::NONE.to_owned(),
    }
}

/// The range in the figure's unit.
fn range(row: &LabResults, write: fn(f64) -> String) -> Option<String> {
    match (row.reference_low, row.reference_high) {
        (Some(low), Some(high)) => Some(format!("{}–{}", write(low), write(high))),
        (Some(low), None) => Some(format!("from {}", write(low))),
        (None, Some(high)) => Some(format!("up to {}", write(high))),
        (None, None) => None,
    }
}

/// A flag that is readable without colour.
fn flagged(flag: &str) -> String {
    match flag {
        "HH" => "HH ▲▲".to_owned(),
        "H" => "H ▲".to_owned(),
        "L" => "L ▼".to_owned(),
        "LL" => "LL ▼▼".to_owned(),
        other => other.to_owned(),
    }
}

fn delta(row: &LabResults, unit: Option<&str>) -> String {
    let signed = |value: f64, text: String| if value > 0.0 { format!("+{text}") } else { text };
    let Some(delta) = row.delta else { return text::NONE.to_owned() };
    let percent = row
        .delta_percent
        .map(|percent| format!(" ({} %)", signed(percent, text::places(Some(percent), 0))));
    let unit = unit.map_or_else(String::new, |unit| format!(" {unit}"));
    format!("{}{unit}{}", signed(delta, text::result(delta)), percent.unwrap_or_default())
}

/// A gauge: the position of a result relative to its reference range.
fn gauge(value: f64, row: &LabResults) -> Markup {
    let ends = [row.reference_low, row.reference_high];
    let known = || ends.into_iter().flatten().chain([value]);
    let least = known().fold(f64::INFINITY, f64::min);
    let greatest = known().fold(f64::NEG_INFINITY, f64::max);
    if ends == [None, None] || !least.is_finite() || !greatest.is_finite() {
        return html! {};
    }
    let span = Some(greatest - least).filter(|span| *span > 0.0).unwrap_or(1.0);
    let low = least - GAUGE_MARGIN * span;
    let x = |value: f64| GAUGE_WIDTH * ((value - low) / (span * (1.0 + 2.0 * GAUGE_MARGIN)));
    let left = row.reference_low.map_or(0.0, x);
    let right = row.reference_high.map_or(GAUGE_WIDTH, x);
    let label = {
        let range = range(row, text::result).unwrap_or_default();
        format!("{} in its reference range {range}", said(row, text::result))
    };
    html! {
        svg.gauge viewBox=(format!("0 0 {GAUGE_WIDTH} 16")) role="img" aria-label=(label) {
            line.floor x1="0" x2=(GAUGE_WIDTH) y1="8" y2="8" {}
            rect.reference x=(place(left)) y="3" width=(place(right - left)) height="10" {}
            @if row.reference_low.is_some() { line.end x1=(place(left)) x2=(place(left)) y1="2" y2="14" {} }
            @if row.reference_high.is_some() { line.end x1=(place(right)) x2=(place(right)) y1="2" y2="14" {} }
            (Shape::Disc.at(x(value), 8.0, 4.0, row.last_comparator.is_some()))
        }
    }
}

#[cfg(test)]
mod tests {
    use aggregation::Timestamp;
    use chrono::NaiveDate;
    use store::DayRow;

    use super::*;

    fn result(low: Option<f64>, high: Option<f64>) -> LabResults {
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
    fn a_range_holds_half_way_to_the_next_result_and_none_is_made_up() {
        let (wide, narrow) = (result(Some(3.5), Some(5.1)), result(Some(3.6), None));
        let none = result(None, None);
        let by_day = [Some(&wide), None, None, None, Some(&wide), None, Some(&narrow), Some(&none)];
        let line = |slots, low, high| Line { slots, low, high };
        assert_eq!(
            ranges(&by_day),
            [line((0, 5), Some(3.5), Some(5.1)), line((5, 7), Some(3.6), None)]
        );
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
        assert_eq!(gauge(4.0, &result(None, None)).into_string(), "");
    }
}
