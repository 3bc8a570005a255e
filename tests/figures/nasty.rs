//! Rows as people, devices and laboratories really send them.

use super::{assert_as_from_scratch, insert, lines, of_only_day, rejected, totals, user_in};
use crate::support::rows::meal;
use crate::support::tables::difference;

fn steps<'a>(value: &'a str, source: &'a str, from: &'a str, to: &'a str) -> super::Vital<'a> {
    ("steps", value, source, from, to)
}

#[tokio::test]
async fn three_sources_deep_the_best_open_one_counts_on_each_stretch() {
    // 10:00 ring 11:00, phone 10:20–11:20, watch 10:40–11:40; 600 each, so 10 a minute.
    let rows = [
        steps("600", "ring", "2024-05-01 10:00+02", "2024-05-01 11:00+02"),
        steps("1200", "phone", "2024-05-01 10:20+02", "2024-05-01 11:20+02"),
        steps("1800", "watch", "2024-05-01 10:40+02", "2024-05-01 11:40+02"),
    ];
    for (order, total) in [
        // 20 min of the ring, 20 of the phone, 60 of the watch.
        ("watch,phone,ring", 200.0 + 400.0 + 1800.0),
        // All of the ring, 20 min of the phone, 20 of the watch.
        ("ring,phone,watch", 600.0 + 400.0 + 600.0),
        // The ring until the phone begins, all of the phone, 20 min of the watch.
        ("phone,watch", 200.0 + 1200.0 + 600.0),
        // Unlisted ones come after, by name: 20 min of the phone, 20 of the watch.
        ("ring", 600.0 + 400.0 + 600.0),
        ("", 200.0 + 1200.0 + 600.0),
    ] {
        let db = user_in("Europe/Berlin", order).await;
        insert(&db, &rows).await;
        db.run_once();
        assert_eq!(of_only_day::<f64>(&db, "total", "steps").await, total, "{order:?}");
    }
}

