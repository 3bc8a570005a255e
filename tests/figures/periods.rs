//! Weeks and months.

use crate::support::Database;
use crate::support::rows::sleep;

const CLOSE: f64 = 1e-9;

/// The only row of a query.
async fn row(db: &Database, sql: &str) -> tokio_postgres::Row {
    let [row] = db.query(sql, &[]).await.try_into().expect("one row");
    row
}

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

#[tokio::test]
async fn glucose_of_a_week_and_a_month_is_what_all_its_readings_say() {
    let db = Database::new().await;
    // Days of 1, 3, 5, … readings, some of which are a sensor's Low.
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, comparator, unit, source, started_at, ended_at)
         SELECT 1, 'blood_glucose', CASE WHEN is_low THEN 40 ELSE 45 + (d * 31 + s * 17) % 240 END,
                CASE WHEN is_low THEN '<' END, 'mg/dL', 'cgm', at, at
         FROM generate_series(0, 20) AS d, LATERAL generate_series(0, 2 * d) AS s,
              LATERAL (SELECT (d + s) % 11 = 5 AS is_low,
                              timestamptz '2024-04-24 08:00Z' + d * interval '1 day' + s * interval '5 minutes' AS at) AS t",
    )
    .await;
    db.run_once();
    for (view, column, unit) in
        [("glucose_weekly", "week_start", "week"), ("glucose_monthly", "month_start", "month")]
    {
        let row = row(
            &db,
            &format!(
                "WITH raw AS (
                     SELECT date_trunc('{unit}', started_at AT TIME ZONE 'UTC')::date AS start,
                            value AS v, comparator IS NULL AS exact,
                            value - CASE WHEN comparator = '<' THEN 0.001 ELSE 0 END AS placed
                     FROM vitals_raw
                 ), expected AS (
                     SELECT start, count(*) FILTER (WHERE exact) AS n, count(*) AS readings,
                            avg(v) FILTER (WHERE exact) AS mean, stddev_samp(v) FILTER (WHERE exact) AS sd,
                            100.0 * count(*) FILTER (WHERE placed < 54) / count(*) AS very_low,
                            100.0 * count(*) FILTER (WHERE placed >= 54 AND placed < 70) / count(*) AS low,
                            100.0 * count(*) FILTER (WHERE placed BETWEEN 70 AND 180) / count(*) AS in_range,
                            100.0 * count(*) FILTER (WHERE placed > 180 AND placed <= 250) / count(*) AS high,
                            100.0 * count(*) FILTER (WHERE placed > 250) / count(*) AS very_high
                     FROM raw GROUP BY start
                 )
                 SELECT count(*), count(*) FILTER (WHERE (
                        v.sample_count = e.n AND v.sample_count + v.censored_count = e.readings
                        AND abs(v.mean - e.mean) < {CLOSE} AND abs(v.stddev - e.sd) < {CLOSE}
                        AND abs(v.cv_percent - 100 * e.sd / e.mean) < {CLOSE}
                        AND abs(v.gmi_percent - (3.31 + 0.02392 * e.mean)) < {CLOSE}
                        AND abs(v.j_index - 0.001 * (e.mean + e.sd) ^ 2) < {CLOSE}
                        AND abs(v.below_54_percent - e.very_low) < {CLOSE}
                        AND abs(v.below_70_percent - e.very_low - e.low) < {CLOSE}
                        AND abs(v.from_70_to_180_percent - e.in_range) < {CLOSE}
                        AND abs(v.above_180_percent - e.high - e.very_high) < {CLOSE}
                        AND abs(v.above_250_percent - e.very_high) < {CLOSE}
                        AND abs(v.glycemia_risk_index
                                - least(100, 3 * e.very_low + 2.4 * e.low + 1.6 * e.very_high + 0.8 * e.high)) < {CLOSE}
                        AND NOT v.is_sufficient) IS NOT TRUE)
                 FROM expected AS e FULL JOIN {view} AS v ON v.{column} = e.start"
            ),
        )
        .await;
        let (periods, wrong): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!((periods, wrong), (if unit == "week" { 4 } else { 2 }, 0), "{view}");
    }
}

