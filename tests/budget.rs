//! The connections that the worker may open, and those that the server has.

use local_postgres::{Binaries, LocalPostgres};

use crate::support::outside::{assert_says, refused};
use crate::support::running::{Running, eventually, number};
use crate::support::samples::insert_samples;
use crate::support::{Database, connect, database, worker_at};

/// Lets a role do everything the worker does.
async fn role_with_rights(db: &Database, role: &str, limit: i32) {
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit};
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ))
    .await;
}

#[tokio::test]
async fn a_pool_larger_than_the_role_may_have_is_refused_with_the_arithmetic() {
    let db = Database::new().await;
    let role = format!("small_{}", db.name);
    role_with_rights(&db, &role, 2).await;
    let url = db.url.replace("postgres@", &format!("{role}@"));

    let why = refused(worker_at(&url).arg("run-once"));

    assert_says(
        &why,
        &["pool.max_size is 4", "max_connections 200", "the role may have 2", "to 2 or less"],
    );
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
    eventually(&db, &sessions, 0).await;
    let mut fitting = worker_at(&url);
    let ran = fitting.arg("run-once").env("WORKER__POOL__MAX_SIZE", "2").output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    db.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn the_service_waits_until_there_is_room_for_it() {
    let db = Database::new().await;
    db.execute(&format!("ALTER DATABASE {} CONNECTION LIMIT 3", db.name)).await;
    let role = format!("waiting_{}", db.name);
    role_with_rights(&db, &role, -1).await;
    let url = db.url.replace("postgres@", &format!("{role}@"));
    let service = Running::service(worker_at(&url), &[]);
    service.logs("database_unavailable").await;
    let why = service.events("database_unavailable")[0]["cause"].to_string();
    assert_says(&why, &["the database may have 3", "pool.max_size is 4"]);

    db.execute(&format!("ALTER DATABASE {} CONNECTION LIMIT -1", db.name)).await;
    service.logs("database_ready").await;
    insert_samples(&db, 1, 1).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    service.stops();
    db.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn more_than_is_left_now_is_warned_of_and_the_work_is_done() {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let settings = [("max_connections", "8"), ("superuser_reserved_connections", "1")];
    let server = LocalPostgres::start_with(&binaries, &settings).unwrap();
    let url = server.url("postgres");
    assert!(worker_at(&url).arg("migrate").output().unwrap().status.success());
    let db = database(&url).await;
    insert_samples(&db, 2, 5).await;
    let enough = Running::start(worker_at(&url), &[]).succeeds();
    assert!(enough.events("budget_tight").is_empty(), "{}", enough.stderr);

    db.execute("UPDATE vitals_raw SET value = value + 1").await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(connect(&url).await);
    }
    let ran = Running::start(worker_at(&url), &[]).succeeds();
    let told = &ran.events("budget_tight")[0];
    // The last run's connections may still be on their way out.
    let others = number(told, "others");
    assert!(others >= 5, "{told}");
    assert_eq!((number(told, "wanted"), number(told, "left")), (4, 8 - others), "{told}");
    assert_eq!(ran.json()["rows_completed"], 10);
}
