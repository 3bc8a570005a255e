//! Every figure of the demo's data beside one that PostgreSQL computes from the raw rows, with
//! its own calendar and its own arithmetic.

use crate::support::Database;

/// Doubles may differ by rounding; PostgreSQL adds them in another order.
const COMPARISONS: &str = "
    CREATE FUNCTION near(a float8, b float8) RETURNS boolean IMMUTABLE
    RETURN a IS NOT DISTINCT FROM b
        OR coalesce(abs(a - b) <= 1e-9 * greatest(abs(a), abs(b)), false);

    CREATE FUNCTION within_one_percent(ours float8[], exact float8[]) RETURNS boolean IMMUTABLE
    RETURN array_length(ours, 1) = 5
       AND (SELECT bool_and(coalesce(abs(o - e) <= 0.010000001 * abs(e), false))
            FROM unnest(ours, exact) AS pair (o, e));";

const SAMPLES: &str = "
    CREATE TEMP TABLE samples AS
    SELECT v.*, p.time_zone AS zone, (v.started_at AT TIME ZONE p.time_zone)::date AS local_date,
           v.started_at - (v.started_at AT TIME ZONE p.time_zone
                           - date_trunc('hour', v.started_at AT TIME ZONE p.time_zone)) AS hour_start
    FROM vitals_raw AS v JOIN user_profiles AS p USING (user_id);";

/// The figures of samples that share a key.
const EXPECTED_VITALS: &str = "
    CREATE TEMP TABLE expected_{table} AS
    WITH by_source AS (
        SELECT {key}, source, count(*) AS n FROM samples GROUP BY {key}, source
    ), sources AS (
        SELECT {key}, jsonb_object_agg(source, n) AS sources,
               (array_agg(source ORDER BY n DESC, source))[1] AS primary_source
        FROM by_source GROUP BY {key}
    )
    SELECT {key},
           CASE metric WHEN 'heart_rate' THEN '/min' WHEN 'body_mass' THEN 'kg'
                       WHEN 'blood_pressure_systolic' THEN 'mm[Hg]'
                       WHEN 'blood_pressure_diastolic' THEN 'mm[Hg]'
                       WHEN 'height' THEN 'cm' WHEN 'waist_circumference' THEN 'cm' END AS unit,
           count(*) AS sample_count, sum(value) AS sum, avg(value) AS mean,
           stddev_samp(value) AS stddev, regr_sxx(value, value) AS squared_deviations,
           min(value) AS min, max(value) AS max,
           (array_agg(value ORDER BY started_at))[1] AS first_value, min(started_at) AS first_at,
           (array_agg(value ORDER BY started_at DESC))[1] AS last_value, max(started_at) AS last_at,
           percentile_cont(ARRAY[0.05, 0.25, 0.5, 0.75, 0.95]::float8[])
               WITHIN GROUP (ORDER BY value) AS percentiles,
           min(zone) AS zone, sources, primary_source
    FROM samples JOIN sources USING ({key})
    GROUP BY {key}, sources, primary_source;";

/// Rows of one side that the other lacks or has with other figures.
const VITALS_THAT_DIFFER: &str = "
    SELECT 'expected ' || coalesce(e::text, 'nothing') || ' but found ' || coalesce(f::text, 'nothing')
    FROM expected_{table} AS e FULL JOIN {table} AS f USING ({key})
    WHERE NOT coalesce(
        e.unit = f.unit AND e.sample_count = f.sample_count
        AND near(e.mean, f.mean) AND near(e.stddev, f.stddev)
        AND e.min = f.min AND e.max = f.max
        AND e.first_value = f.first_value AND e.first_at = f.first_at
        AND e.last_value = f.last_value AND e.last_at = f.last_at
        AND within_one_percent(ARRAY[f.p05, f.p25, f.p50, f.p75, f.p95], e.percentiles)
        AND e.sources = f.sources AND e.zone = f.time_zone
        AND f.total IS NULL AND f.censored_count = 0 AND f.rejected_count = 0
        AND {also}, false)
    LIMIT 5";

const A_DAYS_OWN: &str = "
    e.primary_source = f.primary_source AND NOT f.is_partial
    AND f.day_start = local_date::timestamp AT TIME ZONE e.zone
    AND f.day_end = (local_date + 1)::timestamp AT TIME ZONE e.zone";

const AN_HOURS_OWN: &str = "
    near(e.sum, f.sum) AND near(e.squared_deviations, f.squared_deviations)
    AND f.sketch IS NOT NULL";

