//! Dates with more rows than any person has. Their cost is bounded, and other users do not wait.

use std::time::Duration;

use crate::support::running::{Running, eventually, number, waiting};
use crate::support::{Database, Ran};

/// A date's meals, with all nutrients.
async fn insert_meals(db: &Database, user_id: i64, rows: i64) {
    let amounts = vec!["0.1"; 32].join(", ");
    db.execute(&format!(
        "INSERT INTO nutrition_raw
         SELECT {user_id}, n, 'food ' || n, 'lunch', timestamptz '2024-05-01 00:00Z' + n % 3600 * interval '1 s',
                NULL, 'app', {amounts}
         FROM generate_series(1, {rows}) AS n"
    ))
    .await;
}

/// A date's results, each of an analyte of its own.
async fn insert_analytes(db: &Database, user_id: i64, rows: i64) {
    db.execute(&format!(
        "INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         SELECT {user_id}, 'test ' || n, n::text, 'mg/dL', 'final',
                timestamptz '2024-05-01 00:00Z' + n % 3600 * interval '1 s', 'lab'
         FROM generate_series(1, {rows}) AS n"
    ))
    .await;
}

/// The peak memory of a process, in megabytes.
fn peak_mb(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

/// How a run ended, and its peak memory.
async fn run_and_watch(db: &Database) -> (Ran, u64) {
    let mut running = Running::of(db);
    let mut peak = 0;
    while running.child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_mb(running.child.id()).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (running.succeeds(), peak)
}

#[tokio::test]
async fn the_memory_of_a_worker_does_not_depend_on_how_many_meals_a_date_has() {
    let db = Database::new().await;
    insert_meals(&db, 1, 40_000).await;

    let (ran, peak) = run_and_watch(&db).await;

    assert_eq!(ran.json()["rows_completed"], 40_000);
    assert!(peak > 0 && peak < 64, "{peak} MB");
    // Each batch would compute the date again: 40,000 rows in 200 batches.
    assert!(number(&ran.json(), "groups_committed") <= 10, "{}", ran.stdout);
    let day = "SELECT count(*) FROM nutrition_daily
               WHERE item_count = 40000 AND energy_kcal = 4000 AND selenium_ug = 4000";
    assert_eq!(db.value::<i64>(day).await, 1, "the sum is exact, and rounded once");
}

#[tokio::test]
async fn a_date_with_more_than_a_thousand_analytes_is_computed_in_a_few_groups() {
    let db = Database::new().await;
    insert_analytes(&db, 1, 1_500).await;

    let ran = Running::of(&db).succeeds();

    assert_eq!(ran.json()["rows_completed"], 1_500);
    assert!(number(&ran.json(), "groups_committed") <= 3, "{}", ran.stdout);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM lab_daily").await, 1_500);

    // The rows of the date that go, and the deltas of the date behind it.
    db.execute(
        "INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         SELECT user_id, test_name, value_text || '1', unit, status, collected_at + interval '1 day', source
         FROM lab_raw;
         DELETE FROM lab_raw WHERE collected_at < '2024-05-02' AND id % 2 = 0",
    )
    .await;
    let ran = Running::of(&db).succeeds();
    assert_eq!(ran.json()["pending_after"], 0);
    let left = "SELECT count(*) FROM lab_daily WHERE local_date = '2024-05-01'";
    assert_eq!(db.value::<i64>(left).await, 750);
    let deltas = "SELECT count(*) FROM lab_daily WHERE delta IS NOT NULL";
    assert_eq!(db.value::<i64>(deltas).await, 750);
    assert_eq!(db.run(&["verify"]).code, 0);
}

#[tokio::test]
async fn long_results_of_one_date_are_computed_in_portions_as_they_are_at_once() {
    let (few, many) = (Database::new().await, Database::new().await);
    let insert = |rows: i64, length: i64| {
        format!(
            "INSERT INTO lab_raw (user_id, test_name, value_text, flag, status, collected_at, source)
             SELECT 1, 'test ' || n % 20, (n % 20)::text, repeat('x', {length}), 'final',
                    '2024-05-01 00:00Z'::timestamptz + n * interval '1 s', 'lab'
             FROM generate_series(1, {rows}) AS n;
             INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
             SELECT 1, 'test ' || n, n::text, 'final', '2024-05-01 12:00Z'::timestamptz + d * interval '1 day', 'lab'
             FROM generate_series(0, 29) AS n, generate_series(-1, 1) AS d"
        )
    };
    few.execute(&insert(20, 0)).await;
    many.execute(&insert(12_000, 4_000)).await;
    let figures =
        "SELECT concat_ws(' ', local_date, analyte, unit, last_value, delta) FROM lab_daily
                   ORDER BY 1";
    let figures = async |db: &Database| -> Vec<String> {
        db.query(figures, &[]).await.iter().map(|row| row.get(0)).collect()
    };
    few.run_once();

    let (ran, peak) = run_and_watch(&many).await;

    assert_eq!(ran.json()["pending_after"], 0);
    assert!(peak > 0 && peak < 64, "{peak} MB");
    assert_eq!(figures(&many).await, figures(&few).await);
    assert_eq!(figures(&few).await.len(), 90);

    // Analytes that the date has no more, and the deltas behind them.
    for db in [&few, &many] {
        db.execute(
            "DELETE FROM lab_raw WHERE test_name IN ('test 7', 'test 25')
                                   AND collected_at::date = '2024-05-01'",
        )
        .await;
        assert_eq!(db.run_once()["pending_after"], 0);
        assert_eq!(db.run(&["verify"]).code, 0);
    }
    assert_eq!(figures(&many).await, figures(&few).await);
    assert_eq!(figures(&few).await.len(), 88);
}

/// A night of eight hours from each of this many sources.
async fn insert_nights(db: &Database, sources: i64) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'sleep_core', 1, '', 'source ' || n, timestamptz '2024-05-01 22:00Z' + n * interval '1 s',
                timestamptz '2024-05-02 06:00Z' + n * interval '1 s'
         FROM generate_series(1, {sources}) AS n"
    ))
    .await;
}

