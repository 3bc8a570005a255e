//! Raw rows in monthly partitions: `docs/examples/partition.sql`, as it is written.

use std::fs;
use std::path::Path;

use crate::support::Database;
use crate::support::rows::heart_rate;

/// A heart rate of user 7 about noon, this many days after the first of next month. No two are of
/// the same minute: such ones would count as one.
async fn insert(db: &Database, days: i32) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 7, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM (SELECT {} + interval '1 minute' * (SELECT count(*) FROM vitals_raw)) AS noon (at)",
        noon(days)
    ))
    .await;
}

/// The instant, in SQL: noon UTC, this many days after the first of next month.
fn noon(days: i32) -> String {
    format!(
        "((date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')::date::timestamp
          AT TIME ZONE 'UTC' + interval '12 hours' + interval '{days} days')"
    )
}

/// The samples of each day, in the order of the days.
async fn days(db: &Database) -> String {
    let samples = "SELECT coalesce(string_agg(sample_count::text, ' ' ORDER BY local_date), 'none')
                   FROM vitals_daily WHERE user_id = 7 AND metric = 'heart_rate'";
    db.value(samples).await
}

async fn waiting(db: &Database) -> i64 {
    db.value("SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue").await
}

/// The partitions that hold rows, those of months by their number from next month on.
async fn rows_by_partition(db: &Database) -> String {
    db.value(
        "SELECT string_agg(name || ' ' || rows, ', ' ORDER BY name)
         FROM (SELECT tableoid::regclass::text AS name, count(*) AS rows FROM vitals_raw GROUP BY 1)
              AS partitions
         WHERE name IN ('vitals_raw_first', 'vitals_raw_other')",
    )
    .await
}

/// A database with rows of last month, of next month and of no time, in partitions.
async fn partitioned() -> Database {
    let db = Database::new().await;
    for day in [-40, -40, 0] {
        insert(&db, day).await;
    }
    db.insert([heart_rate(60).at("infinity").user(7)]).await;
    db.run_once();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/partition.sql");
    db.execute(&fs::read_to_string(path).unwrap()).await;
    db
}

#[tokio::test]
async fn a_table_that_becomes_partitioned_keeps_rows_figures_and_an_empty_queue() {
    let db = partitioned().await;
    assert_eq!(rows_by_partition(&db).await, "vitals_raw_first 2, vitals_raw_other 1");
    assert_eq!((waiting(&db).await, days(&db).await.as_str()), (0, "2 1"));
    assert_eq!(db.value::<i64>("SELECT count(*) FROM raw_row_status").await, 4);
    let verified = db.run(&["verify", "--json"]);
    assert_eq!((verified.code, &verified.json()["raw_rows"]), (0, &3.into()), "{verified:?}");
    let doctor = db.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
}

#[tokio::test]
async fn rows_of_a_partitioned_table_are_queued_even_when_they_move_to_another_partition() {
    let db = partitioned().await;
    insert(&db, 1).await;
    insert(&db, 1).await;
    db.run_once();
    assert_eq!(days(&db).await, "2 1 2");

    let moved = format!(
        "UPDATE vitals_raw SET started_at = started_at + apart, ended_at = ended_at + apart
         FROM (SELECT {} - {}) AS times (apart)
         WHERE user_id = 7 AND started_at < now() - interval '1 day'",
        noon(1),
        noon(-40)
    );
    db.execute(&moved).await;
    assert_eq!(waiting(&db).await, 4, "the former and the new time of both rows");
    db.run_once();
    assert_eq!(days(&db).await, "1 4");

    db.execute("DELETE FROM vitals_raw WHERE user_id = 7").await;
    db.run_once();
    assert_eq!(days(&db).await, "none");
}

#[tokio::test]
async fn a_statement_on_several_partitions_is_packed_as_one() {
    let db = partitioned().await;
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 7, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM generate_series(0, 119) AS n, LATERAL (SELECT {} + n * interval '12 hours' AS at) AS t",
        noon(3)
    ))
    .await;
    let sets = "SELECT string_agg(cardinality(raw_ids)::text, ' ' ORDER BY starts_at) FROM aggregation_queue";
    assert_eq!(db.value::<String>(sets).await, "50 50 20");
    db.run_once();
    assert_eq!(db.run(&["verify", "--json"]).json()["raw_rows"], 123);
}

#[tokio::test]
async fn a_month_that_is_dropped_leaves_its_figures_and_verify_begins_behind_it() {
    let db = partitioned().await;
    insert(&db, 45).await;
    db.run_once();
    let first: String = db.value(&format!("SELECT to_char({}, 'YYYY_MM')", noon(0))).await;
    db.execute(&format!(
        "ALTER TABLE vitals_raw DETACH PARTITION vitals_raw_{first};
         DROP TABLE vitals_raw_{first}"
    ))
    .await;
    assert_eq!((waiting(&db).await, days(&db).await.as_str()), (0, "2 1 1"));

    let whole = db.run(&["verify", "--json"]);
    assert_eq!(whole.code, 4, "{whole:?}");
    assert_eq!(whole.json()["drift"][0]["difference"], "surplus");
    let from: String = db.value(&format!("SELECT ({})::date::text", noon(35))).await;
    let behind = db.run(&["verify", "--from", &from, "--json"]);
    assert_eq!((behind.code, &behind.json()["raw_rows"]), (0, &1.into()), "{behind:?}");
}
