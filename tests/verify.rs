//! `worker verify` and `worker backfill`: figures compared with raw rows, and computed without the
//! queue.

mod honesty;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::outside::{Scratch, assert_says};
use crate::support::running::{Running, UserLock, waiting};
use crate::support::samples::{assert_all_done, insert_samples};
use crate::support::tables::difference;
use crate::support::terminal::answering;
use crate::support::{Database, Ran};

/// Rows of all kinds, of every shape that sets another column, for the users 1 to `users`.
async fn insert_all_kinds(db: &Database, users: usize) {
    db.execute(&format!(
        "INSERT INTO user_profiles
         SELECT u, 'Europe/Berlin', '{{watch}}' FROM generate_series(1, {users}) AS u;
         INSERT INTO vitals_raw (user_id, metric, value, comparator, unit, source, started_at, ended_at)
         SELECT u, metric, value, comparator, unit, source, at, at + length
         FROM generate_series(1, {users}) AS u,
              (VALUES ('heart_rate', 61.3, NULL, 'bpm', 'watch', interval '0', 0),
                      ('heart_rate', 70.1, NULL, 'bpm', 'phone', '0', 1),
                      ('heart_rate', 90.7, NULL, 'bpm', 'watch', '0', 65),
                      ('blood_glucose', 400, '>', 'mg/dL', 'sensor', '0', 2),
                      ('blood_glucose', 5.5, NULL, 'mmol/L', 'sensor', '0', 3),
                      ('blood_glucose', 101, NULL, 'mg/dL', 'sensor', '0', 8),
                      ('blood_pressure_systolic', 121.3, NULL, 'mmHg', 'cuff', '0', 6),
                      ('blood_pressure_diastolic', 81.1, NULL, 'mmHg', 'cuff', '0', 6),
                      ('heart_rate', 'NaN', NULL, 'bpm', 'watch', '0', 4),
                      ('steps', 100.7, NULL, 'steps', 'watch', '50 minutes', 5),
                      ('sleep_core', 1, NULL, 'min', 'watch', '100 minutes', -535),
                      ('sleep_in_bed', 1, NULL, 'min', 'watch', '2 hours', -540))
                  AS v (metric, value, comparator, unit, source, length, minute),
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + minute * interval '1 minute' AS at) AS t;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal,
                                    protein_g, fat_g, carbohydrate_g, alcohol_g)
         SELECT u, 'soup', meal, '2024-05-01 12:00Z', 'app', 300.1, 10.1, 9.1, 40.1, 0.1
         FROM generate_series(1, {users}) AS u,
              unnest('{{breakfast,lunch,dinner,snack,other}}'::text[]) AS meal;
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, reference_range, status,
                              collected_at, source)
         SELECT u, test, value, unit, '4.0-5.6', 'final', at, 'lab'
         FROM generate_series(1, {users}) AS u,
              (VALUES ('a', '5.1', 'mmol/L', timestamptz '2024-05-01 08:00Z'),
                      ('a', '9.3', 'mmol/L', '2024-05-01 09:00Z'),
                      ('b', '<5', 'mmol/L', '2024-05-01 09:00Z'),
                      ('c', 'positive', NULL, '2024-05-01 09:00Z')) AS l (test, value, unit, at)"
    ))
    .await;
    assert_eq!(db.run_once()["rows_failed"], 0);
}

fn verify(db: &Database, more: &[&str]) -> (i32, Value) {
    let ran = db.run(&[&["verify", "--json"], more].concat());
    assert!(ran.code == 0 || ran.code == 4, "{ran:?}");
    (ran.code, ran.json())
}

#[tokio::test]
async fn figures_that_are_right_are_called_right() {
    let db = Database::new().await;
    insert_all_kinds(&db, 3).await;

    let (code, report) = verify(&db, &[]);

    assert_eq!((code, &report["rows_different"], &report["users"]), (0, &0.into(), &3.into()));
    assert_eq!(report["raw_rows"], 3 * (12 + 5 + 4));
    let text = db.run(&["verify"]);
    assert_says(&text.stdout, &["3 users", "every figure is right"]);
    assert_eq!(text.code, 0);
}

/// An expression that differs from a value in as little as it can: of a double, in its last bit.
fn least_change(column: &str, of_type: &str) -> String {
    match of_type {
        "double precision" => format!("flipped({column})"),
        "integer" | "bigint" => format!("coalesce({column}, 0) + 1"),
        "text" => format!("coalesce({column}, '') || ' '"),
        "timestamp with time zone" => {
            format!("coalesce({column}, now()) + interval '1 microsecond'")
        }
        "jsonb" => format!("coalesce({column}, '{{}}') || '{{\"x\": 1}}'"),
        "bytea" => format!("set_bit({column}, 3, 1 - get_bit({column}, 3))"),
        "boolean" => format!("NOT {column}"),
        other => panic!("a column of type {other}"),
    }
}

