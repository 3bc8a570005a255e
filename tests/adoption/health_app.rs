//! A health app with raw tables, status columns and eleven tables of aggregates: `docs/examples/health-app`, as it is
//! written. The app's own worker is plain SQL that knows nothing of Dayfold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aggregation::UserIdType;
use tokio_postgres::Client;

use crate::support::Database;
use crate::support::root;
use crate::support::running::{Running, eventually};

/// The aggregates, and the columns beside user_id that tell their rows apart.
const AGGREGATES: [(&str, &str); 11] = [
    ("vitals_hourly_aggregates", "metric_type, hour_start"),
    ("vitals_daily_aggregates", "metric_type, date"),
    ("vitals_weekly_aggregates", "metric_type, week_start_date"),
    ("vitals_monthly_aggregates", "metric_type, year, month"),
    ("nutrition_daily_aggregates", "date"),
    ("nutrition_weekly_aggregates", "week_start_date"),
    ("nutrition_monthly_aggregates", "year, month"),
    ("lab_reports_daily", "test_name, date"),
    ("lab_reports_monthly", "test_name, year, month"),
    ("lab_reports_quarterly", "test_name, year, quarter"),
    ("lab_reports_yearly", "test_name, year"),
];

/// The queries of the app's readers. Each names its order, and no column that differs by design.
const READERS: [&str; 11] = [
    "SELECT date, total_value, average_value, min_value, max_value, unit FROM vitals_daily_aggregates
     WHERE user_id = 1 AND metric_type = 'Heart Rate' AND date BETWEEN '2026-01-08' AND '2026-01-20' ORDER BY date",
    "SELECT DISTINCT metric_type FROM vitals_daily_aggregates
     WHERE user_id = 1 AND date BETWEEN '2026-01-12' AND '2026-01-18' ORDER BY metric_type",
    "SELECT d.metric_type, d.date, d.total_value, d.average_value, d.count FROM vitals_weekly_aggregates AS w
     JOIN vitals_daily_aggregates AS d USING (user_id, metric_type)
     WHERE w.user_id = 2 AND w.week_start_date = '2026-01-12' AND d.date BETWEEN w.week_start_date AND w.week_end_date
     ORDER BY 1, 2",
    "SELECT metric_type, total_value, average_value, days_with_data FROM vitals_monthly_aggregates
     WHERE user_id = 2 AND year = 2026 AND month = 1 ORDER BY metric_type",
    "SELECT date, duration_minutes FROM vitals_daily_aggregates
     WHERE user_id = 1 AND metric_type = 'Sleep' AND date >= '2026-01-06' ORDER BY date",
    "SELECT metric_type, avg(average_value), sum(total_value) FROM vitals_daily_aggregates
     WHERE user_id = 1 AND date > date '2026-02-04' - 30
       AND metric_type IN ('Heart Rate', 'Steps', 'Blood Pressure Systolic', 'Blood Pressure Diastolic', 'Blood Sugar')
     GROUP BY metric_type ORDER BY metric_type",
    "SELECT * FROM (SELECT date, total_calories, total_protein_g, total_vitamin_b12_mcg, total_copper_mg, meal_count,
                           snack_count, dinner_calories FROM nutrition_daily_aggregates
                    WHERE user_id = 1 AND date BETWEEN '2026-01-08' AND '2026-01-20') AS days ORDER BY date",
    "SELECT week_start_date, avg_daily_calories, avg_daily_protein_g, total_weekly_meals FROM nutrition_weekly_aggregates
     WHERE user_id = 2 ORDER BY week_start_date",
    "SELECT date, avg_value::float8, unit, status, normal_range_min, normal_range_max FROM lab_reports_daily
     WHERE user_id = 1 AND test_name = 'LDL cholesterol' ORDER BY date DESC LIMIT 30",
    "SELECT test_category, status, count(*) FROM lab_reports_daily WHERE user_id = 1 GROUP BY 1, 2 ORDER BY 1, 2",
    // Free SQL of an assistant that was told the schema.
    "SELECT v.week_start_date, round(avg(v.average_value)::numeric, 3) AS steps, max(n.avg_daily_calories) AS calories,
            (SELECT count(*) FROM lab_reports_yearly AS l WHERE l.user_id = v.user_id AND l.status = 'amber') AS amber
     FROM vitals_weekly_aggregates AS v JOIN nutrition_weekly_aggregates AS n USING (user_id, week_start_date)
     WHERE v.metric_type = 'Steps' AND v.user_id IN (SELECT id FROM users) GROUP BY v.user_id, 1 ORDER BY v.user_id, 1",
];

fn example(name: &str) -> String {
    std::fs::read_to_string(root().join("docs/examples/health-app").join(name)).unwrap()
}

