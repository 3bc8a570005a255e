//! Heart rate, activity and the other metrics of the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::vital::{Vital, all};
use super::{Section, section};
use crate::chart::Frame;
use crate::sheet::{Sheet, scrollable};
use crate::text;

/// Metrics that are charted as pairs in a section of their own.
const PAIRED: [&str; 2] = ["blood_pressure_systolic", "blood_pressure_diastolic"];

/// The order of the metrics, most wanted first; the others follow, ordered by name.
const ORDER: [&str; 26] = [
    "resting_heart_rate",
    "heart_rate_variability_sdnn",
    "oxygen_saturation",
    "respiratory_rate",
    "body_temperature",
    "body_mass",
    "body_mass_index",
    "body_fat_percentage",
    "waist_circumference",
    "height",
    "vo2_max",
    "steps",
    "distance_walking_running",
    "flights_climbed",
    "exercise_time",
    "moderate_activity_time",
    "vigorous_activity_time",
    "light_activity_time",
    "move_time",
    "stand_hours",
    "active_energy",
    "basal_energy",
    "workouts",
    "workout_duration",
    "workout_energy",
    "workout_distance",
];

/// The metrics of workouts by type, and the heads of their columns.
const WORKOUTS: [(&str, &str); 4] = [
    ("workouts", "Workouts"),
    ("workout_duration", "Duration"),
    ("workout_energy", "Energy"),
    ("workout_distance", "Distance"),
];

/// The section of the heart rate.
pub fn heart_rate(sheet: &Sheet<'_>) -> Option<Section> {
    let content = one(sheet, "heart_rate")?;
    Some(section("heart-rate", "Heart rate", content))
}

/// A metric in full page width, in each stored unit.
pub fn one(sheet: &Sheet<'_>, metric: &str) -> Option<Markup> {
    let vitals: Vec<Vital<'_>> =
        all(sheet).into_iter().filter(|vital| vital.metric == metric).collect();
    let content = html! {
        @for vital in &vitals {
            (vital.chart(sheet, Frame::WIDE))
            (vital.table(sheet, true))
        }
    };
    (!vitals.is_empty()).then_some(content)
}

/// The section of cumulative metrics such as steps.
pub fn activity(sheet: &Sheet<'_>) -> Option<Section> {
    let vitals = ordered(sheet, |vital| vital.is_cumulative(sheet));
    let (main, others): (Vec<Vital<'_>>, Vec<Vital<'_>>) =
        vitals.into_iter().partition(|vital| vital.metric == "steps");
    if main.is_empty() && others.is_empty() {
        return None;
    }
    let content = html! {
        @for vital in &main {
            (vital.chart(sheet, Frame::WIDE))
            (vital.table(sheet, true))
        }
        (small(sheet, &others))
        (workouts(sheet))
    };
    Some(section("activity", "Activity", content))
}

/// The workouts of all days by type.
fn workouts(sheet: &Sheet<'_>) -> Markup {
    let columns = WORKOUTS.map(|(metric, head)| {
        let days = || sheet.daily.vitals.iter().filter(|day| day.metric == metric);
        // Days before a change of the catalogue may have another unit.
        let unit = days().next_back().map_or("", |day| day.unit.as_str());
        let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
        for day in days().filter(|day| day.unit == unit) {
            for (of_type, total) in &day.by_workout_type {
                *totals.entry(of_type).or_default() += total;
            }
        }
        let unit = if metric == "workouts" { String::new() } else { text::unit(unit) };
        (format!("{head} {unit}").trim_end().to_owned(), totals)
    });
    let types: BTreeSet<&str> =
        columns.iter().flat_map(|(_, totals)| totals.keys().copied()).collect();
    if types.is_empty() {
        return html! {};
    }
    let cells = columns.each_ref().map(|(_, totals)| {
        let values: Vec<_> = types.iter().map(|of_type| totals.get(of_type).copied()).collect();
        text::column(&values, None)
    });
    html! {
        details.figures open[sheet.opens_tables()] {
            summary { "Figures: workouts by type" }
            (scrollable("Workouts by type", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "Type" }
                            @for (head, _) in &columns { th.number scope="col" { (head) } }
                        }
                    }
                    tbody {
                        @for (at, of_type) in types.iter().enumerate() {
                            tr {
                                th scope="row" { (text::title(of_type)) }
                                @for cell in cells.iter().filter_map(|column| column.get(at)) {
                                    td.number { (cell) }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// The section of all other metrics.
pub fn others(sheet: &Sheet<'_>) -> Option<Section> {
    // Without computed pairs, the rows are the only figures of blood pressure.
    let has_pairs = !sheet.days.blood_pressure.is_empty();
    let vitals = ordered(sheet, |vital| {
        let is_elsewhere = ["heart_rate", "blood_glucose"].contains(&vital.metric)
            || (has_pairs && PAIRED.contains(&vital.metric));
        !is_elsewhere && !vital.is_cumulative(sheet)
    });
    if vitals.is_empty() {
        return None;
    }
    Some(section("measurements", "Other measurements", small(sheet, &vitals)))
}

fn small(sheet: &Sheet<'_>, vitals: &[Vital<'_>]) -> Markup {
    html! {
        div.pairs {
            @for vital in vitals {
                div.card {
                    (vital.chart(sheet, Frame::SMALL))
                    (vital.table(sheet, false))
                }
            }
        }
    }
}

fn ordered<'v>(sheet: &Sheet<'v>, wanted: impl Fn(&Vital<'v>) -> bool) -> Vec<Vital<'v>> {
    let mut vitals: Vec<Vital<'v>> = all(sheet).into_iter().filter(wanted).collect();
    let place = |metric: &str| ORDER.iter().position(|name| *name == metric);
    vitals.sort_by_key(|vital| place(vital.metric).unwrap_or(ORDER.len()));
    vitals
}
