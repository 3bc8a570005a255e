//! Every rule fires once, and resolves once.

use std::time::Duration;

use super::{DEAD_ROW, service, settings};
use crate::support::receivers::{Encryption, Receiver};
use crate::support::running::{PATIENT, Running, UserLock, eventually, waiting};
use crate::support::samples::{insert_minute, insert_samples};
use crate::support::{Database, Ran, connect, server, worker_at};

/// Every rule but this one is off.
fn only(rule: &str) -> (&'static str, String) {
    const ALL: [&str; 8] = [
        "pool_usage",
        "pool_exhausted",
        "circuit_open",
        "oldest_pending",
        "dead_rows",
        "failed_groups",
        "database_unreachable",
        "verify_drift",
    ];
    let others: Vec<&str> = ALL.into_iter().filter(|other| *other != rule).collect();
    assert_eq!(others.len(), ALL.len() - 1);
    ("WORKER__ALERTS__OFF", others.join(" "))
}

/// The service with this rule alone.
fn watching(db: &Database, mail: &Receiver, rule: &str, more: &[(&str, &str)]) -> Running {
    let (off, others) = only(rule);
    service(db, mail, &[&[(off, others.as_str())], more].concat())
}

/// It was told once that the rule fires, and once that it is over, and of nothing else.
fn assert_told_once(ran: &Ran, mail: &Receiver, rule: &str) {
    let of = |event| ran.events(event).iter().map(|e| e["rule"].clone()).collect::<Vec<_>>();
    assert_eq!((of("alert_fired"), of("alert_resolved")), (vec![rule.into()], vec![rule.into()]));
    assert_eq!(
        (mail.told(rule, "fires"), mail.told(rule, "resolved"), mail.mails().len()),
        (1, 1, 2)
    );
}

#[tokio::test]
async fn pool_usage_fires_and_resolves() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    let lock = UserLock::hold(&db.url, 1).await;
    let one = [("WORKER__POOL__MAX_SIZE", "1"), ("WORKER__ALERTS__POOL_USAGE_AFTER_SECONDS", "1")];
    let service = watching(&db, &mail, "pool_usage", &[&PATIENT[..], &one].concat());
    insert_samples(&db, 1, 5).await;
    waiting(&db, 1).await;
    // The only connection is in use, so that the outbox cannot be: the mail comes all the same.
    mail.tells("pool_usage", "fires", 1).await;
    lock.release().await;
    mail.tells("pool_usage", "resolved", 1).await;
    assert_told_once(&service.stops(), &mail, "pool_usage");
}

#[tokio::test]
async fn pool_exhausted_fires_and_resolves() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    let lock = UserLock::hold(&db.url, 1).await;
    let short = [("WORKER__POOL__MAX_SIZE", "1"), ("WORKER__POOL__WAIT_TIMEOUT_SECONDS", "0.3")];
    let service = watching(&db, &mail, "pool_exhausted", &[&PATIENT[..], &short].concat());
    insert_samples(&db, 1, 5).await;
    waiting(&db, 1).await;
    mail.tells("pool_exhausted", "fires", 1).await;
    lock.release().await;
    // A wait in vain counts for half a minute.
    mail.tells("pool_exhausted", "resolved", 1).await;
    assert_told_once(&service.stops(), &mail, "pool_exhausted");
}

#[tokio::test]
async fn circuit_open_fires_and_resolves() {
    let db = Database::empty().await;
    let mail = Receiver::of_mail(Encryption::None);
    // It can be connected to, but has no tables: no outbox either.
    let at_once = [("WORKER__ALERTS__CIRCUIT_OPEN_AFTER_SECONDS", "0")];
    let off = ("WORKER__ALERTS__OFF", "pool_usage pool_exhausted");
    let service = service(&db, &mail, &[&at_once[..], &[off]].concat());
    mail.tells("circuit_open", "fires", 1).await;
    assert_eq!(db.run(&["migrate"]).code, 0);
    mail.tells("circuit_open", "resolved", 1).await;
    assert_told_once(&service.stops(), &mail, "circuit_open");
}

