//! The rows to drain: each workload is a list of statements that fill the raw table. The same
//! number of rows gives the same rows.

use clap::ValueEnum;

/// The distribution of the rows over users and days, and their order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Two days of 500 users, arriving in the order of time: neighbours in the queue are of other users
    Interleaved,
    /// One user's day, about a row a second
    OneDay,
    /// One new row for each of many users, who have a day of 24 rows already
    Sparse,
    /// One new row in each of many days of a year, after a history of 50 rows a day
    Late,
}

/// The rows whose figures are computed before the measurement, and those that are drained.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    /// Fills the history; takes the number of rows to be drained as `$1`.
    pub history: Option<&'static str>,
    /// Fills the backlog; takes the number of rows to be drained as `$1`.
    pub backlog: &'static str,
}

impl Workload {
    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interleaved => "interleaved",
            Self::OneDay => "one day",
            Self::Sparse => "sparse",
            Self::Late => "late",
        }
    }

    /// The statements that fill the raw table.
    pub const fn filling(self) -> Filling {
        match self {
            Self::Interleaved => Filling { history: None, backlog: crate::service::FILL },
            Self::OneDay => Filling { history: None, backlog: ONE_DAY },
            Self::Sparse => Filling { history: Some(SPARSE_HISTORY), backlog: SPARSE },
            Self::Late => Filling { history: Some(LATE_HISTORY), backlog: LATE },
        }
    }
}

const ONE_DAY: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT 1, 'heart_rate', 50 + n % 100, 'bpm', 'watch', at, at
    FROM generate_series(0, $1::bigint - 1) AS n,
         LATERAL (SELECT timestamptz '2024-05-01 00:00Z' + n * (interval '1 day' / $1::bigint) AS at) AS t";

const SPARSE_HISTORY: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT u, 'heart_rate', 50 + (u + n) % 100, 'bpm', 'watch', at, at
    FROM generate_series(1, $1::bigint) AS u, generate_series(0, 23) AS n,
         LATERAL (SELECT timestamptz '2024-05-01 00:00Z' + n * interval '30 minutes' AS at) AS t";

const SPARSE: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT u, 'heart_rate', 50 + u % 100, 'bpm', 'watch', at, at
    FROM generate_series(1, $1::bigint) AS u,
         LATERAL (SELECT timestamptz '2024-05-01 11:45Z' AS at) AS t";

/// One user-day for each row to be drained: users with 365 days each.
const LATE_HISTORY: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT d / 365, 'heart_rate', 50 + (d + n) % 100, 'bpm', 'watch', at, at
    FROM generate_series(0, $1::bigint - 1) AS d, generate_series(0, 49) AS n,
         LATERAL (SELECT timestamptz '2024-01-01 00:00Z' + (d % 365) * interval '1 day'
                         + n * interval '28 minutes' AS at) AS t";

const LATE: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT d / 365, 'heart_rate', 120, 'bpm', 'phone', at, at
    FROM (SELECT d FROM generate_series(0, $1::bigint - 1) AS d ORDER BY md5(d::text)) AS days,
         LATERAL (SELECT timestamptz '2024-01-01 13:33Z' + (d % 365) * interval '1 day' AS at) AS t";
