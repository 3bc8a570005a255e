//! Which days are changed, and which are only computed again.

use super::{ROWS, changes, days, sorted};
use crate::support::Database;
use crate::support::rows::vital;

/// The columns of daily tables that are no figures: how, when and from which rows a day was computed, and the parts
/// that follow from the clock.
const NO_FIGURES: [&str; 7] = [
    "computed_at",
    "context_fingerprint",
    "algorithm_version",
    "is_partial",
    "future_count",
    "reach_start",
    "reach_end",
];

#[tokio::test]
async fn an_insert_is_one_line_for_each_user_date_and_kind() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.run_once();
    let expected = days(&[
        (1, "2024-05-01", "labs"),
        (1, "2024-05-01", "nutrition"),
        (1, "2024-05-01", "vitals"),
        (1, "2024-05-02", "vitals"),
        (1, "2024-05-10", "labs"),
        (2, "2024-05-01", "vitals"),
        (2, "2024-05-02", "vitals"),
    ]);
    // The next result of the laboratory is in a group of its own, after the one that it is compared with.
    let (all, cursor) = changes(&db, "").await;
    assert_eq!(sorted(all), expected);
    assert_eq!(changes(&db, &cursor).await.0, []);
}

#[tokio::test]
async fn figures_that_are_computed_again_and_stay_the_same_are_no_change() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.run_once();
    let (_, cursor) = changes(&db, "").await;
    let times = "SELECT max(computed_at)::text FROM nutrition_daily";
    let before: String = db.value(times).await;
    db.execute(
        "UPDATE vitals_raw SET source = source; UPDATE nutrition_raw SET source = source;
         UPDATE lab_raw SET source = source",
    )
    .await;
    db.run_once();
    assert_ne!(db.value::<String>(times).await, before, "the day was computed again");
    let backfill = db.run(&["backfill", "--from", "2024-04-01", "--to", "2024-06-01"]);
    assert_eq!(backfill.code, 0, "{}", backfill.stderr);
    assert_eq!(db.run(&["requeue", "--user", "1"]).code, 0);
    db.run_once();
    assert_eq!(db.run(&["verify", "--repair", "--yes"]).code, 0);
    assert_eq!(changes(&db, &cursor).await.0, []);
}

#[tokio::test]
async fn corrections_and_deletions_are_changes_also_of_a_laboratorys_next_result() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.run_once();
    let (_, cursor) = changes(&db, "").await;

    db.execute("UPDATE lab_raw SET value_text = '139' WHERE collected_at < '2024-05-02'").await;
    db.run_once();
    let (corrected, cursor) = changes(&db, &cursor).await;
    let both = days(&[(1, "2024-05-01", "labs"), (1, "2024-05-10", "labs")]);
    assert_eq!(sorted(corrected), both, "the delta of the next result has changed");

    db.execute(
        "DELETE FROM lab_raw WHERE collected_at < '2024-05-02';
         DELETE FROM nutrition_raw;
         DELETE FROM vitals_raw WHERE user_id = 2 AND started_at >= '2024-05-02'",
    )
    .await;
    db.run_once();
    let (deleted, cursor) = changes(&db, &cursor).await;
    let expected = days(&[
        (1, "2024-05-01", "labs"),
        (1, "2024-05-01", "nutrition"),
        (1, "2024-05-10", "labs"),
        (2, "2024-05-02", "vitals"),
    ]);
    assert_eq!(sorted(deleted), expected);

    // Only an hour changes: the day's total, samples and sources stay the same.
    db.insert([vital("steps", 100, "count")
        .between("2024-05-01 10:00Z", "2024-05-01 10:30Z")
        .user(3)
        .source("phone")])
        .await;
    db.run_once();
    let (_, cursor) = changes(&db, &cursor).await;
    db.execute(
        "UPDATE vitals_raw SET started_at = '2024-05-01 14:00Z', ended_at = '2024-05-01 14:30Z'
         WHERE user_id = 3",
    )
    .await;
    db.run_once();
    assert_eq!(changes(&db, &cursor).await.0, days(&[(3, "2024-05-01", "vitals")]));
}

