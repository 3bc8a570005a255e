//! Texts of any length: the row is rejected before its text is read, and nothing else suffers.

use crate::support::outside::assert_says;
use crate::support::running::{Running, UserLock, waiting};
use crate::support::samples::insert_samples;
use crate::support::{Database, Ran};

const MEGABYTE: &str = "repeat('x', 1000000)";

/// The usual row of each kind: its columns and their values.
const VITALS: &[(&str, &str)] = &[
    ("metric", "'heart_rate'"),
    ("value", "60"),
    ("comparator", "NULL"),
    ("unit", "'bpm'"),
    ("source", "'watch'"),
    ("started_at", "'2024-05-01 12:00Z'"),
    ("ended_at", "'2024-05-01 12:00Z'"),
    ("time_zone", "NULL"),
];
const NUTRITION: &[(&str, &str)] = &[
    ("food_name", "'soup'"),
    ("meal_type", "'lunch'"),
    ("eaten_at", "'2024-05-01 12:00Z'"),
    ("time_zone", "NULL"),
    ("source", "'app'"),
    ("energy_kcal", "100"),
];
const LABS: &[(&str, &str)] = &[
    ("test_name", "'iron'"),
    ("loinc_code", "NULL"),
    ("value_text", "'5'"),
    ("unit", "'umol/L'"),
    ("reference_range", "'4-6'"),
    ("flag", "NULL"),
    ("specimen", "NULL"),
    ("status", "'final'"),
    ("collected_at", "'2024-05-01 12:00Z'"),
    ("time_zone", "NULL"),
    ("source", "'lab'"),
];

/// Inserts the usual row, but for one column.
async fn insert(db: &Database, table: &str, id: usize, usual: &[(&str, &str)], odd: (&str, &str)) {
    let value = |name, usual| if name == odd.0 { odd.1 } else { usual };
    let names: Vec<&str> = usual.iter().map(|(name, _)| *name).collect();
    let values: Vec<&str> = usual.iter().map(|(name, usual)| value(*name, *usual)).collect();
    let (names, values) = (names.join(", "), values.join(", "));
    db.execute(&format!("INSERT INTO {table} (user_id, id, {names}) VALUES (1, {id}, {values})"))
        .await;
}

