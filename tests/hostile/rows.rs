//! Hostile rows of each kind, inserted through SQL.

use super::columns::{Cell, Columns};
use super::profiles::USERS;
use super::texts::Dice;
use crate::support::Database;

/// Rows of all kinds.
pub struct Rows([Columns; 3]);

const VITALS: [&str; 9] = [
    "metric",
    "value",
    "comparator",
    "unit",
    "source",
    "started_at",
    "ended_at",
    "time_zone",
    "is_daily_total",
];
const NUTRITION: [&str; 10] = [
    "food_name",
    "meal_type",
    "eaten_at",
    "time_zone",
    "source",
    "energy_kcal",
    "fat_g",
    "carbohydrate_g",
    "protein_g",
    "selenium_ug",
];
const LABS: [&str; 11] = [
    "test_name",
    "loinc_code",
    "value_text",
    "unit",
    "reference_range",
    "flag",
    "specimen",
    "status",
    "collected_at",
    "time_zone",
    "source",
];

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(Some(text.into()))
}

fn maybe(dice: &mut Dice, expected: &[&str]) -> Cell {
    Cell::Text((!dice.seldom(2)).then(|| dice.nearly(expected)))
}

/// A source is never one of a good row, so that one can tell the rows apart.
fn source(dice: &mut Dice) -> Cell {
    text(if dice.seldom(2) {
        dice.any_text()
    } else {
        dice.pick(&["ring", "strap", "zqx"]).to_owned()
    })
}

const METRICS: [(&str, &str); 12] = [
    ("heart_rate", "bpm"),
    ("heart_rate_variability_sdnn", "ms"),
    ("steps", "count"),
    ("active_energy", "kJ"),
    ("blood_glucose", "mmol/L"),
    ("blood_glucose", "mg/dL"),
    ("blood_pressure_systolic", "mmHg"),
    ("blood_pressure_diastolic", "kPa"),
    ("sleep_asleep", ""),
    ("sleep_in_bed", "min"),
    ("sleep_rem", "zqx"),
    ("body_temperature", "°F"),
];

fn vital(dice: &mut Dice) -> Vec<Cell> {
    let (metric, unit) = dice.pick(&METRICS);
    // A third would be rejected for its metric alone.
    let metric = if dice.seldom(20) { dice.any_text() } else { metric.to_owned() };
    // An index refuses what is too long for it, so no such metric is ever a row.
    let metric = if metric.len() > 2_000 { "zqx".repeat(34_000) } else { metric };
    let start = dice.instant();
    let end = match dice.below(8) {
        0..=3 => start.clone(),
        4..=6 => format!("later {start}"),
        _ => dice.instant(),
    };
    vec![
        text(metric),
        Cell::Number(dice.number()),
        if dice.seldom(4) { maybe(dice, &["<", ">", "~"]) } else { Cell::Text(None) },
        text(dice.nearly(&[unit, unit, unit, "((((", "10*99", "m[Hg]/m[Hg].%"])),
        source(dice),
        text(start),
        text(end),
        Cell::Text(dice.zone()),
        Cell::Bool(dice.seldom(8)),
    ]
}

fn meal(dice: &mut Dice) -> Vec<Cell> {
    let mut row = vec![
        text(dice.any_text()),
        text(dice.nearly(&["lunch", " DINNER\n", "snack", "other"])),
        text(dice.instant()),
        Cell::Text(dice.zone()),
        source(dice),
    ];
    let is_sound = !dice.seldom(3);
    row.extend((0..5).map(|_| {
        Cell::Number(if is_sound {
            dice.pick(&[0.0, 5e-324, 1e3, 77.133_713_37])
        } else {
            dice.number()
        })
    }));
    row
}

fn result(dice: &mut Dice) -> Vec<Cell> {
    let long = dice.seldom(20).then(|| "zqx-".repeat(34_000));
    const VALUES: [&str; 16] = [
        "77133.71337",
        "<7.713371337",
        "1e999",
        "1.7e308",
        "-1.7e308",
        "5e-324",
        "zqx",
        "1:160",
        "1,234",
        "4,2",
        "\u{2212}7,713371337",
        "٣",
        "1e-400",
        "≥ 7713371337",
        "0x7f",
        "--1",
    ];
    const RANGES: [&str; 8] = [
        "4-6",
        "--",
        "<1e308",
        "1-1e999",
        "M:13-17 F:12-15",
        "\u{2013}\u{2013}",
        "up to zqx",
        "-5--1",
    ];
    vec![
        text(dice.nearly(&["Glucose", "zqx", "|", "HbA1c"])),
        maybe(dice, &["2345-7", "4548-4", "name:zqx", "zqx"]),
        text(long.clone().unwrap_or_else(|| dice.nearly(&VALUES))),
        maybe(dice, &["mg/dL", "mmol/L", "%", "mmol/mol", "zqx"]),
        long.map_or_else(|| maybe(dice, &RANGES), text),
        maybe(dice, &["H", "ll*", "(N)", "zqx"]),
        maybe(dice, &["serum", "|", "zqx"]),
        text(dice.nearly(&["final", "Amended ", "corrected", "final", "preliminary"])),
        text(dice.instant()),
        Cell::Text(dice.zone()),
        source(dice),
    ]
}

