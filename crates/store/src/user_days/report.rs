//! What a page for one user needs: the days, those before them to compare with, and single readings.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::glucose;
use aggregation::local_time::Zone;
use aggregation::raw::RawVital;
use aggregation::{Timestamp, UserId, blood_pressure};
use chrono::{Datelike, Days, Months, NaiveDate};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};

use super::{BloodPressureDay, GlucoseDay, NutritionSums, SleepNight, UserDays, VitalDay};
use super::{context, days, nutrition, vitals};
use crate::error::StoreError;
use crate::kinds::raw_vital::{RawVitalColumns, RawVitalSql, raw_vital, raw_vital_columns};
use crate::pool::Store;
use crate::snapshot::Snapshot;
use crate::sql::raw_text::{RawText, short_name};
use crate::sql::statement::statement;
use crate::sql::time::{from_postgres, to_postgres};
use crate::sql::user_key::UserKey;

/// The maximum number of days whose single readings of glucose are read: the last ones. A profile of
/// a whole year would hide what has changed in it.
pub const MOST_PROFILE_DAYS: u64 = 90;

/// The maximum number of raw rows of one metric: twice a reading each minute for [`MOST_PROFILE_DAYS`].
/// Of more rows the latest are read.
const MOST_ROWS: i64 = 2 * 90 * 24 * 60;