// The server ends a statement after 30 s. One that compares each row with each takes longer than that.
#[tokio::test]
async fn a_user_with_thousands_of_rejected_rows_is_verified_within_the_statement_time_out() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 9999, 'bpm', 'watch', at, at
         FROM generate_series(1, 20000) AS n,
              LATERAL (SELECT timestamptz '2024-05-01' + n * interval '4 seconds' AS at) AS t",
    )
    .await;
    assert_eq!(db.run_once()["rows_rejected"], 20_000);
    let (code, found) = verify(&db, &[]);
    assert_eq!((code, &found["raw_rows"]), (0, &20_000.into()), "{found}");
}

#[tokio::test]
async fn a_single_bit_in_any_column_of_any_figure_is_found_and_put_right() {
    let db = Database::new().await;
    let columns = db
        .query(
            r"SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
              FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
                AND c.relname ~ '_(hourly|daily)$' AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attname <> 'computed_at'
                AND NOT EXISTS (SELECT FROM pg_index AS i
                                WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))
              ORDER BY 1, 2",
            &[],
        )
        .await;
    insert_all_kinds(&db, columns.len()).await;
    db.execute(
        "CREATE FUNCTION flipped(double precision) RETURNS double precision LANGUAGE sql AS $$
             SELECT CASE WHEN $1 IS NULL THEN 0
                         WHEN $1 = 0 THEN '-0'
                         WHEN $1 + $1 * 2 ^ -53 <> $1 THEN $1 + $1 * 2 ^ -53
                         ELSE $1 + $1 * 2 ^ -52 END $$",
    )
    .await;
    for (user, column) in (1_i64..).zip(&columns) {
        let (table, name, of_type): (String, String, String) =
            (column.get(0), column.get(1), column.get(2));
        let change = least_change(&name, &of_type);
        db.execute(&format!("UPDATE {table} SET {name} = {change} WHERE user_id = {user}")).await;
    }

    let (code, report) = verify(&db, &[]);

    assert_eq!(code, 4);
    let found: BTreeSet<(i64, String)> = report["drift"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["user_id"].as_i64().unwrap(), f["table"].as_str().unwrap().to_owned()))
        .collect();
    let planted: BTreeSet<(i64, String)> =
        (1_i64..).zip(&columns).map(|(user, column)| (user, column.get(0))).collect();
    assert_eq!(found, planted);

    let (code, report) = verify(&db, &["--repair"]);
    assert_eq!((code, &report["dates_left"]), (0, &0.into()));
    assert_eq!(report["dates_repaired"], columns.len());
    assert_eq!(verify(&db, &[]).1["rows_different"], 0);
}

#[tokio::test]
async fn missing_and_surplus_rows_and_wrong_verdicts_are_found_and_put_right() {
    let db = Database::new().await;
    insert_all_kinds(&db, 5).await;
    let before = db.figures_as_text().await;
    db.execute(
        "DELETE FROM vitals_daily WHERE user_id = 1 AND metric = 'steps';
         DELETE FROM lab_daily WHERE user_id = 2 AND analyte = 'name:c';
         UPDATE nutrition_daily SET local_date = '2024-06-01' WHERE user_id = 3;
         DELETE FROM rejected_rows WHERE user_id = 4;
         UPDATE vitals_daily SET algorithm_version = 0 WHERE user_id = 5 AND metric = 'steps'",
    )
    .await;

    let (code, report) = verify(&db, &[]);

    assert_eq!(code, 4);
    let mut found: Vec<String> = report["drift"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| format!("{} {} {} {}", f["user_id"], f["table"], f["date"], f["difference"]))
        .map(|line| line.replace('"', ""))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "1 vitals_daily 2024-05-01 missing",
            "2 lab_daily 2024-05-01 missing",
            "3 nutrition_daily 2024-05-01 missing",
            "3 nutrition_daily 2024-06-01 surplus",
            "4 rejected_rows null missing",
            "5 vitals_daily 2024-05-01 outdated",
        ]
    );
    let text = db.run(&["verify"]).stdout;
    assert_says(
        &text,
        &["6 rows differ, 1 of them outdated", "difference", "surplus", "worker verify --repair"],
    );
    assert!(!text.contains("61.3") && !text.contains("soup"), "{text}");

    assert_eq!(verify(&db, &["--repair", "--user", "3"]).1["dates_repaired"], 2);
    assert_eq!(verify(&db, &["--repair"]).0, 0);
    assert_eq!(difference(&before, &db.figures_as_text().await), None);
}

