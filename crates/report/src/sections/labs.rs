//! Laboratory results with their reference ranges, and a chart of analytes with several results.

use aggregation::catalogue::UnitStep;
use maud::{Markup, html};
use store::LabResults;

use super::gauge::gauge;
use super::reported::{Reported, delta, flagged, meaning};
use super::{Section, section};
use crate::chart::{Chart, Frame, Level, Line, Scale, Series, Shape, Sign, legend, levels};
use crate::sheet::{Sheet, feet, figure, scrollable};
use crate::text;
use wording::thousands;

/// The results of one analyte in one unit.
struct Analyte<'a> {
    number: usize,
    name: String,
    code: Option<&'a str>,
    /// The unit of the figures.
    unit: &'a str,
    /// The unit that the laboratory reported all results in, and the step to that of the figures, if
    /// it is another one. The chart is drawn in it.
    reported: Option<(&'a str, UnitStep)>,
    rows: &'a [LabResults],
}

/// The section, if there are results.
pub fn labs(sheet: &Sheet<'_>) -> Option<Section> {
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
    Some(section("labs", "Laboratory results", content))
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
        let reported = reported_unit(sheet, rows, code, &name);
        Some(Self { number: 0, name, code, unit: &first.unit, reported, rows })
    }

    /// The chart of its results, if there are several.
    fn chart(&self, sheet: &Sheet<'_>) -> Option<Markup> {
        let numbers = self.rows.iter().filter_map(|row| row.last_value).filter(|v| v.is_finite());
        if numbers.clone().count() < 2 {
            return None;
        }
        let (unit, step) = self.reported.unwrap_or((self.unit, UnitStep::IDENTITY));
        let by_day = sheet.by_slot(&sheet.day_slots, self.rows, |row| row.day.date);
        let ends = self.rows.iter().flat_map(|row| [row.reference_low, row.reference_high]);
        let scale = Scale::around(numbers.chain(ends.flatten()).map(|value| step.undo(value)))?;
        let level = |row: &LabResults| {
            let flag = row.last_flag.as_deref().filter(|flag| *flag != "N").map(flagged);
            Level {
                value: Some(step.undo(row.last_value.filter(|value| value.is_finite())?)),
                is_bound: row.last_comparator.is_some(),
                words: {
                    let reported = Reported::from_row(row);
                    let date = text::short_date(row.day.date);
                    format!("{date}: {} {}", reported.value, reported.unit)
                },
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
            slots: &sheet.day_slots,
            scale,
            feet: &feet,
        };
        let series = [Series { shape: Shape::Disc, levels: levels_of, over_gaps: true }];
        let mut lines = ranges(&by_day);
        for line in &mut lines {
            line.low = line.low.map(|end| step.undo(end));
            line.high = line.high.map(|end| step.undo(end));
        }
        let mut signs = vec![(Sign::Mark(Shape::Disc), "last result of the day")];
        if self.rows.iter().any(|row| row.last_comparator.is_some()) {
            signs.push((Sign::Bound, "only a bound (< or >)"));
        }
        if !lines.is_empty() {
            signs.push((Sign::Reference, "reference range of the nearest result"));
        }
        let draw = |chart: &Chart<'_>| levels(chart, &lines, &series);
        Some(figure(&chart, (&self.name, unit), &says, draw, &legend(&signs, &feet)))
    }
}

/// The unit that all results were reported in, if it is another one than that of the figures.
fn reported_unit<'a>(
    sheet: &Sheet<'_>,
    rows: &'a [LabResults],
    code: Option<&str>,
    name: &str,
) -> Option<(&'a str, UnitStep)> {
    let unit = rows.first()?.reported_unit.as_deref().filter(|unit| !unit.is_empty())?;
    if rows.iter().any(|row| row.reported_unit.as_deref() != Some(unit)) {
        return None;
    }
    let analyte = sheet.catalogue.analytes().find(code, name)?;
    let step =
        analyte.step_from(unit).filter(|_| rows.iter().all(|row| row.unit == analyte.unit()))?;
    (step != UnitStep::IDENTITY).then_some((unit, step))
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
    scrollable(
        "Laboratory results",
        &html! {
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
        },
    )
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
        td.flagged { @if let Some(flag) = &row.last_flag { (flag_cell(flag)) } }
        td.place { @if let Some(value) = row.last_value { (gauge(value, row)) } }
        td.limits {
            @if let Some(range) = reported.range { (range) }
            @if let Some(range) = &reported.range_figure {
                @if reported.range.is_some() { br; }
                span.small { "= " (range) }
            }
        }
        td.number.since { (delta(row, reported.other_unit)) }
        td.notes { (sheet.notes(&row.day, [several, worst])) }
    }
}

/// A flag as letters, arrow and word; one that says that nothing is unusual is not emphasised.
fn flag_cell(flag: &str) -> Markup {
    html! {
        @match meaning(flag) {
            Some(meaning) => strong.raised { (flagged(flag)) " " (meaning) },
            None => (flagged(flag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reported::tests::result;
    use super::*;

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
}