#[tokio::test]
async fn blood_pressure_of_a_month_is_what_all_its_pairs_say() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, value, 'mm[Hg]', 'cuff', at, at
         FROM (VALUES (0, 110, 70), (0, 118, 74), (0, 125, 76), (3, 132, 85), (9, 185, 100)) AS p (d, s, dia),
              LATERAL (SELECT timestamptz '2024-05-01 08:00Z' + d * interval '1 day' + s * interval '1 minute' AS at) AS t,
              LATERAL (VALUES ('blood_pressure_systolic', s), ('blood_pressure_diastolic', dia)) AS m (metric, value)",
    )
    .await;
    db.run_once();
    let month = row(&db, "SELECT * FROM blood_pressure_monthly").await;
    assert_eq!(month.get::<_, i64>("pair_count"), 5);
    assert_eq!(month.get::<_, i64>("days_with_data"), 3);
    let systolic: f64 = month.get("systolic_mean");
    assert!((systolic - (110.0 + 118.0 + 125.0 + 132.0 + 185.0) / 5.0).abs() < CLOSE);
    let thirds = [250.0, 266.0, 277.0, 302.0, 385.0];
    let arterial: f64 = month.get("mean_arterial_pressure");
    assert!((arterial - thirds.iter().sum::<f64>() / 15.0).abs() < CLOSE);
    let ends: [f64; 2] = ["diastolic_min", "systolic_max"].map(|column| month.get(column));
    assert_eq!(ends, [70.0, 185.0]);
    assert_eq!(month.get::<_, &str>("worst_category"), "severe");
    let worst: String = db
        .value(
            "SELECT string_agg(worst_category, ' ' ORDER BY week_start) FROM blood_pressure_weekly",
        )
        .await;
    assert_eq!(worst, "stage_1 severe");
}

#[tokio::test]
async fn nights_of_a_week_are_added_up_and_its_efficiency_is_no_mean_of_theirs() {
    let db = Database::new().await;
    db.insert([
        sleep("in_bed").between("2024-05-06 22:00Z", "2024-05-07 06:00Z"),
        sleep("deep").between("2024-05-07 00:00Z", "2024-05-07 04:00Z"),
        sleep("in_bed").between("2024-05-08 22:00Z", "2024-05-09 00:30Z"),
        sleep("rem").between("2024-05-08 22:00Z", "2024-05-09 00:00Z"),
        sleep("in_bed").between("2024-05-10 22:00Z", "2024-05-11 06:00Z"),
    ])
    .await;
    db.run_once();
    let week = row(&db, "SELECT * FROM sleep_weekly").await;
    // The third night is known only by its bed.
    assert_eq!(week.get::<_, i64>("days_with_data"), 3);
    let minutes: [f64; 4] =
        ["asleep_minutes", "mean_asleep_minutes", "in_bed_minutes", "deep_minutes"]
            .map(|column| week.get(column));
    assert_eq!(minutes, [360.0, 180.0, 480.0 + 150.0 + 480.0, 240.0]);
    let month = row(&db, "SELECT * FROM sleep_monthly").await;
    let efficiency: f64 = month.get("efficiency");
    assert!((efficiency - 360.0 / 630.0).abs() < CLOSE, "not (4 / 8 + 2 / 2.5) / 2");
}

#[tokio::test]
async fn the_mean_of_a_weeks_results_is_over_numbers_not_over_days_nor_bounds() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO lab_raw (user_id, test_name, value_text, unit, reference_range, status, collected_at, source)
         VALUES (1, 'iron', '1', 'ug/dL', '2-9', 'final', '2024-05-06 08:00Z', 'lab'),
                (1, 'iron', '2', 'ug/dL', '2-9', 'final', '2024-05-06 09:00Z', 'lab'),
                (1, 'iron', '<1', 'ug/dL', NULL, 'final', '2024-05-06 10:00Z', 'lab'),
                (1, 'iron', '6', 'ug/dL', '3-8', 'final', '2024-05-08 08:00Z', 'lab')",
    )
    .await;
    db.run_once();
    for view in ["lab_weekly", "lab_monthly"] {
        let of = row(&db, &format!("SELECT * FROM {view}")).await;
        assert_eq!(of.get::<_, f64>("mean"), 3.0, "{view}");
        let counts: [i64; 2] = ["result_count", "exact_count"].map(|column| of.get(column));
        assert_eq!(counts, [4, 3], "{view}");
        let ends: [f64; 2] = ["reference_low", "reference_high"].map(|column| of.get(column));
        assert_eq!(ends, [3.0, 8.0], "{view}: the last result's");
        let flags: [&str; 2] = ["last_flag", "worst_flag"].map(|column| of.get(column));
        assert_eq!(flags, ["N", "L"], "{view}");
    }

    // Rows of an earlier version do not say how many numbers they had.
    db.execute("UPDATE lab_daily SET exact_count = NULL WHERE local_date = '2024-05-06'").await;
    let mean = row(&db, "SELECT mean FROM lab_weekly").await;
    assert_eq!(mean.get::<_, Option<f64>>(0), None);
}

