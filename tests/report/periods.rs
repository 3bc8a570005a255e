//! Weeks, months and years: their figures are those of the views.

use super::{assert_well_formed, between, page, table};
use crate::support::Database;
use crate::support::outside::assert_says;

/// Half a year with days left out: steps, heart rates, nights, pressures, glucose and meals.
async fn insert(db: &Database) {
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, base + (n * 7919) % spread, unit, 'watch',
                timestamptz '2024-01-01 09:00Z' + n * interval '1 day',
                timestamptz '2024-01-01 09:00Z' + n * interval '1 day' + length
         FROM generate_series(0, 181) AS s (n),
              (VALUES ('steps', 3000, 7001, 'steps', interval '1 h'),
                      ('heart_rate', 55, 61, 'bpm', '0'),
                      ('blood_pressure_systolic', 105, 43, 'mmHg', '0'),
                      ('blood_pressure_diastolic', 65, 23, 'mmHg', '0'),
                      ('blood_glucose', 60, 151, 'mg/dL', '0'),
                      ('sleep_core', 1, 1, 'min', '5 h 30 min'))
                  AS v (metric, base, spread, unit, length)
         WHERE n % 5 <> 3;
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 80 + n % 31, 'bpm', 'watch', at, at
         FROM (SELECT n, timestamptz '2024-01-01 18:00Z' + n * interval '2 days' AS at
               FROM generate_series(0, 90) AS s (n)) AS readings;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal, protein_g,
                                    fat_g, carbohydrate_g)
         SELECT 1, 'soup', 'lunch', timestamptz '2024-01-01 12:00Z' + n * interval '3 days', 'app',
                500 + n, 20, 10, 60
         FROM generate_series(0, 59) AS s (n)",
    )
    .await;
    assert_eq!(db.run_once()["rows_failed"], 0);
}

/// Numbers of a view, by the beginning of its periods, with one decimal and commas.
async fn of_view(db: &Database, sql: &str) -> Vec<Vec<f64>> {
    let rows = db.query(sql, &[]).await;
    rows.iter().map(|row| (0..row.len()).map(|at| row.get(at)).collect()).collect()
}

/// Asserts that the cells of a table, from some column on, are the numbers, up to the rounding of the cells.
fn assert_same(page: &str, summary: &str, columns: &[usize], exact: &[Vec<f64>]) {
    let rows = table(page, summary);
    assert_eq!(rows.len(), exact.len(), "{summary}: {rows:?}");
    for (row, numbers) in rows.iter().zip(exact) {
        for (column, number) in columns.iter().zip(numbers) {
            let cell = &row[*column];
            let decimals = cell.split_once('.').map_or(0, |(_, of)| of.len() as i32);
            let shown: f64 = cell.replace(',', "").parse().unwrap_or_else(|_| panic!("{row:?}"));
            let tolerance = 0.5 * 0.1_f64.powi(decimals) + 1e-9;
            assert!((shown - number).abs() <= tolerance, "{summary}: {cell} is not {number}");
        }
    }
}

#[tokio::test]
async fn a_year_is_shown_by_months_with_the_figures_of_the_monthly_views() {
    let db = Database::new().await;
    insert(&db).await;

    let year = page(&db, "1", &["--period", "year", "--on", "2024-08-01"]);

    assert_well_formed(&year);
    assert_says(&year, &["1 January 2024 to 31 December 2024", "drawn by month", "Steps by month"]);
    let steps = of_view(
        &db,
        "SELECT total, days_with_data::float8, total / days_with_data FROM vitals_monthly
         WHERE metric = 'steps' ORDER BY month_start",
    )
    .await;
    assert_eq!(steps.len(), 6);
    assert_same(&year, "Figures: steps", &[0, 1, 2], &steps);
    let rates = of_view(
        &db,
        "SELECT sample_count::float8, mean, stddev, min, max FROM vitals_monthly
         WHERE metric = 'heart_rate' ORDER BY month_start",
    )
    .await;
    assert_same(&year, "Figures: heart rate", &[0, 1, 2, 3, 4], &rates);
    let pressures = of_view(
        &db,
        "SELECT pair_count::float8, systolic_mean, diastolic_mean, mean_arterial_pressure
         FROM blood_pressure_monthly ORDER BY month_start",
    )
    .await;
    assert_same(&year, "Figures: blood pressure", &[0, 1, 3, 5], &pressures);
    let glucose = of_view(
        &db,
        "SELECT sample_count::float8, mean, stddev, cv_percent, gmi_percent, glycemia_risk_index
         FROM glucose_monthly ORDER BY month_start",
    )
    .await;
    assert_same(&year, "Figures: glucose, mg/dL", &[0, 6, 7, 8, 9, 10], &glucose);
    let meals = of_view(
        &db,
        "SELECT item_count::float8, energy_kcal / days_with_data FROM nutrition_monthly ORDER BY month_start",
    )
    .await;
    assert_same(&year, "Figures: meals", &[0, 1], &meals);
    let nights = table(&year, "Figures: sleep");
    assert_eq!((nights.len(), nights[0][0].as_str()), (6, "5:30"));
    let bars = between(&year, "id=\"vital-steps", "</svg>");
    assert_eq!(bars.matches("<rect class=\"part\"").count(), 6);
    let head = between(&year, "Figures: heart rate", "</thead>");
    assert!(!head.contains("Median"), "percentiles of months are not known: {head}");
}

#[tokio::test]
async fn a_quarter_is_shown_by_weeks_and_its_ends_have_only_its_days() {
    let db = Database::new().await;
    insert(&db).await;

    // Monday 1 January to Sunday 31 March: whole weeks.
    let whole = page(&db, "1", &["--from", "2024-01-01", "--to", "2024-03-31"]);
    let weeks = of_view(
        &db,
        "SELECT total, days_with_data::float8 FROM vitals_weekly
         WHERE metric = 'steps' AND week_start <= '2024-03-25' ORDER BY week_start",
    )
    .await;
    assert_eq!(weeks.len(), 13);
    assert_same(&whole, "Figures: steps", &[0, 1], &weeks);
    assert_says(&whole, &["Week of 25 Mar 2024", "drawn by week"]);

    // From Wednesday on the first week has five days.
    let cut = page(&db, "1", &["--from", "2024-01-03", "--to", "2024-03-31"]);
    let exact = of_view(
        &db,
        "SELECT sum(total), count(*)::float8 FROM vitals_daily
         WHERE metric = 'steps' AND local_date BETWEEN '2024-01-03' AND '2024-01-07'",
    )
    .await;
    let rows = table(&cut, "Figures: steps");
    let first: f64 = rows[0][0].replace(',', "").parse().unwrap();
    assert_eq!((first, rows[0][1].parse().unwrap()), (exact[0][0], exact[0][1]));
    assert_says(&cut, &["Week of 3 Jan 2024"]);
}

#[tokio::test]
async fn a_period_without_a_date_is_the_last_one_with_figures() {
    let db = Database::new().await;
    insert(&db).await;
    let month = page(&db, "1", &["--period", "month"]);
    assert_says(
        &month,
        &["1 June 2024 to 30 June 2024", "Compared with the month before, 1 May 2024"],
    );
    let week = page(&db, "1", &["--period", "week", "--on", "2024-02-29"]);
    assert_says(&week, &["26 February 2024 to 3 March 2024"]);
    let ran = db.run(&["report", "--user", "9", "--html", "-", "--period", "year"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_says(&ran.stdout, &["nothing in this database belongs to that user"]);
}
