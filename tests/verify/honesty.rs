//! `worker verify` says of each difference what explains it, and what it could not compare.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{findings, insert_all_kinds, verify};
use crate::support::outside::{Scratch, assert_says};
use crate::support::tables::difference;
use crate::support::{Database, Ran};

fn words<const N: usize>(findings: [&str; N]) -> BTreeSet<String> {
    findings.map(str::to_owned).into()
}

/// How many rows of a user's table differ in some way.
fn rows(report: &Value, user: i64, table: &str, difference: &str) -> i64 {
    let drift = report["drift"].as_array().unwrap().iter();
    let of = drift.filter(|f| f["user_id"] == user && f["table"] == table);
    of.filter(|f| f["difference"] == difference).map(|f| f["rows"].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn dates_that_dead_rows_leave_out_are_counted_and_are_no_success() {
    let db = Database::new().await;
    insert_all_kinds(&db, 2).await;
    db.execute(
        "ALTER TABLE nutrition_daily ADD CONSTRAINT nobody CHECK (user_id <> 2) NOT VALID;
         UPDATE nutrition_raw SET energy_kcal = energy_kcal + 1 WHERE user_id = 2",
    )
    .await;
    let once = db.worker().arg("run-once").env("WORKER__BATCH__MAX_ATTEMPTS", "1").output();
    assert_eq!(Ran::of(once.unwrap()).code, 3);

    let (code, report) = verify(&db, &[]);

    assert_eq!((code, &report["rows_different"], &report["dates_left"]), (4, &0.into(), &0.into()));
    assert_eq!((&report["dates_dead"], &report["dates_pending"]), (&3.into(), &0.into()));
    let text = db.run(&["verify"]).stdout;
    assert_says(&text, &["3 dates could not be compared", "worker requeue --dead"]);
    assert_eq!(verify(&db, &["--kind", "vitals"]).0, 0);

    db.execute("ALTER TABLE nutrition_daily DROP CONSTRAINT nobody").await;
    assert_eq!(db.run(&["requeue", "--dead"]).code, 0);
    db.run_once();
    assert_eq!(verify(&db, &[]).0, 0);
}

#[tokio::test]
async fn rejected_rows_that_are_forged_or_missing_are_found_and_put_right() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'pushes', 7, 'count', 'chair', timestamptz '2024-05-01 10:00Z',
                timestamptz '2024-05-01 10:10Z'
         FROM generate_series(1, 6) AS u
         UNION ALL
         SELECT u, 'heart_rate', 60, 'bpm', 'watch', timestamptz 'infinity', timestamptz 'infinity'
         FROM generate_series(1, 6) AS u",
    )
    .await;
    insert_all_kinds(&db, 6).await;
    let before = db.figures_as_text().await;
    assert_eq!(verify(&db, &[]).0, 0);
    db.execute(
        "DELETE FROM rejected_rows WHERE user_id = 1;
         UPDATE rejected_rows SET reason = 'forged' WHERE user_id = 2;
         INSERT INTO rejected_rows (user_id, kind, raw_id, reason)
         SELECT 3, 'labs', min(id), 'empty_result' FROM lab_raw WHERE user_id = 3
         UNION ALL SELECT 4, 'vitals', 987654321, 'unknown_metric'
         UNION ALL SELECT 99, 'nutrition', 987654321, 'unknown_metric'",
    )
    .await;

    let (code, report) = verify(&db, &[]);

    assert_eq!(code, 4);
    for (user, difference, wrong) in [
        (1, "missing", 3),
        (2, "different", 3),
        (3, "surplus", 1),
        (4, "surplus", 1),
        (99, "surplus", 1),
    ] {
        assert_eq!(rows(&report, user, "rejected_rows", difference), wrong, "{user}: {report}");
    }
    assert_eq!((&report["rows_different"], &report["rows_outdated"]), (&9.into(), &0.into()));
    assert_eq!((&report["dates_left"], &report["rejected_rows_left"]), (&0.into(), &9.into()));

    let (code, report) = verify(&db, &["--repair"]);
    assert_eq!((code, &report["rejected_rows_repaired"]), (0, &9.into()));
    assert_eq!(verify(&db, &[]).1["rows_different"], 0);
    assert_eq!(difference(&before, &db.figures_as_text().await), None);
}

