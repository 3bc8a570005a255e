//! A health app with raw tables, status columns and eleven tables of aggregates: `docs/examples/health-app`, as it is
//! written. The app's own worker is plain SQL that knows nothing of Dayfold.

mod switch;

use aggregation::UserIdType;

use crate::support::{Database, root};

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

/// The app before the adoption.
async fn app() -> Database {
    let db = Database::with_user_ids(UserIdType::Bigint).await;
    db.execute(&example("app.sql")).await;
    db
}

/// Which rows `generate.sql` makes.
struct Generated {
    users: u32,
    /// Counted from Monday, 2026-01-05.
    first_day: i32,
    days: i32,
    /// 1 for all rows of a day.
    thin: u32,
}

impl Generated {
    /// All rows of three users on some days.
    fn few(first_day: i32, days: i32) -> Self {
        Self { users: 3, first_day, days, thin: 1 }
    }

    async fn insert_into(&self, db: &Database) {
        let Self { users, first_day, days, thin } = self;
        db.execute(&format!(
            "SET generate.users = {users}; SET generate.first_day = {first_day};
             SET generate.days = {days}; SET generate.thin = {thin}"
        ))
        .await;
        db.execute(include_str!("generate.sql")).await;
    }
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
                    "SELECT coalesce(v::text, '') || ' instead of ' || coalesce(t::text, '')
                     FROM {views}.{table} AS v FULL JOIN {tables}.{table} AS t USING (user_id, {keys})
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

/// Asserts that Dayfold's raw tables have each row that the app has, as it is now, and no other. Returns the number of
/// rows, and the sum of the values of vitals and of the energy of meals.
async fn assert_copies_agree(db: &Database) -> (i64, String) {
    let (mut all, mut sums) = (0, Vec::new());
    for (app, copy, amount) in [
        ("vitals_for_dayfold", "vitals_raw", "value"),
        ("nutrition_for_dayfold", "nutrition_raw", "energy_kcal"),
        ("labs_for_dayfold", "lab_raw", "0"),
    ] {
        let columns: Vec<String> =
            columns(db, "public", app).await.into_iter().map(|(name, _)| name).collect();
        let row = |table: &str| {
            let columns: Vec<String> =
                columns.iter().map(|column| format!("{table}.{column}")).collect();
            format!("({})", columns.join(", "))
        };
        let wrong: i64 = db
            .value(&format!(
                "SELECT count(*) FROM {app} AS a FULL JOIN {copy} AS c ON a.user_id = c.user_id AND a.id = c.id
                 WHERE {} IS DISTINCT FROM {}",
                row("a"),
                row("c")
            ))
            .await;
        assert_eq!(wrong, 0, "{copy}");
        let count_and_sum =
            |table: &str| format!("SELECT (count(*), sum(({amount})::numeric))::text FROM {table}");
        let copied: String = db.value(&count_and_sum(copy)).await;
        assert_eq!(copied, db.value::<String>(&count_and_sum(app)).await);
        all += db.value::<i64>(&format!("SELECT count(*) FROM {copy}")).await;
        sums.push(copied);
    }
    (all, sums.join(", "))
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
    let db = app().await;
    // The former rows are copied in batches, and the later ones by the triggers.
    Generated::few(0, 21).insert_into(&db).await;
    own_worker(&db).await;
    db.execute(&example("mirror.sql")).await;
    assert_eq!(queued(&db).await, 0, "triggers alone copy nothing");
    db.execute("CALL dayfold_copy(500)").await;
    Generated::few(21, 10).insert_into(&db).await;
    db.execute("CALL dayfold_copy(500)").await;
    assert_copies_agree(&db).await;
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
                (1, 'Glucose', '250', 'mg/dL', '70-99', 'critical high', '2026-01-05'),
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
    let result = "SELECT concat_ws(' ', count, avg_value, status, test_category) FROM dayfold_app.lab_reports_daily";
    assert_eq!(
        db.value::<String>(result).await,
        "1 250 red Uncategorized",
        "the same result twice on a date counts once"
    );

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
