//! Writing the figures of a scope.

use std::collections::BTreeMap;

use aggregation::ALGORITHM_VERSION;
use aggregation::catalogue::Catalogue;
use aggregation::vitals::hour::Moments;
use aggregation::vitals::{DayFigures, HourFigures, HourKey, Recomputed};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{
    Array, BigInt, Binary, Date, Double, Integer, Nullable, Text, Timestamptz,
};

use crate::crash::CrashPoint;
use crate::day_rows::sources;
use crate::error::StoreError;
use crate::statement::statement;
use crate::time::to_postgres;
use crate::transaction::GroupTransaction;

/// The columns that hours and days have in common, one array for each.
#[derive(Default)]
struct Columns {
    dates: Vec<NaiveDate>,
    metrics: Vec<String>,
    units: Vec<String>,
    sample_counts: Vec<i32>,
    totals: Vec<Option<f64>>,
    means: Vec<Option<f64>>,
    stddevs: Vec<Option<f64>>,
    mins: Vec<Option<f64>>,
    maxs: Vec<Option<f64>>,
    first_values: Vec<Option<f64>>,
    first_ats: Vec<Option<PgTimestamp>>,
    last_values: Vec<Option<f64>>,
    last_ats: Vec<Option<PgTimestamp>>,
    percentiles: [Vec<Option<f64>>; 5],
    censored_counts: Vec<i32>,
    rejected_counts: Vec<i32>,
    sources: Vec<String>,
    time_zones: Vec<String>,
}

/// What hours and days have in common.
struct Common<'f> {
    date: NaiveDate,
    metric: &'f str,
    unit: &'f str,
    sample_count: i32,
    total: Option<f64>,
    moments: Option<Moments>,
    percentiles: Option<[f64; 5]>,
    censored_count: i32,
    rejected_count: i32,
    sources: &'f BTreeMap<String, i32>,
    time_zone: &'f str,
}

impl Columns {
    fn push(&mut self, row: &Common<'_>) -> Result<(), StoreError> {
        let moments = row.moments;
        self.dates.push(row.date);
        self.metrics.push(row.metric.to_owned());
        self.units.push(row.unit.to_owned());
        self.sample_counts.push(row.sample_count);
        self.totals.push(row.total);
        self.means.push(moments.map(|m| m.mean()));
        self.stddevs.push(moments.and_then(|m| m.stddev()));
        self.mins.push(moments.map(|m| m.min));
        self.maxs.push(moments.map(|m| m.max));
        self.first_values.push(moments.map(|m| m.first_value));
        self.first_ats.push(moments.map(|m| to_postgres(m.first_at)));
        self.last_values.push(moments.map(|m| m.last_value));
        self.last_ats.push(moments.map(|m| to_postgres(m.last_at)));
        for (column, index) in self.percentiles.iter_mut().zip(0..) {
            column.push(row.percentiles.and_then(|p| p.get(index).copied()));
        }
        self.censored_counts.push(row.censored_count);
        self.rejected_counts.push(row.rejected_count);
        self.sources.push(sources(row.sources)?);
        self.time_zones.push(row.time_zone.to_owned());
        Ok(())
    }
}

/// Declares an upsert into a table with the common columns and some of its own.
macro_rules! upsert {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $rust:ty => $sql:ty),* $(,)? } $text:expr) => {
        statement! {
            $(#[$meta])*
            struct $name {
                user_id: i64 => BigInt,
                dates: Vec<NaiveDate> => Array<Date>,
                metrics: Vec<String> => Array<Text>,
                units: Vec<String> => Array<Text>,
                sample_counts: Vec<i32> => Array<Integer>,
                totals: Vec<Option<f64>> => Array<Nullable<Double>>,
                means: Vec<Option<f64>> => Array<Nullable<Double>>,
                stddevs: Vec<Option<f64>> => Array<Nullable<Double>>,
                mins: Vec<Option<f64>> => Array<Nullable<Double>>,
                maxs: Vec<Option<f64>> => Array<Nullable<Double>>,
                first_values: Vec<Option<f64>> => Array<Nullable<Double>>,
                first_ats: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
                last_values: Vec<Option<f64>> => Array<Nullable<Double>>,
                last_ats: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
                p05s: Vec<Option<f64>> => Array<Nullable<Double>>,
                p25s: Vec<Option<f64>> => Array<Nullable<Double>>,
                p50s: Vec<Option<f64>> => Array<Nullable<Double>>,
                p75s: Vec<Option<f64>> => Array<Nullable<Double>>,
                p95s: Vec<Option<f64>> => Array<Nullable<Double>>,
                censored_counts: Vec<i32> => Array<Integer>,
                rejected_counts: Vec<i32> => Array<Integer>,
                sources: Vec<String> => Array<Text>,
                time_zones: Vec<String> => Array<Text>,
                $($field: $rust => $sql,)*
            } -> ()
            $text
        }

        impl $name {
            #[allow(clippy::too_many_arguments)]
            fn new(user_id: i64, common: Columns, $($field: $rust),*) -> Self {
                let [p05s, p25s, p50s, p75s, p95s] = common.percentiles;
                Self {
                    user_id,
                    dates: common.dates,
                    metrics: common.metrics,
                    units: common.units,
                    sample_counts: common.sample_counts,
                    totals: common.totals,
                    means: common.means,
                    stddevs: common.stddevs,
                    mins: common.mins,
                    maxs: common.maxs,
                    first_values: common.first_values,
                    first_ats: common.first_ats,
                    last_values: common.last_values,
                    last_ats: common.last_ats,
                    p05s,
                    p25s,
                    p50s,
                    p75s,
                    p95s,
                    censored_counts: common.censored_counts,
                    rejected_counts: common.rejected_counts,
                    sources: common.sources,
                    time_zones: common.time_zones,
                    $($field,)*
                }
            }
        }
    };
}

