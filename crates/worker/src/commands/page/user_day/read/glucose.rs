//! Glucose of a day.

use aggregation::glucose::{self, GlucoseDay as Computed};
use aggregation::raw::{Context, RawVital};
use aggregation::vitals::explain::explain;
use chrono::NaiveDate;
use store::{GlucoseDay, UserDays};

use super::rows::vital_rows;
use crate::commands::page::user_day::day::{Figure, Pair, Section};

pub(super) fn section(
    context: &Context<'_>,
    days: &UserDays,
    rows: &[Vec<RawVital>],
    date: NaiveDate,
) -> Option<Section> {
    let rows = rows.first()?;
    let metric = context.catalogue.metric(glucose::METRIC)?;
    let (stored, day) = (days.glucose.first(), glucose::figures(rows, date, context));
    if stored.is_none() && day.is_none() {
        return None;
    }
    let fates = explain(context, metric, date, rows);
    let rows = vital_rows(context, glucose::METRIC, rows, &fates, date);
    Some(Section {
        figures: figures(&Pair { stored, computed: day.as_ref() }),
        row: stored.map(|stored| stored.day.clone()),
        ..Section::new("glucose_daily", "glucose, ranges", "mg/dL", rows)
    })
}

fn figures(pair: &Pair<'_, GlucoseDay, Computed>) -> Vec<Figure> {
    vec![
        pair.count("readings", |of| Some(of.sample_count), |of| Some(of.sample_count)),
        pair.number("mean", |of| of.mean, |of| Some(of.moments?.mean)),
        pair.number("standard deviation", |of| of.stddev, |of| of.moments?.stddev),
        pair.number("below 70, %", |of| of.below_70, |of| Some(of.ranges?.below_70_percent)),
        pair.number("70 to 180, %", |of| of.in_range, |of| Some(of.ranges?.from_70_to_180_percent)),
        pair.number("above 180, %", |of| of.above_180, |of| Some(of.ranges?.above_180_percent)),
        pair.number("coverage, %", |of| of.coverage_percent, |of| of.coverage_percent),
    ]
}
