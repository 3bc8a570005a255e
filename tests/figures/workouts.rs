//! Workouts by type, and minutes of activity by intensity.

use super::{assert_as_from_scratch, lines, user_in};
use crate::support::rows::{RawRow, vital};

/// The rows of a workout: its count, minutes, energy and distance.
fn workout(source: &str, kind: &str, start: &str, end: &str) -> Vec<RawRow> {
    let of = [
        ("workouts", 1, "count"),
        ("workout_duration", 60, "min"),
        ("workout_energy", 300, "kcal"),
        ("workout_distance", 6, "km"),
    ];
    let row = |(metric, value, unit)| {
        let row = vital(metric, value, unit).source(source).between(start, end);
        if kind.is_empty() { row } else { row.text("workout_type", kind) }
    };
    of.map(row).to_vec()
}

const DAILY: &str = "SELECT concat_ws(' ', local_date, workout_type, coalesce(workouts::text, '-'),
    duration_minutes, energy_kcal, distance_m) FROM workouts_daily ORDER BY local_date, workout_type";

#[tokio::test]
async fn workouts_of_two_devices_are_figures_by_date_and_type_without_counting_twice() {
    let db = user_in("Asia/Kolkata", "watch").await;
    // An hour around midnight, with more of it on the second of May.
    let night = workout("watch", "Yoga", "2024-05-01 23:40+05:30", "2024-05-02 00:40+05:30");
    let run = workout(
        "watch",
        "HKWorkoutActivityTypeRunning",
        "2024-05-01 07:00:05+05:30",
        "2024-05-01 08:00:05+05:30",
    );
    let same_run =
        workout("phone", "Outdoor Walk", "2024-05-01 07:00+05:30", "2024-05-01 08:00+05:30");
    db.insert([night, run, same_run].concat()).await;
    assert_eq!(db.run_once()["rows_rejected"], 0);
    let [walk_minutes, walk_kcal, walk_m] =
        [60.0, 300.0, 6000.0].map(|whole: f64| whole * 5.0 / 3600.0);
    let first = [
        "2024-05-01 running 1 60 300 6000".to_owned(),
        format!("2024-05-01 walking - {walk_minutes} {walk_kcal} {walk_m}"),
        "2024-05-01 yoga - 20 100 2000".to_owned(),
        "2024-05-02 yoga 1 40 200 4000".to_owned(),
    ];
    assert_eq!(lines(&db, DAILY).await, first);
    let totals = "SELECT local_date || ' ' || metric || ' ' || total FROM vitals_daily
                  WHERE metric = 'workouts' ORDER BY 1";
    assert_eq!(lines(&db, totals).await, ["2024-05-01 workouts 1", "2024-05-02 workouts 1"]);
    assert_as_from_scratch(&db).await;

    // The watch names the type of its run late, and takes the yoga back.
    db.execute(
        "UPDATE vitals_raw SET workout_type = 'Trail Running' WHERE workout_type LIKE 'HK%'",
    )
    .await;
    db.execute("DELETE FROM vitals_raw WHERE workout_type = 'Yoga'").await;
    db.execute("UPDATE vitals_raw SET workout_type = 'Quidditch' WHERE source = 'phone'").await;
    db.run_once();
    let types = "SELECT local_date || ' ' || workout_type FROM workouts_daily ORDER BY 1";
    assert_eq!(lines(&db, types).await, ["2024-05-01 other", "2024-05-01 running"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_changed_type_alone_is_in_the_feed_of_changed_days() {
    let db = user_in("UTC", "").await;
    db.insert(workout("watch", "", "2024-05-01 07:00Z", "2024-05-01 08:00Z")).await;
    db.run_once();
    let changes = "SELECT count(*) FROM figure_changes WHERE kind = 'vitals'";
    let before: i64 = db.value(changes).await;
    assert_eq!(lines(&db, DAILY).await, ["2024-05-01 unknown 1 60 300 6000"]);
    db.execute("UPDATE vitals_raw SET workout_type = 'Running'").await;
    db.run_once();
    assert_eq!(lines(&db, DAILY).await, ["2024-05-01 running 1 60 300 6000"]);
    let after: i64 = db.value(changes).await;
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn days_computed_before_types_get_them_by_a_backfill() {
    let db = user_in("UTC", "").await;
    db.insert(workout("watch", "Cycling", "2024-05-01 07:00Z", "2024-05-01 08:00Z")).await;
    db.run_once();
    // As the version before types left them.
    for table in ["vitals_daily", "vitals_hourly"] {
        db.execute(&format!("UPDATE {table} SET by_workout_type = NULL")).await;
    }
    db.execute("UPDATE vitals_daily SET context_fingerprint = context_fingerprint + 1").await;
    assert_eq!(lines(&db, DAILY).await, Vec::<String>::new());
    let backfilled = db.run(&["backfill", "--from", "2024-05-01", "--to", "2024-05-01"]);
    assert_eq!(backfilled.code, 0, "{backfilled:?}");
    assert_eq!(lines(&db, DAILY).await, ["2024-05-01 cycling 1 60 300 6000"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn weeks_and_months_of_workouts_are_sums_of_their_days() {
    let db = user_in("UTC", "").await;
    for day in ["2024-04-29", "2024-05-01", "2024-05-05", "2024-05-06"] {
        let [start, end] = ["07:00Z", "08:00Z"].map(|time| format!("{day} {time}"));
        db.insert(workout("watch", "run", &start, &end)).await;
    }
    db.run_once();
    let of = |period: &str| {
        format!(
            "SELECT concat_ws(' ', {period}_start, workout_type, days_with_data, workouts, duration_minutes,
                    energy_kcal, distance_m) FROM workouts_{period}ly ORDER BY 1"
        )
    };
    let weeks = ["2024-04-29 running 3 3 180 900 18000", "2024-05-06 running 1 1 60 300 6000"];
    assert_eq!(lines(&db, &of("week")).await, weeks);
    let months = ["2024-04-01 running 1 1 60 300 6000", "2024-05-01 running 3 3 180 900 18000"];
    assert_eq!(lines(&db, &of("month")).await, months);
}

#[tokio::test]
async fn a_week_has_its_minutes_by_intensity_and_vigorous_ones_count_twice() {
    let db = user_in("UTC", "watch").await;
    let minutes = |metric: &str, value: i32, start: &str, end: &str| {
        vital(metric, value, "minutes").between(start, end)
    };
    db.insert([
        minutes("moderate_activity_time", 30, "2024-05-01 07:00Z", "2024-05-01 08:00Z"),
        // The phone saw the same half hour.
        minutes("moderate_activity_time", 30, "2024-05-01 07:30Z", "2024-05-01 08:00Z")
            .source("phone"),
        minutes("vigorous_activity_time", 20, "2024-05-02 07:00Z", "2024-05-02 07:20Z"),
        minutes("light_activity_time", 90, "2024-05-03 07:00Z", "2024-05-03 10:00Z"),
        minutes("move_time", 15, "2024-05-03 07:00Z", "2024-05-03 08:00Z"),
        minutes("vigorous_activity_time", 10, "2024-05-06 07:00Z", "2024-05-06 07:20Z"),
        minutes("vigorous_activity_time", 2881, "2024-05-06 09:00Z", "2024-05-06 09:20Z"),
    ])
    .await;
    assert_eq!(db.run_once()["rows_rejected"], 1);
    let weeks =
        "SELECT concat_ws(' ', week_start, days_with_data, coalesce(light_minutes::text, '-'),
        coalesce(moderate_minutes::text, '-'), vigorous_minutes, moderate_equivalent_minutes)
        FROM activity_weekly ORDER BY 1";
    assert_eq!(lines(&db, weeks).await, ["2024-04-29 3 90 30 20 70", "2024-05-06 1 - - 10 20"]);
    let reason = "SELECT reason FROM rejected_rows";
    assert_eq!(db.value::<String>(reason).await, "implausible_value");
    assert_as_from_scratch(&db).await;
}