upsert! {
    UpsertHours {
        hour_starts: Vec<PgTimestamp> => Array<Timestamptz>,
        sums: Vec<Option<f64>> => Array<Nullable<Double>>,
        squared_deviations: Vec<Option<f64>> => Array<Nullable<Double>>,
        sketches: Vec<Option<Vec<u8>>> => Array<Nullable<Binary>>,
    }
    "INSERT INTO vitals_hourly (
         user_id, local_date, metric, unit, sample_count, total, mean, stddev, min, max,
         first_value, first_at, last_value, last_at, p05, p25, p50, p75, p95, censored_count,
         rejected_count, sources, time_zone, hour_start, sum, squared_deviations, sketch)
     SELECT {user_id}, h.local_date, h.metric, h.unit, h.sample_count, h.total, h.mean, h.stddev,
            h.min, h.max, h.first_value, h.first_at, h.last_value, h.last_at, h.p05, h.p25, h.p50,
            h.p75, h.p95, h.censored_count, h.rejected_count, h.sources::jsonb, h.time_zone,
            h.hour_start, h.sum, h.squared_deviations, h.sketch
     FROM unnest({dates}::date[], {metrics}::text[], {units}::text[], {sample_counts}::integer[],
                 {totals}::float8[], {means}::float8[], {stddevs}::float8[], {mins}::float8[],
                 {maxs}::float8[], {first_values}::float8[], {first_ats}::timestamptz[],
                 {last_values}::float8[], {last_ats}::timestamptz[], {p05s}::float8[],
                 {p25s}::float8[], {p50s}::float8[], {p75s}::float8[], {p95s}::float8[],
                 {censored_counts}::integer[], {rejected_counts}::integer[], {sources}::text[],
                 {time_zones}::text[], {hour_starts}::timestamptz[], {sums}::float8[],
                 {squared_deviations}::float8[], {sketches}::bytea[])
          AS h (local_date, metric, unit, sample_count, total, mean, stddev, min, max,
                first_value, first_at, last_value, last_at, p05, p25, p50, p75, p95,
                censored_count, rejected_count, sources, time_zone, hour_start, sum,
                squared_deviations, sketch)
     ON CONFLICT (user_id, local_date, metric, hour_start) DO UPDATE SET
         unit = excluded.unit, sample_count = excluded.sample_count, total = excluded.total,
         mean = excluded.mean, stddev = excluded.stddev, min = excluded.min, max = excluded.max,
         first_value = excluded.first_value, first_at = excluded.first_at,
         last_value = excluded.last_value, last_at = excluded.last_at,
         p05 = excluded.p05, p25 = excluded.p25, p50 = excluded.p50, p75 = excluded.p75,
         p95 = excluded.p95, censored_count = excluded.censored_count,
         rejected_count = excluded.rejected_count, sources = excluded.sources,
         time_zone = excluded.time_zone, sum = excluded.sum,
         squared_deviations = excluded.squared_deviations, sketch = excluded.sketch"
}

