//! A mail server that hangs for ever delays no batch.
//!
//! The server is let go by the test alone, and the worker's own time-outs are an hour. So all that
//! happens meanwhile happens beside it.

use super::{DEAD_ROW, LOG_IN, encrypted, settings};
use crate::support::Database;
use crate::support::receivers::{Do, Encryption, Receiver, Step};
use crate::support::running::{Running, eventually};
use crate::support::samples::{assert_all_done, insert_minute};

/// Waits for ever, as far as a test can tell; with a pool of one connection, which no task may
/// keep.
const PATIENT: [(&str, &str); 4] = [
    ("WORKER__MAIL__CONNECT_TIMEOUT_SECONDS", "3600"),
    ("WORKER__MAIL__SEND_TIMEOUT_SECONDS", "3600"),
    ("WORKER__POOL__MAX_SIZE", "1"),
    ("WORKER__ALERTS__OFF", "pool_usage pool_exhausted oldest_pending"),
];

/// Sessions of the worker that are in the middle of something, if only of a transaction.
const BUSY: &str = "SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'
       AND state <> 'idle'";

#[tokio::test]
async fn a_mail_server_that_hangs_at_any_step_delays_no_batch_and_no_stop() {
    for step in Step::OF_MAIL {
        let db = Database::new().await;
        let (mail, _place, ca) = encrypted(false);
        let hook = Receiver::of_posts(Encryption::None);
        let url = format!("http://127.0.0.1:{}/", hook.port);
        mail.at(step, Do::Hang);
        let more = [
            &LOG_IN[..],
            &PATIENT,
            &[("WORKER__MAIL__CA_FILE", ca.as_str()), ("WORKER__WEBHOOK__URL", &url)],
        ];
        let mut worker = db.worker();
        worker.envs(settings(&mail, "starttls", &more.concat()));
        let service = Running::service(worker, &[]);
        service.logs("database_ready").await;
        db.execute(DEAD_ROW).await;
        mail.is_at(step, 1);

        // Batch after batch, while the server hangs.
        for minute in 1..=5 {
            insert_minute(&db, 40, minute).await;
            let fresh = "SELECT count(*) FROM aggregation_queue WHERE state <> 'dead'";
            eventually(&db, fresh, 0).await;
        }
        // No task keeps the only connection, and the other channel sent its message long ago.
        eventually(&db, BUSY, 0).await;
        let told =
            "SELECT count(*) FROM alert_outbox WHERE channel = 'webhook' AND state = 'delivered'";
        eventually(&db, told, 1).await;
        assert_eq!(hook.posts()[0].1["rule"], "dead_rows");
        assert_eq!((mail.reached(step), mail.mails().len()), (1, 0), "{step:?}");

        let ran = service.stops();
        assert!(ran.events("batch_done").len() >= 5, "{}", ran.stderr);
        for trouble in ["batch_interrupted", "slow_hold", "alert_failed", "stop_overdue"] {
            assert!(ran.events(trouble).is_empty(), "{trouble}: {}", ran.stderr);
        }
        assert_eq!((mail.reached(step), mail.mails().len()), (1, 0), "{step:?}");
        db.execute("DELETE FROM aggregation_queue WHERE state = 'dead'").await;
        assert_all_done(&db).await;
    }
}

#[tokio::test]
async fn a_mail_that_hung_arrives_once_the_server_goes_on() {
    let db = Database::new().await;
    let mail = Receiver::of_mail(Encryption::None);
    mail.at(Step::Dot, Do::Hang);
    let mut worker = db.worker();
    worker.envs(settings(&mail, "none", &PATIENT));
    let service = Running::service(worker, &[]);
    db.execute(DEAD_ROW).await;
    mail.is_at(Step::Dot, 1);
    mail.behave();
    mail.tells("dead_rows", "fires", 1).await;
    service.logs("alert_delivered").await;
    service.stops();
    assert_eq!(mail.mails().len(), 1);
}