#[tokio::test]
async fn of_intervals_with_equal_priority_the_newest_row_counts_where_they_overlap() {
    // One source, which overlaps itself; a correction of the older row makes it no newer.
    let db = user_in("Europe/Berlin", "watch").await;
    insert(
        &db,
        &[
            steps("600", "watch", "2024-05-01 10:00+02", "2024-05-01 11:00+02"),
            steps("60", "watch", "2024-05-01 10:30+02", "2024-05-01 11:30+02"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 360"]);
    db.execute("UPDATE vitals_raw SET value = 1200 WHERE value = 600").await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 660"]);
    insert(&db, &[steps("30", "watch", "2024-05-01 10:00+02", "2024-05-01 10:30+02")]).await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 90"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn rows_without_length_of_any_metric_are_one_instant() {
    let db = user_in("Europe/Berlin", "").await;
    let midnight = "2024-05-02 00:00+02";
    insert(
        &db,
        &[
            steps("7", "watch", midnight, midnight),
            ("heart_rate", "61", "watch", midnight, midnight),
            steps("100", "watch", "2024-05-01 23:00+02", midnight),
        ],
    )
    .await;
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (1, 'sleep_core', 1, 'min', 'watch', '{midnight}', '{midnight}')"
    ))
    .await;
    let run = db.run_once();
    assert_eq!((&run["rows_completed"], &run["rows_rejected"]), (&4.into(), &0.into()));
    // The interval ends at the instant, and is of a newer row.
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 100", "2024-05-02 0"]);
    let dates = "SELECT local_date::text FROM vitals_daily WHERE metric = 'heart_rate'";
    assert_eq!(lines(&db, dates).await, ["2024-05-02"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM sleep_daily").await, 0);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_meal_of_which_nothing_is_known_is_a_meal() {
    let db = user_in("Europe/Berlin", "").await;
    db.insert([meal("", "snack").at("2024-05-01 16:00+02")]).await;
    let run = db.run_once();
    assert_eq!((&run["rows_completed"], &run["rows_rejected"]), (&1.into(), &0.into()));
    let day = "SELECT concat_ws(' ', local_date, item_count, snack_count, rejected_count,
                                to_char(first_eaten_at AT TIME ZONE 'UTC', 'HH24:MI'))
               FROM nutrition_daily";
    assert_eq!(lines(&db, day).await, ["2024-05-01 1 1 0 14:00"]);
    let known =
        "SELECT count(*) FROM nutrition_daily AS d, jsonb_each(to_jsonb(d)) AS c (name, value)
                 WHERE name ~ '_(g|mg|ug|kcal|percent)$' AND value <> 'null'";
    assert_eq!(db.value::<i64>(known).await, 0, "not one sum is 0");
}

/// Breakfast in Tokyo, lunch over the Pacific, dinner in Los Angeles: the 1st of May begins three
/// times for this traveller, who lives in Berlin.
#[tokio::test]
async fn a_traveller_has_rows_of_three_zones_on_one_date() {
    let db = user_in("Europe/Berlin", "watch").await;
    for (zone, at, rate) in [
        ("Asia/Tokyo", "2024-05-01 07:00+09", 60),
        ("Pacific/Honolulu", "2024-05-01 07:00-10", 70),
        ("America/Los_Angeles", "2024-05-01 20:00-07", 80),
        ("Asia/Tokyo", "2024-04-30 23:45+09", 50),
    ] {
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, time_zone)
             VALUES (1, 'heart_rate', {rate}, 'bpm', 'watch', '{at}', '{at}', '{zone}'),
                    (1, 'steps', {rate}, 'count', 'watch', '{at}', timestamptz '{at}' + interval '30 minutes', '{zone}'),
                    (1, 'blood_glucose', {rate}, 'mg/dL', 'cgm', '{at}', '{at}', '{zone}'),
                    (1, 'blood_pressure_systolic', {rate} + 60, 'mmHg', 'cuff', '{at}', '{at}', '{zone}'),
                    (1, 'blood_pressure_diastolic', {rate}, 'mmHg', 'cuff', '{at}', '{at}', '{zone}');
             INSERT INTO nutrition_raw (user_id, food_name, source, meal_type, eaten_at, time_zone, energy_kcal)
             VALUES (1, 'rice', 'app', 'other', '{at}', '{zone}', {rate});
             INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, time_zone, source)
             VALUES (1, 'iron', '{rate}', 'final', '{at}', '{zone}', 'lab')"
        ))
        .await;
    }
    db.run_once();
    let days = lines(
        &db,
        "SELECT concat_ws(' ', metric, local_date, sample_count, coalesce(mean, total), time_zone)
         FROM vitals_daily WHERE metric IN ('heart_rate', 'steps')
         UNION ALL SELECT concat_ws(' ', 'glucose', local_date, sample_count, mean, time_zone) FROM glucose_daily
         UNION ALL SELECT concat_ws(' ', 'pressure', local_date, pair_count, diastolic_mean, time_zone) FROM blood_pressure_daily
         UNION ALL SELECT concat_ws(' ', 'energy', local_date, item_count, energy_kcal, time_zone) FROM nutrition_daily
         UNION ALL SELECT concat_ws(' ', 'lab', local_date, result_count, mean, time_zone) FROM lab_daily
         ORDER BY 1",
    )
    .await;
    let expected = ["energy", "glucose", "heart_rate", "lab", "pressure", "steps"].map(|figure| {
        // Half of the interval that begins at 23:45 is on the next date.
        let (before, of_three) = match figure {
            "energy" => (50, 210),
            "steps" => (25, 235),
            _ => (50, 70),
        };
        let rows = if figure == "steps" { 4 } else { 3 };
        [
            format!("{figure} 2024-04-30 1 {before} Asia/Tokyo"),
            format!("{figure} 2024-05-01 {rows} {of_three} Europe/Berlin"),
        ]
    });
    assert_eq!(days, expected.concat());
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_date_of_every_trouble_at_once_is_the_same_in_any_order_of_arrival() {
    // The clocks of Berlin change in this night.
    let day = |clock: &str| format!("2024-03-31 {clock}+02");
    let night = ["2024-03-30 22:30+01", "2024-03-31 07:10+02"];
    let rows = [
        ("steps", "9000", "phone", day("12:00"), day("12:00"), "count", true),
        ("steps", "600", "watch", day("10:00"), day("11:00"), "count", false),
        ("steps", "900", "phone", day("10:30"), day("11:30"), "count", false),
        ("steps", "40", "ring", day("10:15"), day("10:15"), "count", false),
        ("steps", "300", "watch", day("23:30"), "2024-04-01 00:30+02".to_owned(), "count", false),
        ("sleep_in_bed", "1", "phone", night[0].to_owned(), night[1].to_owned(), "", false),
        ("sleep_core", "1", "watch", "2024-03-30 23:00+01".to_owned(), day("06:30"), "", false),
        ("sleep_asleep", "1", "watch", day("15:00"), day("15:20"), "", false),
        ("sleep_deep", "1", "watch", day("15:10"), day("15:10"), "", false),
        ("blood_pressure_systolic", "131", "cuff", day("08:00"), day("08:00"), "mmHg", false),
        ("blood_pressure_systolic", "129", "cuff", day("08:00:04"), day("08:00:04"), "mmHg", false),
        ("blood_pressure_diastolic", "84", "cuff", day("08:00:03"), day("08:00:03"), "mmHg", false),
        ("blood_glucose", "5.5", "meter", day("09:00"), day("09:00"), "mmol/L", false),
        ("blood_glucose", "180", "cgm", day("09:05"), day("09:05"), "mg/dL", false),
    ];
    let inserts = rows.map(|(metric, value, source, from, to, unit, total)| {
        format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, is_daily_total)
             VALUES (1, '{metric}', {value}, '{unit}', '{source}', '{from}', '{to}', {total})"
        )
    });
    let db = user_in("Europe/Berlin", "watch,phone").await;
    for row in &inserts {
        db.execute(row).await;
        db.run_once();
    }
    let figures = lines(
        &db,
        "SELECT concat_ws(' ', local_date, total, primary_source) FROM vitals_daily WHERE metric = 'steps'
         UNION ALL SELECT concat_ws(' ', local_date, asleep_minutes, in_bed_minutes, nap_count) FROM sleep_daily
         UNION ALL SELECT concat_ws(' ', local_date, pair_count, unpaired_count, systolic_mean) FROM blood_pressure_daily
         UNION ALL SELECT concat_ws(' ', local_date, sample_count, from_70_to_180_percent) FROM glucose_daily",
    )
    .await;
    // The phone's total spreads over 23 hours, of which the watch takes one and a half. The ring's row
    // without length counts for nothing beside the watch.
    let total = 600.0 + 150.0 + 9000.0 * 21.5 / 23.0;
    let steps: Vec<&str> = figures[0].split(' ').collect();
    assert_eq!((steps[0], steps[2]), ("2024-03-31", "watch"));
    assert!((steps[1].parse::<f64>().unwrap() / total - 1.0).abs() < 1e-12, "{steps:?} {total}");
    assert_eq!(
        figures[1..],
        [
            "2024-04-01 150 watch",
            // 6.5 hours of the night and 20 minutes after lunch; the watch says nothing of the bed.
            "2024-03-31 410 410 1",
            "2024-03-31 1 1 129",
            "2024-03-31 2 100",
        ]
    );
    assert_eq!(rejected(&db).await, [""; 0]);
    assert_as_from_scratch(&db).await;
    let backwards = user_in("Europe/Berlin", "watch,phone").await;
    for row in inserts.iter().rev() {
        backwards.execute(row).await;
    }
    backwards.run_once();
    assert_eq!(difference(&db.figures_as_text().await, &backwards.figures_as_text().await), None);
}