/// A row that is good but for one thing, for which it must be rejected.
fn broken(dice: &mut Dice, kind: usize) -> Vec<Cell> {
    let never =
        ["infinity", "-infinity", "0044-03-15 12:00+00 BC", "9999-12-31 00:00:00.000001+00"];
    let at = "2024-05-02 10:00+00";
    let strange = |dice: &mut Dice| text(format!("zqx{}", dice.pick(&["", " ", "'", "\u{202e}"])));
    let impossible = |dice: &mut Dice| {
        Cell::Number(dice.pick(&[f64::NAN, f64::INFINITY, -77_133.713_37, f64::MAX]))
    };
    match kind {
        0 => {
            let metrics = [
                ("heart_rate", "bpm"),
                ("steps", "count"),
                ("blood_glucose", "mg/dL"),
                ("blood_pressure_systolic", "mmHg"),
            ];
            let (metric, unit) = dice.pick(&metrics);
            let mut row = vec![
                text(metric),
                Cell::Number(77.133_713_37),
                Cell::Text(None),
                text(unit),
                source(dice),
                text(at),
                text(at),
                Cell::Text(None),
                Cell::Bool(dice.seldom(4)),
            ];
            match dice.below(9) {
                0 => row[0] = strange(dice),
                1 => row[1] = impossible(dice),
                2 => row[2] = strange(dice),
                3 => row[3] = strange(dice),
                4 => row[6] = text("2024-05-02 09:59:59.999999+00"),
                5 => row[6] = text("2024-05-04 10:00:00.000001+00"),
                6 => row[5] = text(dice.pick(&never)),
                7 => row[7] = strange(dice),
                // A night that ends before it begins.
                _ => (row[0], row[6]) = (text("sleep_deep"), text("2024-05-02 04:00+00")),
            }
            row
        }
        1 => {
            let mut row =
                vec![text("zqx"), text("lunch"), text(at), Cell::Text(None), source(dice)];
            row.extend((0..5).map(|_| Cell::Number(77.133_713_37)));
            match dice.below(3) {
                0 => row[2] = text(dice.pick(&never)),
                1 => row[3] = strange(dice),
                _ => row[5 + dice.below(5)] = impossible(dice),
            }
            row
        }
        _ => {
            let mut row: Vec<Cell> =
                ["Glucose", "2345-7", "7.713371337", "mg/dL", "4-6", "H", "serum", "final", at]
                    .map(text)
                    .into();
            row.extend([Cell::Text(None), source(dice)]);
            match dice.below(8) {
                0 => (row[0], row[1]) = (text("\u{a0}"), Cell::Text(None)),
                1 => row[1] = text("zqx".repeat(500)),
                2 => row[2] = text(" \u{2003}"),
                3 => row[2] = text("7713371337e999"),
                4 => row[7] = strange(dice),
                5 => row[8] = text(dice.pick(&never)),
                6 => row[2] = text("zqx".repeat(2000)),
                _ => row[9] = strange(dice),
            }
            row
        }
    }
}

impl Rows {
    fn new() -> Self {
        let columns = |table, names: &[&'static str]| Columns {
            table,
            names: names.to_vec(),
            rows: Vec::new(),
        };
        Self([
            columns("vitals_raw", &VITALS),
            columns("nutrition_raw", &NUTRITION),
            columns("lab_raw", &LABS),
        ])
    }

    /// Rows of hostile users.
    pub fn any(dice: &mut Dice, number: usize) -> Self {
        let mut rows = Self::new();
        for _ in 0..number {
            let ends = [i64::MIN, i64::MAX, i64::MIN + 1, 0, 1_000_000_007];
            let user = if dice.seldom(20) {
                dice.pick(&ends)
            } else {
                -1 - dice.below(USERS as usize + 6) as i64
            };
            let kind = dice.pick(&[0, 0, 0, 1, 2, 2]);
            let row = [vital, meal, result][kind](dice);
            rows.0[kind].rows.push((user, row));
        }
        rows
    }

    /// Rows that must be rejected, of users who have good ones.
    pub fn broken(dice: &mut Dice, number: usize) -> Self {
        let mut rows = Self::new();
        for _ in 0..number {
            let kind = dice.pick(&[0, 0, 1, 2]);
            let row = broken(dice, kind);
            rows.0[kind].rows.push((21 + dice.below(6) as i64, row));
        }
        rows
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|columns| columns.rows.len()).sum()
    }

    /// Inserts them, some hundreds in a statement.
    pub async fn insert(&self, db: &Database) {
        for columns in &self.0 {
            for rows in columns.rows.chunks(300) {
                columns.insert(db, rows).await;
            }
        }
    }
}

/// Rows whose own ids are the least and the greatest there can be.
pub async fn insert_at_the_ends_of_ids(db: &Database) {
    db.execute(
        "INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at, ended_at)
         SELECT id, user_id, 'steps', 771.3371337, 'count', 'zqx', '2024-05-02 10:00+00', '2024-05-02 11:00+00'
         FROM unnest(ARRAY[(-9223372036854775808), -1, 0, 9223372036854775807]) AS id,
              unnest(ARRAY[(-9223372036854775808), -1, 9223372036854775807]) AS user_id;
         INSERT INTO nutrition_raw (id, user_id, food_name, meal_type, eaten_at, source)
         SELECT id, -1, 'zqx', 'lunch', '2024-05-02 10:00+00', 'zqx'
         FROM unnest(ARRAY[(-9223372036854775808), 9223372036854775807]) AS id;
         INSERT INTO lab_raw (id, user_id, test_name, value_text, status, collected_at, source)
         SELECT id, -1, 'zqx', '7713371337', 'corrected', '2024-05-02 10:00+00', 'zqx'
         FROM unnest(ARRAY[(-9223372036854775808), 9223372036854775807]) AS id",
    )
    .await;
}
