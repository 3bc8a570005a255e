//! Writes the figures of a scope.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aggregation::catalogue::Catalogue;
use aggregation::vitals::{DayFigures, HourFigures, HourKey, Recomputed};
use aggregation::{ALGORITHM_VERSION, SharedStr, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{
    Array, BigInt, Binary, Date, Double, Integer, Nullable, Text, Timestamptz,
};

use crate::error::StoreError;
use crate::kinds::daily::{sources, upserted};
use crate::kinds::day_end::future_count;
use crate::sql::figure_table::FigureTable;
use crate::sql::statement::statement;
use crate::sql::time::to_postgres;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

/// Declares a table of figures, of which the rows share columns and add some of their own. Also declares
/// two queries for them: one for a single row with a parameter for each column, one for several rows
/// with an array for each column. The server takes three times as long for a row in arrays.
macro_rules! figures {
    (
        $table:literal, $TABLE:ident,
        $(#[$meta:meta])*
        $row:ident, $one:ident, $several:ident,
        key { $($key:ident: $key_rust:ty => $key_sql:ty as $key_type:literal),* }
        own { $($own:ident: $own_rust:ty => $own_sql:ty as $own_type:literal),* $(,)? }
        of_clock { $($column:literal),* } $values:expr
    ) => {
        figures! {
            @rows $table, $TABLE, $(#[$meta])* $row, $one, $several,
            key {
                local_date: NaiveDate => Date as "date",
                metric: String => Text as "text"
                $(, $key: $key_rust => $key_sql as $key_type)*
            }
            figures {
                unit: String => Text as "text",
                sample_count: i32 => Integer as "integer",
                total: Option<f64> => Nullable<Double> as "float8",
                mean: Option<f64> => Nullable<Double> as "float8",
                stddev: Option<f64> => Nullable<Double> as "float8",
                min: Option<f64> => Nullable<Double> as "float8",
                max: Option<f64> => Nullable<Double> as "float8",
                first_value: Option<f64> => Nullable<Double> as "float8",
                first_at: Option<PgTimestamp> => Nullable<Timestamptz> as "timestamptz",
                last_value: Option<f64> => Nullable<Double> as "float8",
                last_at: Option<PgTimestamp> => Nullable<Timestamptz> as "timestamptz",
                p05: Option<f64> => Nullable<Double> as "float8",
                p25: Option<f64> => Nullable<Double> as "float8",
                p50: Option<f64> => Nullable<Double> as "float8",
                p75: Option<f64> => Nullable<Double> as "float8",
                p95: Option<f64> => Nullable<Double> as "float8",
                censored_count: i32 => Integer as "integer",
                rejected_count: i32 => Integer as "integer",
                sources: String => Text as "jsonb",
                time_zone: String => Text as "text",
                by_workout_type: Option<String> => Nullable<Text> as "jsonb"
                $(, $own: $own_rust => $own_sql as $own_type)*
            }
            of_clock { $($column),* } $values
        }
    };
    (
        @rows $table:literal, $TABLE:ident, $(#[$meta:meta])* $row:ident, $one:ident, $several:ident,
        key { $($key:ident: $key_rust:ty => $key_sql:ty as $key_type:literal),* }
        figures { $first:ident: $first_rust:ty => $first_sql:ty as $first_type:literal
                  $(, $field:ident: $rust:ty => $sql:ty as $type:literal)* }
        of_clock { $($column:literal),* } $values:expr
    ) => {
        static $TABLE: LazyLock<FigureTable> = LazyLock::new(|| {
            let columns = [stringify!($first) $(, stringify!($field))* $(, $column)*];
            FigureTable::new($table, &[$(stringify!($key)),*], Some("metric"), &columns)
        });

        $(#[$meta])*
        struct $row {
            $($key: $key_rust,)*
            $first: $first_rust,
            $($field: $rust,)*
        }

        statement! {
            struct $one {
                user_id: UserId => UserKey,
                $($key: $key_rust => $key_sql,)*
                $first: $first_rust => $first_sql,
                $($field: $rust => $sql,)*
            } -> ()
            figures!(
                @text ($($key)*) ($first $($field)*) $values,
                concat!(
                    "(VALUES (" $(, "{", stringify!($key), "}::", $key_type, ", ")*,
                    "{", stringify!($first), "}::", $first_type
                    $(, ", {", stringify!($field), "}::", $type)*, "))"
                )
            )
        }

        statement! {
            struct $several {
                user_id: UserId => UserKey,
                $($key: Vec<$key_rust> => Array<$key_sql>,)*
                $first: Vec<$first_rust> => Array<$first_sql>,
                $($field: Vec<$rust> => Array<$sql>,)*
            } -> ()
            figures!(
                @text ($($key)*) ($first $($field)*) $values,
                concat!(
                    "unnest(" $(, "{", stringify!($key), "}::", $key_type, "[], ")*,
                    "{", stringify!($first), "}::", $first_type, "[]"
                    $(, ", {", stringify!($field), "}::", $type, "[]")*, ")"
                )
            )
        }

        impl $row {
            /// Queues rows of a user, to be sent with the next message.
            fn write(
                transaction: &mut GroupTransaction<'_>,
                (part, changed): (&'static str, &'static str),
                mut rows: Vec<Self>,
            ) {
                let user_id = transaction.user_id();
                let Some(row) = rows.pop() else { return };
                if rows.is_empty() {
                    let $row { $($key,)* $first, $($field,)* } = row;
                    let one = $one { user_id, $($key,)* $first, $($field,)* };
                    return transaction.write_rows(part, (&$TABLE, one), changed);
                }
                rows.push(row);
                let mut several = $several {
                    user_id,
                    $($key: Vec::with_capacity(rows.len()),)*
                    $first: Vec::with_capacity(rows.len()),
                    $($field: Vec::with_capacity(rows.len()),)*
                };
                for row in rows {
                    $(several.$key.push(row.$key);)*
                    several.$first.push(row.$first);
                    $(several.$field.push(row.$field);)*
                }
                transaction.write_rows(part, (&$TABLE, several), changed);
            }
        }
    };
    (@text ($($key:ident)*) ($first:ident $($field:ident)*) $values:expr, $rows:expr) => {
        concat!(
            "SELECT {user_id}, f.*", $values, " FROM ", $rows, " AS f ("
            $(, stringify!($key), ", ")*, stringify!($first) $(, ", ", stringify!($field))*, ")"
        )
    };
}

figures! {
    "vitals_hourly", HOURS,
    /// A row of `vitals_hourly`.
    HourRow, HourValues, HourArrays,
    key { hour_start: PgTimestamp => Timestamptz as "timestamptz" }
    own {
        sum: Option<f64> => Nullable<Double> as "float8",
        squared_deviations: Option<f64> => Nullable<Double> as "float8",
        sketch: Option<Vec<u8>> => Nullable<Binary> as "bytea",
    }
    of_clock {} ""
}

figures! {
    "vitals_daily", DAYS,
    /// A row of `vitals_daily`.
    DayRow, DayValues, DayArrays,
    key {}
    own {
        primary_source: Option<String> => Nullable<Text> as "text",
        day_start: PgTimestamp => Timestamptz as "timestamptz",
        day_end: PgTimestamp => Timestamptz as "timestamptz",
        context_fingerprint: i64 => BigInt as "bigint",
        algorithm_version: i32 => Integer as "integer",
    }
    of_clock { "is_partial", "future_count" }
    concat!(", f.day_end > now(), ", future_count!("f.", "f.sample_count + f.censored_count"))
}

/// The table of hours.
pub(crate) fn hours() -> &'static FigureTable {
    &HOURS
}

/// The table of days.
pub(crate) fn days() -> &'static FigureTable {
    &DAYS
}

/// The days that are changed by a write of `vitals_daily`.
static UPSERTED: LazyLock<String> = LazyLock::new(|| {
    let figures = [
        "unit",
        "sample_count",
        "total",
        "mean",
        "stddev",
        "min",
        "max",
        "first_value",
        "first_at",
        "last_value",
        "last_at",
        "p05",
        "p25",
        "p50",
        "p75",
        "p95",
        "censored_count",
        "primary_source",
        "by_workout_type",
    ];
    upserted("days", "vitals_daily", &["metric"], &figures)
});

statement! {
    struct DeleteHours {
        user_id: UserId => UserKey,
        metrics: Vec<String> => Array<Text>,
        dates: Vec<NaiveDate> => Array<Date>,
        hour_starts: Vec<PgTimestamp> => Array<Timestamptz>,
    } -> ()
    "DELETE FROM vitals_hourly AS h
     USING unnest({metrics}::text[], {dates}::date[], {hour_starts}::timestamptz[])
               AS gone (metric, local_date, hour_start)
     WHERE h.user_id = {user_id} AND h.local_date = gone.local_date
       AND h.metric = gone.metric AND h.hour_start = gone.hour_start
     RETURNING h.local_date"
}

statement! {
    struct DeleteDays {
        user_id: UserId => UserKey,
        metrics: Vec<String> => Array<Text>,
        dates: Vec<NaiveDate> => Array<Date>,
    } -> ()
    "DELETE FROM vitals_daily AS d
     USING unnest({metrics}::text[], {dates}::date[]) AS gone (metric, local_date)
     WHERE d.user_id = {user_id} AND d.local_date = gone.local_date AND d.metric = gone.metric
     RETURNING d.local_date"
}

impl GroupTransaction<'_> {
    /// Writes changed hours and days, and deletes those without rows. Leaves out frozen dates.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_vitals(
        &mut self,
        mut recomputed: BTreeMap<String, Recomputed>,
        catalogue: &Catalogue,
    ) -> Result<(), StoreError> {
        for of_metric in recomputed.values_mut() {
            of_metric.changed_hours.retain(|hour, _| self.is_open(hour.date));
            of_metric.vanished_hours.retain(|hour| self.is_open(hour.date));
            of_metric.days.retain(|date, _| self.is_open(*date));
        }
        let unit =
            |metric: &str| catalogue.metric(metric).map_or("", |metric| metric.unit.as_str());
        // Only hours that differ from the stored ones are written.
        let hours = ("hours", "SELECT local_date FROM hours");
        HourRow::write(self, hours, hours_to_write(&recomputed, unit)?);
        DayRow::write(self, ("days", &UPSERTED), days_to_write(&recomputed, unit)?);
        self.delete_vanished(&recomputed);
        Ok(())
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
            self.write_figures("gone_hours", delete, "SELECT local_date FROM gone_hours");
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
            self.write_figures("gone_days", delete, "SELECT local_date FROM gone_days");
        }
    }
}

