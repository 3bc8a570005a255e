//! The webhook of changed days.

use std::process::Command;

use serde_json::Value;

use super::consumers::{Mirror, commit_out_of_order};
use super::{HELD_BACK, QUEUED, ROWS, changes, day, text};
use crate::service::http::{free_port, metric};
use crate::support::Database;
use crate::support::outside::refused;
use crate::support::receivers::{Do, Encryption, Receiver, Step};
use crate::support::running::{PATIENT, Running, eventually, waiting};
use crate::support::samples::insert_samples;

const KEY: &str = "a-key-of-the-tests";

/// Whether all changes are accepted.
const UNSENT: &str = "
    SELECT count(*) FROM figure_changes AS c
    WHERE (c.epoch, c.transaction_id, c.number) > (
        SELECT coalesce(max(sent_epoch), 0), coalesce(max(sent_transaction::text::bigint), 0)::text::xid8,
               coalesce(max(sent_number), 0) FROM figure_webhook)";

fn service(db: &Database, receiver: &Receiver, more: &[(&str, &str)]) -> Running {
    let mut worker = db.worker();
    worker
        .env("WORKER__CHANGES__WEBHOOK_URL", format!("http://127.0.0.1:{}/days", receiver.port))
        .env("WORKER__CHANGES__WEBHOOK_SECRET", KEY);
    Running::service(worker, more)
}

/// All changes that the receiver has accepted.
fn received(receiver: &Receiver) -> Vec<Value> {
    let bodies = receiver.posts().into_iter();
    bodies.flat_map(|(_, body)| body["changes"].as_array().unwrap().clone()).collect()
}

fn cursors(changes: &[Value]) -> Vec<String> {
    changes.iter().map(|change| text(change, "cursor")).collect()
}

#[tokio::test]
async fn a_batch_is_signed_and_sent_again_after_an_error() {
    let db = Database::new().await;
    let receiver = Receiver::of_posts(Encryption::None);
    receiver.at(Step::Answer, Do::Say("500 No"));
    let port = free_port();
    let worker = service(&db, &receiver, &[("WORKER__HTTP__PORT", &port)]);
    insert_samples(&db, 3, 1).await;
    worker.logs("changes_failed").await;
    let failed = &worker.events("changes_failed")[0];
    assert_eq!(failed["error"], "answer: status 500");
    assert!(metric(&port, "dayfold_unsent_changes_seconds") > 0.0);
    receiver.behave();
    eventually(&db, UNSENT, 0).await;
    worker.stops();

    let posts = receiver.posts();
    assert!(posts.iter().all(|(path, _)| path == "/days"));
    let all: Vec<(i64, String, String)> = received(&receiver).iter().map(day).collect();
    assert_eq!(all, changes(&db, "").await.0);
    assert_eq!(posts[0].1["is_incomplete"], false);

    // As docs/changes.md verifies it.
    let said = receiver.said();
    let header = |name: &str| -> Vec<&str> {
        said.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim).collect()
    };
    let accepted = header("dayfold-timestamp:").len() - posts.len();
    let times = header("dayfold-timestamp:").split_off(accepted);
    let signatures = header("dayfold-signature:").split_off(accepted);
    for (((_, body), time), signature) in posts.iter().zip(times).zip(signatures) {
        let command = format!(
            "printf '%s.%s' '{time}' '{body}' | openssl dgst -sha256 -hmac '{KEY}' | sed 's/.*= /sha256=/'"
        );
        let computed = Command::new("bash").args(["-c", &command]).output().unwrap();
        assert_eq!(String::from_utf8(computed.stdout).unwrap().trim(), signature);
    }
    assert!(!said.contains(KEY));
}

#[tokio::test]
async fn of_two_workers_one_sends_each_batch_and_the_other_goes_on_after_a_crash() {
    let db = Database::new().await;
    let receiver = Receiver::of_posts(Encryption::None);
    let small = [("WORKER__CHANGES__WEBHOOK_BATCH_SIZE", "7")];
    let (one, other) = (service(&db, &receiver, &small), service(&db, &receiver, &small));
    insert_samples(&db, 40, 1).await;
    eventually(&db, "SELECT count(*) FROM vitals_daily", 40).await;
    eventually(&db, UNSENT, 0).await;
    let sent = received(&receiver);
    let expected = sent.len();
    assert_eq!(expected as i64, db.value::<i64>("SELECT count(*) FROM figure_changes").await);
    let mut distinct = cursors(&sent);
    distinct.dedup();
    assert_eq!(distinct.len(), expected, "each change is sent once, and in order");
    assert!(
        receiver.posts().iter().all(|(_, body)| body["changes"].as_array().unwrap().len() <= 7)
    );

    // The worker that sends is killed; its batch is sent again when its lease is over.
    receiver.at(Step::Answer, Do::Hang);
    let before = receiver.reached(Step::Answer);
    insert_samples(&db, 41, 1).await;
    receiver.is_at(Step::Answer, before + 1);
    one.signal("-KILL");
    other.signal("-KILL");
    drop((one, other));
    receiver.behave();
    let heir = service(&db, &receiver, &small);
    heir.logs("database_ready").await;
    db.execute("UPDATE figure_webhook SET not_before = clock_timestamp()").await;
    eventually(&db, "SELECT count(*) FROM vitals_daily", 41).await;
    eventually(&db, UNSENT, 0).await;
    heir.stops();
    // The receiver got the batch of the killed worker, too.
    let mut sent = received(&receiver);
    sent.dedup_by_key(|change| text(change, "cursor"));
    let all: Vec<(i64, String, String)> = sent.iter().map(day).collect();
    assert_eq!(all, changes(&db, "").await.0, "nothing is lost");
}

