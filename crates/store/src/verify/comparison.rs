//! Compares stored rows of figures with computed ones.

use aggregation::{ALGORITHM_VERSION, Kind, UserId, labs, nutrition};
use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Text};

use crate::error::StoreError;
use crate::kinds::day_end::contradicts_clock;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;

/// The tables of figures, by kind.
pub(crate) const TABLES: [(Kind, &str); 7] = [
    (Kind::Vitals, "vitals_hourly"),
    (Kind::Vitals, "vitals_daily"),
    (Kind::Vitals, "sleep_daily"),
    (Kind::Vitals, "blood_pressure_daily"),
    (Kind::Vitals, "glucose_daily"),
    (Kind::Nutrition, "nutrition_daily"),
    (Kind::Labs, "lab_daily"),
];

/// The difference between a stored row of figures and the computed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// The row is missing.
    Missing,
    /// The row should not exist.
    Surplus,
    /// The row was computed with another profile, catalogue or version, so these cannot judge it.
    Outdated,
    /// The row is of another zone, and only of another zone: profile, catalogue and version agree
    /// otherwise.
    Rezoned,
    /// A figure differs.
    Different,
}

impl Difference {
    /// The stable name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Surplus => "surplus",
            Self::Outdated => "outdated",
            Self::Rezoned => "rezoned",
            Self::Different => "different",
        }
    }

    fn parse(name: &str) -> Self {
        let all = [Self::Missing, Self::Surplus, Self::Outdated, Self::Rezoned];
        all.into_iter().find(|difference| difference.name() == name).unwrap_or(Self::Different)
    }
}

/// The key of a row of figures. It is short, because a million rows of a user may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    place: i32,
    /// The row's local date.
    pub date: NaiveDate,
    /// A hash of the other key columns.
    hash: i64,
}

impl RowKey {
    /// The table of the row.
    pub fn table(self) -> &'static str {
        let table = usize::try_from(self.place).ok().and_then(|place| TABLES.get(place));
        table.map_or("", |(_, table)| table)
    }

    /// The key of all rows of the same table and date.
    #[must_use]
    pub const fn of_date(self) -> Self {
        Self { hash: 0, ..self }
    }
}

/// The columns of the result of [`Compare`].
pub(crate) type ComparedColumns = (i32, NaiveDate, i64, String);

/// Converts a row of the result.
pub(crate) fn differing(
    (place, date, hash, difference): ComparedColumns,
) -> Result<(RowKey, Difference), StoreError> {
    match usize::try_from(place).ok().and_then(|place| TABLES.get(place)) {
        Some(_) => Ok((RowKey { place, date, hash }, Difference::parse(&difference))),
        None => Err(StoreError::Internal("a table that is not compared")),
    }
}

statement! {
    /// Each column, whether it is part of the key, and whether it depends on the clock. No figure does.
    struct ReadColumns<'a> { table: &'a str => Text } -> (Text, Bool, Bool)
    "SELECT quote_ident(a.attname),
            EXISTS (SELECT FROM pg_index AS i
                    WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)),
            a.attname IN ('computed_at', 'is_partial', 'future_count')
     FROM pg_attribute AS a
     WHERE a.attrelid = to_regclass({table}) AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attnum"
}

/// The comparison of all tables of a kind. Its text depends on the tables' columns, so it is no
/// `statement!`, but it is still prepared once for each connection.
pub(crate) struct Compare<'a> {
    pub(crate) user_id: UserId,
    pub(crate) dates: &'a [NaiveDate],
    /// The SQL after the parameters; it contains no data.
    pub(crate) sql: &'a str,
}

impl QueryId for Compare<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Compare<'_> {
    type SqlType = (Integer, Date, BigInt, Text);
}

impl QueryFragment<Pg> for Compare<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS MATERIALIZED (SELECT ");
        out.push_bind_param::<UserKey, _>(&self.user_id)?;
        out.push_sql("::user_key AS user_id, ");
        out.push_bind_param::<Array<Date>, _>(self.dates)?;
        out.push_sql("::date[] AS dates) ");
        out.push_sql(self.sql);
        Ok(())
    }
}

