//! Facts about the request: the moment, the user, and rows that are not in the figures.

use aggregation::local_time::Zone;
use aggregation::{Kind, Timestamp, UserId, fold_source};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Date, Nullable, Text, Timestamptz};

use crate::error::StoreError;
use crate::profiles::{frozen_before, sources, zone};
use crate::queue::queued_rows::queued_rows;
use crate::snapshot::Snapshot;
use crate::sql::statement::statement;
use crate::sql::time::to_postgres;
use crate::sql::user_key::UserKey;

/// A user's changes of raw rows that are not in the figures yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Pending and claimed changes, of any date.
    pub rows: i64,
    /// How many of `rows` may affect the requested dates.
    pub near: i64,
    /// Dead changes, of any date.
    pub dead: i64,
}

/// Raw rows excluded from the figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRows {
    /// Their kind.
    pub kind: Kind,
    /// The reason's code.
    pub reason: String,
    /// How many there are.
    pub rows: i64,
}

/// The result of the first query.
pub(super) struct Moment {
    pub(super) now: PgTimestamp,
    pub(super) profile_zone: Option<String>,
    pub(super) source_priority: Vec<String>,
    pub(super) is_known: bool,
    pub(super) frozen_before: Option<NaiveDate>,
    pub(super) extent: Option<(NaiveDate, NaiveDate)>,
}

statement! {
    struct ReadMoment { user_id: UserId => UserKey }
        -> (Timestamptz, Nullable<Text>, Array<Nullable<Text>>, Bool, Nullable<Date>, Nullable<Date>, Nullable<Date>)
    concat!("SELECT now(), ", zone!(), ", ", sources!(), ",
            profile.user_id IS NOT NULL OR days.first IS NOT NULL
            OR EXISTS (SELECT FROM vitals_raw AS r WHERE r.user_id = of.user_id)
            OR EXISTS (SELECT FROM nutrition_raw AS r WHERE r.user_id = of.user_id)
            OR EXISTS (SELECT FROM lab_raw AS r WHERE r.user_id = of.user_id),
            ", frozen_before!("of.user_id"), ", days.first, days.last
     FROM (SELECT {user_id} AS user_id) AS of
     LEFT JOIN user_profiles AS profile USING (user_id)
     CROSS JOIN LATERAL (
         SELECT least((SELECT min(local_date) FROM vitals_daily AS d WHERE d.user_id = of.user_id),
                      (SELECT min(local_date) FROM sleep_daily AS d WHERE d.user_id = of.user_id),
                      (SELECT min(local_date) FROM nutrition_daily AS d WHERE d.user_id = of.user_id),
                      (SELECT min(local_date) FROM lab_daily AS d WHERE d.user_id = of.user_id)) AS first,
                greatest((SELECT max(local_date) FROM vitals_daily AS d WHERE d.user_id = of.user_id),
                         (SELECT max(local_date) FROM sleep_daily AS d WHERE d.user_id = of.user_id),
                         (SELECT max(local_date) FROM nutrition_daily AS d WHERE d.user_id = of.user_id),
                         (SELECT max(local_date) FROM lab_daily AS d WHERE d.user_id = of.user_id)) AS last
     ) AS days")
}

statement! {
    /// The range around the dates is that of `worker verify`. An interval begins up to two days before
    /// its date, and zones are up to a day apart. A laboratory result affects the comparison of every
    /// later one.
    struct CountWaiting {
        user_id: UserId => UserKey,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (BigInt, BigInt, BigInt)
    concat!(
        "SELECT count(*) FILTER (WHERE state <> 'dead'),
                count(*) FILTER (WHERE state <> 'dead'
                    AND (row_starts_at AT TIME ZONE 'UTC')::date <= to_date + 3
                    AND (kind = 'labs' OR (row_ends_at AT TIME ZONE 'UTC')::date >= from_date - 3)),
                count(*) FILTER (WHERE state = 'dead')
         FROM (SELECT {from}::date AS from_date, {to}::date AS to_date) AS asked, ",
        queued_rows!(),
        " WHERE user_id = {user_id}"
    )
}

statement! {
    struct CountRejected {
        user_id: UserId => UserKey,
        from: PgTimestamp => Timestamptz,
        to: PgTimestamp => Timestamptz,
    } -> (Text, Text, BigInt)
    include_str!("count_rejected.sql")
}

impl Moment {
    /// The zone by which raw rows are assigned to dates; `default_zone` if the profile has none that is valid.
    pub(super) fn zone(&self, default_zone: Zone) -> Zone {
        let own = self.profile_zone.as_deref().and_then(|zone| zone.parse().ok());
        own.unwrap_or(default_zone)
    }
}

pub(super) async fn moment(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
) -> Result<Moment, StoreError> {
    type Columns = (
        PgTimestamp,
        Option<String>,
        Vec<Option<String>>,
        bool,
        Option<NaiveDate>,
        Option<NaiveDate>,
        Option<NaiveDate>,
    );
    let rows: Vec<Columns> = snapshot.load(ReadMoment { user_id }).await?;
    let Some((now, profile_zone, sources, is_known, frozen_before, first, last)) =
        rows.into_iter().next()
    else {
        return Err(StoreError::Internal("the database returned no time"));
    };
    let source_priority =
        sources.into_iter().flatten().map(|name| fold_source(&name).into_owned()).collect();
    let extent = first.zip(last);
    Ok(Moment { now, profile_zone, source_priority, is_known, frozen_before, extent })
}

pub(super) async fn waiting(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Waiting, StoreError> {
    let rows: Vec<(i64, i64, i64)> = snapshot.load(CountWaiting { user_id, from, to }).await?;
    let counts = rows.first().copied().unwrap_or_default();
    Ok(Waiting { rows: counts.0, near: counts.1, dead: counts.2 })
}

pub(super) async fn rejected(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<RejectedRows>, StoreError> {
    let count = CountRejected { user_id, from: to_postgres(from), to: to_postgres(to) };
    let rows: Vec<(String, String, i64)> = snapshot.load(count).await?;
    let known = |(kind, reason, rows): (String, String, i64)| {
        Some(RejectedRows { kind: kind.parse().ok()?, reason, rows })
    };
    Ok(rows.into_iter().filter_map(known).collect())
}
