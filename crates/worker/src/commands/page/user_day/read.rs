//! A user's day out of the database: the stored figures, and the raw rows with what became of each, by the
//! functions that compute the figures.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::catalogue::{AggregationStyle, Catalogue};
use aggregation::labs::{self, RawLab};
use aggregation::local_time::{Zone, anywhere_on_earth};
use aggregation::nutrition::{self, DayBuilder, NUTRIENTS, NutritionDay, RawMeal};
use aggregation::raw::{Context, RawVital};
use aggregation::sleep::{self, SleepDay, SleepScope, Stage};
use aggregation::vitals::explain::{Fate, explain};
use aggregation::vitals::scope::MetricScope;
use aggregation::vitals::{DayFigures, Outcome, recompute};
use aggregation::{Kind, Reason, UserId, blood_pressure, glucose};
use chrono::NaiveDate;
use store::{DayRow, ReadMode, Store, StoreError, UserDays};

use super::day::{Day, Figure, Row, Section};
use super::words;

/// Sleep is widened seven times at most, as when its figures are computed.
const MAX_ROUNDS: u32 = 8;

/// Rows of unknown metrics that are shown.
const MAX_UNKNOWN: i64 = 500;

/// A day that differs although nothing waits is read this number of times: a row may have come between two reads.
const MAX_READS: u32 = 3;

/// Reads and explains a user's day.
///
/// # Errors
/// If the database fails, or a computation does.
pub async fn read(
    store: &Store,
    inputs: &(Zone, Catalogue),
    user_id: UserId,
    date: NaiveDate,
) -> Result<Day, StoreError> {
    let mut day = read_once(store, inputs, user_id.clone(), date).await?;
    for _ in 1..MAX_READS {
        if day.waiting > 0 || day.sections.iter().all(Section::agrees) {
            break;
        }
        day = read_once(store, inputs, user_id.clone(), date).await?;
    }
    Ok(day)
}

async fn read_once(
    store: &Store,
    (zone, catalogue): &(Zone, Catalogue),
    user_id: UserId,
    date: NaiveDate,
) -> Result<Day, StoreError> {
    let days = store.user_days(&user_id, date, date, *zone).await?;
    let base_zone = match &days.profile_zone {
        Some(text) => text.parse(),
        None => Ok(*zone),
    };
    let context = Context { catalogue, base_zone: &base_zone, source_order: &days.source_priority };
    let mut sections = vitals(store, &context, &days, date).await?;
    sections.extend(meals(store, &context, &days, date).await?);
    sections.extend(results(store, &context, &days, date).await?);
    for section in &mut sections {
        section.rows.sort_by_key(|row| (row.starts_at, row.id));
    }
    let time_zone = days.profile_zone.clone().unwrap_or_else(|| zone.to_string());
    let (waiting, dead) = (days.waiting.near, days.waiting.dead);
    let source_order = days.source_priority.clone();
    Ok(Day {
        user_id,
        date,
        time_zone,
        has_profile: days.profile_zone.is_some(),
        source_order,
        waiting,
        dead,
        sections,
    })
}

async fn vitals(
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
    let snapshots = match reading.read_vitals(&scope, catalogue).await? {
        Some(snapshots) => snapshots,
        // Too many rows for one statement.
        None => {
            let mut snapshots = reading.read_stored_vitals(&scope).await?;
            for (name, of_metric) in &scope {
                let Some(snapshot) = snapshots.get_mut(name) else { continue };
                let keep = |row| {
                    snapshot.rows.push(row);
                    Ok(())
                };
                reading.visit_vitals(name, of_metric, catalogue, keep).await?;
                snapshot.rows.sort_unstable_by_key(|row| row.id);
                snapshot.rows.dedup_by_key(|row| row.id);
            }
            snapshots
        }
    };
    let mut of_sleep = SleepScope::of_dates(BTreeSet::from([date]));
    let mut night = None;
    for _ in 0..MAX_ROUNDS {
        let snapshot = reading.read_sleep(&of_sleep).await?;
        match sleep::recompute(context, &of_sleep, &snapshot) {
            sleep::Outcome::Complete(recomputed) => {
                night = Some((snapshot.rows, recomputed.days.get(&date).cloned().flatten()));
                break;
            }
            sleep::Outcome::Widen(wider) => of_sleep = wider,
        }
    }
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
        let stored = days.vitals.iter().find(|day| day.metric == name);
        let day = computed.get(name).and_then(|of| of.days.get(&date)).and_then(Option::as_ref);
        let fates = explain(context, metric, date, rows);
        let rows = vital_rows(context, name, rows, &fates, date);
        if rows.is_empty() && stored.is_none() {
            continue;
        }
        sections.push(Section {
            figures: vital_figures(stored, day),
            row: stored.map(|stored| stored.day.clone()),
            ..Section::new("vitals_daily", name, &metric.unit, rows)
        });
    }
    sections.extend(pressure_section(context, days, &pressure, date));
    sections.extend(glucose_section(context, days, &readings, date));
    if let Some((rows, day)) = night {
        sections.extend(sleep_section(context, days, &of_sleep, &rows, day.as_ref(), date));
    }
    if !unknown.is_empty() {
        let rows = unknown.iter().map(|(metric, row)| Row {
            name: metric.clone(),
            ..vital_row("", row, &Fate::Rejected(Reason::UnknownMetric), |_| String::new())
        });
        let rows = rows.collect();
        sections.push(Section::new("rejected_rows", "unknown metrics", "", rows));
    }
    Ok(sections)
}