/// Conditions for missing, surplus and different rows that another version or catalogue explains, on the
/// stored row `s` and the computed one `c`.
fn explained(table: &str, version: i32) -> (String, String, String) {
    let day = "o.user_id = coalesce(s.user_id, c.user_id)
               AND o.local_date = coalesce(s.local_date, c.local_date)";
    match table {
        // An hour has no version or fingerprint of its own, so those of its metric's day apply.
        "vitals_hourly" => {
            let of_old_day = format!(
                "EXISTS (SELECT FROM vitals_daily AS o
                         LEFT JOIN pg_temp.vitals_daily AS n USING (user_id, local_date, metric)
                         WHERE {day} AND o.metric = coalesce(s.metric, c.metric)
                           AND (o.algorithm_version <> {version}
                                OR o.context_fingerprint <> n.context_fingerprint))"
            );
            (of_old_day.clone(), of_old_day.clone(), of_old_day)
        }
        // Another version or catalogue may give an analyte's results another unit, which is part of the
        // key.
        "lab_daily" => {
            let of_analyte = |table: &str, side: &str| {
                format!(
                    "EXISTS (SELECT FROM {table} AS o WHERE {day} AND o.analyte = {side}.analyte
                             AND (o.algorithm_version <> {side}.algorithm_version
                                  OR o.context_fingerprint IS DISTINCT FROM {side}.context_fingerprint))"
                )
            };
            let surplus = of_analyte("pg_temp.lab_daily", "s");
            let surplus = format!("s.algorithm_version <> {version} OR {surplus}");
            (of_analyte("lab_daily", "c"), surplus, "false".to_owned())
        }
        _ => {
            let surplus = format!("s.algorithm_version <> {version}");
            ("false".to_owned(), surplus, "false".to_owned())
        }
    }
}

/// The SQL that compares one table. It compares the images of rows byte by byte: −0 differs from 0.
pub(crate) fn comparison(place: i32, table: &str, columns: &[(String, bool, bool)]) -> String {
    let version = match TABLES.iter().find(|(_, name)| *name == table) {
        Some((Kind::Nutrition, _)) => nutrition::ALGORITHM_VERSION,
        Some((Kind::Labs, _)) => labs::ALGORITHM_VERSION,
        _ => ALGORITHM_VERSION,
    };
    let names = |of: &str, wanted: fn(&&(String, bool, bool)) -> bool| {
        let columns = columns.iter().filter(wanted).map(|(name, ..)| format!("{of}{name}"));
        columns.collect::<Vec<_>>().join(", ")
    };
    let key = names("", |(_, is_key, _)| *is_key);
    let of = |side: &str| names(side, |(_, is_key, is_time)| !is_key && !is_time);
    let has = |wanted: &str| columns.iter().any(|(name, ..)| name == wanted);
    let outdated: Vec<String> = ["context_fingerprint", "algorithm_version"]
        .into_iter()
        .filter(|column| has(column))
        .map(|column| format!("s.{column} IS DISTINCT FROM c.{column}"))
        .chain(["false".to_owned()])
        .collect();
    let outdated = outdated.join(" OR ");
    let of_clock = if has("is_partial") { contradicts_clock(table) } else { "false".to_owned() };
    let (missing, surplus, different) = explained(table, version);
    format!(
        "SELECT {place} AS place, local_date, hash, difference
         FROM (SELECT local_date, hashtextextended(concat_ws(chr(31), {key}), 0) AS hash,
                      CASE WHEN s.is_there IS NULL
                           THEN CASE WHEN {missing} THEN 'outdated' ELSE 'missing' END
                           WHEN c.is_there IS NULL
                           THEN CASE WHEN {surplus} THEN 'outdated' ELSE 'surplus' END
                           WHEN {outdated} THEN 'outdated'
                           WHEN (SELECT x FROM (SELECT {}) AS x) *<> (SELECT x FROM (SELECT {}) AS x)
                                OR {of_clock}
                           THEN CASE WHEN {different} THEN 'outdated'
                                     WHEN s.time_zone <> c.time_zone THEN 'rezoned'
                                     ELSE 'different' END
                      END AS difference
               FROM (SELECT *, true AS is_there FROM {table}
                     WHERE user_id = (SELECT user_id FROM asked)
                       AND local_date = ANY ((SELECT dates FROM asked)::date[])) AS s
               FULL JOIN (SELECT *, true AS is_there FROM pg_temp.{table}
                          WHERE user_id = (SELECT user_id FROM asked)
                            AND local_date = ANY ((SELECT dates FROM asked)::date[])) AS c
               USING ({key})) AS compared
         WHERE difference IS NOT NULL",
        of("s."),
        of("c."),
    )
}
