//! The cause of a failure is in the line that tells of it, and in `aggregation_queue.last_error`.

use serde_json::Value;

use super::gate::{Gate, USER};
use super::proof::{assert_exact_at_no_attempt, insert_rows, remembering};
use super::{OF_THE_WORKER, QUEUED, only, service, speak_another_language};
use crate::service::SHORT_LEASE;
use crate::support::outside::assert_says;
use crate::support::running::{Running, UserLock, eventually, number, waiting};
use crate::support::{Database, Ran};

/// All lines of an event, which is told at least once.
#[track_caller]
fn told(ran: &Ran, event: &str) -> Vec<Value> {
    let told = ran.events(event);
    assert!(!told.is_empty(), "no {event} in {}", ran.stderr);
    told
}

async fn refuses_the_mean(db: &Database) {
    db.execute("ALTER TABLE vitals_daily ADD CONSTRAINT mean_is_low CHECK (mean < 1)").await;
    insert_rows(db, 0).await;
    let two = [("WORKER__BATCH__MAX_ATTEMPTS", "2")];
    let service = service(&db.url, &two);
    let dead =
        "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue WHERE state = 'dead'";
    eventually(db, dead, 15).await;

    let ran = service.stops();

    let failed = told(&ran, "group_failed");
    assert_eq!(failed.len(), 6, "{}", ran.stderr);
    for event in &failed {
        assert_eq!((&event["class"], &event["sqlstate"]), (&"refused".into(), &"23514".into()));
        assert_eq!(event["table"], "vitals_daily");
        assert_eq!(event["constraint"], "mean_is_low");
        assert!(number(event, "pid") > 0);
    }
    let cause = "check constraint mean_is_low on vitals_daily (23514); ";
    let lines: Vec<String> = failed.iter().map(|event| event["message"].to_string()).collect();
    for ending in ["retry 2 of 2 in 0.1 s", "gave up after 2 attempts"] {
        let line = |line: &&String| line.contains(&format!("{cause}{ending}"));
        assert_eq!(lines.iter().filter(line).count(), 3, "{lines:?}");
    }
    assert_says(&lines[0], &["Group failed (user 1, 2024-05-01, vitals): "]);
    let kept = "SELECT string_agg(DISTINCT last_error, '; ') FROM aggregation_queue";
    let kept: String = db.value(kept).await;
    assert_eq!(kept, "refused 23514 vitals_daily mean_is_low");
    assert!(!ran.stderr.contains(".4142135"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_refused_group_says_which_constraint_refused_it_and_when_it_is_tried_again() {
    refuses_the_mean(&Database::new().await).await;
}

#[tokio::test]
async fn so_it_does_where_the_server_speaks_another_language() {
    let db = Database::new().await;
    speak_another_language(&db).await;
    refuses_the_mean(&db).await;
}

#[tokio::test]
async fn a_missing_right_is_named_with_its_table() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let role = format!("{}_worker", db.name);
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN;
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};
         REVOKE UPDATE ON nutrition_daily FROM {role}"
    ))
    .await;
    let url = db.url.replace("//postgres@", &format!("//{role}@"));
    let service = service(&url, &[]);
    service.logs("database_unavailable").await;
    db.execute(&format!("GRANT UPDATE ON nutrition_daily TO {role}")).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();

    let interrupted = &told(&ran, "batch_interrupted")[0];
    assert_eq!(interrupted["sqlstate"], "42501", "{interrupted}");
    let says = ["a right is missing", "UPDATE on TABLE public.nutrition_daily is missing"];
    assert_says(&interrupted["error"].to_string(), &says);
    assert_says(&told(&ran, "database_unavailable")[0]["cause"].to_string(), &says);
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_group_that_waits_for_a_lock_says_who_holds_it() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let url = format!("{}&application_name=nightly_report", db.url);
    let lock = UserLock::hold(&url, USER).await;
    let settings = [("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.2")];
    let service = service(&db.url, &settings);
    service.logs("group_failed").await;
    eventually(&db, QUEUED, 5).await;
    assert_says(&db.run(&["status"]).stdout, &["locked: 55P03"]);
    lock.release().await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();

    let failed = &told(&ran, "group_failed")[0];
    assert_eq!(failed["sqlstate"], "55P03", "{failed}");
    assert_says(&failed["message"].to_string(), &["held by process ", "nightly_report"]);
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_is_told_with_that_session() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    db.run_once();
    insert_rows(&db, 1).await;
    let other = db.connect().await;
    other
        .batch_execute(&format!(
            "SET application_name = 'editor'; BEGIN;
             SELECT FROM vitals_daily WHERE user_id = {USER} FOR UPDATE"
        ))
        .await
        .unwrap();
    let settings = [("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "2")];
    let service = service(&db.url, &settings);
    service.logs("group_failed").await;
    other.batch_execute("ROLLBACK").await.unwrap();
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();

    assert_says(&told(&ran, "lock_wait")[0]["holders"].to_string(), &["editor"]);
    let says = ["editor, idle in transaction, transaction open for "];
    assert_says(&told(&ran, "group_failed")[0]["message"].to_string(), &says);
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_statement_that_an_administrator_cancels_counts_no_attempt() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let gate = Gate::in_statement(&db, "vitals_daily").await;
    let service = service(&db.url, &[]);
    waiting(&db, 1).await;

    let cancel = format!(
        "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity
         WHERE {OF_THE_WORKER} AND wait_event_type = 'Lock'"
    );
    assert_eq!(db.value::<i64>(&cancel).await, 1);
    service.logs("batch_interrupted").await;
    gate.open().await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();

    let interrupted = only(&ran, "batch_interrupted");
    assert_eq!(interrupted["class"], "cancelled", "{interrupted}");
    assert_eq!(interrupted["sqlstate"], "57014");
    assert_says(&interrupted["error"].to_string(), &["an administrator cancelled"]);
    assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
    assert_exact_at_no_attempt(&db, &ran).await;
}

/// Kills a worker in the middle of a group, and returns its process and the log of the one that took over.
async fn taken_over(db: &Database, mut killed: Running, round: u32) -> (u32, Ran) {
    let gate = Gate::in_statement(db, "vitals_daily").await;
    insert_rows(db, round).await;
    waiting(db, 1).await;
    let process = killed.child.id();
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    waiting(db, 0).await;
    gate.open().await;

    let service = service(&db.url, &SHORT_LEASE);
    eventually(db, QUEUED, 0).await;
    (process, service.stops())
}

#[tokio::test]
async fn rows_of_a_worker_that_was_killed_are_told_when_they_are_taken_over() {
    let db = remembering().await;
    let (process, ran) = taken_over(&db, service(&db.url, &SHORT_LEASE), 0).await;

    let rescued = told(&ran, "rows_rescued");
    // The group of user 1 was committed before.
    assert_eq!(rescued.iter().map(|event| number(event, "rows")).sum::<u64>(), 10);
    assert!(rescued.iter().all(|event| event["overdue_s"].as_f64().unwrap() > 0.0));
    assert_eq!(rescued[0]["from"], format!("process {process} on this host"));
    assert_says(
        &rescued[0]["message"].to_string(),
        &["rows of vitals taken over from a stopped worker"],
    );
}

#[tokio::test]
async fn a_killed_worker_whose_runs_are_listed_is_told_by_its_name() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let killed = service(&db.url, &SHORT_LEASE);
    eventually(&db, "SELECT count(*) FROM aggregation_runs WHERE rows_completed = 21", 1).await;
    let name: String = db.value("SELECT worker FROM aggregation_runs").await;

    let (_, ran) = taken_over(&db, killed, 1).await;

    let rescued = told(&ran, "rows_rescued");
    assert_eq!(rescued[0]["from"], name);
    assert_says(&rescued[0]["message"].to_string(), &[&name]);
}
