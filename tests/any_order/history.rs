//! Histories: what an app does to its raw rows while the worker runs now and then.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Where the rows of a history begin, in UTC; they end two and a half days later. Each has a
/// change of clocks in it: Berlin falls back, Berlin springs forward, São Paulo has no midnight.
const BEGINNINGS: [&str; 3] = ["2024-10-25 21:00+00", "2024-03-29 21:00+00", "2018-11-02 21:00+00"];

/// Stands in rows for the beginning of their history.
const BEGINNING: &str = "{beginning}";

/// The profiles, which do not change. User 3 has none, user 4 one whose zone does not exist.
pub const PROFILES: &str = "
    INSERT INTO user_profiles (user_id, time_zone, source_priority) VALUES
        (1, 'Europe/Berlin', '{watch,phone}'),
        (2, 'America/Sao_Paulo', '{}'),
        (4, 'Mars/Olympus', '{phone}')";

/// The zone of user 3; its hours begin at half past.
pub const DEFAULT_ZONE: &str = "America/St_Johns";

/// Everything that happens.
#[derive(Clone, Debug)]
pub struct History {
    pub beginning: &'static str,
    pub phases: Vec<Phase>,
    /// Orders the final rows for the computation from scratch.
    pub shuffle: u64,
}

/// Edits, and then a run; or both at once.
#[derive(Clone, Debug)]
pub struct Phase {
    pub edits: Vec<Edit>,
    pub run: Run,
}

/// How the worker runs.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub batch_size: u32,
    pub max_batches: Option<u32>,
    pub workers: usize,
    /// The edits are made while the workers run.
    pub beside_edits: bool,
}

/// A statement of the app.
#[derive(Clone, Debug)]
pub enum Edit {
    Insert(Vec<Row>),
    /// Everything about a row but its id becomes that of another.
    Correct(Index, Row),
    /// All vitals of a user move, and some change their user.
    Move {
        user: i64,
        to: i64,
        minutes: i64,
    },
    /// Vitals that exist are sent again, with another value and zone.
    Resend(Vec<(Index, String, String)>),
    Delete(Vec<Index>),
    DeleteDay {
        user: i64,
        quarter: i64,
    },
}

/// A raw row without its id.
#[derive(Clone, Debug)]
pub struct Row {
    pub table: &'static str,
    pub user: i64,
    /// Columns and their SQL.
    pub columns: Vec<(&'static str, String)>,
}

/// The rows that exist.
#[derive(Debug, Default)]
pub struct Ids {
    given: i64,
    alive: Vec<(&'static str, i64)>,
}

impl Ids {
    /// A new id; ids do not ascend with time, as sequences of several connections do not.
    fn next(&mut self, table: &'static str) -> i64 {
        self.given += 1;
        let id = self.given * 7_919 % 100_003;
        self.alive.push((table, id));
        id
    }

