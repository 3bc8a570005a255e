//! `worker verify` tells of drift by itself, and never at the cost of its report.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::settings;
use crate::support::outside::{eventually as so, signal};
use crate::support::receivers::{Do, Encryption, Receiver, Step};
use crate::support::samples::insert_samples;
use crate::support::{Database, Ran};

/// A database of which some figures are not those of the raw rows.
async fn with_drift() -> Database {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    db.run_once();
    db.execute("UPDATE vitals_daily SET sample_count = 99 WHERE user_id < 3").await;
    db
}

fn verify(db: &Database, mail: &Receiver, more: &[(&str, &str)]) -> Command {
    let mut worker = db.worker();
    worker.envs(settings(mail, "none", more)).arg("verify");
    worker
}

#[tokio::test]
async fn what_one_run_could_not_send_the_next_one_does() {
    let db = with_drift().await;
    let mail = Receiver::of_mail(Encryption::None);
    mail.at(Step::MailFrom, Do::Say("451 4.3.0 not now"));
    let run = || Ran::of(verify(&db, &mail, &[]).output().unwrap());
    let first = run();
    let events = |ran: &Ran, name: &str| ran.events(name).len();
    assert_eq!((first.code, events(&first, "alert_failed")), (4, 1), "{first:?}");

    mail.behave();
    db.execute("UPDATE alert_outbox SET not_before = clock_timestamp()").await;
    let second = run();
    let told = (events(&second, "alert_fired"), events(&second, "alert_delivered"));
    assert_eq!((second.code, told), (4, (0, 1)), "{second:?}");
    assert_eq!((mail.told("verify_drift", "fires"), mail.mails().len()), (1, 1));
}

#[tokio::test]
async fn neither_report_nor_exit_code_waits_for_a_mail_server_that_hangs() {
    let db = with_drift().await;
    let mail = Receiver::of_mail(Encryption::None);
    mail.at(Step::Data, Do::Hang);
    let hour = [
        ("WORKER__MAIL__CONNECT_TIMEOUT_SECONDS", "3600"),
        ("WORKER__MAIL__SEND_TIMEOUT_SECONDS", "3600"),
    ];
    let mut command = verify(&db, &mail, &hour);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = command.spawn().unwrap();
    let (mut out, said) = (running.stdout.take().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let reader = {
        let said = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = out.read(&mut bytes) {
                said.lock().unwrap().extend_from_slice(&bytes[..length]);
            }
        })
    };
    mail.is_at(Step::Data, 1);
    so("the report is there", || {
        String::from_utf8_lossy(&said.lock().unwrap()).contains("2 rows differ")
    });
    assert!(running.try_wait().unwrap().is_none() && mail.mails().is_empty());

    // Who does not want to wait stops it, and still sees its findings so far.
    signal("TERM", i64::from(running.id()));
    assert_eq!(running.wait().unwrap().code(), Some(4));
    reader.join().unwrap();
    let pending = "SELECT count(*) FROM alert_outbox WHERE state = 'pending' AND attempts = 0";
    assert_eq!(db.value::<i64>(pending).await, 1);
}

#[tokio::test]
async fn a_change_of_a_users_zone_fires_no_alert() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    db.run_once();
    db.execute("INSERT INTO user_profiles VALUES (1, 'Pacific/Auckland')").await;
    let mail = Receiver::of_mail(Encryption::None);
    let ran = Ran::of(verify(&db, &mail, &[]).output().unwrap());
    assert_eq!((ran.code, ran.events("alert_fired").len()), (4, 0), "{ran:?}");
    assert!(ran.stdout.contains("outdated"), "{ran:?}");
}
