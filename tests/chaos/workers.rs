//! Workers that are started again whenever they end.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::any_order::history::DEFAULT_ZONE;
use crate::support::worker_at;

/// How often it is looked whether one has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A worker of a round, whichever process it is.
pub struct Worker {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
    pub log: PathBuf,
}

struct Shared {
    url: String,
    log: PathBuf,
    faketime: Option<PathBuf>,
    child: Mutex<Option<Child>>,
    /// By how many seconds the clocks of the next workers are off.
    clock: Mutex<i64>,
    may_be_killed: AtomicBool,
    asked_to_end: AtomicU32,
    is_over: AtomicBool,
    /// Ends of workers that the test did not ask for.
    unasked: Mutex<Vec<String>>,
}

impl Worker {
    /// Starts one at a database, with a log of its own.
    pub fn start(url: String, log: PathBuf, faketime: Option<PathBuf>) -> Self {
        let shared = Arc::new(Shared {
            url,
            log: log.clone(),
            faketime,
            child: Mutex::default(),
            clock: Mutex::default(),
            may_be_killed: AtomicBool::default(),
            asked_to_end: AtomicU32::default(),
            is_over: AtomicBool::default(),
            unasked: Mutex::default(),
        });
        let of_keeper = Arc::clone(&shared);
        let keeper = std::thread::spawn(move || of_keeper.keep());
        Self { shared, keeper: Some(keeper), log }
    }

    /// Sends a signal; false if there is no process at the moment.
    pub fn signal(&self, signal: &str) -> bool {
        // Held until the signal is sent, so that no other process can get its pid.
        let child = self.shared.child.lock().unwrap();
        let Some(process) = child.as_ref().map(Child::id) else { return false };
        match signal {
            "KILL" => self.shared.may_be_killed.store(true, Ordering::SeqCst),
            "TERM" => drop(self.shared.asked_to_end.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        Command::new("kill").args([format!("-{signal}"), process.to_string()]).status().unwrap();
        true
    }

    /// The processes to come have another clock.
    pub fn shift_clock(&self, seconds: i64) {
        *self.shared.clock.lock().unwrap() = seconds;
    }

    /// Stops it for good. Returns the ends of workers that the test did not ask for.
    pub fn end(mut self) -> Vec<String> {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.signal("TERM");
        self.keeper.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.shared.unasked.lock().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.signal("KILL");
    }
}

impl Shared {
    fn keep(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            *self.child.lock().unwrap() = Some(self.command().spawn().unwrap());
            let ended = loop {
                std::thread::sleep(LOOK);
                let mut child = self.child.lock().unwrap();
                if let Some(status) = child.as_mut().unwrap().try_wait().unwrap() {
                    *child = None;
                    break status;
                }
            };
            self.judge(ended);
        }
    }

    fn judge(&self, ended: ExitStatus) {
        let asked_to_end = self.asked_to_end.swap(0, Ordering::SeqCst);
        let may_be_killed = self.may_be_killed.swap(false, Ordering::SeqCst);
        let asked_for = match (ended.code(), ended.signal()) {
            (Some(0), _) => asked_to_end > 0,
            // Asked a second time, it leaves at once.
            (Some(130), _) => asked_to_end > 1,
            // Before it listens for signals, it ends as every process does.
            (_, Some(15)) => asked_to_end > 0,
            (_, Some(9)) => may_be_killed,
            _ => false,
        };
        if !asked_for {
            self.unasked.lock().unwrap().push(format!("{ended}, see {}", self.log.display()));
        }
    }

    fn command(&self) -> Command {
        let mut command = worker_at(&self.url);
        command.arg("run").stdout(Stdio::null()).stderr(open(&self.log)).envs(SETTINGS);
        command.env("WORKER__AGGREGATION__DEFAULT_TIME_ZONE", DEFAULT_ZONE);
        let seconds = *self.clock.lock().unwrap();
        if let Some(library) = self.faketime.as_ref().filter(|_| seconds != 0) {
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{seconds:+}"));
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }
}

fn open(log: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(log).unwrap()
}

/// Eager and impatient, so that much happens in little time; and nothing is ever given up, because
/// faults come more often than in the worst of nights.
const SETTINGS: [(&str, &str); 15] = [
    ("WORKER__SCHEDULE__POLL_SECONDS", "0.05"),
    ("WORKER__SERVICE__OBSERVE_SECONDS", "0.5"),
    ("WORKER__SERVICE__SHUTDOWN_TIMEOUT_SECONDS", "5"),
    ("WORKER__BATCH__SIZE", "50"),
    ("WORKER__BATCH__CONCURRENCY", "2"),
    ("WORKER__BATCH__LEASE_SECONDS", "5"),
    ("WORKER__BATCH__MAX_ATTEMPTS", "100"),
    ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "0.1"),
    ("WORKER__BATCH__BACKOFF_MAX_SECONDS", "0.5"),
    ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "2"),
    ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "1"),
    ("WORKER__SESSION__IDLE_IN_TRANSACTION_TIMEOUT_SECONDS", "3"),
    ("WORKER__POOL__WAIT_TIMEOUT_SECONDS", "3"),
    ("WORKER__DATABASE__CONNECT_TIMEOUT_SECONDS", "2"),
    ("WORKER__LOG__LEVEL", "debug"),
];
