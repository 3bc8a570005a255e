//! SIGHUP and SIGUSR1.

use crate::support::Database;
use crate::support::outside::{Scratch, assert_says};
use crate::support::running::{Running, UserLock, eventually, number, waiting};
use crate::support::samples::insert_samples;

use super::QUEUED;

/// A service that reads its configuration from a file, which the test may change.
async fn service_with(db: &Database, scratch: &Scratch, content: &str) -> Running {
    let file = scratch.file("worker.toml", content);
    let mut command = db.worker();
    command.arg("--config").arg(file);
    let service = Running::service(command, &[]);
    service.logs("database_ready").await;
    service
}

#[tokio::test]
async fn what_can_change_is_in_force_at_once_and_what_cannot_is_named() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let service = service_with(&db, &scratch, "[batch]\nsize = 100\n").await;

    scratch.file(
        "worker.toml",
        "[batch]\nsize = 50\nmax_size = 50\n[pool]\nmax_size = 2\n[log]\nlevel = \"debug\"\n",
    );
    service.signal("-HUP");
    service.logs("restart_needed").await;
    assert_eq!(service.events("reloaded")[0]["changed"], "batch.size batch.max_size log.level");
    assert_eq!(service.events("restart_needed")[0]["keys"], "pool.max_size");

    insert_samples(&db, 1, 500).await;
    eventually(&db, QUEUED, 0).await;
    let ran = service.stops();
    let rows: Vec<u64> =
        ran.events("batch_claimed").iter().map(|batch| number(batch, "rows")).collect();
    assert_eq!(rows, [50; 10]);
    assert!(!ran.events("group_committed").is_empty(), "the level is debug");
    assert_eq!(ran.events("batch_done")[0]["pool.max"], 4);
}

#[tokio::test]
async fn rows_that_were_claimed_before_a_reload_are_computed_as_the_new_settings_say() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let service = service_with(&db, &scratch, "").await;
    let lock = UserLock::hold(&db.url, 1).await;
    insert_samples(&db, 3, 5).await;
    // It has claimed the rows of all three.
    waiting(&db, 1).await;

    let catalogue = scratch.file("mine.toml", "[metrics.heart_rate]\nmax = 63\n");
    scratch.file("worker.toml", format!("[aggregation]\ncatalogue = {catalogue:?}\n"));
    service.signal("-HUP");
    service.logs("reloaded").await;
    lock.release().await;

    eventually(&db, QUEUED, 0).await;
    // Values from 62 on, one more for each row and user.
    let used = "SELECT string_agg(sample_count::text, ' ' ORDER BY user_id) FROM vitals_daily";
    assert_eq!(db.value::<String>(used).await, "2 1 0");
    let ran = service.stops();
    let outdated: Vec<_> =
        ran.events("group_outdated").iter().map(|event| number(event, "user_id")).collect();
    assert_eq!(outdated, [1], "the others are given back at once: {}", ran.stderr);
    assert_eq!(number(&ran.events("batch_done")[0], "released"), 15);
}

#[tokio::test]
async fn a_mistake_is_told_and_changes_nothing() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let service = service_with(&db, &scratch, "").await;

    scratch.file("worker.toml", "[batch]\nsize = 500\n[log]\nlevl = \"debug\"\n");
    service.signal("-HUP");
    service.logs_times("reload_refused", 2).await;
    let problems: Vec<String> =
        service.events("reload_refused").iter().map(|event| event["problem"].to_string()).collect();
    assert_says(&problems.join("\n"), &["batch.size = 500", "unknown key log.levl"]);

    scratch.file("worker.toml", "[log]\nlevel = \"loud\"\n");
    service.signal("-HUP");
    service.logs_times("reload_refused", 3).await;

    insert_samples(&db, 1, 1).await;
    eventually(&db, QUEUED, 0).await;
    let ran = service.stops();
    assert!(ran.events("reloaded").is_empty());
    assert!(ran.events("group_committed").is_empty(), "the level is info");
}

#[tokio::test]
async fn a_changed_summary_counts_from_the_last_one() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let service = service_with(&db, &scratch, "[service]\nsummary_seconds = 86400\n").await;
    scratch.file("worker.toml", "[service]\nsummary_seconds = 1\n");
    service.signal("-HUP");
    service.logs_times("summary", 2).await;
    service.stops();
}

#[tokio::test]
async fn a_changed_schedule_wakes_at_its_new_times() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let never = "poll_seconds = 0\nnutrition = \"\"\nlabs = \"\"\n";
    let content = |vitals: &str| format!("[schedule]\n{never}vitals = \"{vitals}\"\n");
    let file = scratch.file("worker.toml", content("0 0 0 1 1 *"));
    let mut command = db.worker();
    command.arg("--config").arg(file).arg("run");
    let service = Running::spawn(command);
    service.logs("database_ready").await;
    insert_samples(&db, 1, 1).await;

    scratch.file("worker.toml", content("* * * * * *"));
    service.signal("-HUP");

    eventually(&db, QUEUED, 0).await;
    assert_eq!(service.events("reloaded")[0]["changed"], "schedule.vitals");
    service.stops();
}

#[tokio::test]
async fn a_signal_makes_the_log_tell_more_and_another_as_much_as_before() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &[]);
    service.logs("database_ready").await;
    let mut committed = Vec::new();
    for round in 1..=3 {
        insert_samples(&db, 1, round).await;
        eventually(&db, QUEUED, 0).await;
        service.logs_times("batch_done", round as usize).await;
        committed.push(service.events("group_committed").len());
        service.signal("-USR1");
        service.logs_times("log_level_changed", round as usize).await;
    }
    assert_eq!(committed, [0, 1, 1]);
    service.stops();
}
