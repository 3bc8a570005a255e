//! Local days and hours, where clocks are not as simple as one thinks.

use super::{assert_as_from_scratch, insert, lines, of_only_day, user_in};
use crate::support::rows::{heart_rate, lab, meal};
use crate::support::{Database, Ran};

/// `hours hourly-rows start end` of the only day, in UTC.
const BOUNDS: &str = "
    SELECT concat_ws(' ', local_date, extract(epoch FROM day_end - day_start)::integer / 3600,
                     (SELECT count(*) FROM vitals_hourly AS h WHERE h.local_date = d.local_date),
                     to_char(day_start AT TIME ZONE 'UTC', 'DD\"T\"HH24:MI'),
                     to_char(day_end AT TIME ZONE 'UTC', 'DD\"T\"HH24:MI'))
    FROM vitals_daily AS d ORDER BY local_date";

/// A step every half hour between two times.
async fn walk(db: &Database, from: &str, to: &str) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'steps', 1, 'count', 'phone', at, at + interval '30 minutes'
         FROM generate_series(timestamptz '{from}', timestamptz '{to}' - interval '30 minutes',
                              interval '30 minutes') AS at"
    ))
    .await;
}

#[tokio::test]
async fn days_of_23_and_25_hours_have_as_many_hours() {
    for (zone, from, to, bounds) in [
        // Berlin springs forward and falls back.
        (
            "Europe/Berlin",
            "2024-03-31 00:00+01",
            "2024-04-01 00:00+02",
            "2024-03-31 23 23 30T23:00 31T22:00",
        ),
        (
            "Europe/Berlin",
            "2024-10-27 00:00+02",
            "2024-10-28 00:00+01",
            "2024-10-27 25 25 26T22:00 27T23:00",
        ),
        // São Paulo had no midnight in spring, and the hour before it twice in autumn.
        (
            "America/Sao_Paulo",
            "2018-11-04 01:00-02",
            "2018-11-05 00:00-02",
            "2018-11-04 23 23 04T03:00 05T02:00",
        ),
        (
            "America/Sao_Paulo",
            "2018-02-17 00:00-02",
            "2018-02-18 00:00-03",
            "2018-02-17 25 25 17T02:00 18T03:00",
        ),
        // Havana had midnight twice: its day begins with the first.
        (
            "America/Havana",
            "2023-11-05 00:00-04",
            "2023-11-06 00:00-05",
            "2023-11-05 25 25 05T04:00 06T05:00",
        ),
    ] {
        let db = user_in(zone, "").await;
        walk(&db, from, to).await;
        db.run_once();
        assert_eq!(lines(&db, BOUNDS).await, [bounds], "{zone}");
        let total: f64 = of_only_day(&db, "total", "steps").await;
        let hours: i64 = db
            .value("SELECT count(*) FROM vitals_hourly WHERE total = 2 AND sample_count = 2")
            .await;
        assert_eq!(total, 2.0 * hours as f64, "{zone}");
    }
}

#[tokio::test]
async fn a_clock_change_of_half_an_hour_makes_a_day_of_24_and_a_half_hours() {
    let db = user_in("Australia/Lord_Howe", "").await;
    walk(&db, "2024-04-07 00:00+11", "2024-04-08 00:00+10:30").await;
    db.run_once();
    let day = lines(
        &db,
        "SELECT concat_ws(' ', extract(epoch FROM day_end - day_start)::integer / 60, total,
                          (SELECT concat(count(*), ' ', sum(total)) FROM vitals_hourly))
         FROM vitals_daily",
    )
    .await;
    assert_eq!(day, ["1470 49 25 49"]);
}

#[tokio::test]
async fn a_date_that_a_zone_left_out_has_no_row() {
    let db = user_in("Pacific/Apia", "").await;
    walk(&db, "2011-12-29 23:00-10", "2011-12-31 01:00+14").await;
    db.run_once();
    let days = lines(&db, "SELECT concat_ws(' ', local_date, total) FROM vitals_daily ORDER BY 1");
    assert_eq!(days.await, ["2011-12-29 2", "2011-12-31 2"]);
}