fn vital_row(name: &str, row: &RawVital, fate: &Fate, source_of: impl Fn(i64) -> String) -> Row {
    let (verdict, why) = words::of_vital(fate, source_of);
    let part = match fate {
        Fate::Contributes { part, .. } => Some(*part),
        _ => None,
    };
    Row {
        id: row.id,
        kind: Kind::Vitals,
        name: name.to_owned(),
        source: row.source.to_string(),
        starts_at: row.started_at,
        ends_at: row.ended_at,
        value: Some(format!("{}{}", row.comparator.as_deref().unwrap_or(""), row.value)),
        unit: Some(row.unit.to_string()),
        verdict,
        counts: fate.counts(),
        why,
        part,
    }
}

/// The rows of a date; of other dates those that a reader would look for here, by the profile's zone.
fn vital_rows(
    context: &Context<'_>,
    name: &str,
    rows: &[RawVital],
    fates: &[(i64, Fate)],
    date: NaiveDate,
) -> Vec<Row> {
    let by_id: BTreeMap<i64, &RawVital> = rows.iter().map(|row| (row.id, row)).collect();
    let source_of = |id: i64| by_id.get(&id).map_or_else(String::new, |row| row.source.to_string());
    let is_looked_for = |row: &RawVital| {
        let zone = context.base_zone.as_ref().ok();
        row.started_at.is_datable() && zone.is_some_and(|zone| zone.date_of(row.started_at) == date)
    };
    let shown = fates.iter().filter_map(|(id, fate)| {
        let row = by_id.get(id)?;
        let is_of_date = !matches!(fate, Fate::OtherDate(_));
        (is_of_date || is_looked_for(row)).then(|| vital_row(name, row, fate, source_of))
    });
    shown.collect()
}

fn vital_figures(stored: Option<&store::VitalDay>, day: Option<&DayFigures>) -> Vec<Figure> {
    let moments = day.and_then(|day| day.moments);
    let percentile = |index: usize| day.and_then(|day| day.percentiles).map(|of| of[index]);
    let of = |field: fn(&store::VitalDay) -> Option<f64>| stored.and_then(field);
    vec![
        Figure::count("samples", stored.map(|of| of.sample_count), day.map(|of| of.sample_count)),
        Figure::count(
            "out of range",
            stored.map(|of| of.censored_count),
            day.map(|of| of.censored_count),
        ),
        Figure::count(
            "rejected",
            stored.and_then(|of| of.day.rejected),
            day.map(|of| of.rejected_count),
        ),
        Figure::number("total", of(|day| day.total), day.and_then(|day| day.total)),
        Figure::number("mean", of(|day| day.mean), moments.map(|of| of.mean())),
        Figure::number(
            "standard deviation",
            of(|day| day.stddev),
            moments.and_then(|of| of.stddev()),
        ),
        Figure::number("minimum", of(|day| day.min), moments.map(|of| of.min)),
        Figure::number("25th percentile", of(|day| day.p25), percentile(1)),
        Figure::number("median", of(|day| day.p50), percentile(2)),
        Figure::number("75th percentile", of(|day| day.p75), percentile(3)),
        Figure::number("maximum", of(|day| day.max), moments.map(|of| of.max)),
    ]
}

