//! Rows without mistakes: two days of every kind.

use crate::support::Database;

/// Those who have good rows only.
pub const USERS: &str = "BETWEEN 1 AND 12";
/// Those among whose good rows are broken ones.
pub const SHARED: &str = "BETWEEN 21 AND 26";

pub const PROFILES: &str = "
    INSERT INTO user_profiles (user_id, time_zone, source_priority)
    SELECT u, (ARRAY['Europe/Berlin', 'Asia/Kolkata', 'America/New_York', '+05:45'])[1 + u % 4], '{watch,phone}'
    FROM (SELECT generate_series(1, 12) UNION ALL SELECT generate_series(21, 26)) AS of_user (u)";

/// Inserts one half of their rows.
pub async fn insert(db: &Database, half: u8) {
    db.execute(&format!(
        "WITH of_user (u) AS (SELECT generate_series(1, 12) UNION ALL SELECT generate_series(21, 26)),
              clock (n, at) AS (SELECT n, timestamptz '2024-05-02 00:00+00' + n * interval '30 minutes'
                                FROM generate_series(0, 95) AS n WHERE n % 2 = {half})
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'heart_rate', 60 + (n * u) % 37 / 3.0, 'bpm', 'watch', at, at FROM of_user, clock
         UNION ALL
         SELECT u, 'blood_glucose', 70 + (n * u) % 130, 'mg/dL', 'cgm', at, at FROM of_user, clock
         UNION ALL
         SELECT u, 'steps', 100 + (n * u) % 31, 'count', source, at, at + interval '40 minutes'
         FROM of_user, clock, unnest(ARRAY['phone', 'watch']) AS source
         UNION ALL
         SELECT u, 'blood_pressure_' || which, 80 + n % 5 + 40 * place, 'mmHg', 'cuff', at, at
         FROM of_user, clock, (VALUES ('diastolic', 0), ('systolic', 1)) AS v (which, place) WHERE n % 12 < 2
         UNION ALL
         SELECT u, 'sleep_' || (ARRAY['core', 'deep', 'rem', 'awake'])[1 + n % 4], 1, 'min', 'watch', at, at + interval '30 minutes'
         FROM of_user, clock WHERE n % 48 < 14;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal, protein_g, fat_g, carbohydrate_g)
         SELECT u, 'bread', 'lunch', timestamptz '2024-05-02 12:00+00' + u * interval '1 hour', 'app', 500 + u / 7.0, 20, 10, 60
         FROM (SELECT generate_series(1, 12) UNION ALL SELECT generate_series(21, 26)) AS of_user (u);
         INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, reference_range, status, collected_at, source)
         SELECT u, 'Glucose', '2345-7', (5 + u / 10.0)::text, 'mmol/L', '4-6', 'final',
                timestamptz '2024-05-02 06:00+00' + {half} * interval '1 day', 'lab'
         FROM (SELECT generate_series(1, 12) UNION ALL SELECT generate_series(21, 26)) AS of_user (u)"
    ))
    .await;
}