/// The session of the worker that is to mark a batch as delivered.
const MARKS: &str = "
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%figure_webhook%'";

#[tokio::test]
async fn a_receiver_has_exactly_the_days_of_verify_if_the_worker_is_killed_before_it_marks_a_batch()
{
    let db = Database::new().await;
    let receiver = Receiver::of_posts(Encryption::None);
    let small = [&PATIENT[..], &[("WORKER__CHANGES__WEBHOOK_BATCH_SIZE", "3")]].concat();
    let without_webhook = Running::service(db.worker(), &PATIENT);
    let (mut mirror, mut applied) = (Mirror::default(), 0);
    db.execute(ROWS).await;
    for round in 0..4 {
        // The receiver accepts a batch, and the worker that sent it waits to mark it.
        let before = receiver.reached(Step::Answer);
        receiver.at(Step::Answer, Do::Hang);
        let sender = service(&db, &receiver, &small);
        let late = commit_out_of_order(&db, round).await;
        late.batch_execute("ROLLBACK").await.unwrap();
        eventually(&db, QUEUED, 0).await;
        receiver.is_at(Step::Answer, before + 1);
        let lock = db.connect().await;
        lock.batch_execute("BEGIN; SELECT FROM figure_webhook FOR UPDATE").await.unwrap();
        receiver.behave();
        waiting(&db, 1).await;
        sender.signal("-KILL");
        drop(sender);
        assert!(db.value::<bool>(MARKS).await);
        lock.batch_execute("ROLLBACK").await.unwrap();
        for change in received(&receiver).into_iter().skip(applied) {
            mirror.apply(&db, &change).await;
            applied += 1;
        }
        // As after the time of the lease.
        db.execute("UPDATE figure_webhook SET not_before = clock_timestamp()").await;
    }
    let heir = service(&db, &receiver, &small);
    eventually(&db, QUEUED, 0).await;
    eventually(&db, HELD_BACK, 0).await;
    eventually(&db, UNSENT, 0).await;
    heir.stops();
    without_webhook.stops();
    let received = received(&receiver);
    for change in &received[applied..] {
        mirror.apply(&db, change).await;
    }
    let mut distinct = cursors(&received);
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() < received.len(), "a batch that is not marked is sent again");
    mirror.assert_has_the_days_of_verify(&db).await;
}

#[tokio::test]
async fn the_receiver_is_told_that_changes_were_deleted_before_it_accepted_them() {
    let db = Database::new().await;
    let receiver = Receiver::of_posts(Encryption::None);
    let first = service(&db, &receiver, &[]);
    insert_samples(&db, 1, 1).await;
    eventually(&db, "SELECT count(*) FROM figure_changes", 1).await;
    eventually(&db, UNSENT, 0).await;
    first.stops();

    // No worker sends for longer than changes are kept.
    insert_samples(&db, 3, 1).await;
    db.run_once();
    db.execute(
        "UPDATE figure_changes SET changed_at = now() - interval '8 days' WHERE user_id < 3",
    )
    .await;
    db.run_once();
    let later = service(&db, &receiver, &[]);
    later.logs("changes_lost").await;
    eventually(&db, UNSENT, 0).await;
    later.stops();
    let posts = receiver.posts();
    assert_eq!(posts[0].1["is_incomplete"], false);
    assert_eq!(posts[1].1["is_incomplete"], true);
    assert_eq!(day(&posts[1].1["changes"][0]).0, 3);
}

#[tokio::test]
async fn a_webhook_without_a_key_is_refused() {
    let db = Database::new().await;
    let mut worker = db.worker();
    worker.arg("check-config").env("WORKER__CHANGES__WEBHOOK_URL", "https://example.org/days");
    let why = refused(&mut worker);
    assert!(
        why.contains("changes.webhook_secret must not be empty where changes.webhook_url is set"),
        "{why}"
    );
}