fn pressure_section(
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
    let pressure = |of: &Option<blood_pressure::Pressure>| {
        of.as_ref().map_or([None; 3], |of| [Some(of.mean), Some(of.min), Some(of.max)])
    };
    let computed_s = day.as_ref().map_or([None; 3], |day| pressure(&day.systolic));
    let computed_d = day.as_ref().map_or([None; 3], |day| pressure(&day.diastolic));
    let stored_s = stored.map_or([None; 3], |day| day.systolic);
    let stored_d = stored.map_or([None; 3], |day| day.diastolic);
    let mut figures = vec![
        Figure::count(
            "pairs",
            stored.map(|of| of.pair_count),
            day.as_ref().map(|of| of.pair_count),
        ),
        Figure::count(
            "without a partner",
            stored.map(|of| of.unpaired_count),
            day.as_ref().map(|of| of.unpaired_count),
        ),
    ];
    for (index, name) in
        ["systolic mean", "systolic minimum", "systolic maximum"].into_iter().enumerate()
    {
        figures.push(Figure::number(name, stored_s[index], computed_s[index]));
    }
    for (index, name) in
        ["diastolic mean", "diastolic minimum", "diastolic maximum"].into_iter().enumerate()
    {
        figures.push(Figure::number(name, stored_d[index], computed_d[index]));
    }
    figures.push(Figure::number(
        "mean arterial pressure",
        stored.and_then(|of| of.mean_arterial),
        day.as_ref().and_then(|of| of.mean_arterial_pressure),
    ));
    let partners = blood_pressure::partners(systolic, diastolic, context);
    let mut shown = Vec::new();
    for (name, rows) in blood_pressure::METRICS.into_iter().zip([systolic, diastolic]) {
        let Some(metric) = context.catalogue.metric(name) else { continue };
        let fates = explain(context, metric, date, rows);
        let of_metric = vital_rows(context, name, rows, &fates, date).into_iter().map(|mut row| {
            if row.counts {
                (row.verdict, row.why) = match partners.get(&row.id) {
                    Some(partner) => (
                        "pair",
                        format!(
                            "It is a pair with row {partner}: the same source, at most 5 s apart."
                        ),
                    ),
                    None => (
                        "no partner",
                        "No row of the same source is within 5 s, so it is in no mean.".to_owned(),
                    ),
                };
                row.counts = partners.contains_key(&row.id);
            }
            row
        });
        shown.extend(of_metric);
    }
    Some(Section {
        figures,
        row: stored.map(|stored| stored.day.clone()),
        ..Section::new("blood_pressure_daily", "blood pressure", blood_pressure::UNIT, shown)
    })
}

fn glucose_section(
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
    let day = day.as_ref();
    let moments = day.and_then(|day| day.moments);
    let ranges = day.and_then(|day| day.ranges);
    let figures = vec![
        Figure::count("readings", stored.map(|of| of.sample_count), day.map(|of| of.sample_count)),
        Figure::number("mean", stored.and_then(|of| of.mean), moments.map(|of| of.mean)),
        Figure::number(
            "standard deviation",
            stored.and_then(|of| of.stddev),
            moments.and_then(|of| of.stddev),
        ),
        Figure::number(
            "below 70, %",
            stored.and_then(|of| of.below_70),
            ranges.map(|of| of.below_70_percent),
        ),
        Figure::number(
            "70 to 180, %",
            stored.and_then(|of| of.in_range),
            ranges.map(|of| of.from_70_to_180_percent),
        ),
        Figure::number(
            "above 180, %",
            stored.and_then(|of| of.above_180),
            ranges.map(|of| of.above_180_percent),
        ),
        Figure::number(
            "coverage, %",
            stored.and_then(|of| of.coverage_percent),
            day.and_then(|of| of.coverage_percent),
        ),
    ];
    let fates = explain(context, metric, date, rows);
    let rows = vital_rows(context, glucose::METRIC, rows, &fates, date);
    Some(Section {
        figures,
        row: stored.map(|stored| stored.day.clone()),
        ..Section::new("glucose_daily", "glucose, ranges", "mg/dL", rows)
    })
}

