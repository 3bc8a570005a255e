//! Raw rows of sleep and their daily figures.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aggregation::raw::LONGEST_INTERVAL_US;
use aggregation::sleep::{Recomputed, SleepDay, SleepScope, Snapshot, Stage, StoredDay};
use aggregation::{ALGORITHM_VERSION, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Date, Double, Integer, Nullable, Text, Timestamptz};

use crate::changes::record::changed_dates;
use crate::error::StoreError;
use crate::kinds::daily::sources;
use crate::kinds::day_end::future_count;
use crate::kinds::raw_vital::{RawVitalColumns, RawVitalSql, raw_vital, raw_vital_columns};
use crate::sql::figure_table::FigureTable;
use crate::sql::statement::statement;
use crate::sql::time::{from_postgres, to_postgres};
use crate::sql::user_key::UserKey;
use crate::transaction::{GroupTransaction, MOST_AT_ONCE, ReadMode};

statement! {
    /// Reads the raw rows of each span and metric. A row may reach into the span from at most 48 hours
    /// before it; the index answers this condition. OFFSET 0 keeps the planner from a plan that reads
    /// all of the user's rows and tests the metric of each.
    struct ReadSegments {
        user_id: UserId => UserKey,
        metrics: Vec<&'static str> => Array<Text>,
        spans_from: Vec<PgTimestamp> => Array<Timestamptz>,
        spans_to: Vec<PgTimestamp> => Array<Timestamptz>,
        starts_from: Vec<PgTimestamp> => Array<Timestamptz>,
        most: Option<i64> => Nullable<BigInt>,
    } -> (Text, RawVitalSql)
    concat!(
        "SELECT stage.metric, ",
        raw_vital_columns!("v"),
        "
     FROM (SELECT {user_id} AS user_id, s.*
           FROM unnest({spans_from}::timestamptz[], {spans_to}::timestamptz[],
                       {starts_from}::timestamptz[])
                AS s (span_from, span_to, starts_from)
          ) AS span
     CROSS JOIN unnest({metrics}::text[]) AS stage (metric)
     CROSS JOIN LATERAL (
         SELECT id, value, comparator, unit, source, started_at, ended_at, time_zone,
                is_daily_total, workout_type
         FROM vitals_raw
         WHERE user_id = span.user_id AND metric = stage.metric
           AND started_at >= span.starts_from AND started_at < span.span_to
           AND (ended_at >= span.span_from OR started_at >= span.span_from)
         OFFSET 0
     ) AS v
     LIMIT {most}"
    )
}

statement! {
    /// Reads disjoint ranges of dates, from first to last: one index scan for a month.
    struct ReadSleepDays {
        user_id: UserId => UserKey,
        firsts: Vec<NaiveDate> => Array<Date>,
        lasts: Vec<NaiveDate> => Array<Date>,
    } -> (Date, Timestamptz, Timestamptz, BigInt)
    "SELECT d.local_date, d.reach_start, d.reach_end, d.context_fingerprint
     FROM unnest({firsts}::date[], {lasts}::date[]) AS dates (first_date, last_date)
     JOIN sleep_daily AS d
       ON d.user_id = {user_id}
      AND d.local_date >= dates.first_date AND d.local_date <= dates.last_date"
}

/// The columns of a day beside its date, version and fingerprint, in the order of [`ROWS`].
const COLUMNS: [&str; 21] = [
    "asleep_minutes",
    "core_minutes",
    "deep_minutes",
    "rem_minutes",
    "unspecified_minutes",
    "awake_minutes",
    "in_bed_minutes",
    "efficiency",
    "main_start",
    "main_end",
    "nap_count",
    "nap_minutes",
    "segment_count",
    "sources",
    "primary_source",
    "rejected_count",
    "time_zone",
    "day_start",
    "day_end",
    "reach_start",
    "reach_end",
];

static TABLE: LazyLock<FigureTable> = LazyLock::new(|| {
    let others = ["context_fingerprint", "algorithm_version", "is_partial", "future_count"];
    FigureTable::new("sleep_daily", &["local_date"], None, &[&COLUMNS[..], &others].concat())
});

