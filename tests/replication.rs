//! Raw tables that are filled by logical replication.

use local_postgres::{Binaries, LocalPostgres};
use serde_json::Value;

use crate::support::doctor::assert_check;
use crate::support::running::eventually;
use crate::support::{Database, Ran, connect, worker_at};

const RAW: [&str; 3] = ["vitals_raw", "nutrition_raw", "lab_raw"];

/// A server, and two databases of it that `worker migrate` made.
async fn two_databases() -> (LocalPostgres, Database, Database) {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let server = LocalPostgres::start_with(&binaries, &[("wal_level", "logical")]).unwrap();
    let postgres = connect(&server.url("postgres")).await;
    let mut databases = Vec::new();
    for name in ["source", "target"] {
        postgres.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let url = server.url(name);
        let migrated = Ran::of(worker_at(&url).arg("migrate").output().unwrap());
        assert_eq!(migrated.code, 0, "{migrated:?}");
        databases.push(Database {
            name: name.to_owned(),
            client: connect(&url).await,
            url,
            id_type: Default::default(),
        });
    }
    let target = databases.pop().unwrap();
    (server, databases.pop().unwrap(), target)
}

/// Has the target follow the raw tables of the source.
async fn subscribe(source: &Database, target: &Database) {
    source
        .execute(
            "CREATE PUBLICATION dayfold FOR TABLE user_profiles, vitals_raw, nutrition_raw, lab_raw",
        )
        .await;
    source.execute("SELECT pg_create_logical_replication_slot('dayfold', 'pgoutput')").await;
    target
        .execute(&format!(
            "CREATE SUBSCRIPTION dayfold CONNECTION '{}' PUBLICATION dayfold
             WITH (create_slot = false, slot_name = 'dayfold')",
            source.url
        ))
        .await;
}

/// Three rows, one of each kind, of a user.
async fn insert(db: &Database, user_id: i64) {
    db.execute(&format!(
        "INSERT INTO user_profiles VALUES ({user_id}, 'Asia/Tokyo');
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES ({user_id}, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 20:00Z', '2024-05-01 20:00Z');
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         VALUES ({user_id}, 'soup', 'lunch', '2024-05-01 20:00Z', 'app', 60);
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         VALUES ({user_id}, 'iron', '60', 'umol/L', 'final', '2024-05-01 20:00Z', 'lab')"
    ))
    .await;
}

const QUEUED: &str = "SELECT count(*) FROM raw_row_status WHERE status = 'pending'";

/// The states of the waiting raw rows, as soon as there are as many as expected.
async fn run_once(target: &Database, waiting: i64) -> Value {
    eventually(target, QUEUED, waiting).await;
    target.run_once()
}

/// Each figure of each user, with its date.
async fn figures(db: &Database) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', user_id, local_date, mean) FROM vitals_daily
               UNION ALL SELECT concat_ws(' ', user_id, local_date, energy_kcal) FROM nutrition_daily
               UNION ALL SELECT concat_ws(' ', user_id, local_date, last_value) FROM lab_daily
               ORDER BY 1";
    db.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn rows_that_a_subscription_copies_and_applies_queue_themselves() {
    let (_server, source, target) = two_databases().await;
    insert(&source, 1).await;
    subscribe(&source, &target).await;
    // The copy that a subscription begins with.
    run_once(&target, 3).await;
    assert_eq!(figures(&target).await, ["1 2024-05-02 60"; 3]);

    insert(&source, 2).await;
    run_once(&target, 3).await;
    assert_eq!(figures(&target).await.len(), 6);

    source
        .execute(
            "UPDATE vitals_raw SET value = 70, started_at = '2024-05-03 20:00Z', ended_at = '2024-05-03 20:00Z'
             WHERE user_id = 2;
             UPDATE nutrition_raw SET energy_kcal = 70, eaten_at = '2024-05-03 20:00Z' WHERE user_id = 2;
             UPDATE lab_raw SET value_text = '70', collected_at = '2024-05-03 20:00Z' WHERE user_id = 2",
        )
        .await;
    eventually(&target, "SELECT count(*) FROM lab_raw WHERE value_text = '70'", 1).await;
    target.run_once();
    let mut moved = vec!["1 2024-05-02 60"; 3];
    moved.extend(["2 2024-05-04 70"; 3]);
    assert_eq!(figures(&target).await, moved, "the former dates have no figures any more");

    source
        .execute("DELETE FROM vitals_raw WHERE user_id = 2; TRUNCATE nutrition_raw, lab_raw")
        .await;
    eventually(&target, "SELECT count(*) FROM lab_raw", 0).await;
    target.run_once();
    assert_eq!(figures(&target).await, ["1 2024-05-02 60"]);
    assert_eq!(target.run(&["verify"]).code, 0);
    assert_check(&target.url, "triggers", 0, "ok", &[]);
}

#[tokio::test]
async fn what_an_administrator_keeps_from_the_triggers_is_not_queued() {
    let db = Database::new().await;
    insert(&db, 1).await;
    db.run_once();
    db.execute(
        "BEGIN; SET LOCAL session_replication_role = replica;
         DELETE FROM vitals_raw; UPDATE lab_raw SET value_text = '9'; COMMIT",
    )
    .await;
    assert_eq!(db.value::<i64>(QUEUED).await, 0);
}

#[tokio::test]
async fn a_trigger_that_does_not_fire_for_replicated_rows_is_told() {
    for table in RAW {
        let db = Database::new().await;
        db.execute(&format!("ALTER TABLE {table} ENABLE TRIGGER queue_replicated")).await;
        let found = format!("queue_replicated on {table} (it is not enabled for replicas)");
        assert_check(&db.url, "triggers", 0, "warning", &[&found, "ENABLE REPLICA TRIGGER"]);
    }
}