#[tokio::test]
async fn a_night_of_thousands_of_sources_is_one_night() {
    let db = Database::new().await;
    insert_nights(&db, 4_000).await;

    let (ran, peak) = run_and_watch(&db).await;

    assert_eq!(ran.json()["rows_completed"], 4_000);
    assert!(peak > 0 && peak < 64, "{peak} MB");
    let night = "SELECT count(*) FROM sleep_daily WHERE asleep_minutes = 480 AND segment_count = 1";
    assert_eq!(db.value::<i64>(night).await, 1);
}

#[tokio::test]
async fn a_thousand_sources_beside_a_bed_that_is_never_left_are_one_night() {
    let db = Database::new().await;
    insert_nights(&db, 1_000).await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'sleep_in_bed', 1, '', 'bed', at, at + interval '1 day'
         FROM generate_series(timestamptz '2024-04-25 00:00Z', '2024-05-05 00:00Z', '1 day') AS at",
    )
    .await;

    assert_eq!(Running::of(&db).succeeds().json()["rows_completed"], 1_011);

    let night = "SELECT count(*) FROM sleep_daily WHERE asleep_minutes = 480";
    assert_eq!(db.value::<i64>(night).await, 1);
    assert_eq!(db.run(&["verify"]).code, 0);
}

#[tokio::test]
async fn rows_with_zones_of_their_own_are_computed_on_their_dates_however_many_wait() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, time_zone, source, energy_kcal)
         SELECT 1, 'soup', 'lunch', '2024-05-01 23:00Z', zone, 'app', 1
         FROM unnest(ARRAY[NULL, '+14:00', '-10:00', 'Mars']) AS zone, generate_series(1, 300)",
    )
    .await;
    assert_eq!(db.run_once()["rows_rejected"], 300);
    let days = "SELECT count(*) FROM nutrition_daily WHERE item_count IN (300, 600)";
    assert_eq!(db.value::<i64>(days).await, 2);
    let items = "SELECT sum(item_count)::bigint FROM nutrition_daily";
    assert_eq!(db.value::<i64>(items).await, 900);
    assert_eq!(db.run(&["verify"]).code, 0);
}

