//! Glucose: time in range by the bands of the consensus, and the spread of the readings.

use maud::{Markup, html};
use store::GlucoseDay;

use super::section;
use super::vitals::one;
use crate::chart::{Chart, Column, Fill, Part, Scale, Sign, columns, legend};
use crate::sheet::{DayTable, Sheet, TableRow, feet, figure};
use crate::text;
use wording::{counted, thousands};

/// The bands, from the bottom up, in mg/dL.
const BANDS: [(Fill, &str); 5] = [
    (Fill::VERY_LOW, "below 54"),
    (Fill::LOW, "54 to 69"),
    (Fill::IN_RANGE, "70 to 180"),
    (Fill::HIGH, "181 to 250"),
    (Fill::VERY_HIGH, "above 250"),
];

/// The time between readings of a meter, more than 15 minutes apart, is unknown.
const METER: &str = "meter: no coverage";

/// The section, if there are readings.
pub fn glucose(sheet: &Sheet<'_>) -> Option<Markup> {
    let readings = one(sheet, "blood_glucose");
    let has_bands = sheet.days.glucose.iter().any(|row| bands(row).is_some());
    if readings.is_none() && !has_bands {
        return None;
    }
    let content = html! {
        @if has_bands { (chart(sheet)) (table(sheet)) }
        @if let Some(readings) = readings { (readings) }
    };
    Some(section("glucose", "Glucose", &content))
}

/// Percent of readings in each band, from the bottom up.
fn bands(row: &GlucoseDay) -> Option<[f64; 5]> {
    let (below_54, below_70) = (row.below_54?, row.below_70?);
    let (above_180, above_250) = (row.above_180?, row.above_250?);
    // Differences of rounded shares may be slightly below 0.
    let between = |outer: f64, inner: f64| (outer - inner).max(0.0);
    Some([
        below_54,
        between(below_70, below_54),
        row.in_range?,
        between(above_180, above_250),
        above_250,
    ])
}

fn chart(sheet: &Sheet<'_>) -> Markup {
    let by_day = sheet.by_day(&sheet.days.glucose, |row| row.day.date);
    let column = |row: &GlucoseDay| {
        let shares = bands(row)?;
        let parts = BANDS.iter().zip(shares).map(|((fill, _), value)| Part { fill: *fill, value });
        let words = format!(
            "{}: {} % from 70 to 180, {} % below 70, {} % above 180",
            text::short_date(row.day.date),
            text::places(row.in_range, 1),
            text::places(row.below_70, 1),
            text::places(row.above_180, 1),
        );
        Some(Column { parts: parts.collect(), frame: None, words })
    };
    let drawn: Vec<Option<Column>> = by_day.iter().map(|row| column(row.as_ref()?)).collect();
    let says = says(sheet);
    let frame = sheet.main_frame();
    let feet = feet(&by_day, |row| &row.day);
    let chart = Chart {
        id: "glucose-chart".to_owned(),
        title: format!("Glucose, percent of readings in each band by day, {}", sheet.when()),
        description: format!("{says}. The table of figures has the same in numbers."),
        frame,
        slots: &sheet.slots,
        scale: Scale::percent(),
        feet: &feet,
    };
    let drawing = columns(&chart, &drawn);
    let signs: Vec<(Sign, &str)> =
        BANDS.iter().rev().map(|(fill, meaning)| (Sign::Fill(*fill), *meaning)).collect();
    let legend = html! {
        (legend(&signs, &feet))
        p.small {
            "Bands in mg/dL, as the consensus on time in range has them. Readings in mmol/L are in the bands by its limits in mmol/L: 3.0, 3.9, 10.0 and 13.9."
        }
    };
    figure(frame, "Time in range by day", "% of readings", &says, &drawing, &legend)
}

/// The summary over all readings of the days; each reading counts once.
fn says(sheet: &Sheet<'_>) -> String {
    let known = || sheet.days.glucose.iter().filter_map(|row| Some((row, bands(row)?)));
    let weight = |row: &GlucoseDay| f64::from(row.sample_count) + f64::from(row.censored_count);
    let readings: f64 = known().map(|(row, _)| weight(row)).sum();
    let days = known().count();
    let verdicts: Vec<bool> = known().filter_map(|(row, _)| row.is_sufficient).collect();
    let sufficient = verdicts.iter().filter(|is_sufficient| **is_sufficient).count();
    if readings <= 0.0 {
        return sheet.says(days, None);
    }
    let share = |of: fn(&[f64; 5]) -> f64| {
        known().map(|(row, shares)| of(&shares) * weight(row)).sum::<f64>() / readings
    };
    let enough = match (sheet.is_one_day(), sufficient) {
        _ if verdicts.is_empty() => {
            format!("{METER}, so time in range is of readings, not of time")
        }
        (true, 0) => "too few readings for a day (70 %)".to_owned(),
        (true, _) => "enough readings for a day (70 %)".to_owned(),
        (false, _) => format!("{sufficient} of them with enough readings (70 %)"),
    };
    let shares = format!(
        "of all readings {:.1} % from 70 to 180, {:.1} % below 70, {:.1} % above 180",
        share(|shares| shares[2]),
        share(|shares| shares[0] + shares[1]),
        share(|shares| shares[3] + shares[4]),
    );
    sheet.says(days, [enough, shares])
}

fn table(sheet: &Sheet<'_>) -> Markup {
    // A line must not break between number and sign.
    let head = [
        "Readings",
        "<\u{a0}54\u{a0}%",
        "54–69\u{a0}%",
        "70–180\u{a0}%",
        "181–250\u{a0}%",
        ">\u{a0}250\u{a0}%",
        "Mean",
        "SD",
        "CV\u{a0}%",
        "GMI\u{a0}%",
        "GRI",
        "Low",
        "High",
        "Coverage\u{a0}%",
    ];
    let rows = sheet.days.glucose.iter().map(|row| {
        let shares = bands(row);
        let share = |index: usize| text::places(shares.and_then(|of| of.get(index).copied()), 1);
        let mut cells =
            vec![thousands(i64::from(row.sample_count) + i64::from(row.censored_count))];
        cells.extend((0..BANDS.len()).map(share));
        cells.extend([row.mean, row.stddev].map(|value| text::places(value, 1)));
        cells.extend(
            [row.cv_percent, row.gmi_percent, row.risk_index].map(|value| text::places(value, 1)),
        );
        cells.extend([row.low_episodes, row.high_episodes].map(text::count));
        cells.push(text::places(row.coverage_percent, 0));
        let few = match row.is_sufficient {
            Some(true) => None,
            Some(false) => Some("too few readings for a day".to_owned()),
            None => shares.map(|_| METER.to_owned()),
        };
        let bounds = (row.censored_count > 0).then(|| {
            let readings = counted(row.censored_count.into(), "reading", "readings");
            format!("{readings} out of the sensor's range")
        });
        TableRow::new(row.day.date, cells, sheet.notes(&row.day, [few, bounds]))
    });
    let caption =
        "glucose, mg/dL and percent of readings (Low, High: episodes below 70, above 180)";
    sheet.table(&DayTable { caption: caption.to_owned(), head: &head, rows: rows.collect() })
}