static ROWS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {{user_id}}, d.*, {{fingerprint}}, {{algorithm_version}}, d.day_end > now(), {}
         FROM unnest({{dates}}::date[], {{asleep}}::float8[], {{core}}::float8[], {{deep}}::float8[],
                     {{rem}}::float8[], {{unspecified}}::float8[], {{awake}}::float8[],
                     {{in_bed}}::float8[], {{efficiencies}}::float8[], {{main_starts}}::timestamptz[],
                     {{main_ends}}::timestamptz[], {{nap_counts}}::integer[], {{naps}}::float8[],
                     {{segment_counts}}::integer[], {{sources}}::jsonb[], {{primary_sources}}::text[],
                     {{rejected_counts}}::integer[], {{time_zones}}::text[],
                     {{day_starts}}::timestamptz[], {{day_ends}}::timestamptz[],
                     {{reach_starts}}::timestamptz[], {{reach_ends}}::timestamptz[])
              AS d (local_date, {})",
        future_count!("d.", "d.segment_count"),
        COLUMNS.join(", ")
    )
});

statement! {
    struct SleepRows {
        user_id: UserId => UserKey,
        algorithm_version: i32 => Integer,
        fingerprint: i64 => BigInt,
        dates: Vec<NaiveDate> => Array<Date>,
        asleep: Vec<Option<f64>> => Array<Nullable<Double>>,
        core: Vec<Option<f64>> => Array<Nullable<Double>>,
        deep: Vec<Option<f64>> => Array<Nullable<Double>>,
        rem: Vec<Option<f64>> => Array<Nullable<Double>>,
        unspecified: Vec<Option<f64>> => Array<Nullable<Double>>,
        awake: Vec<Option<f64>> => Array<Nullable<Double>>,
        in_bed: Vec<Option<f64>> => Array<Nullable<Double>>,
        efficiencies: Vec<Option<f64>> => Array<Nullable<Double>>,
        main_starts: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        main_ends: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        nap_counts: Vec<i32> => Array<Integer>,
        naps: Vec<Option<f64>> => Array<Nullable<Double>>,
        segment_counts: Vec<i32> => Array<Integer>,
        sources: Vec<String> => Array<Text>,
        primary_sources: Vec<Option<String>> => Array<Nullable<Text>>,
        rejected_counts: Vec<i32> => Array<Integer>,
        time_zones: Vec<String> => Array<Text>,
        day_starts: Vec<PgTimestamp> => Array<Timestamptz>,
        day_ends: Vec<PgTimestamp> => Array<Timestamptz>,
        reach_starts: Vec<PgTimestamp> => Array<Timestamptz>,
        reach_ends: Vec<PgTimestamp> => Array<Timestamptz>,
    } -> ()
    built &ROWS
}

statement! {
    struct DeleteSleepDays {
        user_id: UserId => UserKey,
        dates: Vec<NaiveDate> => Array<Date>,
    } -> ()
    "DELETE FROM sleep_daily WHERE user_id = {user_id} AND local_date = ANY ({dates})
     RETURNING local_date"
}

/// The dates that a write of [`TABLE`] changes. The reach of a day only says which rows concern it.
static UPSERTED: LazyLock<String> = LazyLock::new(|| {
    let others = ["reach_start", "reach_end"];
    let figures: Vec<&str> =
        COLUMNS.into_iter().filter(|column| !others.contains(column)).collect();
    changed_dates("sleep", "sleep_daily", &[], &figures)
});

/// The table of its days.
pub(crate) fn table() -> &'static FigureTable {
    &TABLE
}