#[tokio::test]
async fn dates_between_those_of_a_change_set_are_not_left_out() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM unnest(ARRAY['2024-05-01 10:00Z', '2024-05-15 10:00Z', '2024-05-30 10:00Z']::timestamptz[]) AS at",
    )
    .await;
    db.run_once();
    // One set, whose rows are a month apart, and between them a day that is wrong.
    db.execute(
        "UPDATE vitals_raw SET value = 61 WHERE started_at <> '2024-05-15 10:00Z';
         UPDATE vitals_daily SET mean = 1 WHERE local_date = '2024-05-15'",
    )
    .await;

    let report = db.run(&["verify", "--json"]).json();

    assert_eq!(report["drift"][0]["date"], "2024-05-15", "{report}");
}

#[tokio::test]
async fn dates_with_rows_in_the_queue_are_left_out_and_told_so() {
    let db = Database::new().await;
    insert_all_kinds(&db, 2).await;
    db.execute("UPDATE vitals_raw SET value = value + 1 WHERE user_id = 1").await;

    let (code, report) = verify(&db, &["--kind", "vitals"]);

    assert_eq!((code, &report["rows_different"]), (0, &0.into()), "{report}");
    assert_eq!(report["dates_pending"], 3, "the date and its neighbours");
    assert_says(&db.run(&["verify"]).stdout, &["left out: rows near them wait in the queue"]);
}

#[tokio::test]
async fn verifying_looks_at_each_user_as_of_one_moment_while_workers_write() {
    let db = Database::new().await;
    insert_samples(&db, 3, 50).await;
    db.run_once();
    // A worker is in the middle of a group whose figures are to change.
    db.execute("UPDATE vitals_raw SET value = value + 1 WHERE user_id = 2").await;
    let lock = UserLock::hold(&db.url, 2).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    let (code, report) = verify(&db, &[]);

    assert_eq!((code, &report["rows_different"]), (0, &0.into()), "{report}");
    lock.release().await;
    worker.succeeds();
    assert_eq!(verify(&db, &[]).1["dates_pending"], 0);
    assert_all_done(&db).await;
}

/// A night for each date of a quarter, over midnight, and one that never ends: more than a portion
/// has dates, and sessions over each of its borders.
#[tokio::test]
async fn nights_over_the_borders_of_portions_are_called_right() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO user_profiles VALUES (1, 'Europe/Berlin'), (2, 'Europe/Berlin');
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, metric, 1, 'min', 'watch', at, at + CASE u WHEN 1 THEN length ELSE '1 day' END
         FROM generate_series(1, 2) AS u,
              generate_series(timestamptz '2024-01-31 22:30+01', '2024-04-30 22:30+02', '1 day') AS at,
              (VALUES ('sleep_core', interval '7 hours'), ('sleep_in_bed', '9 hours'))
                  AS v (metric, length)",
    )
    .await;
    db.run_once();
    assert!(db.value::<i64>("SELECT count(*) FROM sleep_daily WHERE user_id = 1").await > 80);
    let before = db.figures_as_text().await;

    let (code, report) = verify(&db, &[]);

    assert_eq!((code, &report["rows_different"]), (0, &0.into()), "{report}");
    db.execute("DELETE FROM sleep_daily").await;
    assert!(verify(&db, &[]).1["rows_different"].as_i64().unwrap() > 160);
    assert_eq!(db.run(&["backfill", "--from", "2024-01-01", "--to", "2024-06-01"]).code, 0);
    assert_eq!(difference(&before, &db.figures_as_text().await), None);
}

