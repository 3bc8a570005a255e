//! The process is gone before any of its messages to the server, and before two of them one after the other.
//! Every change is aggregated exactly once all the same.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use store::CRASH_VARIABLE;

use crate::faults::proof::{insert_rows, remember, users_with_attempts};
use crate::support::Database;
use crate::support::running::{UserLock, eventually};
use crate::support::tables::difference;

/// The user whose vitals are locked while workers crash, so that these rows are released.
const LOCKED: i64 = 2;

/// The user whose meals cannot be written while workers crash.
const FAILING: i64 = 3;

/// As many as the machine has processors, and one that waits for the server.
const AT_A_TIME: usize = 3;

/// SIGABRT.
const ABORTED: i32 = 6;

#[test]
fn a_crash_before_any_message_to_the_server_loses_nothing_and_does_nothing_twice() {
    let last = survived((1..).map(|message| vec![message]));
    assert!(last > 100, "a run sends more than {last} messages");
}

#[test]
fn nor_do_two_crashes_one_after_the_other() {
    let messages = || (20..).step_by(37).take(7);
    survived(messages().flat_map(|first| messages().map(move |second| vec![first, second])));
}

/// Goes through all of them, several at a time, each on a database of its own, until one run sends fewer messages
/// than it would take to crash. Says how many runs crashed.
fn survived(crashes: impl Iterator<Item = Vec<u32>> + Send) -> u32 {
    let expected = blocking(async {
        let db = Database::new().await;
        insert_rows(&db, 0).await;
        db.run_once();
        db.figures_as_text().await
    });
    assert!(!expected.is_empty());
    let (left, crashed) = (Mutex::new(crashes.fuse()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                blocking(async {
                    let mut db = prepared().await;
                    loop {
                        let next = left.lock().unwrap().next();
                        let Some(crashes) = next else { return };
                        if !survive(&mut db, &crashes, &expected).await {
                            return;
                        }
                        *crashed.lock().unwrap() += 1;
                    }
                });
            });
        }
    });
    crashed.into_inner().unwrap()
}

fn blocking<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn prepared() -> Database {
    let db = Database::new().await;
    remember(&db).await;
    db.execute(&format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE 'refused'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON nutrition_daily
             FOR EACH ROW WHEN (NEW.user_id = {FAILING}) EXECUTE FUNCTION refuse()"
    ))
    .await;
    db
}

/// One worker after the other crashes, and then one finds everything as it should be. Whether all crashed.
async fn survive(db: &mut Database, crashes: &[u32], expected: &[String]) -> bool {
    db.wipe().await;
    db.execute("DELETE FROM memory; ALTER TABLE nutrition_daily ENABLE TRIGGER refuse").await;
    insert_rows(db, 0).await;
    let lock = UserLock::hold(&db.url, LOCKED).await;
    let mut have_all_crashed = true;
    for message in crashes {
        have_all_crashed &= crash_before(db, *message);
        // The server does what it had received before.
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'";
        eventually(db, sessions, 0).await;
        // Leases and back-offs are over here.
        db.execute(
            "UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'
             WHERE state = 'processing';
             UPDATE aggregation_queue SET not_before = now() WHERE state = 'pending'",
        )
        .await;
    }
    lock.release().await;
    db.execute("ALTER TABLE nutrition_daily DISABLE TRIGGER refuse").await;
    db.run_once();

    let queued: i64 = db.value("SELECT count(*) FROM aggregation_queue").await;
    assert_eq!(queued, 0, "{crashes:?}");
    let not_once: i64 = db
        .value(
            "SELECT count(*) FROM (SELECT count(*) FILTER (WHERE queued) AS queued,
                                          count(*) FILTER (WHERE NOT queued) AS done
                                   FROM memory GROUP BY change) AS changes
             WHERE (queued, done) <> (1, 1)",
        )
        .await;
    assert_eq!(not_once, 0, "{crashes:?}");
    if let Some(wrong) = difference(&db.figures_as_text().await, expected) {
        panic!("{crashes:?}: lived (-) and from scratch (+): {wrong}");
    }
    let attempted = users_with_attempts(db).await;
    assert!(attempted.iter().all(|user| *user == FAILING), "{crashes:?}: {attempted:?}");
    have_all_crashed
}

/// Runs a worker that crashes instead of sending a message. Whether it sent this many.
fn crash_before(db: &Database, message: u32) -> bool {
    let mut command: Command = db.worker();
    command
        .args(["run-once", "--json"])
        .env(CRASH_VARIABLE, message.to_string())
        .env("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.05")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = command.output().unwrap();
    let has_crashed = output.status.signal() == Some(ABORTED);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(has_crashed || output.status.code().is_some(), "message {message}: {told}");
    has_crashed
}
