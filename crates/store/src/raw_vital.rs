//! A raw row of vitals as statements give it.

use aggregation::vitals::RawVital;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz};

use crate::time::from_postgres;

/// Its columns: id, value, comparator, unit, source, started_at, ended_at, time_zone, is_daily_total.
pub(crate) type RawVitalSql =
    (BigInt, Double, Nullable<Text>, Text, Text, Timestamptz, Timestamptz, Nullable<Text>, Bool);

/// The same as they are loaded.
pub(crate) type RawVitalColumns =
    (i64, f64, Option<String>, String, String, PgTimestamp, PgTimestamp, Option<String>, bool);

/// The row that they make.
pub(crate) fn raw_vital(columns: RawVitalColumns) -> RawVital {
    let (id, value, comparator, unit, source, from, to, time_zone, is_daily_total) = columns;
    RawVital {
        id,
        value,
        comparator,
        unit,
        source,
        started_at: from_postgres(from),
        ended_at: from_postgres(to),
        time_zone,
        is_daily_total,
    }
}