/// How many users and days: few, unless `ADOPT_USERS` and `ADOPT_DAYS` say otherwise, as `just adopt-year` does.
fn size() -> (u32, u32) {
    let number =
        |name: &str, few: u32| std::env::var(name).ok().map_or(few, |text| text.parse().unwrap());
    (number("ADOPT_USERS", 3), number("ADOPT_DAYS", 31))
}

/// The app before the adoption.
async fn app() -> Database {
    let db = Database::with_user_ids(UserIdType::Bigint).await;
    db.execute(&example("app.sql")).await;
    db
}

async fn generate(db: &Database, users: u32, first_day: u32, days: u32) {
    db.execute(&format!(
        "SET generate.users = {users}; SET generate.first_day = {first_day}; SET generate.days = {days}"
    ))
    .await;
    db.execute(include_str!("generate.sql")).await;
}

async fn own_worker(db: &Database) {
    db.execute(include_str!("own_worker.sql")).await;
}

async fn queued(db: &Database) -> i64 {
    db.value("SELECT count(*) FROM aggregation_queue").await
}

/// Name and type of each column, without those that differ by design: the types of id and user_id.
async fn columns(db: &Database, schema: &str, table: &str) -> Vec<(String, String)> {
    let rows = db
        .query(
            "SELECT attname::text, CASE WHEN attname NOT IN ('id', 'user_id') THEN atttypid::regtype::text ELSE '' END
             FROM pg_attribute WHERE attrelid = format('%I.%I', $1::text, $2::text)::regclass AND attnum > 0
             ORDER BY attname",
            &[&schema, &table],
        )
        .await;
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Asserts that each view has the rows of the app's own table: numbers within rounding, all else exactly.
async fn assert_views_agree(db: &Database, views: &str, tables: &str) {
    for (table, keys) in AGGREGATES {
        let theirs = columns(db, tables, table).await;
        assert_eq!(columns(db, views, table).await, theirs, "{table}");
        let compared = theirs.iter().filter(|(name, _)| {
            !["id", "created_at", "updated_at"].contains(&name.as_str())
                && !keys.split(", ").any(|key| key == name)
                && name != "user_id"
        });
        let same: Vec<String> = compared
            .map(|(name, of_type)| match name.as_str() {
                "avg_value" | "min_value" | "max_value" if table.starts_with("lab") => format!(
                    "CASE WHEN t.{name} ~ '^[0-9.]+$' THEN abs(v.{name}::float8 - t.{name}::float8) < 1e-3
                          ELSE v.{name} = t.{name} END"
                ),
                _ if of_type == "double precision" => format!(
                    "(v.{name} IS NULL AND t.{name} IS NULL OR abs(v.{name} - t.{name}) <= 1e-6 * (1 + abs(t.{name})))"
                ),
                _ => format!("v.{name} IS NOT DISTINCT FROM t.{name}"),
            })
            .collect();
        let wrong = db
            .query(
                &format!(
                    "SELECT coalesce(v.row::text, '') || ' instead of ' || coalesce(t.row::text, '')
                     FROM (SELECT v AS row, v.* FROM {views}.{table} AS v) AS v
                     FULL JOIN (SELECT t AS row, t.* FROM {tables}.{table} AS t) AS t USING (user_id, {keys})
                     WHERE ({}) IS NOT TRUE LIMIT 3",
                    same.join(" AND ")
                ),
                &[],
            )
            .await;
        let wrong: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
        assert!(wrong.is_empty(), "{table}: {wrong:#?}");
        let rows: i64 = db.value(&format!("SELECT count(*) FROM {tables}.{table}")).await;
        assert!(rows > 0, "{table} is empty");
    }
}

/// The answers to all queries of readers, with numbers rounded.
async fn answers(db: &Database) -> Vec<String> {
    let mut answers = Vec::new();
    for query in READERS {
        let rows = db
            .query(
                &format!(
                    "SELECT string_agg(CASE WHEN jsonb_typeof(value) = 'number'
                                           THEN round(value::text::numeric, 3)::text ELSE value::text END,
                                      ' ' ORDER BY key)
                     FROM (SELECT row_number() OVER () AS n, to_jsonb(answer) AS answer FROM ({query}) AS answer) AS rows,
                          jsonb_each(answer) AS of (key, value)
                     GROUP BY n ORDER BY n"
                ),
                &[],
            )
            .await;
        assert!(!rows.is_empty(), "{query}");
        answers.push(format!(
            "{query}:\n{}",
            rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
        ));
    }
    answers
}

