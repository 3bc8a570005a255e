//! Instants and dates on their way to and from PostgreSQL.

use aggregation::Timestamp;
use diesel::data_types::PgTimestamp;

/// PostgreSQL counts microseconds from 2000-01-01 UTC, the worker from 1970-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// As the database holds it. Infinite timestamps are the extremes of its range and stay so,
/// saturated: out of the datable range either way.
pub(crate) const fn from_postgres(instant: PgTimestamp) -> Timestamp {
    Timestamp(instant.0.saturating_add(POSTGRES_EPOCH_US))
}

/// As the database is to hold it.
pub(crate) const fn to_postgres(instant: Timestamp) -> PgTimestamp {
    PgTimestamp(instant.0.saturating_sub(POSTGRES_EPOCH_US))
}
