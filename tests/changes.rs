//! The feed of changed days.

mod consumers;
mod order;
mod recorded;
mod retention;
mod webhook;

use serde_json::Value;

use crate::support::running::eventually;
use crate::support::{Database, Ran, user_ids};

/// One row of each kind of user 1 on 2024-05-01, and heart rates of two users on two dates.
const ROWS: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT u, 'heart_rate', 60 + n, 'bpm', 'watch', at, at
    FROM generate_series(1, 2) AS u, generate_series(0, 5) AS n,
         LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '5 hours' AS at) AS t;
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at) VALUES
        (1, 'blood_glucose', 90, 'mg/dL', 'meter', '2024-05-01 11:00Z', '2024-05-01 11:00Z'),
        (1, 'blood_pressure_systolic', 120, 'mmHg', 'cuff', '2024-05-01 12:00Z', '2024-05-01 12:00Z'),
        (1, 'blood_pressure_diastolic', 80, 'mmHg', 'cuff', '2024-05-01 12:00Z', '2024-05-01 12:00Z'),
        (1, 'sleep_asleep', 0, 'min', 'watch', '2024-05-01 01:00Z', '2024-05-01 06:00Z');
    INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
    VALUES (1, 'bread', 'lunch', '2024-05-01 12:00Z', 'app', 300);
    INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source) VALUES
        (1, 'Sodium', '140', 'mmol/L', 'final', '2024-05-01 08:00Z', 'lab'),
        (1, 'Sodium', '141', 'mmol/L', 'final', '2024-05-10 08:00Z', 'lab');";

/// User, date and kind of each changed day that the worker prints.
type Days = Vec<(i64, String, String)>;

/// Changes that are held back. Sessions of other tests of the server also hold them back.
const HELD_BACK: &str = "
    SELECT count(*) FROM figure_changes AS c
    WHERE NOT EXISTS (
        SELECT FROM figure_changes_settled AS s
        WHERE (s.epoch, s.transaction_id, s.number) = (c.epoch, c.transaction_id, c.number))";

const QUEUED: &str = "SELECT count(*) FROM aggregation_queue";

/// All days after a cursor, and the cursor of the last of them.
async fn changes(db: &Database, after: &str) -> (Days, String) {
    eventually(db, HELD_BACK, 0).await;
    changes_now(db, after)
}

/// The days printed after a cursor, and the cursor of the last of them.
fn changes_now(db: &Database, after: &str) -> (Days, String) {
    let arguments = ["changes", "--after", after];
    let ran = db.run(if after.is_empty() { &arguments[..1] } else { &arguments[..] });
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    printed(&ran, after)
}

fn printed(ran: &Ran, after: &str) -> (Days, String) {
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cursor = lines.last().map_or(after.to_owned(), |line| text(line, "cursor"));
    (lines.iter().map(day).collect(), cursor)
}

fn text(change: &Value, field: &str) -> String {
    change[field].as_str().unwrap_or_else(|| panic!("{field} in {change}")).to_owned()
}

fn day(change: &Value) -> (i64, String, String) {
    // Ids of type uuid and text are strings.
    let user = user_ids::in_numbers(change["user_id"].to_string().trim_matches('"'));
    (
        user.parse().unwrap_or_else(|_| panic!("{change}")),
        text(change, "local_date"),
        text(change, "kind"),
    )
}

fn days(expected: &[(i64, &str, &str)]) -> Days {
    let owned =
        |(user, date, kind): &(i64, &str, &str)| (*user, (*date).to_owned(), (*kind).to_owned());
    expected.iter().map(owned).collect()
}

fn sorted(mut days: Days) -> Days {
    days.sort();
    days
}