#[tokio::test]
async fn database_unreachable_fires_and_resolves() {
    let db = Database::new().await;
    let elsewhere = connect(&server().url("postgres")).await;
    let mail = Receiver::of_mail(Encryption::None);
    let at_once = [("WORKER__ALERTS__DATABASE_UNREACHABLE_AFTER_SECONDS", "0")];
    let service = watching(&db, &mail, "database_unreachable", &at_once);
    service.logs("database_ready").await;
    // In two steps: sessions that ended before it is closed to all would come back.
    let away = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", db.name);
    elsewhere.batch_execute(&away).await.unwrap();
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{}' AND application_name LIKE 'dayfold-worker@%'",
        db.name
    );
    // Again and again, as one that was just beginning is not seen yet.
    for _ in 0..3_000 {
        if mail.told("database_unreachable", "fires") > 0 {
            break;
        }
        elsewhere.batch_execute(&end).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    mail.tells("database_unreachable", "fires", 1).await;
    let back = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", db.name);
    elsewhere.batch_execute(&back).await.unwrap();
    mail.tells("database_unreachable", "resolved", 1).await;
    assert_told_once(&service.stops(), &mail, "database_unreachable");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_fires_one_alert_and_no_second() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    let at_once = [
        ("WORKER__ALERTS__DATABASE_UNREACHABLE_AFTER_SECONDS", "0"),
        ("WORKER__ALERTS__CIRCUIT_OPEN_AFTER_SECONDS", "0"),
    ];
    // No server listens there.
    let mut worker = worker_at("postgresql://nobody@127.0.0.1:1/none");
    worker.envs(settings(&mail, "none", &at_once));
    let service = Running::service(worker, &[]);
    mail.tells("database_unreachable", "fires", 1).await;
    // Both rules have seen the same looks, and a few more.
    service.logs_times("database_unavailable", 1).await;
    let fired = service.stops().events("alert_fired");
    let rules: Vec<_> = fired.iter().map(|event| event["rule"].clone()).collect();
    assert_eq!(rules, ["database_unreachable"]);
    drop(db);
}

#[tokio::test]
async fn figures_are_not_called_fresh_because_the_oldest_row_died() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    let lock = UserLock::hold(&db.url, 1).await;
    let goal = [
        ("WORKER__ALERTS__OLDEST_PENDING_SECONDS", "1"),
        ("WORKER__ALERTS__OFF", "pool_usage pool_exhausted failed_groups"),
        ("WORKER__BATCH__MAX_ATTEMPTS", "1"),
        ("WORKER__SERVICE__SUMMARY_SECONDS", "1"),
    ];
    db.execute("ALTER TABLE vitals_daily ADD CONSTRAINT refused CHECK (false) NOT VALID").await;
    // One that was dead before is no matter of this rule.
    db.execute(DEAD_ROW).await;
    let service = service(&db, &mail, &[&PATIENT[..], &goal].concat());
    mail.tells("dead_rows", "fires", 1).await;
    insert_samples(&db, 1, 5).await;
    mail.tells("oldest_pending", "fires", 1).await;
    lock.release().await;
    eventually(
        &db,
        "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue WHERE state = 'dead'",
        6,
    )
    .await;
    db.execute("DELETE FROM aggregation_queue WHERE user_id = 99").await;
    // A look that sees them all dead has nothing to resolve; the next one comes after the summary.
    let before = service.events("summary").len();
    service.logs_times("summary", before + 2).await;
    assert!(service.events("alert_resolved").is_empty());

    db.execute("ALTER TABLE vitals_daily DROP CONSTRAINT refused").await;
    assert_eq!(db.run(&["requeue", "--dead"]).code, 0);
    mail.tells("oldest_pending", "resolved", 1).await;
    service.stops();
}

#[tokio::test]
async fn what_was_not_sent_before_the_database_is_back_is_sent_through_the_outbox() {
    let db = Database::empty().await;
    let mail = Receiver::of_mail(Encryption::None);
    mail.at(
        crate::support::receivers::Step::Banner,
        crate::support::receivers::Do::Say("421 busy"),
    );
    let at_once = [
        ("WORKER__ALERTS__CIRCUIT_OPEN_AFTER_SECONDS", "0"),
        ("WORKER__ALERTS__RETRY_FIRST_SECONDS", "0.1"),
        ("WORKER__ALERTS__RETRY_MAX_SECONDS", "2"),
        // More attempts than there can be before the migration is done.
        ("WORKER__ALERTS__MAX_ATTEMPTS", "100"),
    ];
    let service = watching(&db, &mail, "circuit_open", &at_once);
    service.logs_times("alert_failed", 2).await;
    assert_eq!(db.run(&["migrate"]).code, 0);
    eventually(&db, "SELECT count(*) FROM alert_outbox WHERE state = 'pending'", 2).await;
    mail.behave();
    mail.tells("circuit_open", "resolved", 1).await;
    mail.tells("circuit_open", "fires", 1).await;
    eventually(&db, "SELECT count(*) FROM alert_outbox WHERE state = 'delivered'", 2).await;
    // In this order, though the one came from memory and the other from the outbox.
    let subjects: Vec<String> = mail.mails().iter().map(|mail| mail.header("Subject")).collect();
    assert!(subjects[0].contains("circuit_open fires"), "{subjects:?}");
    assert_told_once(&service.stops(), &mail, "circuit_open");
}