/// Figures of sleep are found by their own dates, independent of the user's other rows.
#[tokio::test]
async fn days_of_sleep_without_any_row_are_surplus() {
    let db = Database::new().await;
    insert_all_kinds(&db, 2).await;
    db.execute(
        "DELETE FROM vitals_raw WHERE user_id = 2;
         DELETE FROM vitals_daily WHERE user_id = 2;
         DELETE FROM vitals_hourly WHERE user_id = 2;
         TRUNCATE aggregation_queue;
         UPDATE sleep_daily SET local_date = '2024-07-01' WHERE user_id = 1",
    )
    .await;
    let (code, report) = verify(&db, &["--kind", "vitals"]);
    let drift = report["drift"].as_array().unwrap().iter();
    let of_sleep: Vec<String> = drift
        .filter(|f| f["table"] == "sleep_daily")
        .map(|f| format!("{} {} {}", f["user_id"], f["date"], f["difference"]).replace('"', ""))
        .collect();
    let expected = ["1 2024-05-01 missing", "1 2024-07-01 surplus", "2 2024-05-01 surplus"];
    assert_eq!((code, of_sleep.as_slice()), (4, &expected.map(str::to_owned)[..]));
    assert_eq!(verify(&db, &["--repair"]).0, 0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM sleep_daily").await, 1);
}

#[tokio::test]
async fn a_backfill_brings_old_days_up_to_a_changed_profile() {
    let (db, scratch) = (Database::new().await, Database::new().await);
    insert_all_kinds(&db, 2).await;
    let changed = "UPDATE user_profiles SET time_zone = 'Asia/Tokyo', source_priority = '{phone}'";
    db.execute(changed).await;
    assert_eq!(verify(&db, &[]).0, 4, "they are as the former profile has them");

    let ran = db.run(&["backfill", "--from", "2024-04-30", "--to", "2024-05-02", "--json"]);

    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((&ran.json()["users"], &ran.json()["dates_failed"]), (&2.into(), &0.into()));
    assert_eq!(verify(&db, &[]).0, 0);
    insert_all_kinds(&scratch, 2).await;
    scratch.execute(changed).await;
    assert_eq!(scratch.run(&["requeue", "--user", "1"]).code, 0);
    assert_eq!(scratch.run(&["requeue", "--user", "2"]).code, 0);
    scratch.run_once();
    let (by_backfill, by_queue) = (db.figures_as_text().await, scratch.figures_as_text().await);
    assert_eq!(difference(&by_backfill, &by_queue), None);
}

/// The findings of a user, each once: table and difference.
fn findings(report: &Value, user: i64) -> BTreeSet<String> {
    let of_user = report["drift"].as_array().unwrap().iter().filter(|f| f["user_id"] == user);
    of_user.map(|f| format!("{} {}", f["table"], f["difference"]).replace('"', "")).collect()
}

#[tokio::test]
async fn a_change_of_a_users_zone_makes_days_outdated_in_every_table_and_is_no_drift() {
    let db = Database::new().await;
    insert_all_kinds(&db, 3).await;
    // Noon in UTC is the next day there, so that days lose rows to their neighbours.
    db.execute("UPDATE user_profiles SET time_zone = 'Pacific/Auckland' WHERE user_id = 1").await;
    db.execute("UPDATE user_profiles SET time_zone = 'Asia/Tokyo' WHERE user_id = 2").await;

    let (code, report) = verify(&db, &[]);

    let tables = db.figure_tables().await;
    let outdated: BTreeSet<String> = tables
        .iter()
        .filter(|table| *table != "rejected_rows")
        .map(|table| format!("{table} outdated"))
        .collect();
    assert_eq!((findings(&report, 1), findings(&report, 2)), (outdated.clone(), outdated));
    assert_eq!((code, &report["rows_outdated"]), (4, &report["rows_different"]));
    assert_eq!(report["dates_left_outdated"], report["dates_left"]);
    let text = db.run(&["verify"]).stdout;
    assert_says(&text, &["of them outdated", "Outdated rows are right for the zone"]);

    // A figure that another program changed is drift.
    db.execute("UPDATE nutrition_daily SET energy_kcal = 1 WHERE user_id = 3").await;
    let (_, report) = verify(&db, &[]);
    assert_eq!(findings(&report, 3), BTreeSet::from(["nutrition_daily different".to_owned()]));
    assert_eq!(report["dates_left_outdated"], report["dates_left"].as_i64().unwrap() - 1);
}

#[tokio::test]
async fn a_change_of_the_order_of_sources_makes_hours_outdated_with_their_day() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO user_profiles VALUES (1, 'UTC', '{watch}');
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (1, 'steps', 600, 'steps', 'watch', '2024-05-01 10:00Z', '2024-05-01 11:00Z'),
                (1, 'steps', 900, 'steps', 'phone', '2024-05-01 10:30Z', '2024-05-01 11:30Z'),
                (1, 'heart_rate', 60, 'bpm', 'phone', '2024-05-01 10:30Z', '2024-05-01 10:30Z')",
    )
    .await;
    db.run_once();
    db.execute("UPDATE user_profiles SET source_priority = '{phone}'").await;

    let (_, report) = verify(&db, &[]);

    let outdated = ["vitals_daily outdated", "vitals_hourly outdated"].map(str::to_owned);
    let found = findings(&report, 1);
    assert!(outdated.iter().all(|table| found.contains(table)), "{report}");
    assert!(found.iter().all(|finding| finding.ends_with(" outdated")), "{report}");
}