#[tokio::test]
async fn every_aggregate_of_a_health_app_is_a_view_with_the_figures_of_its_own_worker() {
    let (users, days) = size();
    let db = app().await;
    // The former rows are copied in batches, and the later ones by the triggers.
    generate(&db, users, 0, days - 10).await;
    own_worker(&db).await;
    db.execute(&example("mirror.sql")).await;
    assert_eq!(queued(&db).await, 0, "triggers alone copy nothing");
    db.execute("CALL dayfold_copy(500)").await;
    generate(&db, users, days - 10, 10).await;
    db.execute("CALL dayfold_copy(500)").await;
    let missing: i64 = db
        .value(
            "SELECT count(*) FROM (
                 SELECT id FROM vitals_for_dayfold EXCEPT SELECT id FROM vitals_raw
                 UNION ALL (SELECT id FROM nutrition_for_dayfold EXCEPT SELECT id FROM nutrition_raw)
                 UNION ALL (SELECT id FROM labs_for_dayfold EXCEPT SELECT id FROM lab_raw)) AS missing",
        )
        .await;
    assert_eq!(missing, 0);
    assert_eq!(db.run_once()["rows_rejected"], 0);
    // The app's own worker computes all days again, and sets the status columns of all rows.
    own_worker(&db).await;
    assert_eq!(queued(&db).await, 0, "a changed status queues nothing");

    db.execute(&example("views.sql")).await;
    assert_views_agree(&db, "dayfold_app", "public").await;
    let before = answers(&db).await;
    db.execute(&example("switch.sql")).await;
    for (ours, theirs) in answers(&db).await.iter().zip(&before) {
        assert_eq!(ours, theirs);
    }
    assert_views_agree(&db, "public", "before_dayfold").await;
    assert_eq!(db.run(&["verify"]).code, 0);
}

#[tokio::test]
async fn corrections_and_deletions_are_mirrored_and_changes_of_status_alone_are_not() {
    let db = app().await;
    db.execute("INSERT INTO users VALUES (1), (2)").await;
    db.execute(&example("mirror.sql")).await;
    db.execute(&example("views.sql")).await;
    db.execute(
        "INSERT INTO vitals_raw_data (user_id, metric_type, value, unit, start_date, end_date, data_source, notes)
         VALUES (1, 'Heart Rate', 60, 'bpm', '2026-01-05 00:10', '2026-01-05 00:10', 'apple_healthkit', NULL),
                (1, 'Heart Rate', 80, 'bpm', '2026-01-05 23:50', '2026-01-05 23:50', 'apple_healthkit', NULL),
                (1, 'Sleep', 30, 'minutes', '2026-01-05 01:00', '2026-01-05 01:30', 'apple_healthkit', 'unknown'),
                (2, 'Mood', 3, 'points', '2026-01-05 12:00', '2026-01-05 12:00', 'manual_entry', NULL)",
    )
    .await;
    db.execute(
        "INSERT INTO lab_report_categorized (user_id, test_name, test_value, test_unit, reference_range, test_status, test_date)
         VALUES (1, 'Glucose', '250', 'mg/dL', '70-99', 'critical high', '2026-01-05'),
                (1, 'Glucose', NULL, 'mg/dL', '70-99', NULL, '2026-01-06')",
    )
    .await;
    assert_eq!(
        db.run_once()["rows_rejected"],
        2,
        "an unknown stage and an unknown metric are listed"
    );
    let day = "SELECT count || ' of ' || average_value FROM dayfold_app.vitals_daily_aggregates
               WHERE user_id = 1 AND metric_type = 'Heart Rate' AND date = '2026-01-05'";
    assert_eq!(db.value::<String>(day).await, "2 of 70", "the day is that of Asia/Kolkata");
    let result = "SELECT concat_ws(' ', avg_value, status, test_category) FROM dayfold_app.lab_reports_daily";
    assert_eq!(db.value::<String>(result).await, "250 red Uncategorized");

    for status in [
        "UPDATE vitals_raw_data SET aggregation_status = 'processing', aggregated_at = now(), updated_at = now()",
        "UPDATE lab_report_categorized SET aggregation_status = 'completed', updated_at = now()",
        "UPDATE vitals_raw_data SET value = value",
    ] {
        db.execute(status).await;
        assert_eq!(queued(&db).await, 0, "{status}");
    }
    db.execute(
        "UPDATE vitals_raw_data SET value = 100, aggregation_status = 'pending' WHERE value = 80",
    )
    .await;
    db.execute("UPDATE lab_report_categorized SET test_value = NULL").await;
    db.run_once();
    assert_eq!(db.value::<String>(day).await, "2 of 80");
    let results: i64 = db.value("SELECT count(*) FROM dayfold_app.lab_reports_daily").await;
    assert_eq!(results, 0);
    db.execute(
        "UPDATE vitals_raw_data SET user_id = 2 WHERE value = 100; DELETE FROM users WHERE id = 1",
    )
    .await;
    db.run_once();
    let left = "SELECT string_agg(concat_ws(' ', user_id, metric_type, average_value), ', ')
                FROM dayfold_app.vitals_daily_aggregates";
    assert_eq!(db.value::<String>(left).await, "2 Heart Rate 100");
    let raw: i64 = db.value("SELECT count(*) FROM vitals_raw").await;
    assert_eq!(raw, 2, "rows that a cascade deletes have no copy");

    db.execute(&example("remove.sql")).await;
    let traces: i64 = db
        .value(
            "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE '%dayfold%')
                  + (SELECT count(*) FROM pg_proc WHERE proname LIKE '%dayfold%')
                  + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%dayfold%')
                  + (SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%dayfold%')",
        )
        .await;
    assert_eq!(traces, 0);
    db.execute("UPDATE vitals_raw_data SET value = 1; DELETE FROM vitals_raw_data").await;
}

/// Inserts, corrects and deletes rows until it is stopped; returns how many statements it made.
async fn write(client: Client, stop: Arc<AtomicBool>) -> u32 {
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        let (minute, user) = (made % 1440, 1 + made % 3);
        let at = format!("timestamp '2026-01-20' + interval '{minute} minutes'");
        let statement = match made % 5 {
            4 => format!("UPDATE vitals_raw_data SET value = value + 1 WHERE metric_type = 'Heart Rate' AND id % 97 = {}", made % 97),
            3 => format!("DELETE FROM vitals_raw_data WHERE id % 101 = {} AND metric_type = 'Steps'", made % 101),
            _ => format!(
                "INSERT INTO vitals_raw_data (user_id, metric_type, value, unit, start_date, end_date, data_source)
                 VALUES ({user}, 'Heart Rate', {}, 'bpm', {at}, {at}, 'apple_healthkit') ON CONFLICT DO NOTHING",
                50 + made % 90
            ),
        };
        client.batch_execute(&statement).await.unwrap_or_else(|why| panic!("{statement}: {why:?}"));
        made += 1;
    }
    made
}

