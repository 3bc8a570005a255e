//! Sums of several sources, samples, duplicates, units.

use super::{assert_as_from_scratch, insert, lines, of_only_day, totals, user_in};

const WATCH: super::Vital<'_> =
    ("steps", "600", "watch", "2024-05-01 10:00+02", "2024-05-01 11:00+02");
const PHONE: super::Vital<'_> =
    ("steps", "900", "phone", "2024-05-01 10:30+02", "2024-05-01 11:30+02");

#[tokio::test]
async fn overlapping_steps_count_once_by_the_profiles_order() {
    for (order, rows, total) in [
        ("watch,phone", [WATCH, PHONE], 1050.0),
        ("watch", [PHONE, WATCH], 1050.0),
        ("phone,watch", [WATCH, PHONE], 1200.0),
        // Without an order the first name is the best.
        ("", [WATCH, PHONE], 1200.0),
        ("", [PHONE, WATCH], 1200.0),
    ] {
        let db = user_in("Europe/Berlin", order).await;
        insert(&db, &rows).await;
        db.run_once();
        assert_eq!(of_only_day::<f64>(&db, "total", "steps").await, total, "{order:?}");
        assert_eq!(of_only_day::<i32>(&db, "sample_count", "steps").await, 2);
        let sources: String = of_only_day(&db, "sources::text", "steps").await;
        assert_eq!(sources, r#"{"phone": 1, "watch": 1}"#);
        let nothing_else: bool = of_only_day(
            &db,
            "num_nulls(mean, stddev, min, max, first_value, first_at, last_value, last_at,
                       p05, p25, p50, p75, p95) = 13",
            "steps",
        )
        .await;
        assert!(nothing_else, "a cumulative metric has a total only");
    }
}

#[tokio::test]
async fn each_hour_has_its_share_of_an_interval() {
    let db = user_in("Europe/Berlin", "watch,phone").await;
    insert(&db, &[WATCH, PHONE]).await;
    db.run_once();
    let hours = lines(
        &db,
        "SELECT concat_ws(' ', to_char(hour_start AT TIME ZONE 'UTC', 'HH24:MI'), total)
         FROM vitals_hourly ORDER BY hour_start",
    )
    .await;
    assert_eq!(hours, ["08:00 600", "09:00 450"]);
}

