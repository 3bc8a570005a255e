//! The service is at work, and a real server is broken on purpose.
//!
//! After each fault the worker recovers by itself, without a restart and without a change of the
//! queue by hand. Every change is aggregated exactly once, the figures are those of a computation
//! from scratch, and the log says what happened and what was done. `docs/faults.md` lists them all.
//!
//! A fault is put where it must strike by a lock (`Gate`) or by freezing the worker's process, never
//! by sleeping.

mod causes;
mod commits;
mod disk;
mod gate;
mod night;
mod outages;
pub mod proof;
mod refusals;
mod schema;
mod sessions;
mod silence;
mod upgrade;
mod waits;

use serde_json::Value;

use crate::service::{QUEUED, SHORT_LEASE};
use crate::support::running::Running;
use crate::support::{Database, Ran, worker_at};

/// The worker's sessions at the test's database.
const OF_THE_WORKER: &str =
    "datname = current_database() AND application_name LIKE 'dayfold-worker@%'";

/// The service, telling all it ever tells, and soon at what it postponed.
fn service(url: &str, settings: &[(&str, &str)]) -> Running {
    let telling = [
        ("WORKER__LOG__LEVEL", "debug"),
        ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "0.1"),
        ("WORKER__BATCH__BACKOFF_MAX_SECONDS", "0.2"),
    ];
    Running::service(worker_at(url), &[&telling, settings].concat())
}

/// Ends sessions of the worker, as an administrator does, and waits until they are gone.
async fn end_sessions(db: &Database, which: &str) {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 10000))
         FROM pg_stat_activity WHERE {OF_THE_WORKER} AND {which}"
    );
    assert!(db.value::<i64>(&sql).await > 0, "no session of the worker is {which}");
}

/// How many sessions of the worker are in a state.
fn sessions(which: &str) -> String {
    format!("SELECT count(*) FROM pg_stat_activity WHERE {OF_THE_WORKER} AND {which}")
}

/// Has the server speak German to the sessions to come, if this host has the language. In English
/// the test says nothing that another one does not.
async fn speak_another_language(db: &Database) {
    let german = format!("ALTER DATABASE {} SET lc_messages = 'de_DE.utf8'", db.name);
    if let Err(error) = db.client.batch_execute(&german).await {
        eprintln!("this host knows no German: {error}");
    }
}

/// The process that all others of a server come from.
async fn postmaster(db: &Database) -> i32 {
    db.value("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::integer").await
}

/// The only event of its name.
#[track_caller]
fn only(ran: &Ran, name: &str) -> Value {
    let events = ran.events(name);
    assert_eq!(events.len(), 1, "{name} in {}", ran.stderr);
    events[0].clone()
}

/// The log has the fault once, with its class. It also says that the rest of the batch was
/// released, and that the work went on after a pause. No row has an attempt counted.
#[track_caller]
fn assert_interrupted_once(ran: &Ran, class: &str) {
    assert_eq!(only(ran, "batch_interrupted")["released"], true, "{}", ran.stderr);
    assert_interrupted(ran, class);
}

/// The same, whether or not the rows could be given back at once: a server that is just coming back
/// may still refuse, and then their lease brings them back.
fn assert_interrupted(ran: &Ran, class: &str) {
    assert_eq!(only(ran, "batch_interrupted")["class"], class, "{}", ran.stderr);
    assert_eq!(only(ran, "drain_paused")["class"], class);
    for unfounded in ["group_failed", "group_postponed", "database_unavailable"] {
        assert!(ran.events(unfounded).is_empty(), "{unfounded} in {}", ran.stderr);
    }
}