async fn lines(db: &Database, sql: &str) -> Vec<String> {
    db.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_text_of_a_megabyte_in_any_column_rejects_its_own_row_at_the_first_attempt() {
    let db = Database::new().await;
    // The index of the raw table refuses a longer one.
    let metric = ("metric", "repeat('x', 100000)");
    let mut expected = Vec::new();
    let tables = [
        ("vitals", "vitals_raw", VITALS, &["comparator", "unit", "source", "time_zone"][..]),
        (
            "nutrition",
            "nutrition_raw",
            NUTRITION,
            &["food_name", "meal_type", "source", "time_zone"],
        ),
        (
            "labs",
            "lab_raw",
            LABS,
            &[
                "test_name",
                "loinc_code",
                "unit",
                "flag",
                "specimen",
                "status",
                "source",
                "time_zone",
            ],
        ),
    ];
    for (kind, table, usual, columns) in tables {
        // Of another source: of rows for one sample the newest would count, though it is rejected.
        insert(&db, table, 1, usual, ("source", "'ring'")).await;
        let odd = columns.iter().map(|column| (*column, MEGABYTE));
        let odd = odd.chain((kind == "vitals").then_some(metric));
        for (id, odd) in (2..).zip(odd) {
            insert(&db, table, id, usual, odd).await;
            expected.push(format!("{kind} {id} text_too_long"));
        }
    }
    insert(&db, "lab_raw", 50, LABS, ("value_text", MEGABYTE)).await;
    expected.push("labs 50 result_too_long".to_owned());
    expected.sort();
    let longest = "SELECT max(octet_length(metric) + coalesce(octet_length(time_zone), 0)) FROM aggregation_queue";
    assert!(db.value::<i32>(longest).await < 5_000);

    let run = db.run_once();

    assert_eq!((&run["groups_failed"], &run["pending_after"]), (&0.into(), &0.into()), "{run}");
    assert_eq!(
        (&run["rows_rejected"], &run["rows_completed"]),
        (&expected.len().into(), &3.into())
    );
    let rejected =
        "SELECT concat_ws(' ', kind, raw_id, reason) COLLATE \"C\" FROM rejected_rows ORDER BY 1";
    assert_eq!(lines(&db, rejected).await, expected);
    let figures = "SELECT concat_ws(' ', metric, sample_count, mean, rejected_count) FROM vitals_daily
                   UNION ALL SELECT concat_ws(' ', item_count, energy_kcal, rejected_count) FROM nutrition_daily
                   UNION ALL SELECT concat_ws(' ', analyte, result_count, last_value) FROM lab_daily";
    // A row of another zone, of which only the beginning is known, has no date.
    assert_eq!(lines(&db, figures).await, ["heart_rate 1 60 3", "1 100 3", "name:iron 1 5"]);
    assert_eq!(db.run(&["verify"]).code, 0);
    assert_eq!(lines(&db, rejected).await, expected);

    db.execute(
        "UPDATE vitals_raw SET source = 'watch ' || id, unit = 'bpm', comparator = NULL,
                                      time_zone = NULL, metric = 'heart_rate'",
    )
    .await;
    assert_eq!(db.run_once()["rows_rejected"], 0);
    let mended = "SELECT concat_ws(' ', metric, sample_count, rejected_count) FROM vitals_daily";
    assert_eq!(lines(&db, mended).await, ["heart_rate 6 0"]);
}

#[tokio::test]
async fn a_requeue_keeps_long_texts_out_of_the_queue() {
    let db = Database::new().await;
    insert(&db, "vitals_raw", 1, VITALS, ("metric", "repeat('x', 100000)")).await;
    insert(&db, "vitals_raw", 2, VITALS, ("time_zone", MEGABYTE)).await;
    insert(&db, "nutrition_raw", 1, NUTRITION, ("time_zone", MEGABYTE)).await;
    insert(&db, "lab_raw", 1, LABS, ("time_zone", MEGABYTE)).await;
    db.execute("DELETE FROM aggregation_queue").await;

    assert_eq!(db.run(&["requeue", "--user", "1"]).code, 0);

    let cut = "SELECT concat_ws(' ', kind, octet_length(metric), octet_length(time_zone))
               FROM aggregation_queue ORDER BY kind, raw_ids";
    assert_eq!(
        lines(&db, cut).await,
        ["labs 1025", "nutrition 1025", "vitals 1025", "vitals 10 1025"]
    );
    let run = db.run_once();
    assert_eq!((&run["groups_failed"], &run["rows_rejected"]), (&0.into(), &4.into()), "{run}");
}

#[tokio::test]
async fn a_profile_of_megabytes_costs_only_what_is_too_long_in_it() {
    let db = Database::new().await;
    db.execute(&format!(
        "INSERT INTO user_profiles VALUES (1, {MEGABYTE}, '{{}}'), (2, 'Asia/Tokyo', '{{}}'),
             (3, 'UTC', ARRAY[{MEGABYTE}, 'phone', 'watch'] || array_fill('x'::text, ARRAY[100000]));
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'steps', value, 'count', source, '2024-05-01 20:00Z', '2024-05-01 20:10Z'
         FROM generate_series(1, 3) AS u, (VALUES ('phone', 5), ('watch', 9)) AS s (source, value)"
    ))
    .await;

    let run = db.run_once();

    assert_eq!(run["groups_failed"], 0, "{run}");
    let rejected =
        "SELECT concat_ws(' ', user_id, reason) FROM rejected_rows ORDER BY user_id, raw_id";
    assert_eq!(lines(&db, rejected).await, ["1 unknown_time_zone"; 2]);
    let days =
        "SELECT concat_ws(' ', user_id, local_date, total) FROM vitals_daily ORDER BY user_id";
    assert_eq!(lines(&db, days).await, ["2 2024-05-02 5", "3 2024-05-01 5"]);
    assert_eq!(db.run(&["verify"]).code, 0);
    assert_eq!(
        db.run(&[
            "report",
            "--user",
            "1",
            "--from",
            "2024-05-01",
            "--to",
            "2024-05-01",
            "--html",
            "-"
        ])
        .code,
        0
    );
}

/// Fails each statement that reads a meal of user 2 whole. Those that only look which users there are do not fail.
async fn break_user_2(db: &Database, how: &str) {
    db.execute(&format!(
        "CREATE FUNCTION break_user_2(user_id bigint, food text) RETURNS text LANGUAGE plpgsql STABLE AS $$
         BEGIN
             IF user_id = 2 THEN
                 {how};
             END IF;
             RETURN food;
         END $$;
         ALTER TABLE nutrition_raw RENAME TO meals;
         ALTER TABLE meals RENAME food_name TO food;
         CREATE VIEW nutrition_raw AS SELECT *, break_user_2(user_id, food) AS food_name FROM meals"
    ))
    .await;
}

const BREAKS: [&str; 2] =
    ["RAISE 'broken'", "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(1)"];

async fn three_meals() -> Database {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         SELECT u, 'soup', 'lunch', '2024-05-01 12:00Z', 'app', 100 FROM generate_series(1, 3) AS u",
    )
    .await;
    db.run_once();
    db
}

fn assert_user_2_failed(ran: &Ran) {
    assert_eq!((ran.code, &ran.json()["users_failed"]), (1, &1.into()), "{ran:?}");
    let failed = ran.events("user_failed");
    assert_eq!(failed.len(), 1, "{ran:?}");
    assert_eq!((&failed[0]["user_id"], &failed[0]["kind"]), (&2.into(), &"nutrition".into()));
}

