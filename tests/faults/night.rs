//! A night with four faults, as the log tells it. `docs/night.md` explains the log of such a night.

use local_postgres::Shutdown;

use super::proof::{assert_exact, insert_rows, remember};
use super::{QUEUED, end_sessions};
use crate::support::running::{Running, UserLock, eventually};
use crate::support::{Database, Ran, database, server_of_its_own, worker_at};

/// Whether one line of a log has all of these texts.
fn has_line(log: &str, texts: &[&str]) -> bool {
    log.lines().any(|line| texts.iter().all(|text| line.contains(text)))
}

/// Waits until one line of the log has all of these texts.
async fn says(service: &Running, texts: &[&str]) {
    for _ in 0..3_000 {
        if has_line(&service.stderr.lock().unwrap(), texts) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no line has {texts:?}: {}", service.stderr.lock().unwrap());
}

#[track_caller]
fn assert_line(ran: &Ran, texts: &[&str]) {
    assert!(has_line(&ran.stderr, texts), "no line has {texts:?}: {}", ran.stderr);
}

/// A role that may do what the worker must, so that it can be limited, and the URL with it.
async fn worker_role(db: &Database, url: &str) -> String {
    db.execute(
        "CREATE ROLE dayfold_worker LOGIN;
         GRANT ALL ON ALL TABLES IN SCHEMA public TO dayfold_worker;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO dayfold_worker",
    )
    .await;
    url.replace("//postgres@", "//dayfold_worker@")
}

#[tokio::test]
async fn each_fault_of_a_night_has_a_line_that_says_what_happened_why_and_what_comes_next() {
    let (mut server, url) = server_of_its_own().await;
    let mut db = database(&url).await;
    remember(&db).await;
    let settings = [
        ("WORKER__LOG__FORMAT", "text"),
        ("WORKER__LOG__LEVEL", "debug"),
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "1"),
        ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "1"),
    ];
    let service = Running::service(worker_at(&worker_role(&db, &url).await), &settings);
    says(&service, &["connected to the database"]).await;

    // A trigger of the app's fails for user 2.
    db.execute(
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'audit of 60.4142135 is closed'; END $$;
         CREATE TRIGGER audit BEFORE INSERT OR UPDATE ON vitals_daily
             FOR EACH ROW WHEN (NEW.user_id = 2) EXECUTE FUNCTION audit()",
    )
    .await;
    insert_rows(&db, 0).await;
    says(&service, &["Group failed (user 2"]).await;
    db.execute("DROP TRIGGER audit ON vitals_daily").await;
    eventually(&db, QUEUED, 0).await;

    // A session holds the lock of user 3.
    let lock = UserLock::hold(&format!("{url}&application_name=reporting"), 3).await;
    insert_rows(&db, 1).await;
    says(&service, &["Group failed (user 3"]).await;
    lock.release().await;
    eventually(&db, QUEUED, 0).await;

    // The server is away.
    server.stop(Shutdown::Fast).unwrap();
    says(&service, &["database unavailable"]).await;
    server.start_again().unwrap();
    db = database(&url).await;
    insert_rows(&db, 2).await;
    eventually(&db, QUEUED, 0).await;

    // The server has no connection left for the worker.
    db.execute("ALTER ROLE dayfold_worker CONNECTION LIMIT 0").await;
    end_sessions(&db, "true").await;
    insert_rows(&db, 3).await;
    let no_place = ["too many connections for role \"dayfold_worker\"", "next attempt in "];
    says(&service, &no_place).await;
    db.execute("ALTER ROLE dayfold_worker CONNECTION LIMIT -1").await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    for line in ran.stderr.lines().filter(|line| !line.contains(" DEBUG ")) {
        println!("{line}");
    }
    assert_line(
        &ran,
        &[
            "Group failed (user 2, 2024-05-01, vitals): an error was raised in function audit (P0001)",
            "; retry 2 of 5 in 1.0 s",
        ],
    );
    assert_line(
        &ran,
        &[
            "Group failed (user 3, 2024-05-01, vitals): a lock was not granted in time (55P03); held by process ",
            " (reporting); retry in 1.0 s, no attempt counted",
        ],
    );
    assert_line(
        &ran,
        &["database unavailable; rows stay queued; circuit breaker open; next attempt in "],
    );
    assert_line(&ran, &no_place);
    assert!(ran.stderr.matches("connected to the database").count() >= 3, "{}", ran.stderr);
    assert_exact(&db, &ran).await;
}
