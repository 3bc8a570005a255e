//! The parts that blood pressure, glucose and sleep share: their days are computed whole from raw
//! vitals.

use aggregation::UserId;
use std::collections::BTreeMap;
use std::ops::Deref;

use aggregation::raw::Span;
use aggregation::vitals::RawVital;
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, Text, Timestamptz};

use crate::changes::record::changed_dates;
use crate::error::StoreError;
use crate::kinds::raw_vital::{RawVitalColumns, RawVitalSql, raw_vital, raw_vital_columns};
use crate::sql::figure_table::FigureTable;
use crate::sql::statement::statement;
use crate::sql::time::to_postgres;
use crate::sql::user_key::UserKey;
use crate::transaction::{GroupTransaction, MOST_AT_ONCE, ReadMode};

statement! {
    /// A row belongs to the spans in which it starts. Spans of one metric are disjoint.
    ///
    /// OFFSET 0 keeps the tables apart. Otherwise the planner may read all of the user's rows and test
    /// each against the spans, which it considers cheap while they are few.
    struct ReadStarting {
        user_id: UserId => UserKey,
        ordinals: Vec<i32> => Array<Integer>,
        metrics: Vec<String> => Array<Text>,
        spans_from: Vec<PgTimestamp> => Array<Timestamptz>,
        spans_to: Vec<PgTimestamp> => Array<Timestamptz>,
        most: Option<i64> => Nullable<BigInt>,
    } -> (Integer, RawVitalSql)
    concat!(
        "SELECT span.ordinal, ",
        raw_vital_columns!("v"),
        "
     FROM unnest({ordinals}::integer[], {metrics}::text[], {spans_from}::timestamptz[],
                 {spans_to}::timestamptz[]) AS span (ordinal, metric, span_from, span_to)
     CROSS JOIN LATERAL (
         SELECT id, value, comparator, unit, source, started_at, ended_at, time_zone,
                is_daily_total, workout_type
         FROM vitals_raw
         WHERE user_id = {user_id} AND metric = span.metric
           AND started_at >= span.span_from AND started_at < span.span_to
         OFFSET 0
     ) AS v
     LIMIT {most}"
    )
}

statement! {
    /// Two days around: an instant's local dates in two zones differ by two at most. The condition on
    /// the other table is constant, so only one table is read.
    struct ReadDatesNear<'a> {
        user_id: UserId => UserKey,
        table: &'a str => Text,
        spans_from: Vec<PgTimestamp> => Array<Timestamptz>,
        spans_to: Vec<PgTimestamp> => Array<Timestamptz>,
    } -> (Date)
    include_str!("read_dates_near.sql")
}

impl GroupTransaction<'_> {
    /// Reads every raw row of each metric that starts in one of the disjoint spans. The rows of a metric
    /// are ordered by their start.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read_vitals_that_start(
        &mut self,
        metrics: &[&str],
        spans: &[Span],
    ) -> Result<Vec<Vec<RawVital>>, StoreError> {
        let mut of_metrics = vec![Vec::new(); metrics.len()];
        if spans.is_empty() {
            return Ok(of_metrics);
        }
        let mut read = ReadStarting {
            user_id: self.user_id(),
            ordinals: Vec::new(),
            metrics: Vec::new(),
            spans_from: Vec::new(),
            spans_to: Vec::new(),
            most: None,
        };
        for (ordinal, metric) in (0..).zip(metrics) {
            for (from, to) in spans {
                read.ordinals.push(ordinal);
                read.metrics.push((*metric).to_owned());
                read.spans_from.push(to_postgres(*from));
                read.spans_to.push(to_postgres(*to));
            }
        }
        for reading in [ReadMode::AtOnce, ReadMode::InPortions] {
            of_metrics.iter_mut().for_each(Vec::clear);
            let keep = |(ordinal, row): (i32, RawVitalColumns)| {
                let of_metric = usize::try_from(ordinal).ok().and_then(|at| of_metrics.get_mut(at));
                of_metric
                    .ok_or(StoreError::Internal("a raw row of a metric that was not asked for"))?
                    .push(raw_vital(row));
                Ok(())
            };
            let read = ReadStarting { most: reading.limit(MOST_AT_ONCE), ..read.clone() };
            if self.visit_rows((reading, MOST_AT_ONCE), "vitals_that_start", read, keep).await? {
                break;
            }
        }
        for rows in &mut of_metrics {
            rows.sort_unstable_by_key(|row| (row.started_at, row.id));
        }
        Ok(of_metrics)
    }

    /// The stored dates of a table whose bounds overlap one of the spans.
    pub(crate) async fn dates_near(
        &mut self,
        table: &str,
        spans: &[Span],
    ) -> Result<Vec<NaiveDate>, StoreError> {
        let read = ReadDatesNear {
            user_id: self.user_id(),
            table,
            spans_from: spans.iter().map(|(from, _)| to_postgres(*from)).collect(),
            spans_to: spans.iter().map(|(_, to)| to_postgres(*to)).collect(),
        };
        let rows: Vec<(NaiveDate,)> = self.read(read).await?;
        Ok(rows.into_iter().map(|(date,)| date).collect())
    }
}