fn hours_to_write<'u>(
    recomputed: &BTreeMap<String, Recomputed>,
    unit: impl Fn(&str) -> &'u str,
) -> Result<Vec<HourRow>, StoreError> {
    let hours = recomputed.iter().flat_map(|(metric, of_metric)| {
        of_metric.changed_hours.iter().map(move |(key, hour)| (metric, key, hour))
    });
    hours.map(|(metric, key, hour)| hour_row(metric, unit(metric), key, hour)).collect()
}

fn days_to_write<'u>(
    recomputed: &BTreeMap<String, Recomputed>,
    unit: impl Fn(&str) -> &'u str,
) -> Result<Vec<DayRow>, StoreError> {
    let days = recomputed.iter().flat_map(|(metric, of_metric)| {
        let days = of_metric.days.iter().filter_map(|(date, day)| Some((*date, day.as_ref()?)));
        days.map(move |(date, day)| (metric, of_metric.fingerprint, date, day))
    });
    days.map(|(metric, fingerprint, date, day)| {
        day_row(metric, unit(metric), fingerprint, date, day)
    })
    .collect()
}

/// A row of figures: the columns that hours and days share, and the columns of one of them.
macro_rules! row {
    ($row:ident, $metric:expr, $unit:expr, $date:expr, $figures:expr, { $($own:tt)* }) => {{
        let (figures, moments) = ($figures, $figures.moments);
        let percentile = |index: usize| figures.percentiles.and_then(|p| p.get(index).copied());
        $row {
            local_date: $date,
            metric: $metric.to_owned(),
            unit: $unit.to_owned(),
            sample_count: figures.sample_count,
            total: figures.total,
            mean: moments.map(|m| m.mean()),
            stddev: moments.and_then(|m| m.stddev()),
            min: moments.map(|m| m.min),
            max: moments.map(|m| m.max),
            first_value: moments.map(|m| m.first_value),
            first_at: moments.map(|m| to_postgres(m.first_at)),
            last_value: moments.map(|m| m.last_value),
            last_at: moments.map(|m| to_postgres(m.last_at)),
            p05: percentile(0),
            p25: percentile(1),
            p50: percentile(2),
            p75: percentile(3),
            p95: percentile(4),
            censored_count: figures.censored_count,
            rejected_count: figures.rejected_count,
            sources: sources(&figures.sources)?,
            time_zone: figures.time_zone.clone(),
            by_workout_type: by_workout_type(&figures.by_workout_type)?,
            $($own)*
        }
    }};
}

