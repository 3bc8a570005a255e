//! Units as devices, exports and records write them.

use super::{lines, rejected, user_in};

/// Stores a sample of user 1 on a day of its own and runs the worker; the figures of each day, as `metric total
/// or mean, unit, rejected rows`.
async fn figures_of(rows: &[(&str, f64, &str)]) -> Vec<String> {
    let db = user_in("UTC", "").await;
    for (day, (metric, value, unit)) in rows.iter().enumerate() {
        db.client
            .execute(
                "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
                 SELECT 1, $1, $2, $3, 'app', at, at
                 FROM (SELECT timestamptz '2024-05-01 08:00Z' + $4 * interval '1 day' AS at) AS t",
                &[metric, value, unit, &(day as f64)],
            )
            .await
            .unwrap();
    }
    db.run_once();
    lines(
        &db,
        "SELECT concat_ws(' ', metric, round(coalesce(total, mean)::numeric, 4)::float8, unit, rejected_count)
         FROM vitals_daily ORDER BY local_date",
    )
    .await
}

#[tokio::test]
async fn units_as_apple_health_exports_them_convert() {
    let figures = figures_of(&[
        ("vo2_max", 48.5, "mL/min·kg"),
        ("blood_glucose", 5.4, "mmol<180.1558800000541>/L"),
        ("heart_rate", 61.0, "count/min"),
        ("active_energy", 5.0, "Cal"),
        ("body_temperature", 37.0, "degC"),
    ])
    .await;
    assert_eq!(
        figures,
        [
            "vo2_max 48.5 mL/kg/min 0",
            "blood_glucose 97.2842 mg/dL 0",
            "heart_rate 61 /min 0",
            "active_energy 5 kcal 0",
            "body_temperature 37 Cel 0",
        ]
    );
}

#[tokio::test]
async fn a_percentage_written_as_a_fraction_is_one() {
    let figures = figures_of(&[
        ("oxygen_saturation", 0.97, "%"),
        ("body_fat_percentage", 0.235, "%"),
        ("oxygen_saturation", 97.0, "%"),
    ])
    .await;
    let expected =
        ["oxygen_saturation 97 % 0", "body_fat_percentage 23.5 % 0", "oxygen_saturation 97 % 0"];
    assert_eq!(figures, expected);
}

#[tokio::test]
async fn annotations_of_ucum_never_change_a_unit() {
    let figures = figures_of(&[
        ("heart_rate", 61.0, "{beats}/min"),
        ("respiratory_rate", 14.0, "{breaths}/min"),
        ("heart_rate", 61.0, "{Beats}/min"),
        ("steps", 500.0, "{step}"),
        ("body_mass", 81.6, "kg{body}"),
    ])
    .await;
    assert_eq!(
        figures,
        [
            "heart_rate 61 /min 0",
            "respiratory_rate 14 /min 0",
            "heart_rate 61 /min 0",
            "steps 500 {steps} 0",
            "body_mass 81.6 kg 0",
        ]
    );
}

#[tokio::test]
async fn steps_are_no_flights_and_a_megamole_is_no_millimole() {
    let db = user_in("UTC", "").await;
    db.execute(
        "INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at, ended_at)
         OVERRIDING SYSTEM VALUE
         SELECT id, 1, metric, 5, unit, 'app', '2024-05-01 08:00Z', '2024-05-01 08:00Z'
         FROM (VALUES (11, 'flights_climbed', '{steps}'), (12, 'steps', '{flights}'),
                      (13, 'blood_glucose', 'Mmol/L'), (14, 'blood_glucose', 'mmol<386.65>/L'),
                      (15, 'active_energy', 'CAL'), (16, 'height', 'M')) AS v (id, metric, unit)",
    )
    .await;
    db.run_once();
    let expected: Vec<String> = (11..=16).map(|id| format!("vitals {id} unknown_unit")).collect();
    assert_eq!(rejected(&db).await, expected);
}

#[tokio::test]
async fn spellings_of_one_unit_are_one_course_of_a_laboratory_result() {
    let db = user_in("UTC", "").await;
    db.execute(
        "INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, status, collected_at, source)
         SELECT user_id, 'Ferritin', '2276-4', value, unit, 'final', at::timestamptz, 'lab'
         FROM (VALUES (1, '55', U&'\\00B5g/L', '2024-05-01 08:00Z'), (1, '60', U&'\\03BCg/l', '2024-05-01 18:00Z'),
                      (2, '55', 'ng/mL', '2024-05-01 08:00Z'), (2, '60', 'ng/ml', '2024-05-05 08:00Z'),
                      (3, '55', '×10^9/L', '2024-05-01 08:00Z'), (3, '60', '10*9/L', '2024-05-05 08:00Z'))
             AS v (user_id, value, unit, at)",
    )
    .await;
    db.run_once();
    let days = "SELECT concat_ws(' ', user_id, to_char(local_date, 'DD'), unit, result_count, last_value, delta)
                FROM lab_daily ORDER BY user_id, local_date";
    assert_eq!(
        lines(&db, days).await,
        [
            "1 01 ug/L 2 60",
            "2 01 ng/mL 1 55",
            "2 05 ng/mL 1 60 5",
            "3 01 10*9/L 1 55",
            "3 05 10*9/L 1 60 5"
        ]
    );
}