upsert! {
    UpsertDays {
        primary_sources: Vec<Option<String>> => Array<Nullable<Text>>,
        day_starts: Vec<PgTimestamp> => Array<Timestamptz>,
        day_ends: Vec<PgTimestamp> => Array<Timestamptz>,
        fingerprints: Vec<i64> => Array<BigInt>,
        algorithm_version: i32 => Integer,
    }
    "INSERT INTO vitals_daily (
         user_id, local_date, metric, unit, sample_count, total, mean, stddev, min, max,
         first_value, first_at, last_value, last_at, p05, p25, p50, p75, p95, censored_count,
         rejected_count, sources, time_zone, primary_source, day_start, day_end, is_partial,
         context_fingerprint, algorithm_version)
     SELECT {user_id}, d.local_date, d.metric, d.unit, d.sample_count, d.total, d.mean, d.stddev,
            d.min, d.max, d.first_value, d.first_at, d.last_value, d.last_at, d.p05, d.p25, d.p50,
            d.p75, d.p95, d.censored_count, d.rejected_count, d.sources::jsonb, d.time_zone,
            d.primary_source, d.day_start, d.day_end, d.day_end > now(), d.fingerprint,
            {algorithm_version}
     FROM unnest({dates}::date[], {metrics}::text[], {units}::text[], {sample_counts}::integer[],
                 {totals}::float8[], {means}::float8[], {stddevs}::float8[], {mins}::float8[],
                 {maxs}::float8[], {first_values}::float8[], {first_ats}::timestamptz[],
                 {last_values}::float8[], {last_ats}::timestamptz[], {p05s}::float8[],
                 {p25s}::float8[], {p50s}::float8[], {p75s}::float8[], {p95s}::float8[],
                 {censored_counts}::integer[], {rejected_counts}::integer[], {sources}::text[],
                 {time_zones}::text[], {primary_sources}::text[], {day_starts}::timestamptz[],
                 {day_ends}::timestamptz[], {fingerprints}::bigint[])
          AS d (local_date, metric, unit, sample_count, total, mean, stddev, min, max,
                first_value, first_at, last_value, last_at, p05, p25, p50, p75, p95,
                censored_count, rejected_count, sources, time_zone, primary_source, day_start,
                day_end, fingerprint)
     ON CONFLICT (user_id, local_date, metric) DO UPDATE SET
         unit = excluded.unit, sample_count = excluded.sample_count, total = excluded.total,
         mean = excluded.mean, stddev = excluded.stddev, min = excluded.min, max = excluded.max,
         first_value = excluded.first_value, first_at = excluded.first_at,
         last_value = excluded.last_value, last_at = excluded.last_at,
         p05 = excluded.p05, p25 = excluded.p25, p50 = excluded.p50, p75 = excluded.p75,
         p95 = excluded.p95, censored_count = excluded.censored_count,
         rejected_count = excluded.rejected_count, sources = excluded.sources,
         time_zone = excluded.time_zone, primary_source = excluded.primary_source,
         day_start = excluded.day_start, day_end = excluded.day_end,
         is_partial = excluded.is_partial, context_fingerprint = excluded.context_fingerprint,
         algorithm_version = excluded.algorithm_version, computed_at = excluded.computed_at"
}

statement! {
    struct DeleteHours {
        user_id: i64 => BigInt,
        metrics: Vec<String> => Array<Text>,
        dates: Vec<NaiveDate> => Array<Date>,
        hour_starts: Vec<PgTimestamp> => Array<Timestamptz>,
    } -> ()
    "DELETE FROM vitals_hourly AS h
     USING unnest({metrics}::text[], {dates}::date[], {hour_starts}::timestamptz[])
               AS gone (metric, local_date, hour_start)
     WHERE h.user_id = {user_id} AND h.local_date = gone.local_date
       AND h.metric = gone.metric AND h.hour_start = gone.hour_start"
}

statement! {
    struct DeleteDays {
        user_id: i64 => BigInt,
        metrics: Vec<String> => Array<Text>,
        dates: Vec<NaiveDate> => Array<Date>,
    } -> ()
    "DELETE FROM vitals_daily AS d
     USING unnest({metrics}::text[], {dates}::date[]) AS gone (metric, local_date)
     WHERE d.user_id = {user_id} AND d.local_date = gone.local_date AND d.metric = gone.metric"
}

