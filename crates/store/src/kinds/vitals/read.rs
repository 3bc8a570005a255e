//! Reads the input for the figures of a scope.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::catalogue::{AggregationStyle, Catalogue};
use aggregation::local_time::Zone;
use aggregation::raw::LONGEST_INTERVAL_US;
use aggregation::vitals::hour::Moments;
use aggregation::vitals::scope::{FARTHEST_DAILY_TOTAL_US, MetricScope};
use aggregation::vitals::{HourFigures, HourKey, RawVital, Scope, Snapshot};
use aggregation::{SharedStr, Timestamp, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{
    Array, BigInt, Binary, Date, Double, Integer, Nullable, Text, Timestamptz,
};

use crate::error::StoreError;
use crate::kinds::raw_vital::{RawVitalColumns, RawVitalSql, raw_vital, raw_vital_columns};
use crate::sql::raw_text::{RawText, short_name};
use crate::sql::statement::statement;
use crate::sql::time::{from_postgres, to_postgres};
use crate::sql::user_key::UserKey;
use crate::transaction::{GroupTransaction, MOST_AT_ONCE, ReadMode};

statement! {
    /// Reads the raw rows of each span.
    ///
    /// A sample belongs to the span in which it starts. An interval may reach into the span from at most
    /// 48 hours before it; the index answers this second condition.
    ///
    /// Daily totals affect hours far from their own start, and have an index of their own. A row with
    /// the start and end of a total may be the newest version of the same sample. Names of sources are
    /// compared after folding, which this statement does not do.
    struct ReadVitals {
        user_id: UserId => UserKey,
        ordinals: Vec<i32> => Array<Integer>,
        metrics: Vec<String> => Array<Text>,
        spans_from: Vec<PgTimestamp> => Array<Timestamptz>,
        spans_to: Vec<PgTimestamp> => Array<Timestamptz>,
        starts_from: Vec<PgTimestamp> => Array<Timestamptz>,
        totals_from: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        totals_to: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        most: Option<i64> => Nullable<BigInt>,
    } -> (Integer, RawVitalSql)
    concat!(
        "SELECT span.ordinal, ",
        raw_vital_columns!("v"),
        "
     FROM (SELECT {user_id} AS user_id, s.*
           FROM unnest({ordinals}::integer[], {metrics}::text[], {spans_from}::timestamptz[],
                       {spans_to}::timestamptz[], {starts_from}::timestamptz[],
                       {totals_from}::timestamptz[], {totals_to}::timestamptz[])
                AS s (ordinal, metric, span_from, span_to, starts_from, totals_from, totals_to)
          ) AS span
     CROSS JOIN LATERAL (
         SELECT id, value, comparator, unit, source, started_at, ended_at, time_zone,
                is_daily_total, workout_type
         FROM vitals_raw
         WHERE user_id = span.user_id AND metric = span.metric
           AND started_at >= span.starts_from AND started_at < span.span_to
           AND (ended_at >= span.span_from OR started_at >= span.span_from)
         UNION ALL
         SELECT twin.id, twin.value, twin.comparator, twin.unit, twin.source, twin.started_at,
                twin.ended_at, twin.time_zone, twin.is_daily_total, twin.workout_type
         FROM (SELECT DISTINCT user_id, metric, started_at, ended_at
               FROM vitals_raw
               WHERE user_id = span.user_id AND metric = span.metric AND is_daily_total
                 AND started_at >= span.totals_from AND started_at < span.totals_to) AS total
         JOIN vitals_raw AS twin USING (user_id, metric, started_at, ended_at)
     ) AS v
     LIMIT {most}"
    )
}

statement! {
    /// Reads the raw rows of one span and of a metric whose samples are instants, in the order of their start.
    struct ReadInstants {
        user_id: UserId => UserKey,
        metric: String => Text,
        span_from: PgTimestamp => Timestamptz,
        span_to: PgTimestamp => Timestamptz,
    } -> (RawVitalSql)
    concat!(
        "SELECT ",
        raw_vital_columns!("v"),
        "
     FROM vitals_raw AS v
     WHERE v.user_id = {user_id} AND v.metric = {metric}
       AND v.started_at >= {span_from} AND v.started_at < {span_to}
     ORDER BY v.started_at, v.ended_at"
    )
}

statement! {
    /// The spans in which a row with another zone starts.
    struct FindOtherZones {
        user_id: UserId => UserKey,
        zone: String => Text,
        ordinals: Vec<i32> => Array<Integer>,
        metrics: Vec<String> => Array<Text>,
        starts_from: Vec<PgTimestamp> => Array<Timestamptz>,
        spans_to: Vec<PgTimestamp> => Array<Timestamptz>,
    } -> (Integer)
    include_str!("find_other_zones.sql")
}

statement! {
    struct ReadVitalsById {
        user_id: UserId => UserKey,
        ids: Vec<i64> => Array<BigInt>,
    } -> (Text, RawVitalSql)
    concat!(
        "SELECT ",
        short_name!("v.metric"),
        ", ",
        raw_vital_columns!("v"),
        "
     FROM vitals_raw AS v
     WHERE v.user_id = {user_id} AND v.id = ANY ({ids})"
    )
}

statement! {
    /// Stored days, and the hours of days that are merged from stored hours, in one statement: for a
    /// small group, each round trip costs more than the query itself.
    struct ReadStored {
        user_id: UserId => UserKey,
        metrics: Vec<String> => Array<Text>,
        dates: Vec<NaiveDate> => Array<Date>,
        near_metrics: Vec<String> => Array<Text>,
        near_dates: Vec<NaiveDate> => Array<Date>,
    } -> (
        Text, Date,
        (Nullable<BigInt>, Nullable<Timestamptz>, Nullable<Timestamptz>),
        (Nullable<Timestamptz>, Nullable<Integer>, Nullable<Integer>, Nullable<Integer>,
         Nullable<Text>, Nullable<Text>, Nullable<Text>),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>),
        (Nullable<Double>, Nullable<Timestamptz>, Nullable<Double>, Nullable<Timestamptz>),
        (Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>, Nullable<Double>),
        Nullable<Binary>
    )
    include_str!("read_stored.sql")
}

