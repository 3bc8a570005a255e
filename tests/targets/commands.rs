//! Commands on several targets.

use super::{Schemas, of_target};
use crate::support::outside::assert_says;

#[tokio::test]
async fn a_command_without_a_name_works_on_all_targets_and_ends_with_the_worst_exit_code() {
    let schemas = Schemas::new(&["a", "b"]).await;
    schemas.insert("a", 2).await;
    schemas.insert("b", 3).await;
    let all = schemas.configuration(&["a", "b"]);
    let ran = schemas.run(&all, &["run-once", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 1, "one object: {}", ran.stdout);
    let of = ran.json()["targets"].clone();
    assert_eq!(of[0]["target"], "a");
    assert_eq!(of[0]["result"]["rows_completed"], 2);
    assert_eq!(of[1]["result"]["rows_completed"], 3);
    assert_eq!(of_target(&ran, "run_done", "b").len(), 1);

    // Figures of b differ, and c has no tables.
    schemas.db.execute("UPDATE b.vitals_daily SET mean = 1 WHERE user_id = 1").await;
    let ran = schemas.run(&all, &["verify"]);
    assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
    assert_says(&ran.stdout, &["2 targets: 1 done, 1 not, with exit codes: b (4)."]);
    schemas.create("c").await;
    let more = schemas.scratch.file("more.toml", Schemas::list(&["a", "b", "c"]));
    let ran = schemas.run(&more, &["verify", "--json"]);
    assert_eq!((ran.code, &ran.json()["exit_code"]), (1, &1.into()), "{}", ran.stderr);
    assert!(ran.json()["targets"][2]["result"].is_null());
    assert_says(&ran.stderr, &["c: error: ", "worker migrate"]);
}

#[tokio::test]
async fn a_named_target_is_the_only_one_and_its_output_is_that_of_one_database() {
    let schemas = Schemas::new(&["a", "b"]).await;
    schemas.insert("a", 2).await;
    schemas.insert("b", 3).await;
    let all = schemas.configuration(&["a", "b"]);
    let ran = schemas.run(&all, &["--target", "b", "run-once", "--json"]);
    assert_eq!(ran.json()["rows_completed"], 3, "{}", ran.stderr);
    assert_eq!(of_target(&ran, "run_done", "b").len(), 1);
    assert_eq!(schemas.days("a").await, 0);

    let ran = schemas.run(&all, &["status", "--json", "--target", "a"]);
    assert_eq!(ran.json()["kinds"]["vitals"]["pending"], 2);
    let ran = schemas.run(&all, &["pause", "vitals", "--target", "a", "--target", "b", "--json"]);
    assert_eq!(ran.json()["targets"][1]["result"]["paused"], true, "{}", ran.stderr);
    for command in [["requeue", "--dead"], ["doctor", "--json"], ["resume", "vitals"]] {
        let ran = schemas.run(&all, &command);
        assert_eq!(ran.code, 0, "{command:?}: {}{}", ran.stdout, ran.stderr);
    }
    let backfill = ["backfill", "--from", "2024-05-01", "--to", "2024-05-01", "--json"];
    let ran = schemas.run(&all, &backfill);
    assert_eq!(ran.json()["targets"][1]["result"]["dates"], 3, "{}", ran.stderr);
}

#[tokio::test]
async fn wrong_names_and_commands_for_one_target_are_wrong_usage() {
    let schemas = Schemas::new(&[]).await;
    let all = schemas.configuration(&["eu_west", "eu_north"]);
    let usage = |arguments: &[&str]| {
        let ran = schemas.run(&all, arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        ran.stderr
    };
    assert_says(&usage(&["status", "--target", "eu_wset"]), &["eu_wset; did you mean eu_west?"]);
    assert_says(&usage(&["run", "--target", "eu_wset"]), &["did you mean eu_west?"]);
    assert_says(&usage(&["status", "--watch"]), &["one target", "--target NAME"]);
    assert_says(&usage(&["catalogue", "--target", "eu_west"]), &["leave --target out"]);
    let none = schemas.scratch.file("none.toml", "");
    let ran = schemas.run(&none, &["status", "--target", "a"]);
    assert_eq!(ran.code, 2);
    assert_says(&ran.stderr, &["the configuration lists no targets"]);
}

#[tokio::test]
async fn the_status_of_all_targets_is_a_table_with_a_row_for_each_and_their_sums() {
    let schemas = Schemas::new(&["a", "b"]).await;
    schemas.create("empty").await;
    schemas.insert("a", 2).await;
    schemas.insert("b", 1_200).await;
    let die =
        "UPDATE b.aggregation_queue SET state = 'dead', not_before = 'infinity' WHERE user_id <= 3";
    schemas.db.execute(die).await;
    let all = schemas.configuration(&["a", "b"]);
    let ran = schemas.run(&all, &["status"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let rows: Vec<Vec<&str>> =
        ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows[0],
        "target pending oldest backing off processing dead rejected".split(' ').collect::<Vec<_>>()
    );
    assert!(rows[2].starts_with(&["a", "2"]), "{}", ran.stdout);
    assert!(rows[3].starts_with(&["b", "1,197"]), "{}", ran.stdout);
    assert!(rows[4].starts_with(&["sum", "of", "2", "1,199"]), "{}", ran.stdout);
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    assert_says(&ran.stdout, &["2 targets: 2 done.", "--target NAME"]);

    // A target without tables has no counts, and the others keep theirs.
    let more = schemas.scratch.file("more.toml", Schemas::list(&["a", "b", "empty"]));
    let ran = schemas.run(&more, &["status"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert_says(&ran.stdout, &["sum of 2 ", "empty (1)"]);
    let ran = schemas.run(&all, &["status", "--json"]);
    let sums = &ran.json()["sums"];
    assert_eq!((&sums["pending"], &sums["dead"]), (&1_199.into(), &3.into()), "{sums}");
    assert!(sums["oldest_pending_seconds"].as_f64().is_some(), "{sums}");
}