/// Readings of glucose, one every 10 s, each on another side of both limits than the one before.
async fn insert_glucose(db: &Database, user_id: i64, rows: i64) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT {user_id}, 'blood_glucose', CASE WHEN n % 2 = 0 THEN 60 ELSE 200 END, 'mg/dL', 'sensor', at, at
         FROM generate_series(1, {rows}) AS n,
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '10 s' AS at) AS t"
    ))
    .await;
}

#[tokio::test]
async fn other_users_are_done_before_a_hostile_date_is() {
    let db = Database::new().await;
    insert_glucose(&db, 1, 3_000).await;
    insert_glucose(&db, 2, 1).await;
    let mut worker = db.worker();
    worker.env("WORKER__LOG__LEVEL", "info,worker=debug");

    let ran = Running::start(worker, &[]).succeeds();

    let groups = ran.events("group_committed");
    let users: Vec<u64> = groups.iter().map(|group| number(group, "user_id")).collect();
    let place = users.iter().position(|user| *user == 2).unwrap();
    assert!(place < users.len() - 1, "user 2 is done in the middle: {users:?}");
    let days = "SELECT count(*) FROM glucose_daily WHERE low_episodes = 0 AND sample_count = 3000";
    assert_eq!(db.value::<i64>(days).await, 1);
}

/// Heart rates of user 1 within one hour.
async fn insert_hour(db: &Database, rows: i64) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60 + n % 40, 'bpm', 'watch', at, at
         FROM generate_series(0, {rows} - 1) AS n,
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '10 ms' AS at) AS t"
    ))
    .await;
}

#[tokio::test]
async fn an_hour_with_more_rows_than_fit_into_memory_is_folded_while_it_is_read() {
    let db = Database::new().await;
    insert_hour(&db, 60_000).await;
    // One sample that is sent again, first with values that are rejected.
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', CASE WHEN n <= 100 THEN 1000 ELSE 99 END, 'bpm', ' watch',
                '2024-05-01 10:00Z', '2024-05-01 10:00Z'
         FROM generate_series(1, 24000) AS n",
    )
    .await;

    let (ran, peak) = run_and_watch(&db).await;

    assert_eq!(ran.json()["rows_completed"], 83_900);
    assert_eq!(ran.json()["rows_rejected"], 100);
    assert!(peak > 0 && peak < 64, "{peak} MB");
    assert!(number(&ran.json(), "groups_committed") <= 6, "{}", ran.stdout);
    let hour = "SELECT count(*) FROM vitals_hourly
                WHERE sample_count = 60000 AND rejected_count = 100 AND first_value = 99 AND min = 60
                  AND max = 99 AND abs(mean - 79.50065) < 1e-9 AND sources = '{\"watch\": 60000}'";
    assert_eq!(db.value::<i64>(hour).await, 1);
    assert_eq!(db.run(&["verify"]).code, 0);
}

#[tokio::test]
async fn the_long_results_of_one_analyte_are_folded_in_portions_as_they_are_at_once() {
    let (few, many) = (Database::new().await, Database::new().await);
    // Numbers, texts, revisions, and results that were sent again.
    let insert = |rows: i64, length: i64| {
        format!(
            "INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, specimen, reference_range, flag,
                                  status, collected_at, source)
             SELECT 1, 'glucose', '2345-7', CASE n % 3 WHEN 0 THEN 'positive ' || n WHEN 1 THEN (n % 500)::text ELSE '7.1' END,
                    'mg/dL', NULL, lpad(n::text, {length}, 'remark '), lpad('', {length}, 'x'),
                    CASE WHEN n % 5 = 0 THEN 'amended' ELSE 'final' END,
                    '2024-05-01 00:00Z'::timestamptz + n % {rows} * interval '1 s', 'lab ' || n % 3
             FROM generate_series(1, {rows} + 100) AS n"
        )
    };
    few.execute(&insert(6_000, 10)).await;
    many.execute(&insert(6_000, 4_000)).await;
    let figures = "SELECT concat_ws(' ', local_date, analyte, unit, result_count, exact_count, min, max, mean,
                                    last_value, last_text, last_at, reported_value, worst_flag)
                   FROM lab_daily ORDER BY 1";
    let figures = async |db: &Database| -> Vec<String> {
        db.query(figures, &[]).await.iter().map(|row| row.get(0)).collect()
    };
    few.run_once();

    let (ran, peak) = run_and_watch(&many).await;

    assert_eq!(ran.json()["pending_after"], 0);
    assert!(peak > 0 && peak < 64, "{peak} MB");
    assert_eq!(figures(&many).await, figures(&few).await);
    let range = "SELECT length(reference_text) FROM lab_daily";
    assert_eq!(many.value::<i32>(range).await, 4_000);
    assert_eq!(many.run(&["verify"]).code, 0);
}

