//! The server accepts and answers nothing, with one session or as a whole.

use super::gate::Gate;
use super::proof::{assert_exact, assert_exact_at_no_attempt, insert_rows, remember, remembering};
use super::{QUEUED, SHORT_LEASE, only, postmaster, service};
use crate::support::outside::{assert_says, children_of, eventually as so, signal};
use crate::support::running::{Frozen, UserLock, eventually, stands_still, waiting};
use crate::support::{Database, database, server_of_its_own};

/// The server's own time-outs, all of which must have struck before the worker calls it silent.
const IMPATIENT: [(&str, &str); 4] = [
    ("WORKER__POOL__WAIT_TIMEOUT_SECONDS", "0.5"),
    ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "1"),
    ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.9"),
    ("WORKER__DATABASE__CONNECT_TIMEOUT_SECONDS", "0.5"),
];

/// All processes of a server, frozen: it accepts connections, as the kernel does so, and that is
/// all. Dropped, they thaw.
struct Standstill(Vec<i32>);

impl Standstill {
    async fn of(db: &Database) -> Self {
        let postmaster = postmaster(db).await;
        let mut all = Self(vec![postmaster]);
        // First, so that no further process comes.
        all.signal("STOP");
        so("no process is born any more", || stands_still(postmaster));
        all.0.extend(children_of(postmaster));
        all.signal("STOP");
        all
    }

    fn signal(&self, name: &str) {
        self.0.iter().for_each(|process| signal(name, i64::from(*process)));
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_left_and_found_again() {
    let (_server, url) = server_of_its_own().await;
    let db = database(&url).await;
    remember(&db).await;
    insert_rows(&db, 0).await;
    let gate = Gate::in_statement(&db, "vitals_daily").await;
    let service = service(&url, &[&SHORT_LEASE[..1], &IMPATIENT].concat());
    waiting(&db, 1).await;

    let silent = Standstill::of(&db).await;
    service.logs_times("database_unavailable", 2).await;
    drop(silent);
    gate.open().await;
    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let happened = only(&ran, "batch_interrupted");
    assert_eq!((&happened["class"], &happened["released"]), (&"no_answer".into(), &false.into()));
    let told = ran.events("database_unavailable");
    assert_says(&told[0]["cause"].to_string(), &["has not answered for", "[no_answer]"]);
    assert_says(&told[1]["cause"].to_string(), &["no answer within 0.5 s", "connect_timeout"]);
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_session_that_falls_silent_is_left_and_the_work_goes_on_elsewhere() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let service = service(&db.url, &IMPATIENT);
    // The process at the server's end answers no more, and no time-out of the server's ends it.
    let silent = Frozen::waiting_for_a_lock(&db).await;
    service.logs("database_unavailable").await;
    let why = service.events("database_unavailable")[0]["cause"].to_string();
    assert_says(&why, &["has not answered for", "no_answer"]);

    service.logs_times("database_ready", 2).await;
    eventually(&db, "SELECT count(*) FROM vitals_daily WHERE user_id > 1", 2).await;

    drop(silent);
    lock.release().await;
    eventually(&db, QUEUED, 0).await;
    let ran = service.stops();
    assert_eq!(ran.events("batch_interrupted")[0]["class"], "no_answer");
    assert_exact(&db, &ran).await;
}