/// A stored day or a stored hour. The columns of the other are null.
type StoredColumns = (String, NaiveDate, DayColumns, HourColumns, Sums, Ends, Percentiles, Sketch);
/// Fingerprint, start and end.
type DayColumns = (Option<i64>, Option<PgTimestamp>, Option<PgTimestamp>);
/// Start; counts of samples, censored and rejected rows; sources; zone; totals by type of workout.
type HourColumns = (
    Option<PgTimestamp>,
    Option<i32>,
    Option<i32>,
    Option<i32>,
    Option<String>,
    Option<String>,
    Option<String>,
);
/// Total, sum, squared deviations, minimum and maximum.
type Sums = (Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>);
/// The first and the last value with their times.
type Ends = (Option<f64>, Option<PgTimestamp>, Option<f64>, Option<PgTimestamp>);
type Percentiles = (Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>);
type Sketch = Option<Vec<u8>>;

impl GroupTransaction<'_> {
    /// Reads what [`aggregation::vitals::recompute()`] needs for a scope; nothing if that has too many raw rows to
    /// be read at once.
    ///
    /// # Errors
    /// If the database fails, or stored figures are damaged.
    pub async fn read_vitals(
        &mut self,
        scope: &Scope,
        catalogue: &Catalogue,
    ) -> Result<Option<BTreeMap<String, Snapshot>>, StoreError> {
        let mut snapshots = empty(scope);
        let rows = raw_rows_of(scope, catalogue, self.user_id(), ReadMode::AtOnce);
        let (rows, stored) = if self.only_computes() {
            (self.read(rows).await?, Vec::new())
        } else {
            self.read2((rows, stored_of(scope, &self.user_id()))).await?
        };
        if rows.len() as i64 > MOST_AT_ONCE {
            return Ok(None);
        }
        keep_rows(rows, scope, &mut snapshots)?;
        keep_stored(stored, scope, &mut snapshots)?;
        Ok(Some(snapshots))
    }

    /// Reads the stored figures alone.
    ///
    /// # Errors
    /// As [`GroupTransaction::read_vitals`].
    pub async fn read_stored_vitals(
        &mut self,
        scope: &Scope,
    ) -> Result<BTreeMap<String, Snapshot>, StoreError> {
        let mut snapshots = empty(scope);
        if self.only_computes() {
            return Ok(snapshots);
        }
        let stored = self.read(stored_of(scope, &self.user_id())).await?;
        keep_stored(stored, scope, &mut snapshots)?;
        Ok(snapshots)
    }

    /// Visits the raw rows that decide the hours of one metric, in portions. Instants come in the order of their
    /// start; an interval that reaches into several spans comes several times.
    ///
    /// # Errors
    /// If the database fails, or the visitor does.
    pub async fn visit_vitals(
        &mut self,
        metric: &str,
        scope: &MetricScope,
        catalogue: &Catalogue,
        mut visit: impl FnMut(RawVital) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        if reach(metric, catalogue) > 0 {
            let scope = Scope::from([(metric.to_owned(), scope.clone())]);
            let read = raw_rows_of(&scope, catalogue, self.user_id(), ReadMode::InPortions);
            let visit = |(_, row): (i32, RawVitalColumns)| visit(raw_vital(row));
            return self.read_in_portions("intervals", read, visit).await;
        }
        for (from, to) in scope.spans_to_read() {
            let read = ReadInstants {
                user_id: self.user_id(),
                metric: metric.to_owned(),
                span_from: to_postgres(from),
                span_to: to_postgres(to),
            };
            let visit = |(row,): (RawVitalColumns,)| visit(raw_vital(row));
            self.read_in_portions("instants", read, visit).await?;
        }
        Ok(())
    }

    /// Has the whole dates of each metric reach no further than they last in this zone, where no row around
    /// them names another one. With a reading a second that is half of the rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn narrow_whole_dates(
        &mut self,
        scope: &mut Scope,
        catalogue: &Catalogue,
        zone: Zone,
    ) -> Result<(), StoreError> {
        let mut find = FindOtherZones {
            user_id: self.user_id(),
            zone: zone.to_string(),
            ordinals: Vec::new(),
            metrics: Vec::new(),
            starts_from: Vec::new(),
            spans_to: Vec::new(),
        };
        for (ordinal, (name, of_metric)) in (0..).zip(&mut *scope) {
            of_metric.zone_of_whole_dates = (!of_metric.whole_dates.is_empty()).then_some(zone);
            for (from, to) in of_metric.spans_of_whole_dates() {
                find.ordinals.push(ordinal);
                find.metrics.push(name.clone());
                find.starts_from.push(to_postgres(from.plus(-reach(name, catalogue))));
                find.spans_to.push(to_postgres(to));
            }
        }
        if find.ordinals.is_empty() {
            return Ok(());
        }
        let found: Vec<(i32,)> = self.read(find).await?;
        let others: BTreeSet<i32> = found.into_iter().map(|(ordinal,)| ordinal).collect();
        for (ordinal, of_metric) in (0..).zip(scope.values_mut()) {
            if others.contains(&ordinal) {
                of_metric.zone_of_whole_dates = None;
            }
        }
        Ok(())
    }

    /// Reads single raw rows and their metrics by id. Deleted rows are absent from the result.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read_vitals_by_id(
        &mut self,
        ids: Vec<i64>,
    ) -> Result<Vec<(String, RawVital)>, StoreError> {
        let read = ReadVitalsById { user_id: self.user_id(), ids };
        let rows: Vec<(RawText, RawVitalColumns)> = self.read(read).await?;
        Ok(rows.into_iter().map(|(metric, row)| (metric.into(), raw_vital(row))).collect())
    }
}

