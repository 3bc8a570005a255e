//! Figures that views make of several days' figures: rolling means, vitals of the night, body mass and index.

use super::{lines, user_in};
use crate::support::Database;

#[tokio::test]
async fn workouts_stand_hours_and_a_sent_body_mass_index_are_metrics() {
    let db = user_in("Asia/Kolkata", "watch").await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, value, unit, 'watch', at::timestamptz, at::timestamptz + length::interval
         FROM (VALUES ('workouts', 1, 'count', '2024-05-01 23:30+05:30', '0'),
                      ('workouts', 1, 'count', '2024-05-01 07:00+05:30', '0'),
                      ('workout_duration', 60, 'minutes', '2024-05-01 23:30+05:30', '1 hour'),
                      ('workout_energy', 400, 'kcal', '2024-05-01 07:00+05:30', '30 minutes'),
                      ('workout_distance', 5, 'km', '2024-05-01 07:00+05:30', '30 minutes'),
                      ('stand_hours', 1, 'hours', '2024-05-01 08:00+05:30', '1 hour'),
                      ('stand_hours', 1, 'count', '2024-05-01 09:00+05:30', '1 hour'),
                      ('body_mass_index', 22.5, 'kg/m²', '2024-05-01 08:00+05:30', '0'),
                      ('body_mass_index', 23.5, 'count', '2024-05-01 09:00+05:30', '0'))
              AS v (metric, value, unit, at, length)",
    )
    .await;
    assert_eq!(db.run_once()["rows_rejected"], 0);
    let found = lines(
        &db,
        "SELECT concat_ws(' ', local_date, metric, coalesce(total, mean), unit)
         FROM vitals_daily ORDER BY local_date, metric",
    )
    .await;
    assert_eq!(
        found,
        [
            "2024-05-01 body_mass_index 23 kg/m2",
            "2024-05-01 stand_hours 2 h",
            "2024-05-01 workout_distance 5000 m",
            "2024-05-01 workout_duration 30 min",
            "2024-05-01 workout_energy 400 kcal",
            "2024-05-01 workouts 2 {count}",
            "2024-05-02 workout_duration 30 min",
        ]
    );
}

#[tokio::test]
async fn rolling_means_are_over_samples_and_over_days_with_a_total() {
    let db = user_in("UTC", "").await;
    // Days with one to five samples, so that a mean of means would be another one; gaps of three days.
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, m.metric, 50 + (7 * d + 11 * s) % 40, m.unit, 'watch', at, at
         FROM (VALUES ('heart_rate', 'bpm'), ('steps', 'count')) AS m (metric, unit),
              generate_series(0, 60) AS d, LATERAL generate_series(1, 1 + d % 5) AS s,
              LATERAL (SELECT timestamptz '2024-03-01 10:00Z' + d * interval '1 day' + s * interval '1 minute' AS at) AS t
         WHERE d % 20 > 2",
    )
    .await;
    db.run_once();
    for days in [7, 28] {
        let wrong: i64 = db
            .value(&format!(
                "WITH ends AS (SELECT DISTINCT metric, started_at::date AS local_date FROM vitals_raw),
                 expected AS (
                     SELECT e.metric, e.local_date, count(DISTINCT r.started_at::date) AS days,
                            count(*) AS n, avg(r.value) AS mean, sum(r.value) AS total,
                            min(r.value) AS low, max(r.value) AS high
                     FROM ends AS e JOIN vitals_raw AS r
                       ON r.metric = e.metric AND e.local_date - r.started_at::date BETWEEN 0 AND {days} - 1
                     GROUP BY e.metric, e.local_date)
                 SELECT count(*)
                 FROM expected AS e FULL JOIN vitals_{days}_days AS v USING (metric, local_date)
                 WHERE (v.days_with_data = e.days AND v.sample_count = e.n AND CASE e.metric
                        WHEN 'steps' THEN abs(v.total - e.total) < 1e-9 AND v.mean IS NULL
                                          AND abs(v.mean_total - e.total / e.days) < 1e-9
                        ELSE abs(v.mean - e.mean) < 1e-9 AND v.min = e.low AND v.max = e.high
                             AND num_nulls(v.total, v.mean_total) = 2 END) IS NOT TRUE"
            ))
            .await;
        assert_eq!(wrong, 0, "{days} days");
        let rows: i64 = db.value(&format!("SELECT count(*) FROM vitals_{days}_days")).await;
        assert_eq!(rows, 2 * 51, "one for each day with data");
    }
}