/// Each user's stored day differs in one column from the computed one, as if that figure had been another before.
#[tokio::test]
async fn each_column_of_a_day_is_compared_or_is_known_to_be_no_figure() {
    let db = Database::new().await;
    let columns = db
        .query(
            "SELECT (row_number() OVER (ORDER BY a.attrelid, a.attnum))::bigint, c.relname::text, a.attname::text,
                    t.typname::text
             FROM pg_class AS c
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             JOIN pg_type AS t ON t.oid = a.atttypid
             WHERE c.relname IN ('vitals_daily', 'sleep_daily', 'blood_pressure_daily', 'glucose_daily',
                                 'nutrition_daily', 'lab_daily')
               AND c.relkind = 'r'
               AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary
                               AND a.attnum = ANY (i.indkey))",
            &[],
        )
        .await;
    let users = columns.len();
    assert!(users > 150, "{users} columns");
    for user in 1..=users {
        let of_user = ROWS.replace(
            "generate_series(1, 2) AS u",
            &format!("generate_series({user}, {user}) AS u"),
        );
        db.execute(&of_user.replace("(1, '", &format!("({user}, '"))).await;
    }
    db.run_once();
    let (_, cursor) = changes(&db, "").await;
    let mut expected = Vec::new();
    for column in &columns {
        let (user, table, name): (i64, String, String) =
            (column.get(0), column.get(1), column.get(2));
        let other = match column.get::<_, String>(3).as_str() {
            "float8" | "int4" | "int8" => format!("coalesce({name}, 0) + 1"),
            "text" => format!("coalesce({name}, '') || 'x'"),
            "timestamptz" => format!("coalesce({name}, now()) + interval '1 second'"),
            "bool" => format!("NOT coalesce({name}, false)"),
            "jsonb" => "'{\"another\": 1}'".to_owned(),
            other => panic!("{table}.{name} is of type {other}"),
        };
        let day = "local_date = '2024-05-01'";
        let set = format!("UPDATE {table} SET {name} = {other} WHERE user_id = {user} AND {day}");
        db.execute(&set).await;
        if !NO_FIGURES.contains(&name.as_str()) {
            let kind = match table.as_str() {
                "nutrition_daily" => "nutrition",
                "lab_daily" => "labs",
                _ => "vitals",
            };
            expected.push((user, "2024-05-01".to_owned(), kind.to_owned()));
        }
    }
    db.execute(
        "UPDATE vitals_raw SET source = source; UPDATE nutrition_raw SET source = source;
         UPDATE lab_raw SET source = source WHERE collected_at < '2024-05-02'",
    )
    .await;
    db.run_once();
    let found = sorted(changes(&db, &cursor).await.0);
    let named = |days: &super::Days| -> Vec<String> {
        let of = |(user, date, kind): &(i64, String, String)| {
            let column = &columns[*user as usize - 1];
            format!("{}.{} {date} {kind}", column.get::<_, String>(1), column.get::<_, String>(2))
        };
        days.iter().map(of).collect()
    };
    assert_eq!(named(&found), named(&sorted(expected)));
}

#[tokio::test]
async fn the_end_of_a_day_is_no_change() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (1, 'heart_rate', 60, 'bpm', 'watch', now(), now())",
    )
    .await;
    db.run_once();
    let (_, cursor) = changes(&db, "").await;
    db.execute("UPDATE vitals_daily SET day_end = now() - interval '1 second'").await;
    db.run_once();
    assert!(!db.value::<bool>("SELECT is_partial FROM vitals_daily").await);
    assert_eq!(changes(&db, &cursor).await.0, []);
}

#[tokio::test]
async fn the_feed_can_be_turned_off() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    let mut worker = db.worker();
    worker.args(["run-once"]).env("WORKER__CHANGES__ENABLED", "false");
    assert!(worker.status().unwrap().success());
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_daily WHERE user_id = 2").await, 2);
    assert_eq!(changes(&db, "").await.0, []);
}