/// The dates of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportDates {
    /// From the first to the last, both included.
    Range(NaiveDate, NaiveDate),
    /// A week, month or year.
    Period {
        /// Its length.
        length: PeriodLength,
        /// A date in it. `None`: the last date with figures that is not in the future, or today.
        on: Option<NaiveDate>,
    },
}

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodLength {
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

/// The data of a page, all of one moment.
#[derive(Clone, Debug)]
pub struct UserReport {
    /// The days.
    pub days: UserDays,
    /// The length, if a period was asked for.
    pub length: Option<PeriodLength>,
    /// The days before: the previous week, month or year, or as many days.
    pub before: DaysBefore,
    /// The zone of rows that name none: that of the profile, or the default one.
    pub base_zone: aggregation::zones::BaseZone,
    /// Raw rows of the systolic and of the diastolic pressure, those of the days among them.
    pub pressure: [Vec<RawVital>; 2],
    /// Raw rows of glucose, those of [`UserReport::profile_dates`] among them.
    pub glucose: Vec<RawVital>,
    /// The dates of the profile of glucose, if one of the days has glucose.
    pub profile_dates: Option<(NaiveDate, NaiveDate)>,
    /// The unit of each metric's newest raw row of the days, as its sender spells it.
    pub reported_units: BTreeMap<String, String>,
}

/// The figures of the days before those of a page.
#[derive(Clone, Debug)]
pub struct DaysBefore {
    /// The first date.
    pub from: NaiveDate,
    /// The last date.
    pub to: NaiveDate,
    /// Days of `vitals_daily`.
    pub vitals: Vec<VitalDay>,
    /// Days of `sleep_daily`.
    pub sleep: Vec<SleepNight>,
    /// Days of `blood_pressure_daily`.
    pub blood_pressure: Vec<BloodPressureDay>,
    /// Days of `glucose_daily`.
    pub glucose: Vec<GlucoseDay>,
    /// Days of `nutrition_daily`.
    pub nutrition: Vec<NutritionSums>,
}

statement! {
    /// Reads the latest raw rows of a metric that start in a span, in the order of their start.
    struct ReadLatest {
        user_id: UserId => UserKey,
        metric: &'static str => Text,
        span_from: PgTimestamp => Timestamptz,
        span_to: PgTimestamp => Timestamptz,
        most: i64 => BigInt,
    } -> (RawVitalSql)
    concat!(
        "SELECT ",
        raw_vital_columns!("v"),
        "
     FROM (SELECT id, value, comparator, unit, source, started_at, ended_at, time_zone, is_daily_total,
                  workout_type
           FROM vitals_raw
           WHERE user_id = {user_id} AND metric = {metric}
             AND started_at >= {span_from} AND started_at < {span_to}
           ORDER BY started_at DESC
           LIMIT {most}) AS v
     ORDER BY v.started_at, v.ended_at"
    )
}

statement! {
    /// The unit of the newest row of each metric. The index finds it.
    struct ReadUnits {
        user_id: UserId => UserKey,
        metrics: Vec<String> => Array<Text>,
        span_from: PgTimestamp => Timestamptz,
        span_to: PgTimestamp => Timestamptz,
    } -> (Text, Text)
    concat!(
        "SELECT asked.metric, newest.unit
     FROM unnest({metrics}::text[]) AS asked (metric)
     CROSS JOIN LATERAL (
         SELECT ",
        short_name!("v.unit"),
        " AS unit
         FROM vitals_raw AS v
         WHERE v.user_id = {user_id} AND v.metric = asked.metric
           AND v.started_at >= {span_from} AND v.started_at < {span_to}
         ORDER BY v.started_at DESC, v.ended_at DESC, v.id DESC
         LIMIT 1
     ) AS newest"
    )
}

impl PeriodLength {
    /// The first and the last date of the period that contains `date`.
    pub fn around(self, date: NaiveDate) -> (NaiveDate, NaiveDate) {
        let ends = match self {
            Self::Week => {
                let monday = date - Days::new(u64::from(date.weekday().num_days_from_monday()));
                Some((monday, monday + Days::new(6)))
            }
            Self::Month => date.with_day(1).map(|first| (first, first + Months::new(1))),
            Self::Year => date
                .with_day(1)
                .and_then(|first| first.with_month(1))
                .map(|first| (first, first + Months::new(12))),
        };
        match (self, ends) {
            (_, None) => (date, date),
            (Self::Week, Some(ends)) => ends,
            (_, Some((first, behind))) => (first, behind - Days::new(1)),
        }
    }
}

impl ReportDates {
    /// The first and the last date, given today's date and the last date with figures.
    fn resolve(self, today: NaiveDate, last: Option<NaiveDate>) -> (NaiveDate, NaiveDate) {
        match self {
            Self::Range(from, to) => (from, to),
            Self::Period { length, on } => {
                length.around(on.or(last.filter(|last| *last <= today)).unwrap_or(today))
            }
        }
    }

    /// The dates to compare with.
    fn before(self, (from, to): (NaiveDate, NaiveDate)) -> (NaiveDate, NaiveDate) {
        let last = from - Days::new(1);
        match self {
            Self::Period { length, .. } => length.around(last),
            Self::Range(..) => (last - (to - from), last),
        }
    }
}

impl Store {
    /// Reads the data of a page for one user.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn user_report(
        &self,
        user_id: &UserId,
        dates: ReportDates,
        default_zone: Zone,
    ) -> Result<UserReport, StoreError> {
        let mut snapshot = self.snapshot("report").await?;
        let moment = context::moment(&mut snapshot, user_id.clone()).await?;
        let zone = moment.zone(default_zone);
        let today = zone.date_of(from_postgres(moment.now));
        let last = moment.extent.map(|(_, last)| last);
        let (from, to) = dates.resolve(today, last);
        let base_zone = match &moment.profile_zone {
            Some(text) => text.parse(),
            None => Ok(default_zone),
        };
        let days = UserDays::read(&mut snapshot, moment, user_id, (from, to), zone).await?;
        let before = DaysBefore::read(&mut snapshot, user_id, dates.before((from, to))).await?;
        let profile_dates = days.glucose.last().map(|last| {
            let last = last.day.date;
            (from.max(last - Days::new(MOST_PROFILE_DAYS - 1)), last)
        });
        let report = UserReport {
            pressure: pressure_rows(&mut snapshot, user_id, &days).await?,
            glucose: match profile_dates {
                Some((from, to)) => {
                    let (from, to) = (glucose::span_to_read(from).0, glucose::span_to_read(to).1);
                    rows(&mut snapshot, user_id, glucose::METRIC, (from, to)).await?
                }
                None => Vec::new(),
            },
            reported_units: units(&mut snapshot, user_id, &days, zone).await?,
            days,
            length: match dates {
                ReportDates::Period { length, .. } => Some(length),
                ReportDates::Range(..) => None,
            },
            before,
            base_zone,
            profile_dates,
        };
        snapshot.end().await?;
        Ok(report)
    }
}