/// The totals by type of workout as the text of a JSON object; `None` if there are none.
fn by_workout_type(totals: &BTreeMap<SharedStr, f64>) -> Result<Option<String>, StoreError> {
    if totals.is_empty() {
        return Ok(None);
    }
    let totals: BTreeMap<&str, f64> =
        totals.iter().map(|(name, total)| (&**name, *total)).collect();
    let json = serde_json::to_string(&totals);
    json.map(Some).map_err(|_| StoreError::Internal("totals by type of workout cannot be written"))
}

fn hour_row(
    metric: &str,
    unit: &str,
    key: &HourKey,
    hour: &HourFigures,
) -> Result<HourRow, StoreError> {
    Ok(row!(HourRow, metric, unit, key.date, hour, {
        hour_start: to_postgres(key.start),
        sum: hour.moments.map(|m| m.sum),
        squared_deviations: hour.moments.map(|m| m.squared_deviations),
        sketch: hour.sketch.clone(),
    }))
}

fn day_row(
    metric: &str,
    unit: &str,
    context_fingerprint: i64,
    date: NaiveDate,
    day: &DayFigures,
) -> Result<DayRow, StoreError> {
    Ok(row!(DayRow, metric, unit, date, day, {
        primary_source: day.primary_source.clone(),
        day_start: to_postgres(day.day_start),
        day_end: to_postgres(day.day_end),
        context_fingerprint,
        algorithm_version: ALGORITHM_VERSION,
    }))
}
