//! Glucose: time in range by the bands of the consensus, the profile of a day, and the spread of the
//! readings.

use maud::{Markup, html};
use store::GlucoseDay;

use super::vitals::one;
use super::{Section, profile, section};
use crate::chart::{Chart, Column, Fill, Part, Scale, Sign, columns, legend, place};
use crate::sheet::{Cell, DayTable, Sheet, feet, figure};
use crate::steps;
use crate::text;
use crate::units::GlucoseUnit;
use wording::{counted, thousands};

/// The fills of the bands, from the bottom up.
const FILLS: [Fill; 5] = [Fill::VERY_LOW, Fill::LOW, Fill::IN_RANGE, Fill::HIGH, Fill::VERY_HIGH];

/// Decimals of a share: a day has 288 readings at most of most sensors.
const SHARE_PLACES: usize = 1;

/// The time between readings of a meter, more than 15 minutes apart, is unknown.
const METER: &str = "meter: no coverage";

/// Width and height of the bar of all readings.
const BAR: (f64, f64) = (336.0, 26.0);

/// The section, if there are readings.
pub fn glucose(sheet: &Sheet<'_>) -> Option<Section> {
    let readings = one(sheet, "blood_glucose");
    let has_bands = sheet.daily.glucose.iter().any(|row| bands(row).is_some());
    if readings.is_none() && !has_bands {
        return None;
    }
    let content = html! {
        @if has_bands {
            (whole(sheet))
            (profile::profile(sheet))
            (chart(sheet))
            (table(sheet))
        }
        @if let Some(readings) = readings { (readings) }
    };
    Some(section("glucose", "Glucose", content))
}

