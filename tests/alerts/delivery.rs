//! The outbox: a mail survives, is tried again, and is given up in the end.

use super::{DEAD_ROW, service};
use crate::service::http::{free_port, metric};
use crate::support::Database;
use crate::support::receivers::{Do, Encryption, Receiver, Step};
use crate::support::running::{Running, eventually};
use crate::support::samples::{assert_all_done, insert_samples};

const PENDING: &str = "SELECT count(*) FROM alert_outbox WHERE state = 'pending'";

#[tokio::test]
async fn a_mail_outlives_kill_9_in_the_middle_of_it() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    mail.at(Step::Data, Do::Hang);
    let killed = service(&db, &mail, &[]);
    db.execute(DEAD_ROW).await;
    mail.is_at(Step::Data, 1);
    killed.signal("-KILL");
    drop(killed);
    mail.behave();
    assert!(mail.mails().is_empty());
    assert_eq!(db.value::<i64>(PENDING).await, 1);

    // Another worker leaves it alone as long as its sender may be alive: until the lease is over.
    let heir = service(&db, &mail, &[]);
    heir.logs("database_ready").await;
    insert_samples(&db, 3, 3).await;
    eventually(&db, "SELECT count(*) FROM vitals_daily", 3).await;
    assert!(mail.mails().is_empty());
    db.execute("UPDATE alert_outbox SET not_before = clock_timestamp()").await;
    mail.tells("dead_rows", "fires", 1).await;
    eventually(&db, PENDING, 0).await;
    heir.stops();
    assert_eq!(mail.mails().len(), 1);
}

#[tokio::test]
async fn a_mail_that_nobody_began_to_send_outlives_kill_9_too() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    // Busy with another one.
    mail.at(Step::Banner, Do::Hang);
    let killed = service(&db, &mail, &[("WORKER__ALERTS__OLDEST_PENDING_SECONDS", "1")]);
    db.execute(DEAD_ROW).await;
    mail.is_at(Step::Banner, 1);
    let waits = "INSERT INTO aggregation_queue (user_id, kind, starts_at, ends_at, raw_ids, queued_at, not_before)
                 VALUES (98, 'labs', '2024-05-01', '2024-05-01', '{1}', now() - interval '1 hour', now() + interval '1 hour')";
    db.execute(waits).await;
    eventually(&db, PENDING, 2).await;
    killed.signal("-KILL");
    drop(killed);
    mail.behave();

    let heir = service(&db, &mail, &[]);
    mail.tells("oldest_pending", "fires", 1).await;
    db.execute("UPDATE alert_outbox SET not_before = clock_timestamp() WHERE state = 'pending'")
        .await;
    mail.tells("dead_rows", "fires", 1).await;
    heir.stops();
}

#[tokio::test]
async fn a_refused_mail_is_tried_again_after_growing_pauses_and_is_no_error_of_the_batch() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    mail.at(Step::MailFrom, Do::Say("451 4.3.0 not now"));
    let eager = [
        ("WORKER__ALERTS__RETRY_FIRST_SECONDS", "0.1"),
        ("WORKER__ALERTS__RETRY_MAX_SECONDS", "0.3"),
        ("WORKER__ALERTS__MAX_ATTEMPTS", "100"),
    ];
    let service = service(&db, &mail, &eager);
    db.execute(DEAD_ROW).await;
    insert_samples(&db, 20, 5).await;
    service.logs_times("alert_failed", 4).await;
    eventually(&db, "SELECT count(*) FROM vitals_daily", 20).await;
    mail.behave();
    mail.tells("dead_rows", "fires", 1).await;
    service.logs("alert_delivered").await;

    let ran = service.stops();
    let failed = ran.events("alert_failed");
    let pauses: Vec<f64> = failed.iter().map(|event| event["pause_s"].as_f64().unwrap()).collect();
    for (pause, planned) in pauses.iter().zip([0.1, 0.2, 0.3, 0.3]) {
        // Give or take a fifth, so that two workers do not send at the same moment each time.
        assert!((planned * 0.79..=planned * 1.21).contains(pause), "{pauses:?}");
    }
    assert_eq!(failed[0]["error"], "MAIL FROM: 451 4.3.0 not now");
    assert!(ran.events("group_failed").is_empty() && ran.events("batch_interrupted").is_empty());
    assert_eq!(mail.mails().len(), 1);
    db.execute("DELETE FROM aggregation_queue WHERE state = 'dead'").await;
    assert_all_done(&db).await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_given_up_and_that_is_a_fact_for_the_log() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    mail.at(Step::RcptTo, Do::Say("550 5.1.1 no such user"));
    let port = free_port();
    let twice = [
        ("WORKER__ALERTS__RETRY_FIRST_SECONDS", "0.1"),
        ("WORKER__ALERTS__MAX_ATTEMPTS", "2"),
        ("WORKER__HTTP__PORT", &port),
    ];
    let service = service(&db, &mail, &twice);
    db.execute(DEAD_ROW).await;
    service.logs("alert_given_up").await;
    let given_up = "SELECT count(*) FROM alert_outbox WHERE state = 'given_up' AND attempts = 2
                    AND not_before = 'infinity' AND last_error = 'RCPT TO: 550 5.1.1 no such user'";
    eventually(&db, given_up, 1).await;
    let deliveries = |outcome: &str| {
        let labels = format!("{{channel=\"mail\",outcome=\"{outcome}\"}}");
        metric(&port, &format!("dayfold_alert_deliveries_total{labels}"))
    };
    assert_eq!(["delivered", "failed", "given_up"].map(deliveries), [0.0, 2.0, 1.0]);
    assert_eq!(metric(&port, "dayfold_alert_firing{rule=\"dead_rows\"}"), 1.0);
    let ran = service.stops();
    assert_eq!((ran.events("alert_failed").len(), ran.events("alert_given_up").len()), (1, 1));
    assert_eq!(mail.reached(Step::RcptTo), 2);
}