impl DaysBefore {
    async fn read(
        snapshot: &mut Snapshot<'_>,
        user_id: &UserId,
        (from, to): (NaiveDate, NaiveDate),
    ) -> Result<Self, StoreError> {
        Ok(Self {
            from,
            to,
            vitals: vitals::days(snapshot, user_id.clone(), from, to).await?,
            sleep: days::sleep(snapshot, user_id.clone(), from, to).await?,
            blood_pressure: days::blood_pressure(snapshot, user_id.clone(), from, to).await?,
            glucose: days::glucose(snapshot, user_id.clone(), from, to).await?,
            nutrition: nutrition::days(snapshot, user_id.clone(), from, to).await?,
        })
    }
}

async fn pressure_rows(
    snapshot: &mut Snapshot<'_>,
    user_id: &UserId,
    days: &UserDays,
) -> Result<[Vec<RawVital>; 2], StoreError> {
    let dates = days.blood_pressure.first().zip(days.blood_pressure.last());
    let Some((first, last)) = dates else { return Ok([Vec::new(), Vec::new()]) };
    let span = (
        blood_pressure::span_to_read(first.day.date).0,
        blood_pressure::span_to_read(last.day.date).1,
    );
    Ok([
        rows(snapshot, user_id, blood_pressure::SYSTOLIC, span).await?,
        rows(snapshot, user_id, blood_pressure::DIASTOLIC, span).await?,
    ])
}

async fn rows(
    snapshot: &mut Snapshot<'_>,
    user_id: &UserId,
    metric: &'static str,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<RawVital>, StoreError> {
    let read = ReadLatest {
        user_id: user_id.clone(),
        metric,
        span_from: to_postgres(from),
        span_to: to_postgres(to),
        most: MOST_ROWS,
    };
    let rows: Vec<(RawVitalColumns,)> = snapshot.load(read).await?;
    Ok(rows.into_iter().map(|(row,)| raw_vital(row)).collect())
}

async fn units(
    snapshot: &mut Snapshot<'_>,
    user_id: &UserId,
    days: &UserDays,
    zone: Zone,
) -> Result<BTreeMap<String, String>, StoreError> {
    let metrics: BTreeSet<&String> = days.vitals.iter().map(|day| &day.metric).collect();
    if metrics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let read = ReadUnits {
        user_id: user_id.clone(),
        metrics: metrics.into_iter().cloned().collect(),
        span_from: to_postgres(zone.day_start(days.from)),
        span_to: to_postgres(zone.day_end(days.to)),
    };
    let rows: Vec<(String, RawText)> = snapshot.load(read).await?;
    Ok(rows.into_iter().map(|(metric, unit)| (metric, unit.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn both(dates: ReportDates, last: Option<&str>) -> [String; 4] {
        let (from, to) = dates.resolve(date("2024-05-15"), last.map(date));
        let (first, behind) = dates.before((from, to));
        [from, to, first, behind].map(|date| date.to_string())
    }

    #[test]
    fn a_period_is_whole_and_follows_the_one_before() {
        let period = |length, on: &str| ReportDates::Period { length, on: Some(date(on)) };
        assert_eq!(
            both(period(PeriodLength::Week, "2024-03-03"), None),
            ["2024-02-26", "2024-03-03", "2024-02-19", "2024-02-25"]
        );
        assert_eq!(
            both(period(PeriodLength::Month, "2024-03-31"), None),
            ["2024-03-01", "2024-03-31", "2024-02-01", "2024-02-29"]
        );
        assert_eq!(
            both(period(PeriodLength::Year, "2024-02-29"), None),
            ["2024-01-01", "2024-12-31", "2023-01-01", "2023-12-31"]
        );
    }

    #[test]
    fn a_range_is_compared_with_as_many_days_before_it() {
        let range = ReportDates::Range(date("2024-03-01"), date("2024-03-10"));
        assert_eq!(both(range, None), ["2024-03-01", "2024-03-10", "2024-02-20", "2024-02-29"]);
    }

    #[test]
    fn without_a_date_the_period_is_the_last_one_with_figures_but_none_to_come() {
        let month = ReportDates::Period { length: PeriodLength::Month, on: None };
        assert_eq!(both(month, Some("2023-11-30"))[..2], ["2023-11-01", "2023-11-30"]);
        assert_eq!(both(month, Some("2031-01-01"))[..2], ["2024-05-01", "2024-05-31"]);
        assert_eq!(both(month, None)[..2], ["2024-05-01", "2024-05-31"]);
    }
}