#[tokio::test]
async fn days_of_a_metric_that_the_catalogue_has_since_today_are_outdated() {
    let (db, scratch) = (Database::new().await, Scratch::new());
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (1, 'pushes', 7, 'count', 'chair', '2024-05-01 10:00Z', '2024-05-01 10:10Z')",
    )
    .await;
    db.run_once();
    let file = scratch.file(
        "mine.toml",
        "[metrics.pushes]\naggregation_style = \"cumulative\"\nunit = \"{count}\"\nmin = 0\nmax = 100_000\n",
    );
    let mut worker = db.worker();
    worker.env("WORKER__AGGREGATION__CATALOGUE", &file).args(["verify", "--json"]);
    let ran = Ran::of(worker.output().unwrap());
    let found = findings(&ran.json(), 1);
    assert!(found.contains("vitals_daily outdated"), "{ran:?}");
    assert!(found.iter().all(|finding| finding.ends_with(" outdated")), "{ran:?}");
}

#[tokio::test]
async fn a_backfill_fails_for_one_user_alone_and_says_so() {
    let db = Database::new().await;
    insert_all_kinds(&db, 3).await;
    db.execute("ALTER TABLE nutrition_daily ADD CONSTRAINT nobody CHECK (user_id <> 2) NOT VALID")
        .await;

    let whole = ["backfill", "--from", "2024-05-01", "--to", "2024-05-01"];
    let ran = db.run(&[&whole[..], &["--json"]].concat());

    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(ran.json()["dates_failed"], 1);
    let failed = ran.events("dates_failed");
    assert_eq!((&failed[0]["user_id"], &failed[0]["class"]), (&2.into(), &"refused".into()));
    assert_says(&db.run(&whole).stdout, &["1 date failed", "dates_failed"]);
}

#[tokio::test]
async fn ranges_the_wrong_way_round_are_wrong_usage() {
    let db = Database::new().await;
    for command in ["backfill", "verify"] {
        let ran = db.run(&[command, "--from", "2024-05-02", "--to", "2024-05-01"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert_says(&ran.stderr, &["later than --to", "exchange them"]);
    }
}

#[tokio::test]
async fn a_repair_lists_and_counts_and_asks_at_a_terminal_and_a_script_is_not_asked() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    db.run_once();
    let damage = "UPDATE vitals_daily SET sample_count = 99";
    db.execute(damage).await;
    let damaged = "SELECT count(*) FROM vitals_daily WHERE sample_count = 99";
    let repair = |more: &[&str], answer: &str| {
        answering(db.worker().args(["verify", "--repair"]).args(more), answer)
    };

    assert_eq!(db.run(&["verify", "--repair", "--dry-run"]).code, 4);
    let (code, shown) = repair(&[], "n\n");
    assert_eq!(code, 4, "{shown}");
    assert_says(&shown, &["2 rows differ", "This computes 2 dates again. Continue? [y/N]"]);
    assert_eq!(db.value::<i64>(damaged).await, 2);

    let (code, shown) = repair(&[], "yes\n");
    assert_eq!(code, 0, "{shown}");
    assert_says(&shown, &["2 dates computed again."]);
    assert_eq!(db.value::<i64>(damaged).await, 0);
    db.execute(damage).await;
    let (code, shown) = repair(&["--yes"], "");
    assert!(code == 0 && !shown.contains("[y/N]"), "{shown}");
    db.execute(damage).await;
    assert_eq!(db.run(&["verify", "--repair"]).code, 0);

    db.execute(
        "INSERT INTO rejected_rows (kind, raw_id, user_id, reason)
         SELECT 'vitals', id, user_id, 'unknown_unit' FROM vitals_raw LIMIT 1",
    )
    .await;
    let (code, shown) = repair(&[], "n\n");
    assert_eq!(code, 4, "{shown}");
    assert_says(&shown, &["This puts 1 row of rejected_rows right. Continue? [y/N]"]);
}

#[tokio::test]
async fn a_repair_with_one_connection_is_refused() {
    let db = Database::new().await;
    let one = db.worker().args(["verify", "--repair"]).env("WORKER__POOL__MAX_SIZE", "1").output();
    let ran = Ran::of(one.unwrap());
    assert_eq!(ran.code, 1);
    assert_says(&ran.stderr, &["two connections", "pool.max_size"]);
    let looks = db.worker().arg("verify").env("WORKER__POOL__MAX_SIZE", "1").output();
    assert_eq!(Ran::of(looks.unwrap()).code, 0);
}
