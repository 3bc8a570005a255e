//! Figures are frozen while a worker is at them.

use super::{OPEN, ROWS, assert_unchanged, figures, insert, pulse, rejected};
use crate::support::running::{Running, UserLock, waiting};
use crate::support::{Database, Ran};

/// As `worker freeze` does it, and at once some raw rows go.
const FREEZE: &str = "INSERT INTO frozen_figures (frozen_before) VALUES ('2024-03-05')";

#[tokio::test]
async fn a_batch_that_was_claimed_before_writes_no_frozen_figure() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.run_once();
    let before = figures(&db).await;
    let id = insert(&db, 99, "2024-02-15 12:00Z").await;
    let lock = UserLock::hold(&db.url, 7).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    db.execute(FREEZE).await;
    db.execute("DELETE FROM vitals_raw WHERE started_at < '2024-02-16' AND value < 99").await;
    lock.release().await;

    let ran = worker.succeeds();
    assert_eq!(ran.events("group_outdated").len(), 1, "{}", ran.stderr);
    assert_unchanged(&db, &before).await;
    assert_eq!(rejected(&db).await, format!("vitals {id} frozen"));
}

#[tokio::test]
async fn a_batch_of_open_dates_goes_on() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.run_once();
    insert(&db, 95, "2024-03-15 12:00Z").await;
    let lock = UserLock::hold(&db.url, 7).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;
    db.execute(FREEZE).await;
    lock.release().await;
    worker.succeeds();
    assert!(pulse(&db, "2024-03-15").await.starts_with("3 of"));
    assert_eq!(rejected(&db).await, "");
}

/// It has read the raw rows, and waits before it writes.
#[tokio::test]
async fn a_backfill_or_a_repair_that_has_begun_writes_no_frozen_figure() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.run_once();
    let before = figures(&db).await;
    let unnoticed = "SET session_replication_role = replica;
         UPDATE vitals_raw SET value = value + 1 WHERE metric = 'heart_rate' AND started_at < '2024-02-20';
         RESET session_replication_role";
    for arguments in [
        &["backfill", "--from", "2024-02-01", "--to", "2024-03-01", "--kind", "vitals"][..],
        &["verify", "--repair", "--yes", "--kind", "vitals"],
    ] {
        db.execute("DELETE FROM frozen_figures").await;
        db.execute(unnoticed).await;
        let blocker = db.connect().await;
        blocker.batch_execute("BEGIN; LOCK TABLE vitals_daily IN SHARE MODE").await.unwrap();
        let command = db.start(arguments);
        waiting(&db, 1).await;
        db.execute(FREEZE).await;
        blocker.batch_execute("COMMIT").await.unwrap();
        let ran = Ran::of(command.wait_with_output().unwrap());
        assert_unchanged(&db, &before).await;
        let frozen = db.run(&["verify"]);
        assert_eq!(frozen.code, 0, "{frozen:?} after {ran:?}");
    }
    assert_eq!(db.run(&["freeze"]).stdout.matches(OPEN).count(), 1);
}