impl GroupTransaction<'_> {
    /// Writes recomputed hours and days: the changed ones, and takes away those behind which
    /// no row stands any more.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_vitals(
        &mut self,
        recomputed: &BTreeMap<String, Recomputed>,
        catalogue: &Catalogue,
    ) -> Result<(), StoreError> {
        let unit =
            |metric: &str| catalogue.metric(metric).map_or("", |metric| metric.unit.as_str());
        CrashPoint::BeforeWrite.pass();
        if let Some(hours) = hours_to_write(recomputed, unit, self.user_id())? {
            self.write(hours);
        }
        if let Some(days) = days_to_write(recomputed, unit, self.user_id())? {
            self.write(days);
        }
        self.delete_vanished(recomputed);
        self.pass_sent(CrashPoint::AfterWrite).await
    }

    fn delete_vanished(&mut self, recomputed: &BTreeMap<String, Recomputed>) {
        let hours = recomputed.iter().flat_map(|(metric, of_metric)| {
            of_metric.vanished_hours.iter().map(move |key| (metric, key))
        });
        let (mut metrics, mut dates, mut hour_starts) = (Vec::new(), Vec::new(), Vec::new());
        for (metric, key) in hours {
            metrics.push(metric.clone());
            dates.push(key.date);
            hour_starts.push(to_postgres(key.start));
        }
        if !metrics.is_empty() {
            let delete = DeleteHours { user_id: self.user_id(), metrics, dates, hour_starts };
            self.write(delete);
        }

        let days = recomputed.iter().flat_map(|(metric, of_metric)| {
            of_metric
                .days
                .iter()
                .filter(|(_, day)| day.is_none())
                .map(move |(date, _)| (metric, date))
        });
        let (metrics, dates): (Vec<String>, Vec<NaiveDate>) =
            days.map(|(metric, date)| (metric.clone(), *date)).unzip();
        if !metrics.is_empty() {
            let delete = DeleteDays { user_id: self.user_id(), metrics, dates };
            self.write(delete);
        }
    }
}

fn hours_to_write<'u>(
    recomputed: &BTreeMap<String, Recomputed>,
    unit: impl Fn(&str) -> &'u str,
    user_id: i64,
) -> Result<Option<UpsertHours>, StoreError> {
    let mut common = Columns::default();
    let mut hour_starts = Vec::new();
    let mut sums = Vec::new();
    let mut squared_deviations = Vec::new();
    let mut sketches = Vec::new();
    for (metric, of_metric) in recomputed {
        for (key, hour) in &of_metric.changed_hours {
            common.push(&hour_row(metric, unit(metric), key, hour))?;
            hour_starts.push(to_postgres(key.start));
            sums.push(hour.moments.map(|m| m.sum));
            squared_deviations.push(hour.moments.map(|m| m.squared_deviations));
            sketches.push(hour.sketch.clone());
        }
    }
    if hour_starts.is_empty() {
        return Ok(None);
    }
    let new = UpsertHours::new;
    Ok(Some(new(user_id, common, hour_starts, sums, squared_deviations, sketches)))
}

fn days_to_write<'u>(
    recomputed: &BTreeMap<String, Recomputed>,
    unit: impl Fn(&str) -> &'u str,
    user_id: i64,
) -> Result<Option<UpsertDays>, StoreError> {
    let mut common = Columns::default();
    let mut primary_sources = Vec::new();
    let mut day_starts = Vec::new();
    let mut day_ends = Vec::new();
    let mut fingerprints = Vec::new();
    for (metric, of_metric) in recomputed {
        let days = of_metric.days.iter().filter_map(|(date, day)| Some((date, day.as_ref()?)));
        for (date, day) in days {
            common.push(&day_row(metric, unit(metric), *date, day))?;
            primary_sources.push(day.primary_source.clone());
            day_starts.push(to_postgres(day.day_start));
            day_ends.push(to_postgres(day.day_end));
            fingerprints.push(of_metric.fingerprint);
        }
    }
    if day_starts.is_empty() {
        return Ok(None);
    }
    Ok(Some(UpsertDays::new(
        user_id,
        common,
        primary_sources,
        day_starts,
        day_ends,
        fingerprints,
        ALGORITHM_VERSION,
    )))
}

fn hour_row<'f>(
    metric: &'f str,
    unit: &'f str,
    key: &HourKey,
    hour: &'f HourFigures,
) -> Common<'f> {
    Common {
        date: key.date,
        metric,
        unit,
        sample_count: hour.sample_count,
        total: hour.total,
        moments: hour.moments,
        percentiles: hour.percentiles,
        censored_count: hour.censored_count,
        rejected_count: hour.rejected_count,
        sources: &hour.sources,
        time_zone: &hour.time_zone,
    }
}

fn day_row<'f>(metric: &'f str, unit: &'f str, date: NaiveDate, day: &'f DayFigures) -> Common<'f> {
    Common {
        date,
        metric,
        unit,
        sample_count: day.sample_count,
        total: day.total,
        moments: day.moments,
        percentiles: day.percentiles,
        censored_count: day.censored_count,
        rejected_count: day.rejected_count,
        sources: &day.sources,
        time_zone: &day.time_zone,
    }
}
