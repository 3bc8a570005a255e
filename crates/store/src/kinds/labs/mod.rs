//! Raw laboratory results and their daily figures.

pub(crate) mod neighbours;

use std::sync::LazyLock;

use aggregation::UserId;
use aggregation::labs::{ALGORITHM_VERSION, LabDay, RawLab};
use aggregation::local_time::anywhere_on_earth;
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Date, Double, Integer, Nullable, Text, Timestamptz};

use crate::changes::record::changed_dates;
use crate::error::StoreError;
use crate::kinds::day_end::future_count;
use crate::sql::figure_table::FigureTable;
use crate::sql::raw_text::{RawText, short_name, short_text};
use crate::sql::statement::statement;
use crate::sql::time::{RawTime, to_postgres};
use crate::sql::user_key::UserKey;
use crate::transaction::{GroupTransaction, PORTION, ReadMode};

type LabColumns = (
    i64,
    (RawText, Option<RawText>, RawText, Option<RawText>),
    (Option<RawText>, Option<RawText>, Option<RawText>, RawText),
    (RawTime, Option<RawText>, RawText),
);

/// The columns of a raw result. A reference range over the length limit is a remark and is truncated.
macro_rules! raw_lab_columns {
    () => {
        concat!(
            "id::bigint, ",
            short_text!("test_name"),
            ", ",
            short_name!("loinc_code"),
            ", ",
            short_text!("value_text"),
            ", ",
            short_name!("unit"),
            ", left(reference_range::text, 4096 + 1), ",
            short_text!("flag"),
            ", ",
            short_text!("specimen"),
            ", ",
            short_name!("status"),
            ", collected_at, ",
            short_name!("time_zone"),
            ", ",
            short_name!("source")
        )
    };
}

statement! {
    struct ReadLabs {
        user_id: UserId => UserKey,
        from: PgTimestamp => Timestamptz,
        to: PgTimestamp => Timestamptz,
        most: Option<i64> => Nullable<BigInt>,
    } -> (
        BigInt,
        (Text, Nullable<Text>, Text, Nullable<Text>),
        (Nullable<Text>, Nullable<Text>, Nullable<Text>, Text),
        (Timestamptz, Nullable<Text>, Text)
    )
    concat!("SELECT ", raw_lab_columns!(), " FROM lab_raw
     WHERE user_id = {user_id} AND collected_at >= {from} AND collected_at < {to}
     LIMIT {most}")
}

statement! {
    struct ReadLabsById {
        user_id: UserId => UserKey,
        ids: Vec<i64> => Array<BigInt>,
    } -> (
        BigInt,
        (Text, Nullable<Text>, Text, Nullable<Text>),
        (Nullable<Text>, Nullable<Text>, Nullable<Text>, Text),
        (Timestamptz, Nullable<Text>, Text)
    )
    concat!("SELECT ", raw_lab_columns!(), " FROM lab_raw
     WHERE user_id = {user_id} AND id = ANY ({ids})")
}

/// The columns of an analyte beside its key and fingerprint, in the order of [`ROWS`].
const COLUMNS: [&str; 21] = [
    "result_count",
    "exact_count",
    "last_value",
    "last_comparator",
    "last_text",
    "last_at",
    "min",
    "max",
    "mean",
    "reference_low",
    "reference_high",
    "reported_value",
    "reported_unit",
    "reported_range",
    "last_flag",
    "worst_flag",
    "delta",
    "delta_percent",
    "time_zone",
    "day_start",
    "day_end",
];

static TABLE: LazyLock<FigureTable> = LazyLock::new(|| {
    let others = [
        "context_fingerprint",
        "algorithm_version",
        "reference_text",
        "is_partial",
        "future_count",
    ];
    let key = ["local_date", "analyte", "unit"];
    FigureTable::new("lab_daily", &key, Some("analyte"), &[&COLUMNS[..], &others].concat())
});

static ROWS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {{user_id}}, {{date}}, d.*, {{algorithm_version}}, d.reported_range,
                d.day_end > now(), {}
         FROM unnest({{analytes}}::text[], {{units}}::text[], {{result_counts}}::integer[],
                     {{exact_counts}}::integer[], {{last_values}}::float8[],
                     {{last_comparators}}::text[], {{last_texts}}::text[],
                     {{last_ats}}::timestamptz[], {{mins}}::float8[], {{maxs}}::float8[],
                     {{means}}::float8[], {{reference_lows}}::float8[],
                     {{reference_highs}}::float8[], {{reported_values}}::text[],
                     {{reported_units}}::text[], {{reported_ranges}}::text[], {{last_flags}}::text[],
                     {{worst_flags}}::text[], {{deltas}}::float8[], {{delta_percents}}::float8[],
                     {{time_zones}}::text[], {{day_starts}}::timestamptz[],
                     {{day_ends}}::timestamptz[], {{context_fingerprints}}::bigint[])
              AS d (analyte, unit, {}, context_fingerprint)",
        future_count!("d.", "d.result_count"),
        COLUMNS.join(", ")
    )
});