#[tokio::test]
async fn each_nutrient_of_a_week_is_its_own_sum() {
    let db = Database::new().await;
    let nutrients: Vec<String> = db
        .query(
            "SELECT column_name::text FROM information_schema.columns
             WHERE table_name = 'nutrition_raw' AND column_name ~ '_(kcal|g|mg|ug)$'
             ORDER BY ordinal_position",
            &[],
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(nutrients.len(), 32);
    // The nutrient's place, and each date's share of it, so that no sum is like another.
    let amounts: Vec<String> = (1..=nutrients.len()).map(|n| format!("{n} * share")).collect();
    db.execute(&format!(
        "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, {})
         SELECT 1, 'soup', meal, at, 'app', {}
         FROM (VALUES ('breakfast', timestamptz '2024-05-06 08:00Z', 1.0), ('lunch', '2024-05-07 12:00Z', 0.1),
                      ('dinner', '2024-05-08 19:00Z', 0.25), ('snack', '2024-05-09 16:00Z', 0.5),
                      ('other', '2024-05-10 16:00Z', 3.0)) AS m (meal, at, share)",
        nutrients.join(", "),
        amounts.join(", ")
    ))
    .await;
    db.run_once();
    for view in ["nutrition_weekly", "nutrition_monthly"] {
        let of = row(&db, &format!("SELECT * FROM {view}")).await;
        for (place, nutrient) in (1..).zip(&nutrients) {
            let total: f64 = of.get(nutrient.as_str());
            let expected = f64::from(place) * 4.85;
            assert!((total - expected).abs() < CLOSE, "{view}.{nutrient}: {total}");
        }
        let meals =
            [("breakfast", 1.0), ("lunch", 0.1), ("dinner", 0.25), ("snack", 0.5), ("other", 3.0)];
        for (meal, share) in meals {
            let energy: f64 = of.get(format!("{meal}_energy_kcal").as_str());
            assert!((energy - share).abs() < CLOSE, "{view}: {meal}");
            assert_eq!(of.get::<_, i64>(format!("{meal}_count").as_str()), 1, "{view}: {meal}");
        }
        // Protein, fat, carbohydrate and alcohol are the nutrients 2, 3, 4 and 9.
        assert_eq!(nutrients.get(1..4).unwrap(), ["protein_g", "fat_g", "carbohydrate_g"]);
        let grams = [("protein", 2.0 * 4.0), ("fat", 3.0 * 9.0), ("carbohydrate", 4.0 * 4.0)];
        let alcohol = 7.0 * (1.0 + nutrients.iter().position(|n| n == "alcohol_g").unwrap() as f64);
        let all: f64 = grams.iter().map(|(_, kcal)| kcal).sum::<f64>() + alcohol;
        for (part, kcal) in grams.into_iter().chain([("alcohol", alcohol)]) {
            let energy: f64 = of.get(format!("{part}_kcal").as_str());
            assert!((energy - kcal * 4.85).abs() < CLOSE, "{view}: {part}");
            let percent: f64 = of.get(format!("{part}_percent").as_str());
            assert!((percent - 100.0 * kcal / all).abs() < CLOSE, "{view}: {part}");
        }
    }
}

#[tokio::test]
async fn the_order_in_which_days_were_written_leaves_no_trace_in_weeks_and_months() {
    let db = Database::new().await;
    let days = |user: u32, dates: [u32; 3]| {
        dates.map(|day| {
            let at = |time: &str| format!("'2024-05-{day:02} {time}Z'");
            // Three numbers whose sum depends on the order.
            let amount = f64::from(day - 5) / 10.0;
            format!(
                "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal,
                                            protein_g, fat_g, carbohydrate_g, alcohol_g)
                 VALUES ({user}, 'soup', 'lunch', {noon}, 'app', {amount}, {amount}, {amount}, {amount}, {amount});
                 INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
                 VALUES ({user}, 'iron', '{amount}', 'ug/dL', 'final', {noon}, 'lab');
                 INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
                 VALUES ({user}, 'blood_glucose', 70 + {amount}, 'mg/dL', 'cgm', {noon}, {noon}),
                        ({user}, 'body_mass', 70 + {amount}, 'kg', 'scale', {noon}, {noon}),
                        ({user}, 'distance_walking_running', {amount}, 'm', 'watch', {noon}, {later}),
                        ({user}, 'workout_distance', {amount}, 'm', 'watch', {noon}, {later}),
                        ({user}, 'moderate_activity_time', {amount}, 'min', 'watch', {noon}, {later}),
                        ({user}, 'blood_pressure_systolic', 110 + {amount}, 'mm[Hg]', 'cuff', {noon}, {noon}),
                        ({user}, 'blood_pressure_diastolic', 70 + {amount}, 'mm[Hg]', 'cuff', {noon}, {noon}),
                        ({user}, 'sleep_asleep', 1, 'min', 'watch', {night}, {night}::timestamptz + {day} * interval '1.1 min')",
                noon = at("12:00"),
                later = at("12:10"),
                night = at("01:00"),
            )
        })
    };
    for (first, second) in days(1, [6, 7, 8]).into_iter().zip(days(2, [8, 7, 6])) {
        db.execute(&first).await;
        db.execute(&second).await;
        db.run_once();
    }
    let views = db
        .query(
            "SELECT table_name::text FROM information_schema.views
             WHERE table_name ~ '_(weekly|monthly)$' ORDER BY 1",
            &[],
        )
        .await;
    assert_eq!(views.len(), 15);
    for view in views {
        let view: String = view.get(0);
        let different: i64 = db
            .value(&format!(
                "SELECT count(*) FROM (SELECT to_jsonb(v) - 'user_id' FROM {view} AS v WHERE user_id = 1
                                       EXCEPT ALL
                                       SELECT to_jsonb(v) - 'user_id' FROM {view} AS v WHERE user_id = 2) AS d"
            ))
            .await;
        assert_eq!(different, 0, "{view}");
        let rows: i64 = db.value(&format!("SELECT count(*) FROM {view}")).await;
        assert!(rows >= 2, "{view} has {rows} rows");
    }
}