#[tokio::test]
async fn the_instants_around_a_missing_midnight_belong_to_the_days_beside_it() {
    let db = user_in("America/Sao_Paulo", "").await;
    let rate = |value, at| ("heart_rate", value, "watch", at, at);
    insert(&db, &[rate("60", "2018-11-03 23:59:59.999999-03"), rate("70", "2018-11-04 01:00-02")])
        .await;
    db.run_once();
    let days = lines(&db, "SELECT concat_ws(' ', local_date, mean) FROM vitals_daily ORDER BY 1");
    assert_eq!(days.await, ["2018-11-03 60", "2018-11-04 70"]);
}

#[tokio::test]
async fn the_hours_of_india_begin_at_half_past() {
    let db = user_in("Asia/Kolkata", "").await;
    let rate = |value, at| ("heart_rate", value, "watch", at, at);
    insert(
        &db,
        &[
            rate("60", "2024-05-01 04:29:59Z"),
            rate("70", "2024-05-01 04:30:00Z"),
            rate("80", "2024-05-01 18:29:59Z"),
            rate("90", "2024-05-01 18:30:00Z"),
        ],
    )
    .await;
    db.run_once();
    let hours = lines(
        &db,
        "SELECT concat_ws(' ', local_date, to_char(hour_start AT TIME ZONE 'UTC', 'HH24:MI'), mean)
         FROM vitals_hourly ORDER BY hour_start",
    )
    .await;
    assert_eq!(
        hours,
        [
            "2024-05-01 03:30 60",
            "2024-05-01 04:30 70",
            "2024-05-01 17:30 80",
            "2024-05-02 18:30 90"
        ]
    );
}

#[tokio::test]
async fn a_rows_own_zone_decides_its_date_and_the_days_zone_if_all_share_it() {
    let db = user_in("Europe/Berlin", "").await;
    let rate = |value, at| ("heart_rate", value, "watch", at, at);
    insert(
        &db,
        &[
            rate("60", "2024-05-01 02:00Z"),
            rate("70", "2024-05-01 03:00Z"),
            rate("80", "2024-05-03 12:00Z"),
            rate("90", "2024-05-03 22:30Z"),
        ],
    )
    .await;
    db.execute(
        "UPDATE vitals_raw SET time_zone = 'America/New_York' WHERE value IN (60, 70);
         UPDATE vitals_raw SET time_zone = '-03:00' WHERE value = 90",
    )
    .await;
    db.run_once();
    let days = lines(
        &db,
        "SELECT concat_ws(' ', local_date, sample_count, time_zone,
                          to_char(day_start AT TIME ZONE 'UTC', 'DD\"T\"HH24:MI'))
         FROM vitals_daily ORDER BY local_date",
    )
    .await;
    assert_eq!(
        days,
        ["2024-04-30 2 America/New_York 30T04:00", "2024-05-03 2 Europe/Berlin 02T22:00"],
        "a day of several zones has the profile's"
    );
}