#[tokio::test]
async fn of_several_workers_one_sends_each_message() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    db.execute(
        "INSERT INTO alert_outbox (channel, key, rule, fires, worker, amount, threshold, happened_at)
         SELECT 'mail', 'k' || n, 'dead_rows', true, 'w@h:1', n, 1, now()
         FROM generate_series(1, 30) AS n",
    )
    .await;
    let workers = [(); 3].map(|()| service(&db, &mail, &[]));
    eventually(&db, PENDING, 0).await;
    let mut senders = 0;
    for worker in workers {
        senders += usize::from(!worker.stops().events("alert_delivered").is_empty());
    }
    let mut ids: Vec<String> = mail.mails().iter().map(|mail| mail.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), mail.mails().len()), (30, 30));
    assert!(senders > 0);
}

#[tokio::test]
async fn what_was_delivered_long_ago_is_forgotten() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    db.execute(
        "INSERT INTO alert_outbox
             (channel, key, rule, fires, worker, amount, threshold, happened_at, state, not_before)
         SELECT 'mail', key, 'dead_rows', true, 'w@h:1', 1, 1, now() - age, 'delivered', 'infinity'
         FROM (VALUES ('old', interval '8 days'), ('young', '6 days')) AS v (key, age)",
    )
    .await;
    let service = service(&db, &mail, &[]);
    db.execute(DEAD_ROW).await;
    eventually(&db, "SELECT count(*) FROM alert_outbox WHERE key = 'old'", 0).await;
    service.stops();
    assert_eq!(db.value::<i64>("SELECT count(*) FROM alert_outbox").await, 2);
}

#[tokio::test]
async fn where_nobody_is_to_be_told_the_outbox_is_never_looked_at() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &[]);
    db.execute(DEAD_ROW).await;
    insert_samples(&db, 5, 5).await;
    eventually(&db, "SELECT count(*) FROM vitals_daily", 5).await;
    let ran = service.stops();
    assert!(!ran.stderr.contains("alert"), "{}", ran.stderr);
    let looks = "SELECT coalesce(sum(seq_scan + idx_scan + n_tup_ins), 0)::bigint
                 FROM pg_stat_user_tables WHERE relname IN ('alert_outbox', 'alert_conditions')";
    assert_eq!(db.value::<i64>(looks).await, 0);
}

#[tokio::test]
async fn what_leaves_this_host_without_encryption_is_warned_of() {
    let db = Database::new().await;
    // The mail goes to this host.
    let mail = Receiver::of_mail(Encryption::None);
    let service = service(&db, &mail, &[("WORKER__WEBHOOK__URL", "http://192.0.2.1:1/")]);
    service.logs("database_ready").await;
    let warned = service.stops().events("alerts_unencrypted");
    let channels: Vec<_> = warned.iter().map(|event| event["channel"].clone()).collect();
    assert_eq!(channels, ["webhook"]);
}