#[tokio::test]
async fn a_row_without_length_counts_whole_if_it_is_the_best_one_open() {
    let db = user_in("Europe/Berlin", "watch,phone").await;
    let (during, after) = ("2024-05-01 10:15+02", "2024-05-01 12:00+02");
    let instant = |value, source, at| ("steps", value, source, at, at);
    insert(&db, &[WATCH, instant("40", "phone", during), instant("2", "watch", during)]).await;
    insert(&db, &[instant("10", "phone", after), instant("20", "watch", after)]).await;
    db.run_once();
    assert_eq!(of_only_day::<f64>(&db, "total", "steps").await, 622.0);
    assert_eq!(of_only_day::<i32>(&db, "sample_count", "steps").await, 5);

    // An interval that ends at an instant is open there.
    insert(&db, &[("steps", "60", "watch", "2024-05-01 11:30+02", "2024-05-01 12:00+02")]).await;
    db.run_once();
    assert_eq!(of_only_day::<f64>(&db, "total", "steps").await, 662.0);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_daily_total_replaces_its_sources_samples_and_the_newest_one_counts() {
    let noon = "2024-05-01 12:00+02";
    let db = user_in("Europe/Berlin", "watch,phone").await;
    insert(&db, &[WATCH, PHONE, ("steps", "7200", "watch", noon, noon)]).await;
    db.execute("UPDATE vitals_raw SET is_daily_total = true WHERE value = 7200").await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 7200"]);
    let spread = "SELECT bool_and(total = 300) AND count(*) = 24 FROM vitals_hourly";
    assert!(db.value::<bool>(spread).await, "the total stands as one interval over the day");

    // The phone's hour displaces its part of the watch's day.
    db.execute("UPDATE user_profiles SET source_priority = '{phone,watch}'").await;
    insert(&db, &[("steps", "4800", "watch", noon, noon)]).await;
    db.execute("UPDATE vitals_raw SET is_daily_total = true WHERE value = 4800").await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 5500"]);

    db.execute("DELETE FROM vitals_raw WHERE is_daily_total").await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 1200"]);
}

#[tokio::test]
async fn a_resting_heart_rate_has_days_of_its_own_beside_the_heart_rate() {
    let db = user_in("Europe/Berlin", "").await;
    let at = |day, hour| format!("2024-05-{day} {hour}:00+02");
    for (metric, value, day, hour) in [
        ("resting_heart_rate", "52", "01", "06"),
        ("resting_heart_rate", "56", "01", "22"),
        ("resting_heart_rate", "55", "02", "06"),
        ("resting_heart_rate", "500", "02", "22"),
        ("heart_rate", "90", "01", "06"),
    ] {
        insert(&db, &[(metric, value, "watch", &at(day, hour), &at(day, hour))]).await;
    }
    db.run_once();
    let days =
        "SELECT concat_ws(' ', metric, local_date, sample_count, mean, min, max, first_value,
                                 last_value, unit, rejected_count)
                FROM vitals_daily ORDER BY metric, local_date";
    assert_eq!(
        lines(&db, days).await,
        [
            "heart_rate 2024-05-01 1 90 90 90 90 90 /min 0",
            "resting_heart_rate 2024-05-01 2 54 52 56 52 56 /min 0",
            "resting_heart_rate 2024-05-02 1 55 55 55 55 55 /min 1",
        ]
    );
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_row_sent_again_replaces_the_one_before() {
    let db = user_in("Europe/Berlin", "").await;
    let at = "2024-05-01 10:00+02";
    insert(&db, &[("heart_rate", "60", "watch", at, at), WATCH]).await;
    db.run_once();
    let (metric, _, source, start, end) = WATCH;
    insert(&db, &[("heart_rate", "64", "watch", at, at), (metric, "700", source, start, end)])
        .await;
    db.run_once();
    assert_eq!(of_only_day::<f64>(&db, "mean", "heart_rate").await, 64.0);
    assert_eq!(of_only_day::<i32>(&db, "sample_count", "heart_rate").await, 1);
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 700"]);

    // Another source is another sample. The source's last value cannot be used, but it replaces the
    // former one, so that no figure is left.
    insert(&db, &[("heart_rate", "70", "strap", at, at), ("heart_rate", "NaN", "watch", at, at)])
        .await;
    db.run_once();
    assert_eq!(of_only_day::<f64>(&db, "mean", "heart_rate").await, 70.0);
    assert_eq!(of_only_day::<i32>(&db, "sample_count", "heart_rate").await, 1);
    assert_eq!(of_only_day::<i32>(&db, "rejected_count", "heart_rate").await, 1);
    assert_as_from_scratch(&db).await;

    // When the newest goes, the one before is back.
    db.execute("DELETE FROM vitals_raw WHERE value IN (70, 700, 'NaN')").await;
    db.run_once();
    assert_eq!(of_only_day::<f64>(&db, "mean", "heart_rate").await, 64.0);
    db.execute("DELETE FROM vitals_raw WHERE value = 64").await;
    db.run_once();
    assert_eq!(of_only_day::<f64>(&db, "mean", "heart_rate").await, 60.0);
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 600"]);
}

#[tokio::test]
async fn a_row_sent_again_from_a_zone_that_nobody_knows_takes_the_sample_with_it() {
    let db = user_in("Europe/Berlin", "").await;
    let at = "2024-05-01 10:00+02";
    for metric in ["heart_rate", "steps", "blood_glucose"] {
        insert(&db, &[(metric, "60", "watch", at, at)]).await;
    }
    db.run_once();
    assert_as_from_scratch(&db).await;
    for metric in ["heart_rate", "steps", "blood_glucose"] {
        insert(&db, &[(metric, "64", "watch", at, at)]).await;
    }
    db.execute("UPDATE vitals_raw SET time_zone = 'Mars' WHERE value = 64").await;
    db.run_once();
    assert_eq!(lines(&db, "SELECT metric FROM vitals_daily").await, Vec::<String>::new());
    assert_eq!(
        lines(&db, "SELECT local_date::text FROM glucose_daily").await,
        Vec::<String>::new()
    );
    db.execute("DELETE FROM vitals_raw WHERE value = 64").await;
    db.run_once();
    assert_eq!(of_only_day::<f64>(&db, "mean", "heart_rate").await, 60.0);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn an_interval_over_midnight_is_split_by_time() {
    let db = user_in("Europe/Berlin", "").await;
    insert(&db, &[("steps", "1000", "watch", "2024-05-01 22:30+02", "2024-05-02 00:30+02")]).await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 750", "2024-05-02 250"]);

    db.execute("UPDATE vitals_raw SET ended_at = '2024-05-01 23:30+02'").await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 1000"]);
}

#[tokio::test]
async fn a_days_mean_is_over_its_samples_and_not_over_its_hours() {
    let db = user_in("Europe/Berlin", "").await;
    let rate = |value, at| ("heart_rate", value, "watch", at, at);
    insert(
        &db,
        &[
            rate("66", "2024-05-01 11:20+02"),
            rate("100", "2024-05-01 10:00+02"),
            rate("60", "2024-05-01 11:10+02"),
            rate("54", "2024-05-01 11:30+02"),
        ],
    )
    .await;
    db.run_once();
    let day = lines(
        &db,
        "SELECT concat_ws(' ', sample_count, mean, min, max, first_value, last_value,
                          extract(epoch FROM last_at - first_at), unit, total IS NULL)
         FROM vitals_daily",
    )
    .await;
    assert_eq!(day, ["4 70 54 100 100 54 5400.000000 /min t"]);
    let spread: f64 = of_only_day(&db, "stddev", "heart_rate").await;
    assert!((spread - (1272.0f64 / 3.0).sqrt()).abs() < 1e-12, "n − 1: {spread}");
    let median: f64 = of_only_day(&db, "p50", "heart_rate").await;
    assert!((median - 63.0).abs() <= 0.63, "{median}");
    let hours = lines(
        &db,
        "SELECT concat_ws(' ', sample_count, mean) FROM vitals_hourly ORDER BY hour_start",
    );
    assert_eq!(hours.await, ["1 100", "3 60"]);
}

#[tokio::test]
async fn a_single_sample_has_no_spread() {
    let db = user_in("Europe/Berlin", "").await;
    let at = "2024-05-01 11:20+02";
    insert(&db, &[("heart_rate", "66", "watch", at, at)]).await;
    db.run_once();
    assert_eq!(of_only_day::<Option<f64>>(&db, "stddev", "heart_rate").await, None);
    assert_eq!(of_only_day::<f64>(&db, "p95", "heart_rate").await, 66.0);
}

#[tokio::test]
async fn a_bound_is_counted_and_takes_no_part_in_the_numbers() {
    let db = user_in("Europe/Berlin", "").await;
    let glucose = |value, at| ("blood_glucose", value, "cgm", at, at);
    insert(
        &db,
        &[
            glucose("100", "2024-05-01 08:00+02"),
            glucose("400", "2024-05-01 09:00+02"),
            glucose("400", "2024-05-02 09:00+02"),
        ],
    )
    .await;
    db.execute("UPDATE vitals_raw SET comparator = '>' WHERE value = 400").await;
    db.run_once();
    let days = lines(
        &db,
        "SELECT concat_ws(' ', sample_count, censored_count, coalesce(mean::text, 'NULL'),
                          coalesce(max::text, 'NULL'))
         FROM vitals_daily ORDER BY local_date",
    )
    .await;
    assert_eq!(days, ["1 1 100 100", "0 1 NULL NULL"]);
}

#[tokio::test]
async fn values_are_converted_to_the_metrics_own_unit() {
    let db = user_in("Europe/Berlin", "").await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, value, unit, 'any', '2024-05-01 10:00+02', '2024-05-01 10:00+02'
         FROM (VALUES ('blood_glucose', 5, 'mmol/L'), ('body_temperature', 98.6, '°F'),
                      ('body_mass', 10, 'lb'), ('distance_walking_running', 2, 'miles'),
                      ('active_energy', 4184, 'kJ'), ('oxygen_saturation', 0.97, 'fraction'),
                      ('exercise_time', 0.5, 'h')) AS v (metric, value, unit)",
    )
    .await;
    db.run_once();
    let found = lines(
        &db,
        "SELECT concat_ws(' ', metric, round(coalesce(total, mean)::numeric, 6), unit)
         FROM vitals_daily ORDER BY metric",
    )
    .await;
    assert_eq!(
        found,
        [
            "active_energy 1000.000000 kcal",
            "blood_glucose 90.077950 mg/dL",
            "body_mass 4.535924 kg",
            "body_temperature 37.000000 Cel",
            "distance_walking_running 3218.688000 m",
            "exercise_time 30.000000 min",
            "oxygen_saturation 97.000000 %",
        ]
    );
}
