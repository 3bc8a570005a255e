//! Stored rows of figures compared with computed ones, one by one.

use aggregation::{ALGORITHM_VERSION, Kind, labs, nutrition};
use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Text};

use crate::error::StoreError;
use crate::kinds::day_end::contradicts_clock;
use crate::sql::statement::statement;

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

/// How a stored row of figures differs from the computed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// There should be one, and is none.
    Missing,
    /// There is one, and should be none.
    Surplus,
    /// It was computed with another profile, catalogue or version, and cannot be judged by these.
    Outdated,
    /// It is of another zone, and by nothing else of another profile, catalogue or version.
    Rezoned,
    /// A figure is another one.
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

/// A row of figures, as far as it must be found again: a user may have a million that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    place: i32,
    /// Its local date.
    pub date: NaiveDate,
    /// A hash of the rest of its key.
    hash: i64,
}

impl RowKey {
    /// The table.
    pub fn table(self) -> &'static str {
        let table = usize::try_from(self.place).ok().and_then(|place| TABLES.get(place));
        table.map_or("", |(_, table)| table)
    }

    /// What all rows of its table and date have in common.
    #[must_use]
    pub const fn of_date(self) -> Self {
        Self { hash: 0, ..self }
    }
}

/// The columns of a [`Compare`].
pub(crate) type ComparedColumns = (i32, NaiveDate, i64, String);

/// A row that differs.
pub(crate) fn differing(
    (place, date, hash, difference): ComparedColumns,
) -> Result<(RowKey, Difference), StoreError> {
    match usize::try_from(place).ok().and_then(|place| TABLES.get(place)) {
        Some(_) => Ok((RowKey { place, date, hash }, Difference::parse(&difference))),
        None => Err(StoreError::Internal("a table that is not compared")),
    }
}

statement! {
    /// Each column with whether it is of the key, and whether it depends on the clock, which no figure does.
    struct ReadColumns<'a> { table: &'a str => Text } -> (Text, Bool, Bool)
    "SELECT quote_ident(a.attname),
            EXISTS (SELECT FROM pg_index AS i
                    WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)),
            a.attname IN ('computed_at', 'is_partial', 'future_count')
     FROM pg_attribute AS a
     WHERE a.attrelid = to_regclass({table}) AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attnum"
}

/// The comparison of all tables of a kind. Its text depends on their columns, so that it is no
/// `statement!`; it is prepared once for each connection all the same.
pub(crate) struct Compare<'a> {
    pub(crate) user_id: i64,
    pub(crate) dates: &'a [NaiveDate],
    /// What comes behind the parameters; no data is in it.
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
        out.push_bind_param::<BigInt, _>(&self.user_id)?;
        out.push_sql("::bigint AS user_id, ");
        out.push_bind_param::<Array<Date>, _>(self.dates)?;
        out.push_sql("::date[] AS dates) ");
        out.push_sql(self.sql);
        Ok(())
    }
}

/// What another version or catalogue explains of rows that are missing, surplus or different, as a
/// condition on the stored row `s` and the computed one `c`.
fn explained(table: &str, version: i32) -> (String, String, String) {
    let day = "o.user_id = coalesce(s.user_id, c.user_id)
               AND o.local_date = coalesce(s.local_date, c.local_date)";
    match table {
        // An hour has neither version nor fingerprint of its own: it is as old as its metric's day.
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
        // Versions and catalogues give the results of an analyte another unit, which is in the key.
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

/// Compares the images of rows, byte by byte: −0 is not 0.
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
