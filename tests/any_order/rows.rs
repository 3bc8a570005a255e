//! The rows that an app may insert in a history.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::history::{BEGINNING, Row};

pub fn row() -> impl Strategy<Value = Row> {
    prop_oneof![
        3 => sample(),
        3 => pressure(),
        2 => glucose(),
        6 => interval(),
        5 => segment(),
        2 => meal(),
        2 => result(),
        2 => course(),
    ]
}

pub fn user() -> impl Strategy<Value = i64> {
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

pub fn zone() -> impl Strategy<Value = String> {
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
pub fn amount(most_tenths: i64) -> impl Strategy<Value = String> {
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

/// A systolic or diastolic row, seconds from others, often at a midnight.
fn pressure() -> impl Strategy<Value = Row> {
    let metric = text_of(&["blood_pressure_systolic", "blood_pressure_diastolic"]);
    let start = (prop_oneof![1 => midnight(), 1 => 0i64..240], -3i64..9)
        .prop_map(|(quarter, seconds)| format!("{} + interval '{seconds} seconds'", at(quarter)));
    let comparator = prop_oneof![9 => Just("NULL".to_owned()), 1 => text_of(&["<", ">", "~"])];
    let what = (metric, amount(2_600), comparator, text_of(&["mmHg", "mmHg", "mmHg", "kPa"]));
    (user(), what, source(), start, zone()).prop_map(
        |(user, (metric, value, comparator, unit), source, start, zone)| {
            vital(user, [metric, value, comparator, unit, source], &start, 0, zone, false)
        },
    )
}

/// A reading of a sensor that is often low or high, at steps of 5 minutes around a midnight.
fn glucose() -> impl Strategy<Value = Row> {
    let start = (midnight(), -12i64..12)
        .prop_map(|(quarter, steps)| format!("{} + interval '{} minutes'", at(quarter), steps * 5));
    let value =
        select(vec!["40", "53.9", "54", "69.9", "70", "110.1", "140", "180", "181.3", "300"]);
    let what = (value.prop_map(str::to_owned), maybe_text_of(&["<", ">"]));
    (user(), what, text_of(&["cgm", "cgm", "watch"]), start, zone()).prop_map(
        |(user, (value, comparator), source, start, zone)| {
            let what = [quoted("blood_glucose"), value, comparator, quoted("mg/dL"), source];
            vital(user, what, &start, 0, zone, false)
        },
    )
}

/// The quarters of an hour at which a day begins in some zone.
fn midnight() -> impl Strategy<Value = i64> {
    select(vec![4i64, 8, 24, 26, 100, 104, 120, 196])
}

/// A row of a cumulative metric.
fn interval() -> impl Strategy<Value = Row> {
    const METRICS: [(&str, &str); 7] = [
        ("steps", "count"),
        ("steps", "steps"),
        ("workouts", "count"),
        ("workout_duration", "min"),
        ("workout_duration", "h"),
        ("active_energy", "kcal"),
        ("active_energy", "kJ"),
    ];
    let minutes = prop_oneof![
        12 => select(vec![0i64, 10, 15, 30, 60, 90, 240, 1_500]),
        1 => select(vec![-15, 2_880, 2_881]),
    ];
    let comparator = prop_oneof![12 => Just("NULL".to_owned()), 1 => text_of(&["<", ">", "~"])];
    let workout_type = maybe_text_of(&["Running", "outdoor run", "Yoga", "Quidditch"]);
    let what = (select(METRICS.to_vec()), amount(9_000), comparator, workout_type);
    (user(), what, source(), instant(), minutes, zone(), prop::bool::weighted(0.1)).prop_map(
        |(user, ((metric, unit), value, comparator, kind), source, start, minutes, zone, total)| {
            let what = [quoted(metric), value, comparator, quoted(unit), source];
            let mut row = vital(user, what, &start, minutes, zone, total);
            row.columns.push(("workout_type", kind));
            row
        },
    )
}

/// A row of sleep. Most are some hours long, so that nights join, part, move to other dates, and
/// grow longer than a day.
fn segment() -> impl Strategy<Value = Row> {
    const METRICS: [&str; 6] =
        ["sleep_in_bed", "sleep_asleep", "sleep_awake", "sleep_core", "sleep_deep", "sleep_rem"];
    let minutes = prop_oneof![
        12 => select(vec![15i64, 45, 90, 120, 240, 480]),
        2 => select(vec![1_380, 1_440, 2_880]),
        1 => select(vec![0, -15, 2_881]),
    ];
    (user(), select(METRICS.to_vec()), source(), instant(), minutes, zone()).prop_map(
        |(user, metric, source, start, minutes, zone)| {
            let what = [quoted(metric), "1".to_owned(), "NULL".to_owned(), quoted("min"), source];
            vital(user, what, &start, minutes, zone, false)
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

/// Results of one analyte in its two units over a few days far and near, so that the delta of
/// each depends on what becomes of the others.
fn course() -> impl Strategy<Value = Row> {
    let values = &["5.4", "7.1", "0.1", "92", "0", "<5", "clotted"];
    let units = &["mg/dL", "mg/dL", "mmol/L"];
    let days = &["2011-02-03", "2024-02-29", "2024-03-30", "2024-03-31", "2024-04-01"];
    let user = prop_oneof![3 => Just(1i64), 1 => Just(2)];
    (user, text_of(values), text_of(units), select(days.to_vec()), text_of(&["final", "amended"]))
        .prop_map(|(user, value, unit, day, status)| {
            let columns = vec![
                ("test_name", "'Glucose'".to_owned()),
                ("loinc_code", "'14749-6'".to_owned()),
                ("value_text", value),
                ("unit", unit),
                ("status", status),
                ("collected_at", format!("timestamptz '{day} 12:00+00'")),
                ("source", "'lab'".to_owned()),
            ];
            Row { table: "lab_raw", user, columns }
        })
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

pub fn at(quarter: i64) -> String {
    format!("timestamptz '{BEGINNING}' + interval '{} minutes'", quarter * 15)
}
