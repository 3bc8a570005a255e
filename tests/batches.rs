//! Batches as an operator sees them: what is claimed, held, committed, failed and given back.
//!
//! A test stops the worker where it wants by holding a lock that the worker needs: a user's
//! advisory lock before a group reads anything, or a table of figures after it has read.

mod claims;
mod groups;
mod interruptions;
mod races;
mod schemas;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_postgres::Client;

use crate::support::{Database, Ran};

/// How often something that must come soon is looked for, every 10 ms.
const LOOKS: u32 = 3_000;

/// The worker, running beside the test. Dropped, it is killed.
struct Running {
    child: Child,
    stderr: Arc<Mutex<String>>,
    readers: Option<(JoinHandle<String>, JoinHandle<()>)>,
}

impl Running {
    fn start(mut command: Command, settings: &[(&str, &str)]) -> Self {
        command.args(["run-once", "--json"]).envs(settings.iter().copied());
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

    fn of(db: &Database) -> Self {
        Self::start(db.worker(), &[])
    }

    /// Waits until the log has an event.
    async fn logs(&self, event: &str) {
        let wanted = format!("\"event\":\"{event}\"");
        for _ in 0..LOOKS {
            if self.stderr.lock().unwrap().contains(&wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {event} in {}", self.stderr.lock().unwrap());
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Its end. Each batch must account for every row that it claimed.
    fn end(mut self) -> Ran {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let (out, err) = self.readers.take().unwrap();
        let stdout = out.join().unwrap();
        err.join().unwrap();
        let ran = Ran { code, stdout, stderr: self.stderr.lock().unwrap().clone() };
        assert_conserved(&ran);
        ran
    }

    /// Its end, which must be a success.
    fn succeeds(self) -> Ran {
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

/// claimed = completed + rejected + failed + released, batch by batch and over the run.
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

fn number(event: &serde_json::Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_else(|| panic!("{field} in {event}"))
}

/// Runs the worker to its end with settings of its own.
fn run(db: &Database, settings: &[(&str, &str)]) -> Ran {
    Running::start(db.worker(), settings).end()
}

/// Heart rates of the users `1..=users`, one a minute from 10:00 UTC on 2024-05-01, arriving
/// interleaved.
async fn insert_samples(db: &Database, users: u32, each: u32) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'heart_rate', 60 + (u + r) % 40, 'bpm', 'watch', at, at
         FROM generate_series(1, {each}) AS r, generate_series(1, {users}) AS u,
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + r * interval '1 minute' AS at) AS t
         ORDER BY r, u"
    ))
    .await;
}

/// Every raw row is in the figures, once, as it is now, and nothing is left to do.
async fn assert_all_done(db: &Database) {
    let queued: i64 = db.value("SELECT count(*) FROM aggregation_queue").await;
    assert_eq!(queued, 0, "rows in the queue");
    let wrong = db
        .query(
            "SELECT user_id, local_date, raw.n::text, day.sample_count, raw.mean, day.mean
             FROM (SELECT user_id, (started_at AT TIME ZONE 'UTC')::date AS local_date,
                          count(*) AS n, avg(value) AS mean, min(value) AS min, max(value) AS max
                   FROM vitals_raw GROUP BY 1, 2) AS raw
             FULL JOIN vitals_daily AS day USING (user_id, local_date)
             WHERE raw.n IS DISTINCT FROM day.sample_count OR raw.min IS DISTINCT FROM day.min
                OR raw.max IS DISTINCT FROM day.max OR (abs(raw.mean - day.mean) < 1e-9) IS NOT TRUE",
            &[],
        )
        .await;
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The advisory lock of one user's vitals, as every worker takes it before a group.
struct UserLock {
    client: Client,
    user_id: i64,
}

impl UserLock {
    const KEY: &str = "hashtext('dayfold vitals ' || current_schema()), hashint8($1)";

    async fn hold(url: &str, user_id: i64) -> Self {
        let client = crate::support::connect(url).await;
        let sql = format!("SELECT pg_advisory_lock({})", Self::KEY);
        client.execute(&sql, &[&user_id]).await.unwrap();
        Self { client, user_id }
    }

    async fn release(self) {
        let sql = format!("SELECT pg_advisory_unlock({})", Self::KEY);
        let released = self.client.query_one(&sql, &[&self.user_id]).await.unwrap();
        assert!(released.get::<_, bool>(0));
    }
}

/// Waits until the database answers a question with this number.
async fn eventually(db: &Database, sql: &str, wanted: i64) {
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
async fn waiting(db: &Database, workers: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'dayfold-worker'
                 AND wait_event_type = 'Lock'";
    eventually(db, sql, workers).await;
}
