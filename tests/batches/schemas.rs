//! Several schemas of one database, each with a queue and figures of its own.

use super::{Running, UserLock, waiting};
use crate::support::{Database, Ran, connect, worker_at};

const SAMPLE: &str =
    "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    VALUES (1, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z')";

async fn two_schemas(db: &Database) -> [String; 2] {
    db.execute("CREATE SCHEMA north; CREATE SCHEMA south").await;
    ["north", "south"].map(|schema| {
        let url = format!("{}&options=-csearch_path%3D{schema}", db.url);
        let migrated = Ran::of(worker_at(&url).arg("migrate").output().unwrap());
        assert_eq!(migrated.code, 0, "{}", migrated.stderr);
        url
    })
}

#[tokio::test]
async fn two_schemas_of_one_database_do_not_see_each_other() {
    let db = Database::empty().await;
    let [north, south] = two_schemas(&db).await;
    connect(&north).await.batch_execute(SAMPLE).await.unwrap();

    let in_south = Running::start(worker_at(&south), &[]).succeeds();
    assert_eq!(in_south.json()["rows_claimed"], 0);
    let in_north = Running::start(worker_at(&north), &[]).succeeds();
    assert_eq!(in_north.json()["rows_completed"], 1);

    assert_eq!(db.value::<i64>("SELECT count(*) FROM north.vitals_daily").await, 1);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM south.vitals_daily").await, 0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM north.aggregation_runs").await, 1);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM south.aggregation_runs").await, 0);
}

#[tokio::test]
async fn workers_on_two_schemas_do_not_wait_for_each_other() {
    let db = Database::empty().await;
    let [north, south] = two_schemas(&db).await;
    for url in [&north, &south] {
        connect(url).await.batch_execute(SAMPLE).await.unwrap();
    }
    let lock = UserLock::hold(&north, 1).await;
    let in_north = Running::start(worker_at(&north), &[]);
    waiting(&db, 1).await;

    let in_south = Running::start(worker_at(&south), &[]).succeeds();
    assert_eq!(in_south.json()["rows_completed"], 1, "the same user, in another schema");
    assert_eq!(db.value::<i64>("SELECT count(*) FROM north.vitals_daily").await, 0);

    lock.release().await;
    assert_eq!(in_north.succeeds().json()["rows_completed"], 1);
}

#[tokio::test]
async fn a_session_with_another_search_path_queues_in_the_tables_own_schema() {
    let db = Database::empty().await;
    let [north, _] = two_schemas(&db).await;
    db.execute("SET search_path = south").await;
    db.execute(&SAMPLE.replace("vitals_raw", "north.vitals_raw")).await;

    assert_eq!(db.value::<i64>("SELECT count(*) FROM south.aggregation_queue").await, 0);
    assert_eq!(Running::start(worker_at(&north), &[]).succeeds().json()["rows_completed"], 1);
}
