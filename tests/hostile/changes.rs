//! Good rows that become hostile, and good again.

use super::texts::Dice;
use crate::support::Database;

/// Makes a user's meals and results, or every other sample, hostile, in any column, and keeps what it was.
pub async fn turn_hostile(db: &Database, dice: &mut Dice, table: &str, user: i64) {
    db.execute(&format!("CREATE TABLE IF NOT EXISTS kept_{table} (LIKE {table})")).await;
    let half = if table == "vitals_raw" { 2 } else { 1 };
    let chosen = format!("user_id = {user} AND id % {half} = 0");
    db.execute(&format!("INSERT INTO kept_{table} SELECT * FROM {table} WHERE {chosen}")).await;
    let changes: &[&str] = match table {
        "vitals_raw" => &[
            "metric = $1",
            "unit = $1",
            "source = $1",
            "time_zone = $1",
            "comparator = $1",
            "value = 'NaN', source = $1",
            "started_at = 'infinity', source = $1",
            "started_at = '-infinity', ended_at = 'infinity', unit = $1",
            "ended_at = started_at - interval '1 microsecond', source = $1",
            "ended_at = started_at + interval '3 days', source = $1",
            "is_daily_total = true, unit = $1",
            "value = 5e-324, source = $1",
            "user_id = -3, source = $1",
        ],
        "nutrition_raw" => &[
            "food_name = $1",
            "meal_type = $1",
            "source = $1",
            "time_zone = $1",
            "energy_kcal = 'Infinity', food_name = $1",
            "eaten_at = '0044-03-15 BC', source = $1",
        ],
        _ => &[
            "test_name = $1",
            "loinc_code = $1",
            "value_text = $1",
            "unit = $1",
            "reference_range = $1",
            "flag = $1",
            "specimen = $1",
            "status = $1",
            "time_zone = $1",
            "source = $1",
            "value_text = '1e999', unit = $1",
            "collected_at = 'infinity', source = $1",
        ],
    };
    let ids: Vec<i64> = db
        .query(&format!("SELECT id FROM kept_{table} WHERE user_id = {user}"), &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(!ids.is_empty(), "{table} {user}");
    for id in ids {
        let mut hostile = dice.any_text();
        hostile.truncate((0..=2_000).rev().find(|end| hostile.is_char_boundary(*end)).unwrap_or(0));
        let change = dice.pick(changes);
        let sql = format!("UPDATE {table} SET {change} WHERE id = {id} AND user_id = {user}");
        db.client.execute(&sql, &[&hostile]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }
}

/// Makes rows what they were.
pub async fn turn_back(db: &Database, table: &str) {
    let columns = "SELECT string_agg(format('%1$I = kept.%1$I', column_name), ', ')
                   FROM information_schema.columns
                   WHERE table_schema = current_schema() AND table_name = '{table}' AND is_identity = 'NO'";
    let set: String = db.value(&columns.replace("{table}", table)).await;
    db.execute(&format!("UPDATE {table} AS raw SET {set} FROM kept_{table} AS kept WHERE raw.id = kept.id AND raw.user_id IN (kept.user_id, -3)"))
        .await;
}