#[tokio::test]
async fn laboratory_rows_that_a_catalogue_or_a_version_renames_are_outdated() {
    let (db, scratch) = (Database::new().await, Scratch::new());
    insert_all_kinds(&db, 2).await;
    let file = scratch.file(
        "mine.toml",
        "[analytes.mine]\nnames = [\"a\"]\nunit = \"umol/L\"\nunits.\"mmol/L\".multiply_by = 1000\n",
    );
    let with_catalogue = || {
        let mut worker = db.worker();
        worker.env("WORKER__AGGREGATION__CATALOGUE", &file).args(["verify", "--json"]);
        Ran::of(worker.output().unwrap()).json()
    };
    assert_eq!(findings(&with_catalogue(), 1), words(["lab_daily outdated"]));
    // The catalogue says nothing of this one.
    db.execute("UPDATE lab_daily SET result_count = 2 WHERE analyte = 'name:b'").await;
    let found = findings(&with_catalogue(), 1);
    assert_eq!(found, words(["lab_daily different", "lab_daily outdated"]));
    assert_eq!(findings(&verify(&db, &[]).1, 1), words(["lab_daily different"]));

    db.execute(
        "UPDATE lab_daily SET result_count = 1 WHERE analyte = 'name:b';
         UPDATE lab_daily SET algorithm_version = 3, unit = 'mmol/l' WHERE unit = 'mmol/L'",
    )
    .await;
    let (code, report) = verify(&db, &[]);
    assert_eq!((code, findings(&report, 1)), (4, words(["lab_daily outdated"])));
}

#[tokio::test]
async fn a_meal_that_a_change_of_zone_moves_away_from_a_rejected_row_is_outdated() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO user_profiles VALUES (1, 'Europe/Berlin');
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, time_zone, source,
                                    energy_kcal)
         VALUES (1, 'soup', 'lunch', '2024-05-01 12:00Z', NULL, 'app', 300),
                (1, 'soup', 'lunch', '2024-05-01 05:00Z', 'Europe/Berlin', 'app', 'NaN')",
    )
    .await;
    db.run_once();
    assert_eq!(verify(&db, &[]).0, 0);
    db.execute("UPDATE user_profiles SET time_zone = 'Pacific/Auckland'").await;

    let (code, report) = verify(&db, &[]);

    assert_eq!((code, findings(&report, 1)), (4, words(["nutrition_daily outdated"])));
    assert_eq!(rows(&report, 1, "nutrition_daily", "outdated"), 2, "{report}");
}

#[tokio::test]
async fn a_changed_figure_of_a_day_of_another_zone_is_no_outdated_one() {
    let db = Database::new().await;
    insert_all_kinds(&db, 2).await;
    db.execute("UPDATE user_profiles SET time_zone = 'Asia/Tokyo'").await;
    let tables = ["vitals_daily", "vitals_hourly", "glucose_daily", "nutrition_daily", "lab_daily"];
    let outdated: BTreeSet<String> = findings(&verify(&db, &[]).1, 1);
    assert!(outdated.iter().all(|finding| finding.ends_with(" outdated")), "{outdated:?}");
    db.execute(
        "UPDATE vitals_daily SET mean = mean + 1 WHERE user_id = 1 AND metric = 'heart_rate';
         UPDATE vitals_hourly SET max = max + 1 WHERE user_id = 1 AND metric = 'heart_rate'
            AND hour_start = '2024-05-01 10:00Z';
         UPDATE glucose_daily SET mean = mean + 1 WHERE user_id = 1;
         UPDATE nutrition_daily SET item_count = item_count + 1 WHERE user_id = 1;
         UPDATE lab_daily SET last_value = 0 WHERE user_id = 1 AND analyte = 'name:a';
         DELETE FROM sleep_daily WHERE user_id = 1",
    )
    .await;

    let (_, report) = verify(&db, &[]);

    for table in tables {
        assert_eq!(rows(&report, 1, table, "different"), 1, "{table}: {report}");
    }
    assert!(rows(&report, 1, "vitals_daily", "outdated") > 1, "{report}");
    assert_eq!(rows(&report, 1, "lab_daily", "outdated"), 2, "{report}");
    assert_eq!(findings(&report, 2), outdated);
    assert_eq!(rows(&report, 1, "sleep_daily", "missing"), 1, "{report}");
}