    /// The id of one row of a table, if it has any.
    fn one_of(&self, table: &str, which: Index) -> Option<i64> {
        let of_table: Vec<i64> =
            self.alive.iter().filter(|(of, _)| *of == table).map(|(_, id)| *id).collect();
        (!of_table.is_empty()).then(|| *which.get(&of_table))
    }
}

impl Edit {
    /// The SQL of this edit, if there is a row to which it can apply.
    pub fn sql(&self, ids: &mut Ids, beginning: &str) -> Option<String> {
        let sql = match self {
            Self::Insert(rows) => {
                let one = |row: &Row| {
                    let names: Vec<&str> = row.columns.iter().map(|(name, _)| *name).collect();
                    let values: Vec<&str> =
                        row.columns.iter().map(|(_, sql)| sql.as_str()).collect();
                    format!(
                        "INSERT INTO {} (id, user_id, {}) VALUES ({}, {}, {})",
                        row.table,
                        names.join(", "),
                        ids.next(row.table),
                        row.user,
                        values.join(", ")
                    )
                };
                rows.iter().map(one).collect::<Vec<_>>().join(";\n")
            }
            Self::Correct(which, row) => {
                let id = ids.one_of(row.table, *which)?;
                let set: Vec<String> =
                    row.columns.iter().map(|(name, sql)| format!("{name} = {sql}")).collect();
                let (table, user) = (row.table, row.user);
                format!("UPDATE {table} SET user_id = {user}, {} WHERE id = {id}", set.join(", "))
            }
            Self::Move { user, to, minutes } => format!(
                "UPDATE vitals_raw
                 SET started_at = started_at + interval '{minutes} minutes',
                     ended_at = ended_at + interval '{minutes} minutes',
                     user_id = CASE WHEN id % 2 = 0 THEN {to} ELSE user_id END
                 WHERE user_id = {user} AND isfinite(started_at) AND isfinite(ended_at)
                   AND started_at BETWEEN '1900-01-01' AND '2100-01-01'
                   AND ended_at BETWEEN '1900-01-01' AND '2100-01-01'"
            ),
            Self::Resend(rows) => {
                let again = |(which, value, zone): &(Index, String, String)| {
                    let id = ids.one_of("vitals_raw", *which)?;
                    Some(format!(
                        "INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at,
                                                 ended_at, time_zone, is_daily_total)
                         SELECT {}, user_id, metric, {value}, unit, source, started_at, ended_at,
                                {zone}, is_daily_total
                         FROM vitals_raw WHERE id = {id}",
                        ids.next("vitals_raw")
                    ))
                };
                rows.iter().filter_map(again).collect::<Vec<_>>().join(";\n")
            }
            Self::Delete(rows) => {
                let delete = |which: &Index| {
                    let (table, id) = (!ids.alive.is_empty()).then(|| *which.get(&ids.alive))?;
                    ids.alive.retain(|row| *row != (table, id));
                    Some(format!("DELETE FROM {table} WHERE id = {id}"))
                };
                rows.iter().filter_map(delete).collect::<Vec<_>>().join(";\n")
            }
            // Deleted rows stay among the living here; editing them later does nothing.
            Self::DeleteDay { user, quarter } => {
                let from = at(*quarter);
                format!(
                    "DELETE FROM vitals_raw WHERE user_id = {user} AND started_at >= {from}
                         AND started_at < {from} + interval '1 day';
                     DELETE FROM nutrition_raw WHERE user_id = {user} AND eaten_at >= {from};
                     DELETE FROM lab_raw WHERE user_id = {user} AND collected_at < {from}"
                )
            }
        };
        Some(sql.replace(BEGINNING, beginning))
    }
}

fn at(quarter: i64) -> String {
    format!("timestamptz '{BEGINNING}' + interval '{} minutes'", quarter * 15)
}

/// Any history.
pub fn history() -> impl Strategy<Value = History> {
    let phase = (vec(edit(), 1..16), run()).prop_map(|(edits, run)| Phase { edits, run });
    (select(BEGINNINGS.to_vec()), vec(phase, 2..6), any::<u64>())
        .prop_map(|(beginning, phases, shuffle)| History { beginning, phases, shuffle })
}

fn run() -> impl Strategy<Value = Run> {
    (50u32..=200, option::of(1u32..4), 1usize..=2, any::<bool>()).prop_map(
        |(batch_size, max_batches, workers, beside_edits)| Run {
            batch_size,
            max_batches,
            workers,
            beside_edits,
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        8 => vec(row(), 1..28).prop_map(Edit::Insert),
        6 => (any::<Index>(), row()).prop_map(|(which, row)| Edit::Correct(which, row)),
        1 => (user(), user(), select(vec![-1_440, -45, 15, 60, 1_440]))
            .prop_map(|(user, to, minutes)| Edit::Move { user, to, minutes }),
        3 => vec((any::<Index>(), amount(2_000), zone()), 1..12).prop_map(Edit::Resend),
        4 => vec(any::<Index>(), 1..12).prop_map(Edit::Delete),
        1 => (user(), 0i64..240).prop_map(|(user, quarter)| Edit::DeleteDay { user, quarter }),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    prop_oneof![3 => sample(), 6 => interval(), 2 => meal(), 3 => result()]
}

fn user() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(1), 3 => Just(2), 2 => Just(3), 1 => Just(4)]
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// One of the texts, or NULL.
fn text_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(texts).prop_map(quoted)
}

fn maybe_text_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let some = text_of(texts);
    prop_oneof![4 => Just("NULL".to_owned()), 1 => some]
}

