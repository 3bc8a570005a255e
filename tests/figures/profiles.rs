//! A profile that changes: old days stay, a touched day is computed again from all its rows.

use super::{insert, lines, of_only_day, totals, user_in};
use crate::support::Database;
use crate::support::tables::{RAW, difference};

/// Three days of a user in Berlin. Each has heart rates, steps of two sources that overlap and
/// cross midnight, a daily total, a nap, meals and results.
async fn three_days_in_berlin() -> Database {
    let db = user_in("Europe/Berlin", "watch,phone").await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60 + n % 37 * 0.1, 'bpm', 'watch', at, at
         FROM generate_series(0, 215) AS n,
              LATERAL (SELECT timestamptz '2024-04-30 00:00+02' + n * interval '20 minutes' AS at) AS t;
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, value + n % 37 * 0.1, unit, 'cuff', at, at
         FROM generate_series(0, 71) AS n,
              (VALUES ('blood_glucose', 100, 'mg/dL'), ('blood_pressure_systolic', 120, 'mmHg'),
                      ('blood_pressure_diastolic', 80, 'mmHg')) AS v (metric, value, unit),
              LATERAL (SELECT timestamptz '2024-04-30 00:00+02' + n * interval '1 hour' AS at) AS t;
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'steps', 100.1 + n, 'count', source, at, at + interval '50 minutes'
         FROM generate_series(0, 95) AS n,
              LATERAL (SELECT timestamptz '2024-04-30 00:10+02' + n * interval '45 minutes' AS at,
                              CASE n % 2 WHEN 0 THEN 'watch' ELSE 'phone' END AS source) AS t;
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, is_daily_total)
         VALUES (1, 'steps', 9000, 'count', 'scale', '2024-05-01 23:30+02', '2024-05-01 23:30+02', true);
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'sleep_asleep', 1, 'min', 'watch', at, at + interval '20 minutes'
         FROM generate_series(timestamptz '2024-04-30 09:05+02', '2024-05-02 09:05+02', interval '1 day') AS at;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         SELECT 1, 'rice', 'other', at, 'app', 100
         FROM generate_series(timestamptz '2024-04-30 01:00+02', '2024-05-02 23:00+02', interval '2 hours') AS at;
         INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
         SELECT 1, 'iron', '5', 'final', at, 'lab'
         FROM generate_series(timestamptz '2024-04-30 01:00+02', '2024-05-02 23:00+02', interval '2 hours') AS at",
    )
    .await;
    db.run_once();
    db
}

/// The figures that a computation from scratch gives for the same rows and profile.
pub(super) async fn from_scratch(db: &Database) -> Database {
    let scratch = Database::new().await;
    for table in RAW.into_iter().chain(["user_profiles"]) {
        scratch.insert_raw_rows(table, &db.raw_rows(table).await).await;
    }
    scratch.run_once();
    scratch
}

/// Asserts of each row of a table on these dates that it is as in the other list.
fn assert_same(table: &str, dates: &[&str], ours: &[String], theirs: &[String]) {
    let on = |rows: &[String]| -> Vec<String> {
        let of_date =
            |row: &&String| dates.iter().any(|d| row.contains(&format!("local_date={d} ")));
        rows.iter().filter(of_date).cloned().collect()
    };
    let (ours, theirs) = (on(ours), on(theirs));
    assert!(!ours.is_empty(), "{table} {dates:?}");
    if let Some(lines) = difference(&ours, &theirs) {
        panic!("{table} {dates:?}: {lines}");
    }
}

#[tokio::test]
async fn a_new_zone_or_order_alone_computes_nothing() {
    let db = three_days_in_berlin().await;
    let before = db.figures_as_text().await;
    db.execute("UPDATE user_profiles SET time_zone = 'Asia/Kolkata', source_priority = '{phone}'")
        .await;
    assert_eq!(db.run_once()["rows_claimed"], 0);
    assert_eq!(db.figures_as_text().await, before);
}