#[tokio::test]
async fn verify_goes_on_behind_a_user_that_fails_and_says_which() {
    for how in BREAKS {
        for connections in ["1", "4"] {
            let db = three_meals().await;
            break_user_2(&db, how).await;
            db.execute("UPDATE nutrition_daily SET item_count = 9 WHERE user_id = 3").await;

            let verify = |json: &[&str]| {
                let mut worker = db.worker();
                worker.arg("verify").args(json).env("WORKER__POOL__MAX_SIZE", connections);
                Ran::of(worker.output().unwrap())
            };

            let ran = verify(&["--json"]);
            assert_user_2_failed(&ran);
            assert_eq!((&ran.json()["users"], &ran.json()["dates_left"]), (&3.into(), &1.into()));
            assert_says(&verify(&[]).stdout, &["1 user could not be compared", "user_failed"]);
        }
    }
}

#[tokio::test]
async fn a_backfill_goes_on_behind_a_user_whose_session_ends_each_time_and_says_which() {
    let db = three_meals().await;
    db.execute(&format!(
        "CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN {}; RETURN NEW; END $$;
         CREATE TRIGGER end_session BEFORE INSERT OR UPDATE ON nutrition_daily
             FOR EACH ROW WHEN (NEW.user_id = 2) EXECUTE FUNCTION end_session()",
        BREAKS[1]
    ))
    .await;
    db.execute("UPDATE nutrition_daily SET item_count = 9 WHERE user_id <> 2").await;

    let ran = db.run(&["backfill", "--from", "2024-05-01", "--to", "2024-05-01", "--json"]);

    assert_user_2_failed(&ran);
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM nutrition_daily WHERE item_count = 1").await,
        3
    );
}

/// Runs a worker that is killed while it waits for the lock that a test holds, and ends its leases.
async fn kill_while_it_waits(db: &Database) {
    let mut worker = Running::start(db.worker(), &[("WORKER__BATCH__MAX_ATTEMPTS", "1")]);
    waiting(db, 1).await;
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .await;
    waiting(db, 0).await;
    db.execute(
        "UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s' WHERE state = 'processing'",
    )
    .await;
}

#[tokio::test]
async fn rows_that_end_each_worker_are_dead_in_the_end_and_the_others_are_done() {
    let db = Database::new().await;
    insert_samples(&db, 4, 5).await;
    let lock = UserLock::hold(&db.url, 2).await;
    for _ in 0..3 {
        kill_while_it_waits(&db).await;
    }
    // The third worker takes the users one at a time, user 2 last or first, and never gets past user 2.
    let left = "SELECT concat_ws(' ', user_id, state, attempts, lost_leases, cardinality(raw_ids))
                FROM aggregation_queue WHERE user_id = 2";
    assert_eq!(lines(&db, left).await, ["2 processing 0 2 5"], "one crash counts one");
    let others = "SELECT count(*) FROM aggregation_queue WHERE user_id <> 2 AND lost_leases > 2";
    assert_eq!(db.value::<i64>(others).await, 0, "and only for rows that were held");

    let mut worker = db.worker();
    worker.args(["run-once", "--json"]).env("WORKER__BATCH__MAX_ATTEMPTS", "1");
    let ran = Ran::of(worker.output().unwrap());

    assert_eq!(ran.code, 3, "{ran:?}");
    let ended = ran.events("crash_loop_ended");
    assert_eq!((ended.len(), &ended[0]["user_id"], &ended[0]["rows"]), (1, &2.into(), &5.into()));
    let dead = "SELECT DISTINCT concat_ws(' ', user_id, state, last_error) FROM aggregation_queue";
    assert_eq!(lines(&db, dead).await, ["2 dead lease_expired"]);

    lock.release().await;
    assert_eq!(db.run(&["requeue", "--dead"]).code, 0);
    assert_eq!(db.run_once()["rows_completed"], 5);
}

#[tokio::test]
async fn a_correction_is_done_though_the_row_before_it_is_given_up() {
    let db = Database::new().await;
    insert(&db, "vitals_raw", 1, VITALS, ("", "")).await;
    db.execute(
        "UPDATE aggregation_queue SET state = 'processing', lease_token = 1, lost_leases = 6,
                                      lease_expires_at = now() - interval '1 s';
         UPDATE vitals_raw SET value = 61",
    )
    .await;

    let ran = db.run(&["run-once", "--json"]);

    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!((&ran.json()["rows_failed"], &ran.json()["rows_completed"]), (&1.into(), &1.into()));
    assert_eq!(db.value::<f64>("SELECT mean FROM vitals_daily").await, 61.0);
}