fn zone() -> impl Strategy<Value = String> {
    const ZONES: [&str; 6] = [
        "Asia/Kolkata",
        "+05:45",
        "America/New_York",
        "Pacific/Kiritimati",
        "Europe/Berlin",
        "Nowhere/Land",
    ];
    prop_oneof![7 => Just("NULL".to_owned()), 2 => text_of(&ZONES)]
}

fn source() -> impl Strategy<Value = String> {
    text_of(&["watch", "phone", "scale"])
}

/// A quarter of an hour, seldom a little after it, and very seldom beyond the calendar.
fn instant() -> impl Strategy<Value = String> {
    const STRANGE: [&str; 5] = [
        "'infinity'",
        "'-infinity'",
        "'0001-01-01 00:00+00'",
        "'9999-12-31 23:00+00'",
        "'4714-11-24 00:00+00 BC'",
    ];
    prop_oneof![
        40 => (0i64..240).prop_map(at),
        8 => (0i64..240, 1i64..899_999_999).prop_map(|(quarter, microseconds)| {
            format!("{} + interval '{microseconds} microseconds'", at(quarter))
        }),
        1 => select(STRANGE.to_vec()).prop_map(str::to_owned),
    ]
}

/// Tenths, whose sums depend on their order, and seldom what is no number.
fn amount(most_tenths: i64) -> impl Strategy<Value = String> {
    prop_oneof![
        30 => (1..most_tenths).prop_map(|tenths| (tenths as f64 * 0.1).to_string()),
        1 => select(vec!["0", "'-0'", "-1", "'NaN'", "'Infinity'", "1e300"]).prop_map(str::to_owned),
    ]
}

/// A row of a discrete metric, or of none.
fn sample() -> impl Strategy<Value = Row> {
    const METRICS: [(&str, &str); 6] = [
        ("heart_rate", "bpm"),
        ("heart_rate", "bpm"),
        ("blood_glucose", "mg/dL"),
        ("blood_glucose", "mmol/L"),
        ("heart_rate", "furlong"),
        ("mood", "1"),
    ];
    let minutes = prop_oneof![6 => Just(0i64), 1 => select(vec![1, 90, -1])];
    let what = (select(METRICS.to_vec()), amount(1_200), maybe_text_of(&["<", ">", "~"]));
    (user(), what, source(), instant(), minutes, zone(), prop::bool::weighted(0.03)).prop_map(
        |(user, ((metric, unit), value, comparator), source, start, minutes, zone, total)| {
            vital(
                user,
                [quoted(metric), value, comparator, quoted(unit), source],
                &start,
                minutes,
                zone,
                total,
            )
        },
    )
}

/// A row of a cumulative metric.
fn interval() -> impl Strategy<Value = Row> {
    const METRICS: [(&str, &str); 4] = [
        ("steps", "count"),
        ("steps", "steps"),
        ("active_energy", "kcal"),
        ("active_energy", "kJ"),
    ];
    let minutes = prop_oneof![
        12 => select(vec![0i64, 10, 15, 30, 60, 90, 240, 1_500]),
        1 => select(vec![-15, 2_880, 2_881]),
    ];
    let comparator = prop_oneof![12 => Just("NULL".to_owned()), 1 => text_of(&["<", ">", "~"])];
    let what = (select(METRICS.to_vec()), amount(9_000), comparator);
    (user(), what, source(), instant(), minutes, zone(), prop::bool::weighted(0.1)).prop_map(
        |(user, ((metric, unit), value, comparator), source, start, minutes, zone, total)| {
            vital(
                user,
                [quoted(metric), value, comparator, quoted(unit), source],
                &start,
                minutes,
                zone,
                total,
            )
        },
    )
}