/// How long before a span an overlapping row may start. Instants of a discrete metric do not overlap.
fn reach(metric: &str, catalogue: &Catalogue) -> i64 {
    let style = catalogue.metric(metric).map(|metric| metric.aggregation_style);
    if style == Some(AggregationStyle::Cumulative) { LONGEST_INTERVAL_US } else { 0 }
}

fn empty(scope: &Scope) -> BTreeMap<String, Snapshot> {
    scope.keys().map(|metric| (metric.clone(), Snapshot::default())).collect()
}

fn raw_rows_of(
    scope: &Scope,
    catalogue: &Catalogue,
    user_id: UserId,
    reading: ReadMode,
) -> ReadVitals {
    let mut statement = ReadVitals {
        user_id,
        ordinals: Vec::new(),
        metrics: Vec::new(),
        spans_from: Vec::new(),
        spans_to: Vec::new(),
        starts_from: Vec::new(),
        totals_from: Vec::new(),
        totals_to: Vec::new(),
        most: reading.limit(MOST_AT_ONCE),
    };
    for (ordinal, (name, of_metric)) in (0..).zip(scope) {
        let reach = reach(name, catalogue);
        let cumulative = reach > 0;
        for (from, to) in of_metric.spans_to_read() {
            let totals = |instant| cumulative.then(|| to_postgres(instant));
            statement.ordinals.push(ordinal);
            statement.metrics.push(name.clone());
            statement.spans_from.push(to_postgres(from));
            statement.spans_to.push(to_postgres(to));
            statement.starts_from.push(to_postgres(from.plus(-reach)));
            statement.totals_from.push(totals(from.plus(-FARTHEST_DAILY_TOTAL_US)));
            statement.totals_to.push(totals(to.plus(FARTHEST_DAILY_TOTAL_US)));
        }
    }
    statement
}