#[tokio::test]
async fn a_day_that_has_not_ended_is_partial_in_every_table_and_tells_its_algorithm() {
    let db = user_in("Europe/Berlin", "").await;
    for at in ["now", "2024-05-01 12:00+02"] {
        insert(
            &db,
            &[
                ("heart_rate", "60", "watch", at, at),
                ("blood_pressure_systolic", "120", "cuff", at, at),
                ("blood_pressure_diastolic", "80", "cuff", at, at),
                ("blood_glucose", "100", "meter", at, at),
            ],
        )
        .await;
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             VALUES (1, 'sleep_asleep', 60, 'min', 'watch',
                     timestamptz '{at}' - interval '1 hour', '{at}');
             INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source)
             VALUES (1, 'rice', 'dinner', '{at}', 'app');
             INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
             VALUES (1, 'iron', '5', 'final', '{at}', 'lab')"
        ))
        .await;
    }
    db.run_once();
    for (table, version) in [
        ("vitals_daily", aggregation::ALGORITHM_VERSION),
        ("sleep_daily", aggregation::ALGORITHM_VERSION),
        ("blood_pressure_daily", aggregation::ALGORITHM_VERSION),
        ("glucose_daily", aggregation::ALGORITHM_VERSION),
        ("nutrition_daily", aggregation::nutrition::ALGORITHM_VERSION),
        ("lab_daily", aggregation::labs::ALGORITHM_VERSION),
    ] {
        let days = format!(
            "SELECT DISTINCT concat_ws(' ', local_date < '2025-01-01', is_partial, algorithm_version)
             FROM {table} ORDER BY 1"
        );
        let (partial, ended) = (format!("f t {version}"), format!("t f {version}"));
        assert_eq!(lines(&db, &days).await, [partial, ended], "{table}");
    }
}

#[tokio::test]
async fn rows_without_a_profile_are_dated_in_the_configured_zone() {
    let db = Database::new().await;
    let at = "2024-05-01 20:00Z";
    insert(&db, &[("heart_rate", "60", "watch", at, at)]).await;
    db.insert([meal("rice", "dinner").at(at), lab("iron", "5").at(at)]).await;
    let mut worker = db.worker();
    worker.env("WORKER__AGGREGATION__DEFAULT_TIME_ZONE", "Asia/Tokyo").arg("run-once");
    assert_eq!(Ran::of(worker.output().unwrap()).code, 0);
    for table in ["vitals_daily", "nutrition_daily", "lab_daily"] {
        let sql = format!("SELECT concat_ws(' ', local_date, time_zone) FROM {table}");
        assert_eq!(lines(&db, &sql).await, ["2024-05-02 Asia/Tokyo"], "{table}");
    }
}

#[tokio::test]
async fn a_day_of_rejected_rows_alone_has_the_zone_that_they_share() {
    let db = user_in("America/New_York", "").await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, time_zone)
         SELECT 1, metric, 1000, unit, 'w', '2026-03-01 20:00Z', '2026-03-01 20:00Z', '+05:30'
         FROM (VALUES ('heart_rate', 'bpm'), ('steps', 'kg'), ('sleep_core', 'kg'),
                      ('blood_pressure_systolic', 'mmHg'), ('blood_glucose', 'kg')) AS v (metric, unit);
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, time_zone, source, energy_kcal)
         VALUES (1, 'x', 'lunch', '2026-03-01 20:00Z', '+05:30', 's', -1)",
    )
    .await;
    db.run_once();
    let days = "SELECT concat_ws(' ', local_date, time_zone, day_start AT TIME ZONE 'UTC', rejected_count)
                FROM (SELECT local_date, time_zone, day_start, rejected_count FROM vitals_daily
                      UNION ALL SELECT local_date, time_zone, day_start, rejected_count FROM sleep_daily
                      UNION ALL SELECT local_date, time_zone, day_start, rejected_count FROM nutrition_daily
                      UNION ALL SELECT local_date, time_zone, day_start, rejected_count FROM glucose_daily
                      UNION ALL SELECT local_date, time_zone, day_start, rejected_count
                                FROM blood_pressure_daily) AS days";
    assert_eq!(lines(&db, days).await, vec!["2026-03-02 +05:30 2026-03-01 18:30:00 1"; 8]);

    // Rows of another zone at the same hour: the day is in the profile's zone, in any order of
    // arrival.
    db.insert([heart_rate(1000).at("2026-03-01 20:10Z").source("w").zone("Asia/Kolkata")]).await;
    db.run_once();
    let day = "SELECT concat_ws(' ', local_date, time_zone, rejected_count)
               FROM vitals_daily WHERE metric = 'heart_rate'";
    assert_eq!(lines(&db, day).await, ["2026-03-02 America/New_York 2"]);
    assert_as_from_scratch(&db).await;
}