/// Asks for a chart until it is stopped. No answer may be an error, or empty.
async fn read(client: Client, stop: Arc<AtomicBool>) -> u32 {
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        let rows = client.query(READERS[0], &[]).await.unwrap_or_else(|why| panic!("{why:?}"));
        assert!(!rows.is_empty());
        answers += 1;
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_go_on_while_a_health_app_is_switched_over_and_back() {
    let db = app().await;
    generate(&db, 3, 0, 16).await;
    own_worker(&db).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(db.connect().await, Arc::clone(&stop)));
    let reader = tokio::spawn(read(db.connect().await, Arc::clone(&stop)));

    // Under load: mirror, copy, compute, and switch over and back, twice.
    let service = Running::service(db.worker(), &[]);
    db.execute(&example("mirror.sql")).await;
    db.execute("CALL dayfold_copy(100)").await;
    db.execute(&example("views.sql")).await;
    eventually(
        &db,
        "SELECT least(1, count(*)) FROM dayfold_app.vitals_daily_aggregates
                     WHERE user_id = 1 AND metric_type = 'Heart Rate' AND date = '2026-01-08'",
        1,
    )
    .await;
    for _ in 0..2 {
        db.execute(&example("switch.sql")).await;
        let kind =
            "SELECT relkind::text FROM pg_class WHERE oid = 'vitals_daily_aggregates'::regclass";
        assert_eq!(db.value::<String>(kind).await, "v");
        eventually(
            &db,
            "SELECT least(1, count(*)) FROM vitals_daily_aggregates
                         WHERE user_id = 1 AND metric_type = 'Heart Rate' AND date = '2026-01-20'",
            1,
        )
        .await;
        db.execute(&example("back.sql")).await;
        assert_eq!(db.value::<String>(kind).await, "r");
    }
    stop.store(true, Ordering::Relaxed);
    let (made, answered) = (writer.await.unwrap(), reader.await.unwrap());
    assert!(made > 10 && answered > 1, "{made} statements, {answered} answers");
    service.stops();

    // Nothing is lost on either side: the app's own worker and Dayfold agree about all rows.
    db.run_once();
    let pending: i64 =
        db.value("SELECT count(*) FROM vitals_raw_data WHERE aggregation_status = 'pending'").await;
    assert!(pending > 0, "rows that came meanwhile wait for the app's own worker");
    own_worker(&db).await;
    assert_views_agree(&db, "dayfold_app", "public").await;
    assert_eq!(db.run(&["verify"]).code, 0);
}