/// The names of the bands in the page's unit, from the bottom up: the limits of the consensus in
/// that unit.
const fn names(unit: GlucoseUnit) -> [&'static str; 5] {
    match unit {
        GlucoseUnit::MgPerDl => ["below 54", "54 to 69", "70 to 180", "181 to 250", "above 250"],
        GlucoseUnit::MmolPerL => {
            ["below 3.0", "3.0 to 3.8", "3.9 to 10.0", "10.1 to 13.9", "above 13.9"]
        }
    }
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

/// Percent of all readings of some days in each band; each reading counts once.
pub fn all_bands(rows: &[GlucoseDay]) -> Option<[f64; 5]> {
    let known = || rows.iter().filter_map(|row| Some((row, bands(row)?)));
    let weight = |row: &GlucoseDay| f64::from(row.sample_count) + f64::from(row.censored_count);
    let share = |of: fn(&[f64; 5]) -> f64| {
        steps::mean(known().map(|(row, shares)| (Some(of(&shares)), weight(row))))
    };
    Some([
        share(|of| of[0])?,
        share(|of| of[1])?,
        share(|of| of[2])?,
        share(|of| of[3])?,
        share(|of| of[4])?,
    ])
}

/// All readings of the days as one bar, with its shares.
fn whole(sheet: &Sheet<'_>) -> Markup {
    let Some(exact) = all_bands(&sheet.daily.glucose) else { return html! {} };
    let shares = text::shares(&exact, SHARE_PLACES);
    let written = |share: &f64| text::fixed(*share, SHARE_PLACES);
    let names = names(sheet.glucose_unit);
    let unit = sheet.glucose_unit.ucum();
    let mut left = 0.0;
    let parts: Vec<(Fill, f64, f64)> = FILLS
        .iter()
        .zip(exact)
        .map(|(fill, share)| {
            let width = BAR.0 * share / 100.0;
            left += width;
            (*fill, left - width, width)
        })
        .collect();
    let spoken: Vec<String> =
        names.iter().zip(&shares).map(|(name, of)| format!("{name}: {} %", written(of))).collect();
    html! {
        figure.shares {
            figcaption {
                strong { "Time in range" }
                span.unit { ", % of all readings" }
                span.says { (says(sheet)) }
            }
            svg viewBox=(format!("0 0 {} {}", BAR.0, BAR.1)) role="img"
                aria-label=(format!("Readings in {unit}: {}", spoken.join(", "))) {
                @for (fill, x, width) in parts {
                    @if width > 0.0 {
                        rect.part x=(format!("{x:.2}")) y="1" width=(format!("{width:.2}"))
                            height=(place(BAR.1 - 2.0)) fill=(fill.reference()) {}
                    }
                }
            }
            table.shares {
                tbody {
                    @for ((fill, name), share) in FILLS.iter().zip(names).zip(&shares).rev() {
                        tr {
                            td.swatch {
                                svg viewBox="0 0 24 14" aria-hidden="true" focusable="false" {
                                    rect.part x="2" y="1" width="20" height="12" fill=(fill.reference()) {}
                                }
                            }
                            th scope="row" { (name) " " (unit) }
                            td.number { (written(share)) " %" }
                        }
                    }
                }
            }
        }
    }
}

fn chart(sheet: &Sheet<'_>) -> Markup {
    let by_step = sheet.by_step(&sheet.days.glucose, |row| row.day.date);
    let [_, _, target, ..] = names(sheet.glucose_unit);
    let column = |row: &GlucoseDay| {
        let exact = bands(row)?;
        let parts = FILLS.iter().zip(exact).map(|(fill, value)| Part { fill: *fill, value });
        let shares = text::shares(&exact, SHARE_PLACES);
        let share = |at: usize| text::places(shares.get(at).copied(), SHARE_PLACES);
        let words = format!(
            "{}: {} % from {target}, {} and {} % below, {} and {} % above",
            sheet.name_of(row.day.date),
            share(2),
            share(0),
            share(1),
            share(3),
            share(4),
        );
        Some(Column { parts: parts.collect(), frame: None, words })
    };
    let drawn: Vec<Option<Column>> = by_step.iter().map(|row| column(row.as_ref()?)).collect();
    let feet = feet(&by_step, |row| &row.day);
    let heading = format!("Time in range{}", sheet.by());
    let chart = Chart {
        id: "glucose-chart".to_owned(),
        title: format!("Glucose, percent of readings in each band{}, {}", sheet.by(), sheet.when()),
        description: "The table of figures has the same in numbers.".to_owned(),
        frame: sheet.main_frame(),
        slots: &sheet.slots,
        scale: Scale::percent(),
        feet: &feet,
    };
    let names = names(sheet.glucose_unit);
    let signs: Vec<(Sign, &str)> =
        FILLS.iter().zip(names).rev().map(|(fill, name)| (Sign::Fill(*fill), name)).collect();
    let legend = html! {
        (legend(&signs, &feet))
        p.small {
            "Bands in " (sheet.glucose_unit.ucum()) ", as the consensus on time in range has them. Each reading is in the bands by the limits in its own unit: 54, 70, 180 and 250 mg/dL, or 3.0, 3.9, 10.0 and 13.9 mmol/L."
        }
    };
    figure(&chart, (&heading, "% of readings"), "", |chart| columns(chart, &drawn), &legend)
}

/// The number of days, and whether they have enough readings.
fn says(sheet: &Sheet<'_>) -> String {
    let known = || sheet.daily.glucose.iter().filter(|row| bands(row).is_some());
    let verdicts: Vec<bool> = known().filter_map(|row| row.is_sufficient).collect();
    let sufficient = verdicts.iter().filter(|is_sufficient| **is_sufficient).count();
    let enough = match (sheet.is_one_day(), sufficient) {
        _ if verdicts.is_empty() => {
            format!("{METER}, so time in range is of readings, not of time")
        }
        (true, 0) => "too few readings for a day (70 %)".to_owned(),
        (true, _) => "enough readings for a day (70 %)".to_owned(),
        (false, _) => format!("{sufficient} of them with enough readings (70 %)"),
    };
    sheet.says(known().count(), [enough])
}

fn table(sheet: &Sheet<'_>) -> Markup {
    // A line must not break between number and sign.
    let bands_head = match sheet.glucose_unit {
        GlucoseUnit::MgPerDl => [
            "<\u{a0}54\u{a0}%",
            "54–69\u{a0}%",
            "70–180\u{a0}%",
            "181–250\u{a0}%",
            ">\u{a0}250\u{a0}%",
        ],
        GlucoseUnit::MmolPerL => [
            "<\u{a0}3.0\u{a0}%",
            "3.0–3.8\u{a0}%",
            "3.9–10.0\u{a0}%",
            "10.1–13.9\u{a0}%",
            ">\u{a0}13.9\u{a0}%",
        ],
    };
    let mut head = vec!["Readings"];
    head.extend(bands_head);
    head.extend(["Mean", "SD", "CV\u{a0}%", "GMI\u{a0}%", "GRI", "Low", "High", "Coverage\u{a0}%"]);
    let rows = sheet.days.glucose.iter().map(|row| {
        let shares = bands(row).map(|exact| text::shares(&exact, SHARE_PLACES));
        let share = |at: usize| shares.as_ref().and_then(|shares| shares.get(at).copied());
        let readings = i64::from(row.sample_count) + i64::from(row.censored_count);
        let mut cells = vec![Cell::Text(thousands(readings))];
        cells.extend((0..FILLS.len()).map(|at| Cell::Places(share(at), SHARE_PLACES)));
        cells.extend(
            [row.mean, row.stddev, row.cv_percent, row.gmi_percent, row.risk_index]
                .map(|value| Cell::Places(value, 1)),
        );
        let episodes = [row.low_episodes, row.high_episodes];
        cells.extend(episodes.map(|count| Cell::Text(text::count(count))));
        cells.push(Cell::Places(row.coverage_percent, 0));
        let few = match row.is_sufficient {
            Some(true) => None,
            Some(false) => Some("too few readings".to_owned()),
            None => shares.as_ref().map(|_| METER.to_owned()),
        };
        let bounds = (row.censored_count > 0).then(|| {
            let readings = counted(row.censored_count.into(), "reading", "readings");
            format!("{readings} out of the sensor's range")
        });
        sheet.row(row.day.date, cells, sheet.notes(&row.day, [few, bounds]))
    });
    let [_, _, target, ..] = names(sheet.glucose_unit);
    let caption = format!(
        "glucose, {} and percent of readings (Low, High: episodes below and above {target})",
        sheet.glucose_unit.ucum()
    );
    sheet.table(&DayTable { caption, head: &head, rows: rows.collect() })
}