/// Puts a view in the place of the meals that does something where it comes to some of them.
async fn slow_meals(db: &Database, at: &str, what: &str) {
    db.execute(&format!(
        "ALTER TABLE nutrition_raw RENAME TO meals;
         CREATE VIEW nutrition_raw AS SELECT * FROM meals WHERE NOT ({at}) OR ({what})::text IS NOT NULL"
    ))
    .await;
}

#[tokio::test]
async fn a_date_that_takes_longer_than_the_time_out_of_a_statement_is_read_in_portions() {
    let db = Database::new().await;
    insert_meals(&db, 1, 35_000).await;
    slow_meals(&db, "id % 7000 = 0", "pg_sleep(1)").await;
    let limit = [("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "4")];

    // All of them take five seconds, a portion one.
    let ran = Running::start(db.worker(), &limit).succeeds();

    assert_eq!(ran.json()["rows_completed"], 35_000);
    let day = "SELECT count(*) FROM nutrition_daily WHERE item_count = 35000";
    assert_eq!(db.value::<i64>(day).await, 1);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_huge_group_releases_its_rows_and_loses_nothing() {
    let db = Database::new().await;
    insert_meals(&db, 1, 30_000).await;
    slow_meals(&db, "id = 25000", "pg_advisory_xact_lock_shared(1)").await;
    let holder = db.connect().await;
    holder.execute("SELECT pg_advisory_lock(1)", &[]).await.unwrap();
    let limit = [("WORKER__SERVICE__SHUTDOWN_TIMEOUT_SECONDS", "4")];
    let service = Running::service(db.worker(), &limit);
    // It has read portions by then.
    waiting(&db, 1).await;

    let ran = service.stops();

    assert!(ran.events("stop_overdue").is_empty(), "{}", ran.stderr);
    assert_eq!(ran.events("batch_interrupted")[0]["class"], "stopped", "{}", ran.stderr);
    let released = "SELECT sum(cardinality(raw_ids)) FROM aggregation_queue
                    WHERE state = 'pending' AND attempts = 0 AND lease_token IS NULL";
    assert_eq!(db.value::<i64>(released).await, 30_000);
    waiting(&db, 0).await;
    holder.execute("SELECT pg_advisory_unlock(1)", &[]).await.unwrap();
    assert_eq!(Running::of(&db).succeeds().json()["rows_completed"], 30_000);
    let day = "SELECT count(*) FROM nutrition_daily WHERE item_count = 30000";
    assert_eq!(db.value::<i64>(day).await, 1);
}

#[tokio::test]
async fn rows_of_other_users_are_done_while_a_huge_group_is_read() {
    let db = Database::new().await;
    insert_meals(&db, 1, 30_000).await;
    slow_meals(&db, "id % 100 = 0", "pg_sleep(0.05)").await;
    let service = Running::service(db.worker(), &[("WORKER__LOG__LEVEL", "info,worker=debug")]);
    eventually(
        &db,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'FETCH%'",
        1,
    )
    .await;

    insert_glucose(&db, 2, 3).await;

    eventually(&db, "SELECT count(*) FROM glucose_daily WHERE user_id = 2", 1).await;
    let groups = service.events("group_committed");
    assert!(groups.iter().all(|group| group["user_id"] == 2), "{groups:?}");
    service.signal("-KILL");
}