#[tokio::test]
async fn vitals_of_the_night_are_those_of_the_whole_hours_of_the_main_sleep() {
    let db = user_in("Europe/Berlin", "").await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, value, unit, 'watch', start::timestamptz, coalesce(\"end\", start)::timestamptz
         FROM (VALUES ('sleep_core', 0, 'min', '2024-03-04 22:30+01', '2024-03-05 06:15+01'),
                      -- A nap of the same date.
                      ('sleep_core', 0, 'min', '2024-03-05 14:00+01', '2024-03-05 16:00+01'),
                      ('heart_rate', 40, 'bpm', '2024-03-04 22:50+01', NULL),
                      ('heart_rate', 50, 'bpm', '2024-03-04 23:10+01', NULL),
                      ('heart_rate', 56, 'bpm', '2024-03-04 23:40+01', NULL),
                      ('heart_rate', 62, 'bpm', '2024-03-05 05:59+01', NULL),
                      ('heart_rate', 90, 'bpm', '2024-03-05 06:05+01', NULL),
                      ('heart_rate', 70, 'bpm', '2024-03-05 14:30+01', NULL),
                      ('oxygen_saturation', 94, '%', '2024-03-05 02:00+01', NULL),
                      ('steps', 10, 'count', '2024-03-05 02:00+01', NULL))
              AS v (metric, value, unit, start, \"end\")",
    )
    .await;
    db.run_once();
    let found = lines(
        &db,
        "SELECT concat_ws(' ', local_date, metric, hours, sample_count, mean, min, max)
         FROM sleep_vitals ORDER BY local_date, metric",
    )
    .await;
    assert_eq!(
        found,
        ["2024-03-05 heart_rate 2 3 56 50 62", "2024-03-05 oxygen_saturation 1 1 94 94 94"]
    );
}

/// The body mass of user 1 on a date and its age in days.
async fn carried(db: &Database, date: &str) -> Vec<String> {
    lines(
        db,
        &format!(
            "SELECT concat_ws(' ', body_mass, date '{date}' - valid_from) FROM body_mass_carried
             WHERE user_id = 1 AND date '{date}' >= valid_from
               AND (date '{date}' <= valid_until OR valid_until IS NULL)"
        ),
    )
    .await
}

#[tokio::test]
async fn a_body_mass_holds_until_the_next_one_and_its_index_uses_the_latest_height() {
    let db = user_in("UTC", "").await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, value, unit, 'scale', at::timestamptz, at::timestamptz
         FROM (VALUES ('body_mass', 75, 'kg', '2024-05-01 08:00Z'), ('height', 200, 'cm', '2024-05-03 08:00Z'),
                      ('body_mass', 81, 'kg', '2024-05-05 08:00Z'), ('body_mass', 80, 'kg', '2024-05-05 20:00Z'),
                      ('height', 1.6, 'm', '2024-05-06 08:00Z'), ('body_mass', 64, 'kg', '2024-05-06 08:00Z'))
              AS v (metric, value, unit, at)",
    )
    .await;
    db.run_once();
    assert_eq!(carried(&db, "2024-04-30").await, Vec::<String>::new());
    assert_eq!(carried(&db, "2024-05-01").await, ["75 0"]);
    assert_eq!(carried(&db, "2024-05-04").await, ["75 3"]);
    assert_eq!(carried(&db, "2024-05-05").await, ["80 0"], "the last of the date");
    assert_eq!(carried(&db, "2024-06-05").await, ["64 30"]);
    let index = lines(
        &db,
        "SELECT concat_ws(' ', local_date, round(body_mass_index::numeric, 6), height_age_days)
         FROM body_mass_index_daily ORDER BY local_date",
    )
    .await;
    assert_eq!(index, ["2024-05-05 20.000000 2", "2024-05-06 25.000000 0"]);
}