/// The figures that all days have.
const OF_EVERY_DAY: [&str; 5] = ["rejected_count", "sources", "time_zone", "day_start", "day_end"];

/// The columns of all days that are no figures.
const NO_FIGURES: [&str; 3] = ["is_partial", "context_fingerprint", "algorithm_version"];

/// The columns of a day beside its key.
fn columns<'c>(figures: &[&'c str]) -> Vec<&'c str> {
    [figures, &OF_EVERY_DAY, &NO_FIGURES].concat()
}

/// A table of days with these figures, and the columns that all days share.
pub(crate) fn table(name: &'static str, figures: &[&str]) -> FigureTable {
    FigureTable::new(name, &["local_date"], None, &columns(figures))
}

/// The query for a row of [`table`]. Each column is a parameter of the same name, except `is_partial`, which depends
/// on the server's clock.
pub(crate) fn row(figures: &[&str]) -> String {
    let columns = ["user_id", "local_date"].into_iter().chain(columns(figures));
    let values = columns.map(|column| match column {
        "is_partial" => "{day_end} > now()".to_owned(),
        "sources" => "{sources}::jsonb".to_owned(),
        column => format!("{{{column}}}"),
    });
    format!("SELECT {}", values.collect::<Vec<_>>().join(", "))
}

/// The query for the dates that the part `part` changes, by the figures of its rows and those of every day. `key` is
/// the key beside user and date.
pub(crate) fn upserted(part: &str, table: &str, key: &[&str], figures: &[&str]) -> String {
    changed_dates(part, table, key, &[figures, &OF_EVERY_DAY].concat())
}

/// Dates whose figures are deleted, and dates whose figures are written.
pub(crate) type Split<'d, D> = (Vec<NaiveDate>, Vec<(NaiveDate, &'d D)>);

impl GroupTransaction<'_> {
    /// Separates days without rows from the others, and leaves out frozen ones.
    pub(crate) fn split<'d, D>(&self, days: &'d BTreeMap<NaiveDate, Option<D>>) -> Split<'d, D> {
        let open = days.iter().filter(|(date, _)| self.is_open(**date));
        let gone = open.clone().filter(|(_, day)| day.is_none()).map(|(date, _)| *date);
        (gone.collect(), open.filter_map(|(date, day)| Some((*date, day.as_ref()?))).collect())
    }
}

/// Counts by source as the text of a JSON object.
pub(crate) fn sources<S: Deref<Target = str>>(
    counts: &BTreeMap<S, i32>,
) -> Result<String, StoreError> {
    let counts: BTreeMap<&str, &i32> =
        counts.iter().map(|(name, count)| (&**name, count)).collect();
    // A date may have 10 MB of names, and a text that grows needs twice as much.
    let bytes = counts.keys().map(|name| name.len() + 16).sum();
    let mut json = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut json, &counts)
        .ok()
        .and_then(|()| String::from_utf8(json).ok())
        .ok_or(StoreError::Internal("the sources of a day cannot be written"))
}
