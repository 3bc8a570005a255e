//! Blood pressure: each measurement, and the figures of each day.

use aggregation::blood_pressure::{self, PressureReading};
use maud::{Markup, html};
use store::BloodPressureDay;

use super::{Section, section};
use crate::chart::{
    Chart, Level, Line, Pair, Scale, Series, Shape, Sign, Slots, legend, levels, pairs,
};
use crate::sheet::{Cell, DayTable, Sheet, feet, figure, scrollable};
use crate::steps::{self, Step};
use crate::text;
use wording::{counted, thousands};

/// The limits of stage 1 (ACC/AHA 2017), shown as lines without a judgement.
const STAGE_1: [f64; 2] = [130.0, 80.0];

/// The maximum number of measurements in a table. The file of a year at four a day stays small.
const MOST_LISTED: usize = 1_500;

/// The section, if there are measurements.
pub fn blood_pressure(sheet: &Sheet<'_>) -> Option<Section> {
    if sheet.daily.blood_pressure.is_empty() {
        return None;
    }
    let [systolic, diastolic] = &sheet.report.pressure;
    let mut readings = blood_pressure::readings(systolic, diastolic, &sheet.context());
    readings.retain(|reading| (sheet.daily.from..=sheet.daily.to).contains(&reading.date));
    let content = html! {
        @if sheet.step == Step::Day { (single(sheet, &readings)) } @else { (means(sheet)) }
        (list(sheet, &readings))
        (table(sheet))
    };
    Some(section("blood-pressure", "Blood pressure", content))
}

/// The number of measurements and their mean.
fn says(sheet: &Sheet<'_>) -> String {
    let rows = &sheet.daily.blood_pressure;
    let number: i64 = rows.iter().map(|row| i64::from(row.pair_count)).sum();
    let days = rows.iter().filter(|row| row.pair_count > 0).count();
    let mean = |of: fn(&BloodPressureDay) -> [Option<f64>; 3]| {
        let exact = |row: &BloodPressureDay| f64::from(row.pair_count - row.censored_count);
        steps::mean(rows.iter().map(|row| (of(row)[0], exact(row))))
    };
    let mut what = counted(number, "measurement", "measurements");
    if let (Some(systolic), Some(diastolic)) = (mean(|row| row.systolic), mean(|row| row.diastolic))
    {
        what.push_str(&format!(", mean of all {systolic:.0}/{diastolic:.0}"));
    }
    sheet.says(days, [what])
}

/// The limits of stage 1 over all slots.
fn lines(slots: &Slots) -> [Line; 2] {
    STAGE_1.map(|value| Line { slots: (0, slots.count()), low: Some(value), high: Some(value) })
}

const STAGE_1_SIGN: (Sign, &str) =
    (Sign::Line, "dashed: 130 and 80, where stage 1 begins (ACC/AHA 2017)");

/// The chart of single measurements.
fn single(sheet: &Sheet<'_>, readings: &[PressureReading]) -> Markup {
    let slots = match (sheet.is_one_day(), readings.first()) {
        (true, Some(first)) => Slots::hours(sheet.daily.from, first.zone),
        _ => sheet.day_slots.clone(),
    };
    let pair = |reading: &PressureReading| {
        Some(Pair {
            position: slots.position_of(reading.date, reading.at, reading.zone)?,
            systolic: reading.systolic,
            diastolic: reading.diastolic,
            is_bound: reading.is_bound,
            words: format!(
                "{} {}: {}/{} mmHg",
                text::short_date(reading.date),
                text::clock(reading.at, &reading.zone.to_string()),
                text::number(reading.systolic),
                text::number(reading.diastolic),
            ),
        })
    };
    let drawn: Vec<Pair> = readings.iter().filter_map(pair).collect();
    let values = drawn.iter().flat_map(|pair| [pair.systolic, pair.diastolic]);
    let Some(scale) = Scale::around(values.chain(STAGE_1)).filter(|_| !drawn.is_empty()) else {
        return html! {};
    };
    let says = says(sheet);
    let by_day = sheet.by_slot(&sheet.day_slots, &sheet.daily.blood_pressure, |row| row.day.date);
    let feet = match slots {
        Slots::Hours(_) => Vec::new(),
        _ => feet(&by_day, |row| &row.day),
    };
    let chart = Chart {
        id: "blood-pressure-chart".to_owned(),
        title: format!("Measurements of blood pressure, {}", sheet.when()),
        description: format!("{says}. The table of measurements has the same in numbers."),
        frame: sheet.main_frame(),
        slots: &slots,
        scale,
        feet: &feet,
    };
    let lines = lines(&slots);
    let mut signs = vec![
        (Sign::Mark(Shape::Down), "systolic"),
        (Sign::Mark(Shape::Up), "diastolic"),
        STAGE_1_SIGN,
    ];
    if drawn.iter().any(|pair| pair.is_bound) {
        signs.push((Sign::Bound, "one of the values is only a bound (< or >)"));
    }
    let draw = |chart: &Chart<'_>| pairs(chart, &lines, &drawn);
    figure(&chart, ("Each measurement", "mmHg"), &says, draw, &legend(&signs, &feet))
}

