//! Months of raw rows are dropped: the steps of docs/retention.md, as they are written.

use std::fs;

use super::{assert_unchanged, figures, insert, pulse, rejected};
use crate::support::{Database, root};

/// The first block of a language in docs/retention.md that contains a text.
fn block(language: &str, with: &str) -> String {
    let page = fs::read_to_string(root().join("docs/retention.md")).unwrap();
    let begin = format!("```{language}\n");
    let mut blocks = page.split(&begin).skip(1);
    let block = blocks.find_map(|rest| rest.split("```").next().filter(|text| text.contains(with)));
    block.unwrap_or_else(|| panic!("no block with {with}")).to_owned()
}

/// A database with partitions from January 2024 on, and two heart rates on every fifth day of four months.
async fn partitioned() -> Database {
    let db = Database::new().await;
    let example = fs::read_to_string(root().join("docs/examples/partition.sql")).unwrap();
    // As if it had been run then.
    db.execute(&example.replace("now()", "timestamptz '2024-01-15 00:00Z'")).await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 7, 'heart_rate', 60 + n, 'bpm', 'watch', at, at
         FROM generate_series(0, 23) AS n, generate_series(0, 1) AS m,
              LATERAL (SELECT timestamptz '2024-01-03 10:00Z' + n * interval '5 days' + m * interval '1 hour' AS at) AS t",
    )
    .await;
    db.run_once();
    db
}

#[tokio::test]
async fn months_are_dropped_and_their_figures_stay() {
    let db = partitioned().await;
    let before = figures(&db).await;
    let command = block("console", "worker freeze");
    let arguments: Vec<&str> = command
        .lines()
        .find_map(|line| line.strip_prefix("$ worker "))
        .unwrap()
        .split(' ')
        .collect();
    let freeze = db.run(&arguments);
    assert_eq!(freeze.code, 0, "{freeze:?}");

    // As `batch_execute` would run all of it in one transaction, statement by statement.
    for statement in
        block("sql", "DETACH PARTITION").split(";\n").filter(|part| !part.trim().is_empty())
    {
        db.execute(statement).await;
    }
    assert!(
        db.query("SELECT FROM pg_class WHERE relname = 'vitals_raw_2024_02'", &[]).await.is_empty()
    );
    db.execute("TRUNCATE vitals_raw_first").await;
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM vitals_raw WHERE started_at < '2024-03-01'").await,
        0
    );
    db.run_once();
    assert_unchanged(&db, &before).await;
    let verified = db.run(&["verify", "--json"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    // Those of two months, and 3 March with its neighbour, whose raw rows are there.
    assert_eq!(verified.json()["dates_frozen"], 12 + 2);
    assert_eq!(db.run(&["backfill", "--from", "2024-01-01", "--to", "2024-12-31"]).code, 0);
    assert_unchanged(&db, &before).await;

    // A late row of that month has no partition any more, and is refused.
    let late = insert(&db, 99, "2024-02-07 12:00Z").await;
    let place: String = db
        .value(&format!("SELECT tableoid::regclass::text FROM vitals_raw WHERE id = {late}"))
        .await;
    assert_eq!(place, "vitals_raw_other");
    db.run_once();
    assert_eq!(rejected(&db).await, format!("vitals {late} frozen"));
    assert_unchanged(&db, &before).await;
    // The rows of March are computed as ever.
    insert(&db, 100, "2024-03-13 12:00Z").await;
    db.run_once();
    assert!(pulse(&db, "2024-03-13").await.starts_with("3 of"));
}

#[tokio::test]
async fn old_rows_are_deleted_in_bounded_batches() {
    let db = partitioned().await;
    let before = figures(&db).await;
    assert_eq!(db.run(&["freeze", "--before", "2024-03-04"]).code, 0);
    let batch = block("sql", "LIMIT").replace("LIMIT 5000", "LIMIT 7");
    let mut deleted = 0;
    loop {
        let rows = db.client.execute(batch.trim().trim_end_matches(';'), &[]).await.unwrap();
        if rows == 0 {
            break;
        }
        assert!(rows <= 7);
        deleted += rows;
        db.run_once();
    }
    assert_eq!(deleted, 24, "those of January and February");
    assert_unchanged(&db, &before).await;
    assert_eq!(db.run(&["verify"]).code, 0);
}