statement! {
    struct AnalyteRows {
        user_id: UserId => UserKey,
        date: NaiveDate => Date,
        algorithm_version: i32 => Integer,
        analytes: Vec<String> => Array<Text>,
        units: Vec<String> => Array<Text>,
        result_counts: Vec<i32> => Array<Integer>,
        exact_counts: Vec<i32> => Array<Integer>,
        last_values: Vec<Option<f64>> => Array<Nullable<Double>>,
        last_comparators: Vec<Option<&'static str>> => Array<Nullable<Text>>,
        last_texts: Vec<Option<String>> => Array<Nullable<Text>>,
        last_ats: Vec<PgTimestamp> => Array<Timestamptz>,
        mins: Vec<Option<f64>> => Array<Nullable<Double>>,
        maxs: Vec<Option<f64>> => Array<Nullable<Double>>,
        means: Vec<Option<f64>> => Array<Nullable<Double>>,
        reference_lows: Vec<Option<f64>> => Array<Nullable<Double>>,
        reference_highs: Vec<Option<f64>> => Array<Nullable<Double>>,
        reported_values: Vec<String> => Array<Text>,
        reported_units: Vec<Option<String>> => Array<Nullable<Text>>,
        reported_ranges: Vec<Option<String>> => Array<Nullable<Text>>,
        last_flags: Vec<Option<&'static str>> => Array<Nullable<Text>>,
        worst_flags: Vec<Option<&'static str>> => Array<Nullable<Text>>,
        deltas: Vec<Option<f64>> => Array<Nullable<Double>>,
        delta_percents: Vec<Option<f64>> => Array<Nullable<Double>>,
        time_zones: Vec<String> => Array<Text>,
        day_starts: Vec<PgTimestamp> => Array<Timestamptz>,
        day_ends: Vec<PgTimestamp> => Array<Timestamptz>,
        context_fingerprints: Vec<i64> => Array<BigInt>,
    } -> ()
    built &ROWS
}

/// The dates that a write of [`TABLE`] changes.
static UPSERTED: LazyLock<String> = LazyLock::new(|| {
    let figures = [&COLUMNS[..], &["reference_text"]].concat();
    changed_dates("labs", "lab_daily", &["analyte", "unit"], &figures)
});

/// The table of its days.
pub(crate) fn table() -> &'static FigureTable {
    &TABLE
}

