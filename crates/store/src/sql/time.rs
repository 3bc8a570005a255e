//! Conversion of instants and dates to and from PostgreSQL.

use std::time::Duration;

use aggregation::Timestamp;
use diesel::data_types::{PgInterval, PgTimestamp};
use diesel::deserialize::{self, FromSql, FromSqlRow, Queryable};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{Interval, Nullable, Timestamptz};

diesel::define_sql_function! {
    /// The database's clock.
    fn clock_timestamp() -> Timestamptz;
}

diesel::define_sql_function! {
    /// When the transaction began, for modifications: a distributed database plans none with a volatile function.
    #[sql_name = "now"]
    fn transaction_time() -> Timestamptz;
}

diesel::define_sql_function! {
    /// An instant, later by an interval: diesel adds to columns only.
    #[sql_name = "timestamptz_pl_interval"]
    fn later(instant: Timestamptz, interval: Interval) -> Timestamptz;
}

/// `-infinity`.
pub(crate) const LONG_AGO: PgTimestamp = PgTimestamp(i64::MIN);

/// `infinity`.
pub(crate) const NEVER: PgTimestamp = PgTimestamp(i64::MAX);

/// A duration as an interval.
pub(crate) fn interval(duration: Duration) -> PgInterval {
    PgInterval::from_microseconds(duration.as_micros().try_into().unwrap_or(i64::MAX))
}

/// The type id of `timestamptz`, fixed in PostgreSQL's protocol.
const TIMESTAMPTZ: u32 = 1184;

/// An instant of the application's tables. If the application has changed a column to `timestamp`
/// without a zone, its bytes look the same and would be read as UTC. So the type is checked.
#[derive(Clone, Copy, Debug, FromSqlRow)]
#[diesel(sql_type = Timestamptz)]
pub struct RawTime(pub(crate) Timestamp);

impl FromSql<Timestamptz, Pg> for RawTime {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        if value.get_oid().get() != TIMESTAMPTZ {
            return Err("a time is no timestamptz".into());
        }
        FromSql::<Timestamptz, Pg>::from_sql(value).map(|instant| Self(from_postgres(instant)))
    }
}

impl RawTime {
    /// Seconds from this instant to another one.
    pub(crate) const fn seconds_until(self, other: Self) -> f64 {
        (other.0.0 - self.0.0) as f64 / 1e6
    }
}

impl From<RawTime> for Timestamp {
    fn from(time: RawTime) -> Self {
        time.0
    }
}

/// An instant that may be missing.
pub struct OptionalTime(Option<Timestamp>);

impl Queryable<Nullable<Timestamptz>, Pg> for OptionalTime {
    type Row = Option<RawTime>;

    fn build(time: Self::Row) -> deserialize::Result<Self> {
        Ok(Self(time.map(Timestamp::from)))
    }
}

impl From<OptionalTime> for Option<Timestamp> {
    fn from(time: OptionalTime) -> Self {
        time.0
    }
}

/// PostgreSQL counts microseconds from 2000-01-01 UTC, the worker from 1970-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Converts the database's representation. Infinite timestamps are the extremes of its range and remain
/// so by saturation, outside the calendar's range.
pub(crate) const fn from_postgres(instant: PgTimestamp) -> Timestamp {
    Timestamp(instant.0.saturating_add(POSTGRES_EPOCH_US))
}

/// Converts to the database's representation.
pub(crate) const fn to_postgres(instant: Timestamp) -> PgTimestamp {
    PgTimestamp(instant.0.saturating_sub(POSTGRES_EPOCH_US))
}
