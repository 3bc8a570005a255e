//! A worker process that runs during a test, and locks that make it wait at a chosen point.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use aggregation::UserIdType;
use tokio_postgres::Client;

use serde_json::Value;

use super::outside::{eventually as so, signal};
use super::{Database, Ran, events, user_ids};

/// Maximum number of polls for an expected event, one every 10 ms. Only a failing test polls so often.
const LOOKS: u32 = 12_000;

/// Settings with which no time-out of the worker ends a wait for a lock that a test holds.
pub const PATIENT: [(&str, &str); 4] = [
    ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "100"),
    ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "110"),
    ("WORKER__SESSION__TRANSACTION_TIMEOUT_SECONDS", "120"),
    ("WORKER__BATCH__LEASE_SECONDS", "300"),
];

/// The worker process. Dropping it kills the process.
pub struct Running {
    pub child: Child,
    pub stderr: Arc<Mutex<String>>,
    readers: Option<(JoinHandle<String>, JoinHandle<()>)>,
}

impl Running {
    /// Starts `run-once` with additional settings.
    pub fn start(mut command: Command, settings: &[(&str, &str)]) -> Self {
        command.args(["run-once", "--json"]).envs(settings.iter().copied());
        Self::spawn(command)
    }

    /// Starts any command.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (out, err, log) = (child.stdout.take(), child.stderr.take(), Arc::clone(&stderr));
        let out = std::thread::spawn(move || {
            let mut text = String::new();
            out.unwrap().read_to_string(&mut text).unwrap();
            text
        });
        let err = std::thread::spawn(move || {
            for line in BufReader::new(err.unwrap()).lines() {
                log.lock().unwrap().push_str(&(line.unwrap() + "\n"));
            }
        });
        Self { child, stderr, readers: Some((out, err)) }
    }

    /// Starts the service with additional settings, and short intervals that keep the test fast.
    pub fn service(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let eager = [
            ("WORKER__SCHEDULE__POLL_SECONDS", "0.02"),
            ("WORKER__SERVICE__OBSERVE_SECONDS", "0.1"),
        ];
        command.arg("run").envs(eager).envs(settings.iter().copied());
        Self::spawn(command)
    }

    pub fn of(db: &Database) -> Self {
        Self::start(db.worker(), &[])
    }

    /// Waits until the log has an event.
    pub async fn logs(&self, event: &str) {
        self.logs_times(event, 1).await;
    }

    /// Waits until the log has an event this many times.
    pub async fn logs_times(&self, event: &str, times: usize) {
        for _ in 0..LOOKS {
            if self.events(event).len() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {event} in {}", self.stderr.lock().unwrap());
    }

    /// The events of one name so far.
    pub fn events(&self, name: &str) -> Vec<Value> {
        events(&self.stderr.lock().unwrap(), name)
    }

    /// Requests a stop; the exit must be a success.
    pub fn stops(self) -> Ran {
        self.signal("-TERM");
        self.succeeds()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Freezes the process, and waits until all of its threads are stopped. SIGCONT continues it.
    pub fn freeze(&self) {
        self.signal("-STOP");
        so("the worker is frozen", || stands_still(self.child.id() as i32));
    }

    /// Waits for the end. Each batch must account for all rows that it claimed.
    pub fn end(self) -> Ran {
        let ran = self.end_amid_faults();
        assert_conserved(&ran);
        ran
    }

    /// As [`Running::end`], for a database whose connections break: of a claim whose answer is lost, only the
    /// beginning or the end of its batch is in the log.
    pub fn end_amid_faults(mut self) -> Ran {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let (out, err) = self.readers.take().unwrap();
        let stdout = out.join().unwrap();
        err.join().unwrap();
        Ran { code, stdout, stderr: self.stderr.lock().unwrap().clone() }
    }

    /// Waits for the end, which must be a success.
    pub fn succeeds(self) -> Ran {
        let ran = self.end();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether all threads of a process are stopped.
pub fn stands_still(process: i32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let state = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in brackets and may contain any character.
        state.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    })
}

/// Asserts claimed = completed + rejected + failed + released, for each batch and the run.
fn assert_conserved(ran: &Ran) {
    assert!(ran.events("rows_not_conserved").is_empty(), "{}", ran.stderr);
    let done = ran.events("batch_done");
    assert_eq!(ran.events("batch_claimed").len(), done.len(), "{}", ran.stderr);
    for batch in &done {
        let parts = ["completed", "rejected", "failed", "released"].map(|part| number(batch, part));
        assert_eq!(number(batch, "rows"), parts.iter().sum::<u64>(), "{batch}");
    }
    if !ran.stdout.is_empty() {
        let run = ran.json();
        let parts = ["completed", "rejected", "failed", "released"]
            .map(|part| number(&run, &format!("rows_{part}")));
        assert_eq!(number(&run, "rows_claimed"), parts.iter().sum::<u64>(), "{run}");
        assert_eq!(number(&run, "batches"), done.len() as u64, "{run}");
    }
}

/// A count in an event.
pub fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_else(|| panic!("{field} in {event}"))
}

/// The advisory lock of one user's vitals, as every worker takes it before a group.
pub struct UserLock {
    client: Client,
    key: String,
}

impl UserLock {
    /// The lock's key; `$1` is the user, whose id is of type bigint.
    pub const KEY: &str =
        "hashtext('dayfold vitals ' || 'aggregation_queue'::regclass::oid), hashint8($1)";

    pub async fn hold(url: &str, user_id: i64) -> Self {
        let client = crate::support::connect(url).await;
        let id_type =
            "SELECT format_type(typbasetype, NULL) FROM pg_type WHERE oid = 'user_key'::regtype";
        let id_type: String = client.query_one(id_type, &[]).await.unwrap().get(0);
        let hash = match UserIdType::from_name(&id_type).unwrap() {
            UserIdType::Bigint => format!("hashint8({user_id})"),
            id_type => format!("hashtext('{}')", user_ids::id(id_type, user_id)),
        };
        let key = Self::KEY.replace("hashint8($1)", &hash);
        client.execute(&format!("SELECT pg_advisory_lock({key})"), &[]).await.unwrap();
        Self { client, key }
    }

    pub async fn release(self) {
        let sql = format!("SELECT pg_advisory_unlock({})", self.key);
        let released = self.client.query_one(&sql, &[]).await.unwrap();
        assert!(released.get::<_, bool>(0));
    }
}

/// Waits until the query returns this number.
pub async fn eventually(db: &Database, sql: &str, wanted: i64) {
    let mut last = -1;
    for _ in 0..LOOKS {
        last = db.value::<i64>(sql).await;
        if last == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{last} instead of {wanted}: {sql}");
}

/// Waits until this many sessions of workers wait for a lock.
pub async fn waiting(db: &Database, workers: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'
                 AND wait_event_type = 'Lock'";
    eventually(db, sql, workers).await;
}

/// A worker's session whose server process is frozen: it does not answer, and none of the server's
/// time-outs ends it. Dropping this continues the process.
pub struct Frozen {
    process: i32,
}

impl Frozen {
    /// Freezes the session that waits for a lock.
    pub async fn waiting_for_a_lock(db: &Database) -> Self {
        waiting(db, 1).await;
        let process = db
            .value(
                "SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'
                   AND wait_event_type = 'Lock'",
            )
            .await;
        signal("STOP", i64::from(process));
        Self { process }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", i64::from(self.process));
    }
}