#[tokio::test]
async fn in_a_new_zone_a_touched_day_is_as_from_scratch_and_the_others_stay() {
    // Hours that begin elsewhere, days that begin earlier, days that begin later.
    for zone in ["Asia/Kolkata", "Asia/Tokyo", "America/Los_Angeles"] {
        let db = three_days_in_berlin().await;
        let tables = db.figure_tables().await;
        let mut before = Vec::new();
        for table in &tables {
            before.push(db.rows_as_text(table, "true").await);
        }
        db.execute(&format!("UPDATE user_profiles SET time_zone = '{zone}'")).await;
        // It is 1 May in all these zones, and none of them is near midnight, where a reading of
        // glucose touches two dates.
        let touch = "2024-05-01 11:30+02";
        insert(
            &db,
            &[
                ("heart_rate", "90", "watch", touch, touch),
                ("blood_glucose", "90", "watch", touch, touch),
                ("blood_pressure_systolic", "90", "watch", touch, touch),
                ("blood_pressure_diastolic", "60", "watch", touch, touch),
                ("steps", "7", "watch", touch, "2024-05-01 11:40+02"),
            ],
        )
        .await;
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             VALUES (1, 'sleep_asleep', 1, 'min', 'watch', '{touch}', '2024-05-01 11:40+02');
             INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
             VALUES (1, 'rice', 'other', '{touch}', 'app', 1);
             INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
             VALUES (1, 'iron', '6', 'final', '{touch}', 'lab')"
        ))
        .await;
        db.run_once();

        let scratch = from_scratch(&db).await;
        for (table, before) in
            tables.iter().zip(&before).filter(|(table, _)| *table != "rejected_rows")
        {
            let now = db.rows_as_text(table, "true").await;
            let anew = scratch.rows_as_text(table, "true").await;
            assert_same(table, &["2024-05-01"], &now, &anew);
            assert_same(table, &["2024-04-30", "2024-05-02"], &now, before);
        }
        let merged: bool = db
            .value(
                "SELECT bool_and(d.sample_count = h.samples AND d.zones = h.zones)
                 FROM (SELECT local_date, metric, sample_count, ARRAY[time_zone] AS zones
                       FROM vitals_daily) AS d
                 FULL JOIN (SELECT local_date, metric, sum(sample_count) AS samples,
                                   array_agg(DISTINCT time_zone) AS zones
                            FROM vitals_hourly GROUP BY 1, 2) AS h USING (local_date, metric)",
            )
            .await;
        assert!(merged, "{zone}: each day is the sum of its hours, which are all of its zone");
    }
}

#[tokio::test]
async fn a_new_order_of_sources_holds_for_all_hours_of_a_touched_day() {
    let db = user_in("Europe/Berlin", "watch,phone").await;
    insert(
        &db,
        &[
            ("steps", "600", "watch", "2024-05-01 10:00+02", "2024-05-01 11:00+02"),
            ("steps", "900", "phone", "2024-05-01 10:30+02", "2024-05-01 11:30+02"),
            ("steps", "600", "watch", "2024-05-02 10:00+02", "2024-05-02 11:00+02"),
            ("steps", "900", "phone", "2024-05-02 10:30+02", "2024-05-02 11:30+02"),
        ],
    )
    .await;
    db.run_once();
    db.execute("UPDATE user_profiles SET source_priority = '{phone,watch}'").await;
    insert(&db, &[("steps", "5", "watch", "2024-05-01 20:00+02", "2024-05-01 20:10+02")]).await;
    db.run_once();
    assert_eq!(totals(&db, "steps").await, ["2024-05-01 1205", "2024-05-02 1050"]);
}

