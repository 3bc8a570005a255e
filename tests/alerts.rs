//! Alerts by mail and by webhook, to servers that take them, refuse them, or hang.
//!
//! A test holds the gate at which a server hangs, so that what happens meanwhile happens beside it, not
//! before it. `tests/support/receivers.rs` has the servers.

mod command;
mod delivery;
mod hangs;
mod outbox;
mod rules;
mod verify;

use crate::support::Database;
use crate::support::certificates::Certifier;
use crate::support::outside::Scratch;
use crate::support::receivers::{Encryption, Receiver};
use crate::support::running::Running;

/// Who writes, and to whom.
const MAIL: [(&str, &str); 3] = [
    ("WORKER__MAIL__HOST", "127.0.0.1"),
    ("WORKER__MAIL__FROM", "Dayfold <dayfold@example.org>"),
    ("WORKER__MAIL__TO", "ops@example.org"),
];

/// A log-in whose password must never be seen.
const LOG_IN: [(&str, &str); 2] =
    [("WORKER__MAIL__USER", "dayfold"), ("WORKER__MAIL__PASSWORD", "hunter2geheim")];

/// `base64("\0dayfold\0hunter2geheim")`, as it is sent.
const LOG_IN_AS_SENT: &str = "AGRheWZvbGQAaHVudGVyMmdlaGVpbQ==";

/// A dead row, as rule and by its cause.
const DEAD_ROW: &str =
    "INSERT INTO aggregation_queue (user_id, kind, starts_at, ends_at, raw_ids, state, not_before)
     VALUES (99, 'labs', '2024-05-01', '2024-05-01', '{1}', 'dead', 'infinity')";

/// Settings for a server, beside those of the test.
fn settings(mail: &Receiver, tls: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let port = ("WORKER__MAIL__PORT".to_owned(), mail.port.to_string());
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let tls = ("WORKER__MAIL__TLS", tls);
    let given = MAIL.iter().chain([&tls]).chain(more).map(owned);
    given.chain([port]).collect()
}

/// The service, which tells this server without encryption.
fn service(db: &Database, mail: &Receiver, more: &[(&str, &str)]) -> Running {
    let mut worker = db.worker();
    worker.envs(settings(mail, "none", more));
    Running::service(worker, &[])
}

/// A mail server with a certificate for its address, and the file by which it is trusted.
fn encrypted(implicit: bool) -> (Receiver, Scratch, String) {
    let (ours, place) = (Certifier::new("ours"), Scratch::new());
    let file = place.file("ca.pem", &ours.pem).to_str().unwrap().to_owned();
    let tls = ours.server("127.0.0.1");
    let encryption = if implicit { Encryption::Implicit(tls) } else { Encryption::StartTls(tls) };
    (Receiver::of_mail(encryption), place, file)
}
