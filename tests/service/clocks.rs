//! Clocks that are wrong, or are put right while the service runs.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::{PROCESSING, QUEUED};
use crate::support::Database;
use crate::support::outside::Scratch;
use crate::support::rows::heart_rate;
use crate::support::running::{PATIENT, Running, UserLock, eventually, waiting};
use crate::support::samples::{assert_all_done, insert_minute, insert_samples};

const DAY_S: i64 = 86_400;

/// A library that shifts the wall clock of the process that preloads it. The C compiler that
/// links Rust programs makes it.
fn clock_shift() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/service/clock_shift.c");
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("clock_shift_{}.so", std::process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status();
        assert!(built.unwrap().success());
        library
    })
}

/// A service whose clock is wrong by what `file` says.
fn service_with_clock(db: &Database, scratch: &Scratch, shift_s: i64) -> (Running, PathBuf) {
    let file = scratch.file("shift", shift_s.to_string());
    let mut command = db.worker();
    command.env("LD_PRELOAD", clock_shift()).env("CLOCK_SHIFT_FILE", &file);
    (Running::service(command, &[]), file)
}

fn hour_of_first_line(service: &Running) -> chrono::DateTime<chrono::Utc> {
    let log = service.stderr.lock().unwrap().clone();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    line["timestamp"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_worker_whose_clock_is_a_day_wrong_disturbs_nobody() {
    for shift in [-DAY_S, DAY_S] {
        let db = Database::new().await;
        insert_samples(&db, 3, 5).await;
        let scratch = Scratch::new();
        let lock = UserLock::hold(&db.url, 1).await;
        let right = Running::service(db.worker(), &PATIENT);
        waiting(&db, 1).await;

        // By its own clock the other's lease is long over, or its rows are not yet due.
        let (wrong, _) = service_with_clock(&db, &scratch, shift);
        wrong.logs("database_ready").await;
        let off = hour_of_first_line(&wrong) - hour_of_first_line(&right);
        assert_eq!(off.num_hours().abs(), 23 + i64::from(shift > 0), "the clock is shifted");
        db.insert([heart_rate(60).at("2024-05-01 12:00Z").user(9)]).await;
        eventually(&db, "SELECT count(*) FROM vitals_daily WHERE user_id = 9", 1).await;
        assert_eq!(db.value::<i64>(PROCESSING).await, 15, "the other's rows are its own");
        let leases: i64 = db
            .value("SELECT count(*) FROM aggregation_queue WHERE lease_expires_at > now() + interval '1 h'")
            .await;
        assert_eq!(leases, 0);

        lock.release().await;
        eventually(&db, QUEUED, 0).await;
        wrong.stops();
        right.stops();
        assert_all_done(&db).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_put_right_while_it_runs_changes_nothing() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let (service, file) = service_with_clock(&db, &scratch, 0);
    service.logs("database_ready").await;
    for (round, shift) in [3_600, -3_600, -DAY_S, DAY_S].into_iter().enumerate() {
        std::fs::write(&file, shift.to_string()).unwrap();
        insert_minute(&db, 2, round as u32).await;
        eventually(&db, QUEUED, 0).await;
    }
    service.stops();
    assert_all_done(&db).await;
}