impl GroupTransaction<'_> {
    /// Reads the input of [`aggregation::sleep::recompute()`] for a scope.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read_sleep(&mut self, scope: &SleepScope) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::default();
        let spans = scope.spans_to_read();
        let user_id = self.user_id();
        let read = ReadSegments {
            user_id: user_id.clone(),
            metrics: Stage::ALL.map(Stage::metric).to_vec(),
            spans_from: spans.iter().map(|(from, _)| to_postgres(*from)).collect(),
            spans_to: spans.iter().map(|(_, to)| to_postgres(*to)).collect(),
            starts_from: spans
                .iter()
                .map(|(from, _)| to_postgres(from.plus(-LONGEST_INTERVAL_US)))
                .collect(),
            most: None,
        };
        for reading in [ReadMode::AtOnce, ReadMode::InPortions] {
            snapshot.rows.clear();
            let keep = |(metric, row): (String, RawVitalColumns)| {
                let stage = Stage::from_metric(&metric)
                    .ok_or(StoreError::Internal("a raw row of a metric that was not asked for"))?;
                snapshot.rows.entry(stage).or_default().push(raw_vital(row));
                Ok(())
            };
            let read = ReadSegments { most: reading.limit(MOST_AT_ONCE), ..read.clone() };
            if self.visit_rows((reading, MOST_AT_ONCE), "segments", read, keep).await? {
                break;
            }
        }
        // A row may overlap several spans.
        for rows in snapshot.rows.values_mut() {
            rows.sort_unstable_by_key(|row| row.id);
            rows.dedup_by_key(|row| row.id);
        }

        if self.only_computes() {
            return Ok(snapshot);
        }
        let (firsts, lasts) = ranges(&scope.stored_dates()).into_iter().unzip();
        let read = ReadSleepDays { user_id, firsts, lasts };
        let stored: Vec<(NaiveDate, PgTimestamp, PgTimestamp, i64)> = self.read(read).await?;
        snapshot.days = stored
            .into_iter()
            .map(|(date, start, end, fingerprint)| {
                let reach = (from_postgres(start), from_postgres(end));
                (date, StoredDay { reach, fingerprint })
            })
            .collect();
        Ok(snapshot)
    }

    /// Writes recomputed days, and deletes days without rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_sleep(&mut self, recomputed: &Recomputed) -> Result<(), StoreError> {
        let user_id = self.user_id();
        let (gone, days) = self.split(&recomputed.days);
        if !days.is_empty() {
            let rows = rows(user_id.clone(), recomputed.fingerprint, &days)?;
            self.write_rows("sleep", (&TABLE, rows), &UPSERTED);
        }
        if !gone.is_empty() {
            let delete = DeleteSleepDays { user_id, dates: gone };
            self.write_figures("gone_sleep", delete, "SELECT local_date FROM gone_sleep");
        }
        Ok(())
    }
}

/// The first and last date of each run of consecutive dates.
fn ranges(dates: &BTreeSet<NaiveDate>) -> Vec<(NaiveDate, NaiveDate)> {
    let mut ranges: Vec<(NaiveDate, NaiveDate)> = Vec::new();
    for date in dates {
        match ranges.last_mut() {
            Some((_, last)) if last.succ_opt() == Some(*date) => *last = *date,
            _ => ranges.push((*date, *date)),
        }
    }
    ranges
}

fn rows(
    user_id: UserId,
    fingerprint: i64,
    days: &[(NaiveDate, &SleepDay)],
) -> Result<SleepRows, StoreError> {
    fn column<T>(days: &[(NaiveDate, &SleepDay)], of: impl Fn(&SleepDay) -> T) -> Vec<T> {
        days.iter().map(|(_, day)| of(day)).collect()
    }
    Ok(SleepRows {
        user_id,
        algorithm_version: ALGORITHM_VERSION,
        fingerprint,
        dates: days.iter().map(|(date, _)| *date).collect(),
        asleep: column(days, |day| day.asleep_minutes),
        core: column(days, |day| day.core_minutes),
        deep: column(days, |day| day.deep_minutes),
        rem: column(days, |day| day.rem_minutes),
        unspecified: column(days, |day| day.unspecified_minutes),
        awake: column(days, |day| day.awake_minutes),
        in_bed: column(days, |day| day.in_bed_minutes),
        efficiencies: column(days, |day| day.efficiency),
        main_starts: column(days, |day| day.main_start.map(to_postgres)),
        main_ends: column(days, |day| day.main_end.map(to_postgres)),
        nap_counts: column(days, |day| day.nap_count),
        naps: column(days, |day| day.nap_minutes),
        segment_counts: column(days, |day| day.segment_count),
        sources: days.iter().map(|(_, day)| sources(&day.sources)).collect::<Result<_, _>>()?,
        primary_sources: column(days, |day| day.primary_source.clone()),
        rejected_counts: column(days, |day| day.rejected_count),
        time_zones: column(days, |day| day.time_zone.clone()),
        day_starts: column(days, |day| to_postgres(day.day_start)),
        day_ends: column(days, |day| to_postgres(day.day_end)),
        reach_starts: column(days, |day| to_postgres(day.reach.0)),
        reach_ends: column(days, |day| to_postgres(day.reach.1)),
    })
}
