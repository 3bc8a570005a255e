//! Conversion of instants and dates to and from PostgreSQL.

use aggregation::Timestamp;
use diesel::data_types::PgTimestamp;
use diesel::deserialize::{self, FromSql, FromSqlRow, Queryable};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{Nullable, Timestamptz};

diesel::define_sql_function! {
    /// The database's clock.
    fn clock_timestamp() -> Timestamptz;
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
