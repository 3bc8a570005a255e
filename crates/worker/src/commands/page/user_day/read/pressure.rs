//! Blood pressure of a day.

use aggregation::blood_pressure::{self, BloodPressureDay};
use aggregation::raw::{Context, RawVital};
use aggregation::vitals::explain::explain;
use chrono::NaiveDate;
use store::{BloodPressureDay as Stored, UserDays};

use super::rows::vital_rows;
use crate::commands::page::user_day::day::{Figure, Pair, Section};

pub(super) fn section(
    context: &Context<'_>,
    days: &UserDays,
    rows: &[Vec<RawVital>],
    date: NaiveDate,
) -> Option<Section> {
    let [systolic, diastolic] = rows else { return None };
    let stored = days.blood_pressure.first();
    let day = blood_pressure::figures(systolic, diastolic, date, context);
    if stored.is_none() && day.is_none() {
        return None;
    }
    let partners = blood_pressure::partners(systolic, diastolic, context);
    let mut shown = Vec::new();
    for (name, rows) in blood_pressure::METRICS.into_iter().zip([systolic, diastolic]) {
        let Some(metric) = context.catalogue.metric(name) else { continue };
        let fates = explain(context, metric, date, rows);
        let of_metric = vital_rows(context, name, rows, &fates, date).into_iter().map(|mut row| {
            if row.counts {
                (row.verdict, row.why) = match partners.get(&row.id) {
                    Some(partner) => {
                        let why = format!(
                            "It is a pair with row {partner}: the same source, at most 5 s apart."
                        );
                        ("pair", why)
                    }
                    None => {
                        let why = "No row of the same source is within 5 s, so it is in no mean.";
                        ("no partner", why.to_owned())
                    }
                };
                row.counts = partners.contains_key(&row.id);
            }
            row
        });
        shown.extend(of_metric);
    }
    Some(Section {
        figures: figures(&Pair { stored, computed: day.as_ref() }),
        row: stored.map(|stored| stored.day.clone()),
        ..Section::new("blood_pressure_daily", "blood pressure", blood_pressure::UNIT, shown)
    })
}

fn figures(pair: &Pair<'_, Stored, BloodPressureDay>) -> Vec<Figure> {
    vec![
        pair.count("pairs", |of| Some(of.pair_count), |of| Some(of.pair_count)),
        pair.count("without a partner", |of| Some(of.unpaired_count), |of| Some(of.unpaired_count)),
        pair.number("systolic mean", |of| of.systolic[0], |of| Some(of.systolic.as_ref()?.mean)),
        pair.number("systolic minimum", |of| of.systolic[1], |of| Some(of.systolic.as_ref()?.min)),
        pair.number("systolic maximum", |of| of.systolic[2], |of| Some(of.systolic.as_ref()?.max)),
        pair.number("diastolic mean", |of| of.diastolic[0], |of| Some(of.diastolic.as_ref()?.mean)),
        pair.number(
            "diastolic minimum",
            |of| of.diastolic[1],
            |of| Some(of.diastolic.as_ref()?.min),
        ),
        pair.number(
            "diastolic maximum",
            |of| of.diastolic[2],
            |of| Some(of.diastolic.as_ref()?.max),
        ),
        pair.number(
            "mean arterial pressure",
            |of| of.mean_arterial,
            |of| of.mean_arterial_pressure,
        ),
    ]
}
