//! Vitals of a day, metric by metric.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use aggregation::catalogue::{AggregationStyle, Catalogue, Metric};
use aggregation::local_time::anywhere_on_earth;
use aggregation::raw::{Context, RawVital};
use aggregation::vitals::explain::{Fate, explain};
use aggregation::vitals::scope::MetricScope;
use aggregation::vitals::{DayFigures, Outcome, Scope, Snapshot, recompute};
use aggregation::{Kind, Reason, blood_pressure, glucose};
use chrono::NaiveDate;
use store::{Reading, Store, StoreError, UserDays, VitalDay};

use super::pressure;
use super::rows::{vital_row, vital_rows};
use super::sleep::Night;
use crate::commands::page::user_day::day::{Figure, Pair, Row, Section};

/// Rows of unknown metrics that are shown.
const MAX_UNKNOWN: i64 = 500;

pub(super) async fn sections(
    store: &Store,
    context: &Context<'_>,
    days: &UserDays,
    date: NaiveDate,
) -> Result<Vec<Section>, StoreError> {
    let catalogue = context.catalogue;
    let whole = MetricScope {
        whole_dates: BTreeSet::from([date]),
        dates: BTreeSet::from([date]),
        ..MetricScope::default()
    };
    let names: Vec<String> = catalogue.metrics().map(|(name, _)| name.to_owned()).collect();
    let scope = names.iter().map(|name| (name.clone(), whole.clone())).collect();

    let mut reading = store.reading(Kind::Vitals, &days.user_id).await?;
    let snapshots = snapshots(&mut reading, &scope, catalogue).await?;
    let night = Night::read(&mut reading, context, date).await?;
    let pressure_span = blood_pressure::span_to_read(date);
    let pressure =
        reading.read_vitals_that_start(&blood_pressure::METRICS, &[pressure_span]).await?;
    let glucose_span = glucose::span_to_read(date);
    let readings = reading.read_vitals_that_start(&[glucose::METRIC], &[glucose_span]).await?;
    let unknown = reading.unknown_vitals(names, anywhere_on_earth(date), MAX_UNKNOWN).await?;
    reading.end().await?;

    let computed = match recompute(context, &scope, &snapshots) {
        Ok(Outcome::Complete(computed)) => computed,
        Ok(Outcome::Widen(_)) => {
            return Err(StoreError::Internal("the scope of a whole date does not settle"));
        }
        Err(_) => return Err(StoreError::Internal("a stored percentile sketch is damaged")),
    };
    let mut sections = Vec::new();
    for (name, metric) in catalogue.metrics() {
        if metric.aggregation_style == AggregationStyle::Sleep {
            continue;
        }
        let rows = snapshots.get(name).map_or(&[][..], |snapshot| snapshot.rows.as_slice());
        let day = computed.get(name).and_then(|of| of.days.get(&date)).and_then(Option::as_ref);
        sections.extend(section(context, days, (name, metric), (rows, day), date));
    }
    sections.extend(pressure::section(context, days, &pressure, date));
    sections.extend(super::glucose::section(context, days, &readings, date));
    sections.extend(night.and_then(|night| night.section(context, days, date)));
    sections.extend(of_unknown_metrics(&unknown));
    Ok(sections)
}

async fn snapshots(
    reading: &mut Reading<'_>,
    scope: &Scope,
    catalogue: &Catalogue,
) -> Result<BTreeMap<String, Snapshot>, StoreError> {
    if let Some(snapshots) = reading.read_vitals(scope, catalogue).await? {
        return Ok(snapshots);
    }
    // Too many rows for one statement.
    let mut snapshots = reading.read_stored_vitals(scope).await?;
    for (name, of_metric) in scope {
        let Some(snapshot) = snapshots.get_mut(name) else { continue };
        let keep = |row| {
            snapshot.rows.push(row);
            Ok(())
        };
        reading.visit_vitals(name, of_metric, catalogue, keep).await?;
        snapshot.rows.sort_unstable_by_key(|row| row.id);
        snapshot.rows.dedup_by_key(|row| row.id);
    }
    Ok(snapshots)
}

fn section(
    context: &Context<'_>,
    days: &UserDays,
    (name, metric): (&str, &Metric),
    (rows, day): (&[RawVital], Option<&DayFigures>),
    date: NaiveDate,
) -> Option<Section> {
    let stored = days.vitals.iter().find(|day| day.metric == name);
    let fates = explain(context, metric, date, rows);
    let rows = vital_rows(context, name, rows, &fates, date);
    if rows.is_empty() && stored.is_none() {
        return None;
    }
    Some(Section {
        figures: figures(&Pair { stored, computed: day }),
        row: stored.map(|stored| stored.day.clone()),
        ..Section::new("vitals_daily", name, &metric.unit, rows)
    })
}

fn of_unknown_metrics(unknown: &[(String, RawVital)]) -> Option<Section> {
    let rows = unknown.iter().map(|(metric, row)| {
        let rejected = Fate::Rejected(Reason::UnknownMetric);
        vital_row(metric, row, &rejected, |_| String::new())
    });
    let rows: Vec<Row> = rows.collect();
    (!rows.is_empty()).then(|| Section::new("rejected_rows", "unknown metrics", "", rows))
}

/// Totals by type of workout in words; `None` if there are none.
fn by_type<T: Deref<Target = str>>(totals: &BTreeMap<T, f64>) -> Option<String> {
    let each = totals.iter().map(|(of_type, total)| format!("{} {total}", &**of_type));
    Some(each.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
}

fn figures(pair: &Pair<'_, VitalDay, DayFigures>) -> Vec<Figure> {
    vec![
        pair.count("samples", |of| Some(of.sample_count), |of| Some(of.sample_count)),
        pair.count("out of range", |of| Some(of.censored_count), |of| Some(of.censored_count)),
        pair.count("rejected", |of| of.day.rejected, |of| Some(of.rejected_count)),
        pair.number("total", |of| of.total, |of| of.total),
        pair.text(
            "by type of workout",
            |of| by_type(&of.by_workout_type),
            |of| by_type(&of.by_workout_type),
        ),
        pair.number("mean", |of| of.mean, |of| Some(of.moments?.mean())),
        pair.number("standard deviation", |of| of.stddev, |of| of.moments?.stddev()),
        pair.number("minimum", |of| of.min, |of| Some(of.moments?.min)),
        pair.number("25th percentile", |of| of.p25, |of| Some(of.percentiles?[1])),
        pair.number("median", |of| of.p50, |of| Some(of.percentiles?[2])),
        pair.number("75th percentile", |of| of.p75, |of| Some(of.percentiles?[3])),
        pair.number("maximum", |of| of.max, |of| Some(of.moments?.max)),
    ]
}