/// The chart of means by week or month.
fn means(sheet: &Sheet<'_>) -> Markup {
    let by_step = sheet.by_step(&sheet.days.blood_pressure, |row| row.day.date);
    let series = |shape, of: fn(&BloodPressureDay) -> [Option<f64>; 3]| Series {
        shape,
        levels: by_step.iter().map(|row| level(sheet, row.as_ref()?, of)).collect(),
        over_gaps: false,
    };
    let both = [series(Shape::Down, |row| row.systolic), series(Shape::Up, |row| row.diastolic)];
    let values = both.iter().flat_map(|of| of.levels.iter().flatten()).flat_map(Level::values);
    let values: Vec<f64> = values.collect();
    if values.is_empty() {
        return html! {};
    }
    let Some(scale) = Scale::around(values.into_iter().chain(STAGE_1)) else { return html! {} };
    let says = says(sheet);
    let feet = feet(&by_step, |row| &row.day);
    let chart = Chart {
        id: "blood-pressure-chart".to_owned(),
        title: format!("Blood pressure{}, {}", sheet.by(), sheet.when()),
        description: format!("{says}. The table of figures has the same in numbers."),
        frame: sheet.main_frame(),
        slots: &sheet.slots,
        scale,
        feet: &feet,
    };
    let lines = lines(&sheet.slots);
    let signs = [
        (Sign::Mark(Shape::Down), "systolic, mean"),
        (Sign::Mark(Shape::Up), "diastolic, mean"),
        (Sign::Range, "least to greatest"),
        STAGE_1_SIGN,
    ];
    let heading = format!("Blood pressure{}", sheet.by());
    let draw = |chart: &Chart<'_>| levels(chart, &lines, &both);
    figure(&chart, (&heading, "mmHg"), &says, draw, &legend(&signs, &feet))
}

fn level(
    sheet: &Sheet<'_>,
    row: &BloodPressureDay,
    of: fn(&BloodPressureDay) -> [Option<f64>; 3],
) -> Option<Level> {
    let [mean, least, greatest] = of(row);
    let words = format!(
        "{}: mean {}/{} mmHg, {}",
        sheet.name_of(row.day.date),
        text::places(row.systolic[0], 0),
        text::places(row.diastolic[0], 0),
        counted(row.pair_count.into(), "measurement", "measurements"),
    );
    let range = least.zip(greatest).filter(|(low, high)| low < high);
    mean.map(|mean| Level { range, value: Some(mean), words, ..Level::default() })
}

/// The table of single measurements, the latest if they are too many.
fn list(sheet: &Sheet<'_>, readings: &[PressureReading]) -> Markup {
    let left_out = readings.len().saturating_sub(MOST_LISTED);
    let listed: Vec<&PressureReading> = readings.iter().skip(left_out).collect();
    let column = |of: fn(&PressureReading) -> f64| {
        text::column(&listed.iter().map(|reading| Some(of(reading))).collect::<Vec<_>>(), None)
    };
    let values = column(|reading| reading.systolic).into_iter();
    let values = values.zip(column(|reading| reading.diastolic));
    html! {
        @if !listed.is_empty() {
            details.figures open[listed.len() <= 7] {
                summary { "Measurements: blood pressure, mmHg" }
                (scrollable("Measurements of blood pressure", &html! {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Date" }
                                @for head in ["Time", "Systolic", "Diastolic"] {
                                    th.number scope="col" { (head) }
                                }
                                th scope="col" { "Category" }
                                th scope="col" { "Notes" }
                            }
                        }
                        tbody {
                            @for (reading, (systolic, diastolic)) in listed.iter().zip(values) {
                                @let zone = reading.zone.to_string();
                                tr {
                                    th scope="row" { (text::short_date(reading.date)) }
                                    td.number { (text::clock(reading.at, &zone)) }
                                    td.number { (systolic) }
                                    td.number { (diastolic) }
                                    td { (reading.category.name().replace('_', " ")) }
                                    td.notes {
                                        @if reading.is_bound { "only a bound" }
                                        @if sheet.zone.as_ref().is_some_and(|of| *of != zone) {
                                            " zone " (zone)
                                        }
                                    }
                                }
                            }
                        }
                    }
                }))
                @if left_out > 0 {
                    p.small { "The latest " (thousands(MOST_LISTED as i64)) ", without " (counted(left_out as i64, "earlier one", "earlier ones")) "." }
                }
            }
        }
    }
}

fn table(sheet: &Sheet<'_>) -> Markup {
    let head = [
        "Measurements",
        "Systolic",
        "Least–greatest",
        "Diastolic",
        "Least–greatest",
        "MAP",
        "Worst category",
    ];
    let span = |[_, least, greatest]: [Option<f64>; 3]| match least.zip(greatest) {
        Some((least, greatest)) => format!("{}–{}", text::number(least), text::number(greatest)),
        None => text::NONE.to_owned(),
    };
    let rows = sheet.days.blood_pressure.iter().map(|row| {
        let category = row.worst_category.as_deref().map(|name| name.replace('_', " "));
        let cells = vec![
            Cell::Text(thousands(row.pair_count.into())),
            Cell::Places(row.systolic[0], 1),
            Cell::Text(span(row.systolic)),
            Cell::Places(row.diastolic[0], 1),
            Cell::Text(span(row.diastolic)),
            Cell::Places(row.mean_arterial, 1),
            Cell::Text(category.unwrap_or_else(|| text::NONE.to_owned())),
        ];
        let unpaired = (row.unpaired_count > 0).then(|| {
            format!("{} without a partner", counted(row.unpaired_count.into(), "row", "rows"))
        });
        let bounds = (row.censored_count > 0)
            .then(|| format!("{} only a bound", thousands(row.censored_count.into())));
        sheet.row(row.day.date, cells, sheet.notes(&row.day, [unpaired, bounds]))
    });
    let caption = format!("blood pressure{}, mmHg (MAP: mean arterial pressure)", sheet.by());
    sheet.table(&DayTable { caption, head: &head, rows: rows.collect() })
}