#[tokio::test]
async fn oldest_pending_fires_and_resolves() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    let lock = UserLock::hold(&db.url, 1).await;
    let goal = [("WORKER__ALERTS__OLDEST_PENDING_SECONDS", "1")];
    let service = watching(&db, &mail, "oldest_pending", &[&PATIENT[..], &goal].concat());
    insert_samples(&db, 1, 5).await;
    mail.tells("oldest_pending", "fires", 1).await;
    lock.release().await;
    mail.tells("oldest_pending", "resolved", 1).await;
    assert_told_once(&service.stops(), &mail, "oldest_pending");
}

#[tokio::test]
async fn dead_rows_fires_and_resolves_once_over_all_workers() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    let often = [("WORKER__SERVICE__SUMMARY_SECONDS", "1")];
    let workers = [(); 3].map(|()| watching(&db, &mail, "dead_rows", &often));
    for worker in &workers {
        worker.logs("database_ready").await;
    }
    db.execute(DEAD_ROW).await;
    mail.tells("dead_rows", "fires", 1).await;
    db.execute("DELETE FROM aggregation_queue").await;
    mail.tells("dead_rows", "resolved", 1).await;
    // Within its cool-down it does not fire again: each worker has seen the row before its second summary.
    db.execute(DEAD_ROW).await;
    for worker in &workers {
        worker.logs_times("summary", worker.events("summary").len() + 2).await;
    }
    let (mut fired, mut resolved) = (0, 0);
    for worker in workers {
        let ran = worker.stops();
        fired += ran.events("alert_fired").len();
        resolved += ran.events("alert_resolved").len();
    }
    assert_eq!((fired, resolved, mail.mails().len()), (1, 1, 2));
}

#[tokio::test]
async fn what_fires_is_known_to_a_worker_that_comes_later() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    db.execute(DEAD_ROW).await;
    let first = watching(&db, &mail, "dead_rows", &[]);
    mail.tells("dead_rows", "fires", 1).await;
    first.stops();
    let second = watching(&db, &mail, "dead_rows", &[]);
    second.logs("database_ready").await;
    db.execute("DELETE FROM aggregation_queue").await;
    mail.tells("dead_rows", "resolved", 1).await;
    let ran = second.stops();
    assert_eq!((ran.events("alert_fired").len(), ran.events("alert_resolved").len()), (0, 1));
    assert_eq!(mail.mails().len(), 2);
}

#[tokio::test]
async fn failed_groups_fires_and_resolves() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    db.execute("ALTER TABLE vitals_daily ADD CONSTRAINT refused CHECK (false) NOT VALID").await;
    let service = watching(&db, &mail, "failed_groups", &[]);
    insert_minute(&db, 4, 1).await;
    mail.tells("failed_groups", "fires", 1).await;
    db.execute("ALTER TABLE vitals_daily DROP CONSTRAINT refused").await;
    db.execute("UPDATE aggregation_queue SET not_before = now()").await;
    insert_minute(&db, 100, 2).await;
    mail.tells("failed_groups", "resolved", 1).await;
    assert_told_once(&service.stops(), &mail, "failed_groups");
}

#[tokio::test]
async fn verify_drift_fires_and_resolves() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    insert_samples(&db, 3, 5).await;
    db.run_once();
    let verify = |arguments: &[&str]| {
        let mut worker = worker_at(&db.url);
        worker.envs(settings(&mail, "none", &[])).arg("verify").args(arguments);
        Ran::of(worker.output().unwrap())
    };
    let alerts = |ran: &Ran| (ran.events("alert_fired").len(), ran.events("alert_resolved").len());
    assert_eq!(alerts(&verify(&[])), (0, 0));
    db.execute("UPDATE vitals_daily SET sample_count = 99 WHERE user_id < 3").await;
    // No service needs to run for it: the command delivers it.
    let found = verify(&[]);
    assert_eq!((found.code, alerts(&found)), (4, (1, 0)), "{found:?}");
    assert_eq!(mail.told("verify_drift", "fires"), 1);
    assert!(mail.mails()[0].data.contains("2 dates (limit 1 date)"), "{:?}", mail.mails());
    assert_eq!(alerts(&verify(&[])), (0, 0));

    // Only who looks at everything can say that all is well.
    assert_eq!(alerts(&verify(&["--repair", "--user", "1"])), (0, 0));
    let well = verify(&["--repair"]);
    assert_eq!((well.code, alerts(&well)), (0, (0, 1)), "{well:?}");
    assert_eq!(mail.told("verify_drift", "resolved"), 1);
    assert_eq!(alerts(&verify(&[])), (0, 0));
    assert_eq!(mail.mails().len(), 2);
}