fn sleep_section(
    context: &Context<'_>,
    days: &UserDays,
    scope: &SleepScope,
    rows: &sleep::Rows,
    day: Option<&SleepDay>,
    date: NaiveDate,
) -> Option<Section> {
    let stored = days.sleep.first();
    let by_id: BTreeMap<i64, (Stage, &RawVital)> = rows
        .iter()
        .flat_map(|(stage, rows)| rows.iter().map(|row| (row.id, (*stage, row))))
        .collect();
    let shown: Vec<Row> = sleep::explain(context, scope, rows, date)
        .into_iter()
        .filter(|(_, fate)| !matches!(fate, sleep::explain::Fate::OtherDate(_)))
        .filter_map(|(id, fate)| {
            let (stage, row) = by_id.get(&id)?;
            let (verdict, why) = words::of_sleep(&fate);
            let shown = vital_row(stage.metric(), row, &Fate::Counts, |_| String::new());
            let counts = fate == sleep::explain::Fate::Counts;
            Some(Row { verdict, why, counts, ..shown })
        })
        .collect();
    if stored.is_none() && shown.is_empty() {
        return None;
    }
    let of = |field: fn(&store::SleepNight) -> Option<f64>| stored.and_then(field);
    let computed = |field: fn(&SleepDay) -> Option<f64>| day.and_then(field);
    let figures = vec![
        Figure::number("asleep, min", of(|of| of.asleep), computed(|of| of.asleep_minutes)),
        Figure::number("core, min", of(|of| of.core), computed(|of| of.core_minutes)),
        Figure::number("deep, min", of(|of| of.deep), computed(|of| of.deep_minutes)),
        Figure::number("REM, min", of(|of| of.rem), computed(|of| of.rem_minutes)),
        Figure::number("awake, min", of(|of| of.awake), computed(|of| of.awake_minutes)),
        Figure::number("in bed, min", of(|of| of.in_bed), computed(|of| of.in_bed_minutes)),
        Figure::count("naps", stored.map(|of| of.nap_count), day.map(|of| of.nap_count)),
    ];
    Some(Section {
        figures,
        row: stored.map(|stored| stored.day.clone()),
        ..Section::new("sleep_daily", "sleep of the night that ended on the date", "min", shown)
    })
}

async fn meals(
    store: &Store,
    context: &Context<'_>,
    days: &UserDays,
    date: NaiveDate,
) -> Result<Option<Section>, StoreError> {
    let (base, nutrients) = (context.base_zone, context.catalogue.nutrients());
    let mut reading = store.reading(Kind::Nutrition, &days.user_id).await?;
    let mut rows: Vec<RawMeal> = Vec::new();
    let mut builder = DayBuilder::new(date, base, nutrients);
    let mut verdicts: Vec<Option<Reason>> = Vec::new();
    let visit = |row: RawMeal| {
        verdicts.push(builder.add(&row).err());
        rows.push(row);
        Ok(())
    };
    reading.visit_meals(date, ReadMode::InPortions, visit).await?;
    reading.end().await?;
    let day: Option<NutritionDay> = builder.finish();
    let stored = days.nutrition.first();
    let shown: Vec<Row> = rows
        .iter()
        .zip(&verdicts)
        .filter_map(|(row, reason)| {
            let of_row = nutrition::date_of(row, base);
            if of_row.is_some_and(|of_row| of_row != date) {
                return None;
            }
            let (verdict, why) = match reason {
                None => ("counts", "Each amount that it knows is in the sums.".to_owned()),
                Some(reason) => ("rejected", words::of_reason(*reason)),
            };
            Some(Row {
                id: row.id,
                kind: Kind::Nutrition,
                name: format!("{}: {}", row.meal_type, row.food_name),
                source: row.source.clone(),
                starts_at: row.eaten_at,
                ends_at: row.eaten_at,
                value: row.nutrients[0].map(|energy| energy.to_string()),
                unit: Some("kcal".to_owned()),
                verdict,
                counts: reason.is_none(),
                why,
                part: row.nutrients[0].filter(|_| reason.is_none()),
            })
        })
        .collect();
    if stored.is_none() && shown.is_empty() {
        return Ok(None);
    }
    let mut figures = vec![
        Figure::count(
            "items",
            stored.map(|of| of.item_count),
            day.as_ref().map(|of| of.item_count),
        ),
        Figure::count(
            "rejected",
            stored.and_then(|of| of.day.rejected),
            day.as_ref().map(|of| of.rejected_count),
        ),
    ];
    for (index, nutrient) in NUTRIENTS.into_iter().enumerate() {
        let stored = stored.and_then(|of| of.nutrients.get(index).copied().flatten());
        let computed = day.as_ref().and_then(|of| of.totals[index]);
        if stored.is_some() || computed.is_some() {
            figures.push(Figure::number(nutrient, stored, computed));
        }
    }
    Ok(Some(Section {
        figures,
        row: stored.map(|stored| stored.day.clone()),
        ..Section::new("nutrition_daily", "nutrition", "", shown)
    }))
}