#[tokio::test]
async fn values_too_small_or_too_large_for_a_square_are_no_error_for_whoever_reads_a_view() {
    let db = Database::new().await;
    for (day, tiny) in ["5e-324", "1e-200", "1e-160"].iter().enumerate() {
        let at = format!("'2024-05-{:02} 12:00Z'", 6 + day);
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT 1, metric, value, '%', 'watch', {at}::timestamptz + n * interval '1 min', {at}::timestamptz + n * interval '1 min'
             FROM (VALUES ('body_fat_percentage', 0, 10), ('body_fat_percentage', 1, 10), ('oxygen_saturation', 0, 95)) AS v (metric, n, value);
             INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             VALUES (1, 'exercise_time', {tiny}, 'min', 'watch', {at}, {at}), (1, 'vo2_max', 30 + {tiny}, 'mL/(kg.min)', 'watch', {at}, {at}),
                    (1, 'heart_rate_variability_sdnn', {tiny}, 'ms', 'watch', {at}, {at});
             INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, protein_g, fat_g, carbohydrate_g, alcohol_g)
             VALUES (1, 'soup', 'lunch', {at}, 'app', {tiny}, {tiny}, 1000, {tiny});
             INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
             VALUES (1, 'iron', '{tiny}', 'ug/dL', 'final', {at}, 'lab'), (1, 'zinc', '1.7e308', 'ug/dL', 'final', {at}, 'lab'),
                    (1, 'copper', '5e-324', 'ug/dL', 'final', {at}, 'lab')"
        ))
        .await;
    }
    db.run_once();
    // All that a catalogue may allow.
    db.execute(
        "UPDATE vitals_daily SET stddev = 1e-170 WHERE metric = 'heart_rate_variability_sdnn'",
    )
    .await;
    for view in ["vitals", "nutrition", "lab"] {
        for period in ["weekly", "monthly"] {
            let rows = db.query(&format!("SELECT v::text FROM {view}_{period} AS v"), &[]).await;
            assert!(!rows.is_empty(), "{view}_{period}");
        }
    }
    let means =
        "SELECT string_agg(coalesce(mean::text, '-'), ', ' ORDER BY analyte) FROM lab_weekly";
    assert_eq!(db.value::<String>(means).await, "0, 3.3333333333333334e-161, -");
}