impl GroupTransaction<'_> {
    /// Visits every result that can belong to a date in any zone, and says whether it did: there may be too
    /// many to be read in this way. They are in no order, and few of them in memory.
    ///
    /// # Errors
    /// If the database fails, or the visitor does.
    pub async fn visit_labs(
        &mut self,
        date: NaiveDate,
        reading: ReadMode,
        mut visit: impl FnMut(RawLab) -> Result<(), StoreError> + Send,
    ) -> Result<bool, StoreError> {
        let (from, to) = anywhere_on_earth(date);
        let read = ReadLabs {
            user_id: self.user_id(),
            from: to_postgres(from),
            to: to_postgres(to),
            most: reading.limit(PORTION),
        };
        self.visit_rows((reading, PORTION), "labs", read, |columns| visit(lab(columns))).await
    }

    /// Reads single raw rows by id. Deleted rows are absent from the result.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read_labs_by_id(&mut self, ids: Vec<i64>) -> Result<Vec<RawLab>, StoreError> {
        let read = ReadLabsById { user_id: self.user_id(), ids };
        Ok(self.read(read).await?.into_iter().map(lab).collect())
    }

    /// Writes figures of a date, one row for each analyte and unit. Outdated rows of the date are
    /// deleted by [`GroupTransaction::clear_labs`] or [`GroupTransaction::clear_these_labs`].
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_labs(&mut self, date: NaiveDate, days: &[LabDay]) -> Result<(), StoreError> {
        if days.is_empty() {
            return Ok(());
        }
        fn column<T>(days: &[LabDay], of: impl Fn(&LabDay) -> T) -> Vec<T> {
            days.iter().map(of).collect()
        }
        let rows = AnalyteRows {
            user_id: self.user_id(),
            date,
            algorithm_version: ALGORITHM_VERSION,
            analytes: column(days, |day| day.analyte.clone()),
            units: column(days, |day| day.unit.clone()),
            result_counts: column(days, |day| day.result_count),
            exact_counts: column(days, |day| day.exact_count),
            last_values: column(days, |day| day.last_value),
            last_comparators: column(days, |day| day.last_comparator.map(|c| c.symbol())),
            last_texts: column(days, |day| day.last_text.clone()),
            last_ats: column(days, |day| to_postgres(day.last_at)),
            mins: column(days, |day| day.min),
            maxs: column(days, |day| day.max),
            means: column(days, |day| day.mean),
            reference_lows: column(days, |day| day.reference_low),
            reference_highs: column(days, |day| day.reference_high),
            reported_values: column(days, |day| day.reported_value.clone()),
            reported_units: column(days, |day| day.reported_unit.clone()),
            reported_ranges: column(days, |day| day.reference_text.clone()),
            last_flags: column(days, |day| day.last_flag.map(|flag| flag.code())),
            worst_flags: column(days, |day| day.worst_flag.map(|flag| flag.code())),
            deltas: column(days, |day| day.delta.value),
            delta_percents: column(days, |day| day.delta.percent),
            time_zones: column(days, |day| day.time_zone.clone()),
            day_starts: column(days, |day| to_postgres(day.day_start)),
            day_ends: column(days, |day| to_postgres(day.day_end)),
            context_fingerprints: column(days, |day| day.context_fingerprint),
        };
        self.note_lab_values(days.iter().map(|day| {
            let exact = day.last_value.filter(|_| day.last_comparator.is_none());
            (day.analyte.as_str(), day.unit.as_str(), exact)
        }));
        self.write_rows("labs", (&TABLE, rows), &UPSERTED);
        Ok(())
    }
}

fn lab((id, test, judgement, origin): LabColumns) -> RawLab {
    let (test_name, loinc_code, value_text, unit) = test;
    let (reference_range, flag, specimen, status) = judgement;
    let (collected_at, time_zone, source) = origin;
    RawLab {
        id,
        test_name: test_name.into(),
        loinc_code: loinc_code.map(String::from),
        value_text: value_text.into(),
        unit: unit.map(String::from),
        reference_range: reference_range.map(String::from),
        flag: flag.map(String::from),
        specimen: specimen.map(String::from),
        status: status.into(),
        collected_at: collected_at.0,
        time_zone: time_zone.map(String::from),
        source: source.into_source(),
    }
}