#[tokio::test]
async fn every_vital_figure_agrees_with_postgresqls_own_arithmetic() {
    let db = computed_demo().await;
    db.execute(SAMPLES).await;
    for (table, key, also) in [
        ("vitals_daily", "user_id, local_date, metric", A_DAYS_OWN),
        ("vitals_hourly", "user_id, local_date, metric, hour_start", AN_HOURS_OWN),
    ] {
        let filled =
            |sql: &str| sql.replace("{table}", table).replace("{key}", key).replace("{also}", also);
        db.execute(&filled(EXPECTED_VITALS)).await;
        assert_no_row(&db, &filled(VITALS_THAT_DIFFER)).await;
        let samples = format!("SELECT sum(sample_count) FROM {table}");
        assert_eq!(db.value::<i64>(&samples).await, 16_867, "{table}");
    }
    let days_of_hours: i64 = db
        .value(
            "SELECT count(*)
             FROM vitals_daily AS d
             JOIN (SELECT user_id, local_date, metric, sum(sample_count) AS samples,
                          sum(sum) AS sum, min(min) AS min, max(max) AS max
                   FROM vitals_hourly GROUP BY 1, 2, 3) AS h USING (user_id, local_date, metric)
             WHERE d.sample_count = h.samples AND d.min = h.min AND d.max = h.max
               AND near(d.mean, h.sum / h.samples)",
        )
        .await;
    assert_eq!(days_of_hours, db.value::<i64>("SELECT count(*) FROM vitals_daily").await);
}