/// Metrics and dates as two parallel columns.
fn columns(
    scope: &Scope,
    dates: impl Fn(&MetricScope) -> BTreeSet<NaiveDate>,
) -> (Vec<String>, Vec<NaiveDate>) {
    let of_metric = |(name, s): (&String, &MetricScope)| {
        dates(s).into_iter().map(|date| (name.clone(), date)).collect::<Vec<_>>()
    };
    scope.iter().flat_map(of_metric).unzip()
}

fn stored_of(scope: &Scope, user_id: &UserId) -> ReadStored {
    let (metrics, dates) = columns(scope, |s| s.dates.clone());
    let (near_metrics, near_dates) = columns(scope, MetricScope::dates_to_look_at);
    ReadStored { user_id: user_id.clone(), metrics, dates, near_metrics, near_dates }
}

fn keep_rows(
    rows: Vec<(i32, RawVitalColumns)>,
    scope: &Scope,
    snapshots: &mut BTreeMap<String, Snapshot>,
) -> Result<(), StoreError> {
    let names: Vec<&String> = scope.keys().collect();
    for (ordinal, row) in rows {
        let snapshot = names
            .get(ordinal as usize)
            .and_then(|name| snapshots.get_mut(*name))
            .ok_or(StoreError::Internal("a raw row of a metric that was not requested"))?;
        snapshot.rows.push(raw_vital(row));
    }
    // An interval may overlap several spans.
    for snapshot in snapshots.values_mut() {
        snapshot.rows.sort_unstable_by_key(|row| row.id);
        snapshot.rows.dedup_by_key(|row| row.id);
    }
    Ok(())
}

fn keep_stored(
    stored: Vec<StoredColumns>,
    scope: &Scope,
    snapshots: &mut BTreeMap<String, Snapshot>,
) -> Result<(), StoreError> {
    for (metric, date, day, hour, sums, ends, percentiles, sketch) in stored {
        let Some(snapshot) = snapshots.get_mut(&metric) else { continue };
        if let (Some(fingerprint), Some(start), Some(end)) = day {
            let bounds = (from_postgres(start), from_postgres(end));
            if scope.get(&metric).is_some_and(|s| s.concerns(date, bounds)) {
                snapshot.days.insert(date, fingerprint);
            }
        } else {
            let (start, hour) = hour_figures(hour, sums, ends, percentiles, sketch)?;
            snapshot.hours.insert(HourKey { date, start }, hour);
        }
    }
    Ok(())
}

fn hour_figures(
    hour: HourColumns,
    (total, sum, squared_deviations, min, max): Sums,
    ends: Ends,
    percentiles: Percentiles,
    sketch: Sketch,
) -> Result<(Timestamp, HourFigures), StoreError> {
    let (
        Some(start),
        Some(sample_count),
        Some(censored_count),
        Some(rejected_count),
        Some(sources),
        Some(time_zone),
        by_workout_type,
    ) = hour
    else {
        return Err(StoreError::Internal("a stored row that is neither a day nor an hour"));
    };
    let moments = match (sum, squared_deviations, min, max, ends) {
        (
            Some(sum),
            Some(squared_deviations),
            Some(min),
            Some(max),
            (Some(first_value), Some(first_at), Some(last_value), Some(last_at)),
        ) => Some(Moments {
            count: sample_count,
            sum,
            squared_deviations,
            min,
            max,
            first_value,
            first_at: from_postgres(first_at),
            last_value,
            last_at: from_postgres(last_at),
        }),
        _ => None,
    };
    let percentiles = match percentiles {
        (Some(p05), Some(p25), Some(p50), Some(p75), Some(p95)) => Some([p05, p25, p50, p75, p95]),
        _ => None,
    };
    let sources: BTreeMap<String, i32> = serde_json::from_str(&sources)
        .map_err(|_| StoreError::Internal("stored sources of an hour are damaged"))?;
    let sources =
        sources.into_iter().map(|(name, samples)| (SharedStr::from(name), samples)).collect();
    let hour = HourFigures {
        sample_count,
        censored_count,
        rejected_count,
        total,
        by_workout_type: by_workout_type
            .map_or(Ok(BTreeMap::new()), |totals| totals_by_type(&totals))?,
        moments,
        sketch,
        percentiles,
        sources,
        time_zone,
    };
    Ok((from_postgres(start), hour))
}

/// The totals by type of workout in the text of a JSON object.
fn totals_by_type(json: &str) -> Result<BTreeMap<SharedStr, f64>, StoreError> {
    let totals: BTreeMap<String, f64> = serde_json::from_str(json)
        .map_err(|_| StoreError::Internal("stored totals by type of workout are damaged"))?;
    Ok(totals.into_iter().map(|(of_type, total)| (SharedStr::from(of_type), total)).collect())
}