fn vital(
    user: i64,
    [metric, value, comparator, unit, source]: [String; 5],
    start: &str,
    minutes: i64,
    zone: String,
    total: bool,
) -> Row {
    let end = match minutes {
        0 => start.to_owned(),
        // An infinite start has no end but itself.
        _ if start.starts_with('\'') => start.to_owned(),
        _ => format!("{start} + interval '{minutes} minutes'"),
    };
    let columns = vec![
        ("metric", metric),
        ("value", value),
        ("comparator", comparator),
        ("unit", unit),
        ("source", source),
        ("started_at", start.to_owned()),
        ("ended_at", end),
        ("time_zone", zone),
        ("is_daily_total", total.to_string()),
    ];
    Row { table: "vitals_raw", user, columns }
}

fn meal() -> impl Strategy<Value = Row> {
    const NUTRIENTS: [&str; 6] =
        ["energy_kcal", "protein_g", "fat_g", "carbohydrate_g", "alcohol_g", "vitamin_c_mg"];
    let meals = &["breakfast", "lunch", "dinner", "snack", "other", "Lunch ", "brunch"];
    let amounts = vec(
        prop_oneof![1 => Just("NULL".to_owned()), 3 => amount(5_000)],
        NUTRIENTS.len()..=NUTRIENTS.len(),
    );
    let what = (text_of(&["bread", "soup"]), text_of(meals), amounts);
    (user(), what, source(), instant(), zone()).prop_map(
        |(user, (food, meal, amounts), source, eaten_at, zone)| {
            let mut columns = vec![
                ("food_name", food),
                ("meal_type", meal),
                ("source", source),
                ("eaten_at", eaten_at),
                ("time_zone", zone),
            ];
            columns.extend(NUTRIENTS.into_iter().zip(amounts));
            Row { table: "nutrition_raw", user, columns }
        },
    )
}

fn result() -> impl Strategy<Value = Row> {
    let values = &[
        "5.4", "7.1", "0.1", "0.3", "92", "0", "<5", "≥ 6", "positive", "1:160", "1,234.5", " ",
        "1e999", "1e308",
    ];
    let statuses = &["final", "final", "final", "amended", "corrected", "preliminary", "lost"];
    let test = (text_of(&["Glucose", "Ferritin", ""]), maybe_text_of(&["2345-7"]), text_of(values));
    // Half of the results have a unit, so that some share a row with what was converted.
    let units = &["mg/dL", "mg/dL", "mmol/L", "mmol/l", " mg/dL"];
    let unit = prop_oneof![Just("NULL".to_owned()), text_of(units)];
    let judgement = (
        unit,
        maybe_text_of(&["4.0-5.6", "<200", "M:13-17"]),
        maybe_text_of(&["H", "LL", "abnormal"]),
        maybe_text_of(&["serum", "urine"]),
        text_of(statuses),
    );
    (user(), test, judgement, source(), instant(), zone()).prop_map(
        |(user, (name, code, value), (unit, range, flag, specimen, status), source, at, zone)| {
            let columns = vec![
                ("test_name", name),
                ("loinc_code", code),
                ("value_text", value),
                ("unit", unit),
                ("reference_range", range),
                ("flag", flag),
                ("specimen", specimen),
                ("status", status),
                ("collected_at", at),
                ("time_zone", zone),
                ("source", source),
            ];
            Row { table: "lab_raw", user, columns }
        },
    )
}