#[tokio::test]
async fn every_nutrition_figure_agrees_with_postgresqls_own_arithmetic() {
    let db = computed_demo().await;
    let nutrients: Vec<String> = db
        .query(
            "SELECT column_name::text FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = 'nutrition_raw'
               AND data_type = 'double precision'",
            &[],
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(nutrients.len(), 32);
    let meals = ["breakfast", "lunch", "dinner", "snack", "other"];
    let sums: Vec<String> = nutrients.iter().map(|n| format!("sum({n}) AS {n}")).collect();
    let of_meals = meals.map(|meal| {
        format!(
            "count(*) FILTER (WHERE meal_type = '{meal}') AS {meal}_count,
             sum(energy_kcal) FILTER (WHERE meal_type = '{meal}') AS {meal}_energy_kcal"
        )
    });
    db.execute(&format!(
        "CREATE TEMP TABLE expected AS
         WITH sums AS (
             SELECT n.user_id, (n.eaten_at AT TIME ZONE p.time_zone)::date AS local_date,
                    p.time_zone AS zone, count(*) AS item_count, min(n.eaten_at) AS first_eaten_at,
                    max(n.eaten_at) AS last_eaten_at, {}, {}
             FROM nutrition_raw AS n JOIN user_profiles AS p USING (user_id)
             GROUP BY 1, 2, 3
         ), energy AS (
             SELECT *, 4 * carbohydrate_g AS carbohydrate_kcal, 4 * protein_g AS protein_kcal,
                    9 * fat_g AS fat_kcal, 7 * alcohol_g AS alcohol_kcal,
                    4 * carbohydrate_g + 4 * protein_g + 9 * fat_g + 7 * coalesce(alcohol_g, 0)
                        AS kcal
             FROM sums
         )
         SELECT *, 100 * carbohydrate_kcal / nullif(kcal, 0) AS carbohydrate_percent,
                100 * protein_kcal / nullif(kcal, 0) AS protein_percent,
                100 * fat_kcal / nullif(kcal, 0) AS fat_percent,
                100 * alcohol_kcal / nullif(kcal, 0) AS alcohol_percent
         FROM energy",
        sums.join(", "),
        of_meals.join(", ")
    ))
    .await;

    let macros = ["carbohydrate", "protein", "fat", "alcohol"];
    let near: Vec<String> = nutrients
        .iter()
        .cloned()
        .chain(meals.map(|meal| format!("{meal}_energy_kcal")))
        .chain(macros.map(|name| format!("{name}_kcal")))
        .chain(macros.map(|name| format!("{name}_percent")))
        .map(|column| format!("near(e.{column}, f.{column})"))
        .collect();
    let equal = meals.map(|meal| format!("e.{meal}_count = f.{meal}_count"));
    assert_no_row(
        &db,
        &format!(
            "SELECT 'expected ' || coalesce(e::text, 'nothing') || ' but found ' || coalesce(f::text, 'nothing')
             FROM expected AS e FULL JOIN nutrition_daily AS f USING (user_id, local_date)
             WHERE NOT coalesce(
                 e.item_count = f.item_count AND f.rejected_count = 0 AND NOT f.is_partial
                 AND e.first_eaten_at = f.first_eaten_at AND e.last_eaten_at = f.last_eaten_at
                 AND e.zone = f.time_zone
                 AND f.day_start = local_date::timestamp AT TIME ZONE e.zone
                 AND f.day_end = (local_date + 1)::timestamp AT TIME ZONE e.zone
                 AND {} AND {}, false)
             LIMIT 5",
            equal.join(" AND "),
            near.join(" AND ")
        ),
    )
    .await;
    assert_eq!(db.value::<i64>("SELECT sum(item_count) FROM nutrition_daily").await, 658);
    let unknown: i64 =
        db.value("SELECT count(*) FROM nutrition_daily WHERE vitamin_c_mg IS NULL").await;
    assert!(unknown > 0, "the data has days whose vitamin C nobody knows");
}

#[tokio::test]
async fn every_lab_figure_agrees_with_postgresqls_own_arithmetic() {
    let db = computed_demo().await;
    db.execute(
        "CREATE TEMP TABLE expected AS
         WITH results AS (
             SELECT l.user_id, (l.collected_at AT TIME ZONE p.time_zone)::date AS local_date,
                    p.time_zone AS zone, l.loinc_code AS analyte, l.unit, l.collected_at,
                    l.value_text::float8 AS value, l.reference_range,
                    CASE reference_range
                        WHEN '>40' THEN CASE WHEN value_text::float8 > 40 THEN 'N' ELSE 'L' END
                        WHEN '<200' THEN CASE WHEN value_text::float8 < 200 THEN 'N' ELSE 'H' END
                        WHEN '4.0-5.6' THEN CASE WHEN value_text::float8 < 4.0 THEN 'L'
                                                 WHEN value_text::float8 > 5.6 THEN 'H'
                                                 ELSE 'N' END
                    END AS flag
             FROM lab_raw AS l JOIN user_profiles AS p USING (user_id)
         )
         SELECT user_id, local_date, analyte, unit, zone, count(*) AS result_count,
                (array_agg(value ORDER BY collected_at DESC))[1] AS last_value,
                max(collected_at) AS last_at, min(value) AS min, max(value) AS max,
                avg(value) AS mean,
                (array_agg(reference_range ORDER BY collected_at DESC))[1] AS reference_text,
                (array_agg(flag ORDER BY collected_at DESC))[1] AS last_flag,
                CASE WHEN bool_or(flag = 'H') THEN 'H' WHEN bool_or(flag = 'L') THEN 'L'
                     ELSE min(flag) END AS worst_flag
         FROM results
         GROUP BY user_id, local_date, analyte, unit, zone",
    )
    .await;
    assert_no_row(
        &db,
        "SELECT 'expected ' || coalesce(e::text, 'nothing') || ' but found ' || coalesce(f::text, 'nothing')
         FROM expected AS e FULL JOIN lab_daily AS f USING (user_id, local_date, analyte, unit)
         WHERE NOT coalesce(
             e.result_count = f.result_count AND e.last_value = f.last_value
             AND f.last_comparator IS NULL AND f.last_text IS NULL AND e.last_at = f.last_at
             AND e.min = f.min AND e.max = f.max AND near(e.mean, f.mean)
             AND f.reference_low IS NOT DISTINCT FROM
                 CASE e.reference_text WHEN '>40' THEN 40 WHEN '4.0-5.6' THEN 4.0 END::float8
             AND f.reference_high IS NOT DISTINCT FROM
                 CASE e.reference_text WHEN '<200' THEN 200 WHEN '4.0-5.6' THEN 5.6 END::float8
             AND e.reference_text = f.reference_text
             AND e.last_flag = f.last_flag AND e.worst_flag = f.worst_flag
             AND e.zone = f.time_zone AND NOT f.is_partial
             AND f.day_start = local_date::timestamp AT TIME ZONE e.zone
             AND f.day_end = (local_date + 1)::timestamp AT TIME ZONE e.zone, false)
         LIMIT 5",
    )
    .await;
    assert_eq!(db.value::<i64>("SELECT sum(result_count) FROM lab_daily").await, 900);
    let flags: String = db
        .value("SELECT string_agg(DISTINCT last_flag, ' ' ORDER BY last_flag) FROM lab_daily")
        .await;
    assert_eq!(flags, "H L N", "the data has results of every flag");
}

/// A database into which the demo's files were imported, and everything computed.
async fn computed_demo() -> Database {
    let db = Database::new().await;
    for (kind, file, rows) in [
        ("profiles", "user_profiles.csv", 302),
        ("vitals", "vitals.csv", 16_867),
        ("nutrition", "nutrition.csv", 658),
        ("labs", "labs.csv", 900),
    ] {
        let path = format!("{}/demo-data/{file}", env!("CARGO_MANIFEST_DIR"));
        let ran = db.run(&["import", "--kind", kind, &path]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let table = match kind {
            "profiles" => "user_profiles",
            "labs" => "lab_raw",
            _ => &format!("{kind}_raw"),
        };
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(db.value::<i64>(&count).await, rows, "{file}");
    }
    let run = db.run_once();
    assert_eq!(run["rows_completed"], 16_867 + 658 + 900);
    assert_eq!(run["rows_rejected"], 0);
    assert_eq!(run["pending_after"], 0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM rejected_rows").await, 0);
    db.execute(COMPARISONS).await;
    db
}

/// The query lists what is wrong.
async fn assert_no_row(db: &Database, sql: &str) {
    let wrong = db.query(sql, &[]).await;
    let lines: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}
