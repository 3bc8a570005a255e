//! Weeks and months.

use crate::support::Database;

const CLOSE: f64 = 1e-9;

#[tokio::test]
async fn a_week_and_a_month_are_what_all_their_samples_say_and_tell_how_many_days_had_data() {
    let db = Database::new().await;
    // Days with 1, 2, … samples, so that a mean of means would be another one; two days without.
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60 + 7 * d + (d * s) % 13, 'bpm', 'watch', at, at
         FROM generate_series(0, 40) AS d, LATERAL generate_series(1, 1 + d % 5) AS s,
              LATERAL (SELECT timestamptz '2024-04-24 10:00Z' + d * interval '1 day' + s * interval '1 minute' AS at) AS t
         WHERE d NOT IN (6, 7);
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'steps', 1000 + d, 'count', 'watch', at, at + interval '10 minutes'
         FROM generate_series(0, 40) AS d,
              LATERAL (SELECT timestamptz '2024-04-24 10:00Z' + d * interval '1 day' AS at) AS t",
    )
    .await;
    db.run_once();
    for (view, column, unit) in
        [("vitals_weekly", "week_start", "week"), ("vitals_monthly", "month_start", "month")]
    {
        let wrong: i64 = db
            .value(&format!(
                "SELECT count(*)
                 FROM (SELECT date_trunc('{unit}', started_at AT TIME ZONE 'UTC')::date AS start,
                              count(*) AS n, avg(value) AS mean, stddev_samp(value) AS sd,
                              min(value) AS low, max(value) AS high,
                              count(DISTINCT (started_at AT TIME ZONE 'UTC')::date) AS days
                       FROM vitals_raw WHERE metric = 'heart_rate' GROUP BY 1) AS raw
                 FULL JOIN (SELECT * FROM {view} WHERE metric = 'heart_rate') AS v
                      ON v.{column} = raw.start
                 WHERE (v.sample_count = raw.n AND abs(v.mean - raw.mean) < {CLOSE}
                        AND coalesce(abs(v.stddev - raw.sd) < {CLOSE}, num_nulls(v.stddev, raw.sd) = 2)
                        AND v.min = raw.low AND v.max = raw.high
                        AND v.days_with_data = raw.days) IS NOT TRUE"
            ))
            .await;
        assert_eq!(wrong, 0, "{view}");
    }
    let weeks: i64 =
        db.value("SELECT count(*) FROM vitals_weekly WHERE metric = 'heart_rate'").await;
    assert_eq!(weeks, 7);
    let monday: bool =
        db.value("SELECT bool_and(extract(isodow FROM week_start) = 1) FROM vitals_weekly").await;
    assert!(monday);
    let steps: f64 = db
        .value("SELECT total FROM vitals_monthly WHERE metric = 'steps' AND month_start = '2024-05-01'")
        .await;
    assert!((steps - f64::from((7..38).map(|d| 1000 + d).sum::<i32>())).abs() < CLOSE);
}

#[tokio::test]
async fn food_and_results_of_a_week_are_added_up_and_what_nobody_knows_stays_unknown() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal, iron_mg)
         VALUES (1, 'a', 'lunch', '2024-05-06 12:00Z', 'app', 100, NULL),
                (1, 'b', 'lunch', '2024-05-08 12:00Z', 'app', 250, 1.5),
                (1, 'c', 'snack', '2024-05-13 12:00Z', 'app', 10, NULL);
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         VALUES (1, 'ferritin', '30', 'ng/mL', 'final', '2024-05-06 08:00Z', 'lab'),
                (1, 'ferritin', '50', 'ng/mL', 'final', '2024-05-10 08:00Z', 'lab')",
    )
    .await;
    db.run_once();
    let week = "FROM nutrition_weekly WHERE week_start = '2024-05-06'";
    let food = db
        .query(
            &format!(
                "SELECT energy_kcal, iron_mg, zinc_mg, days_with_data, lunch_energy_kcal {week}"
            ),
            &[],
        )
        .await;
    let food = &food[0];
    assert_eq!((food.get(0), food.get(1)), (Some(350.0), Some(1.5)));
    assert_eq!(food.get::<_, Option<f64>>(2), None, "nobody knows, and that is not 0");
    assert_eq!((food.get::<_, i64>(3), food.get(4)), (2, Some(350.0)));
    let labs = db
        .query("SELECT result_count, min, max, last_value, days_with_data FROM lab_monthly", &[])
        .await;
    let labs = &labs[0];
    assert_eq!(labs.get::<_, i64>(0), 2);
    assert_eq!((labs.get(1), labs.get(2), labs.get(3)), (Some(30.0), Some(50.0), Some(50.0)));
    assert_eq!(labs.get::<_, i64>(4), 2);
}