#[tokio::test]
async fn a_profile_that_comes_late_holds_from_the_next_touch() {
    let db = Database::new().await;
    let late = "2024-05-01 23:00Z";
    insert(&db, &[("heart_rate", "60", "watch", late, late)]).await;
    db.run_once();
    assert_eq!(of_only_day::<String>(&db, "local_date::text", "heart_rate").await, "2024-05-01");

    db.execute("INSERT INTO user_profiles VALUES (1, 'Europe/Berlin')").await;
    let noon = "2024-05-01 12:00Z";
    insert(&db, &[("heart_rate", "70", "watch", noon, noon)]).await;
    db.run_once();
    // The touched day has its own rows only; the other one's day is computed when it is touched.
    let days = "SELECT concat_ws(' ', local_date, sample_count, mean, time_zone) FROM vitals_daily
                WHERE local_date = '2024-05-01'";
    assert_eq!(lines(&db, days).await, ["2024-05-01 1 70 Europe/Berlin"]);
}

#[tokio::test]
async fn rows_deleted_after_a_move_leave_the_days_that_counted_them() {
    let db = user_in("Europe/Berlin", "").await;
    let late = "2024-04-30 22:30Z";
    insert(&db, &[("heart_rate", "60", "watch", late, late)]).await;
    insert(&db, &[("steps", "60", "watch", late, late)]).await;
    insert(&db, &[("blood_glucose", "60", "watch", late, late)]).await;
    insert(&db, &[("blood_pressure_systolic", "60", "watch", late, late)]).await;
    db.execute(&format!(
        "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         VALUES (1, 'rice', 'other', '{late}', 'app', 1);
         INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
         VALUES (1, 'iron', '6', 'final', '{late}', 'lab')"
    ))
    .await;
    for moved_to in ["America/New_York", "Pacific/Kiritimati", "nowhere"] {
        db.execute("UPDATE user_profiles SET time_zone = 'Europe/Berlin'").await;
        db.execute("UPDATE vitals_raw SET source = source; UPDATE lab_raw SET source = source")
            .await;
        db.execute("UPDATE nutrition_raw SET source = source").await;
        db.run_once();
        assert_ne!(db.figures_as_text().await, Vec::<String>::new());

        db.execute(&format!("UPDATE user_profiles SET time_zone = '{moved_to}'")).await;
        db.execute("CREATE TEMP TABLE v AS TABLE vitals_raw; DELETE FROM vitals_raw").await;
        db.execute("CREATE TEMP TABLE n AS TABLE nutrition_raw; DELETE FROM nutrition_raw").await;
        db.execute("CREATE TEMP TABLE l AS TABLE lab_raw; DELETE FROM lab_raw").await;
        db.run_once();
        assert_eq!(db.figures_as_text().await, Vec::<String>::new(), "moved to {moved_to}");

        db.execute("INSERT INTO vitals_raw TABLE v; INSERT INTO nutrition_raw TABLE n").await;
        db.execute("INSERT INTO lab_raw TABLE l; DROP TABLE v, n, l").await;
    }
}

/// The column takes them: an app that wraps its list once too often writes `{{watch,phone}}`.
#[tokio::test]
async fn an_order_of_sources_in_any_dimensions_is_read_and_fails_nobodys_rows() {
    for order in
        ["{{watch,phone},{ring,NULL}}", "[-3:-2]={watch,phone}", "[0:0][2:3]={{watch,phone}}"]
    {
        let db = user_in("Europe/Berlin", "").await;
        db.client
            .execute("UPDATE user_profiles SET source_priority = $1::text::text[]", &[&order])
            .await
            .unwrap();
        insert(
            &db,
            &[
                ("steps", "600", "watch", "2024-05-01 10:00+02", "2024-05-01 11:00+02"),
                ("steps", "900", "phone", "2024-05-01 10:30+02", "2024-05-01 11:30+02"),
            ],
        )
        .await;
        db.execute("INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at) SELECT 2, metric, value, unit, source, started_at, ended_at FROM vitals_raw").await;
        let run = db.run_once();
        assert_eq!((&run["groups_failed"], &run["pending_after"]), (&0.into(), &0.into()));
        assert_eq!(totals(&db, "steps").await, ["2024-05-01 1050"], "{order}");
    }
}