async fn results(
    store: &Store,
    context: &Context<'_>,
    days: &UserDays,
    date: NaiveDate,
) -> Result<Vec<Section>, StoreError> {
    let mut reading = store.reading(Kind::Labs, &days.user_id).await?;
    let mut rows: Vec<RawLab> = Vec::new();
    reading
        .visit_labs(date, ReadMode::InPortions, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
    reading.end().await?;
    let mut fates: BTreeMap<i64, labs::Fate> = BTreeMap::new();
    let computed =
        labs::explain(&rows, date, context.base_zone, context.catalogue.analytes(), |id, fate| {
            fates.insert(id, fate);
        });
    let mut keys: BTreeSet<(String, String)> =
        days.labs.iter().map(|of| (of.analyte.clone(), of.unit.clone())).collect();
    keys.extend(computed.iter().map(|of| (of.analyte.clone(), of.unit.clone())));
    let mut sections: Vec<Section> = keys
        .iter()
        .map(|(analyte, unit)| {
            let stored = days.labs.iter().find(|of| of.analyte == *analyte && of.unit == *unit);
            let day = computed.iter().find(|of| of.analyte == *analyte && of.unit == *unit);
            let of = |field: fn(&store::LabResults) -> Option<f64>| stored.and_then(field);
            let figures = vec![
                Figure::count(
                    "results",
                    stored.map(|of| of.result_count),
                    day.map(|of| of.result_count),
                ),
                Figure::number("last", of(|of| of.last_value), day.and_then(|of| of.last_value)),
                Figure::text(
                    "last, as reported",
                    stored.and_then(|of| of.reported_value.clone()),
                    day.map(|of| of.reported_value.clone()),
                ),
                Figure::number("minimum", of(|of| of.min), day.and_then(|of| of.min)),
                Figure::number("maximum", of(|of| of.max), day.and_then(|of| of.max)),
                Figure::number(
                    "reference, low",
                    of(|of| of.reference_low),
                    day.and_then(|of| of.reference_low),
                ),
                Figure::number(
                    "reference, high",
                    of(|of| of.reference_high),
                    day.and_then(|of| of.reference_high),
                ),
            ];
            Section {
                figures,
                row: stored.map(|stored| stored.day.clone()),
                ..Section::new("lab_daily", analyte, unit, Vec::new())
            }
        })
        .collect();
    let mut others = Vec::new();
    for row in &rows {
        let Some(fate) = fates.get(&row.id) else { continue };
        if matches!(fate, labs::Fate::OtherDate(_)) {
            continue;
        }
        let (verdict, why) = words::of_lab(fate);
        let shown = Row {
            id: row.id,
            kind: Kind::Labs,
            name: row.test_name.clone(),
            source: row.source.clone(),
            starts_at: row.collected_at,
            ends_at: row.collected_at,
            value: Some(row.value_text.clone()),
            unit: row.unit.clone(),
            verdict,
            counts: matches!(fate, labs::Fate::Counts { .. }),
            why,
            part: None,
        };
        let section = match fate {
            labs::Fate::Counts { analyte, unit } => {
                sections.iter_mut().find(|of| of.name == *analyte && of.unit == *unit)
            }
            _ => None,
        };
        match section {
            Some(section) => section.rows.push(shown),
            None => others.push(shown),
        }
    }
    if !others.is_empty() {
        sections.push(Section::new("lab_daily", "results in no figure", "", others));
    }
    Ok(sections)
}

/// The circumstances of a stored row.
pub fn circumstances(row: &DayRow) -> String {
    format!(
        "time zone {}, version {} of the definitions{}",
        row.time_zone,
        row.algorithm_version,
        if row.is_partial { ", the day had not ended when it was computed" } else { "" }
    )
}
