//! The messages to systemd (sd_notify(3)), read by a socket in its place.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::QUEUED;
use crate::support::Database;
use crate::support::outside::Scratch;
use crate::support::running::{Frozen, Running, UserLock, eventually, waiting};
use crate::support::samples::{insert_samples, untouched};
use crate::support::worker_at;

/// Far more than any message takes: only a failure waits for so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The service manager's end of the line.
struct Manager {
    socket: UnixDatagram,
    scratch: Scratch,
}

impl Manager {
    fn new() -> Self {
        let scratch = Scratch::new();
        let socket = UnixDatagram::bind(scratch.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, scratch }
    }

    fn start(&self, mut command: std::process::Command, settings: &[(&str, &str)]) -> Running {
        command.env("NOTIFY_SOCKET", self.scratch.path().join("notify"));
        Running::service(command, settings)
    }

    /// The next message within this time.
    fn next_within(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// Waits for a message that begins so, and returns all since the last one looked at.
    #[track_caller]
    fn hears(&self, beginning: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let message = self.next_within(PATIENCE);
            heard.push(message.unwrap_or_else(|| panic!("no {beginning} among {heard:#?}")));
            if heard.last().is_some_and(|last| last.starts_with(beginning)) {
                return heard;
            }
        }
    }

    /// Throws away what has come so far.
    fn forget(&self) {
        while self.next_within(Duration::from_millis(1)).is_some() {}
    }
}

#[tokio::test]
async fn it_is_ready_at_once_and_says_what_there_is_to_do_until_it_stops() {
    let db = Database::new().await;
    insert_samples(&db, 3, 500).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let manager = Manager::new();
    let service = manager.start(db.worker(), &[]);

    assert_eq!(manager.hears("READY=1"), ["READY=1\n"], "before anything else");
    let status = manager.hears("STATUS=Ready: 1,500 rows queued, oldest ").pop().unwrap();
    // Besides the group, poll and presence may use a connection at this moment.
    assert!(status.contains("; pool ") && status.contains(" of 4 in use, "), "{status}");

    waiting(&db, 1).await;
    service.signal("-TERM");
    manager.hears("STOPPING=1");
    lock.release().await;
    service.succeeds();
}

#[tokio::test]
async fn it_is_ready_without_its_database_and_says_that_it_is_degraded() {
    let manager = Manager::new();
    let url = "postgresql://me@/app?host=/nowhere";
    let service = manager.start(worker_at(url), &[]);
    manager.hears("READY=1");
    let status = manager.hears("STATUS=Degraded, trying again: ").pop().unwrap();
    assert!(status.contains("socket /nowhere"), "{status}");
    service.signal("-TERM");
    manager.hears("STOPPING=1");
    service.succeeds();
}

#[tokio::test]
async fn a_reload_is_announced_and_ends_with_ready() {
    let db = Database::new().await;
    let manager = Manager::new();
    let service = manager.start(db.worker(), &[]);
    manager.hears("READY=1");
    service.signal("-HUP");
    let reloading = manager.hears("RELOADING=1").pop().unwrap();
    let (_, monotonic) = reloading.split_once("MONOTONIC_USEC=").unwrap();
    assert!(monotonic.trim().parse::<u64>().unwrap() > 0);
    manager.hears("READY=1");
    service.stops();
}

#[tokio::test]
async fn the_watchdog_is_fed_by_progress_and_by_nothing_else() {
    let db = Database::new().await;
    let manager = Manager::new();
    let mut command = db.worker();
    command.env("WATCHDOG_USEC", "400000");
    let service = manager.start(command, &[]);
    // Idle is progress, too.
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }

    insert_samples(&db, 1, 5).await;
    // By a lock the work is held up for less than the server's time-outs; frozen, for ever.
    let lock = UserLock::hold(&db.url, 1).await;
    db.execute("UPDATE vitals_raw SET value = value + 1").await;
    let frozen = Frozen::waiting_for_a_lock(&db).await;
    manager.forget();
    let began = Instant::now();
    let mut heard = Vec::new();
    // Five times the watchdog's time; a healthy service would feed it twenty times meanwhile.
    while began.elapsed() < Duration::from_secs(2) {
        heard.extend(manager.next_within(Duration::from_millis(100)));
    }
    assert!(!heard.iter().any(|message| message.contains("WATCHDOG")), "{heard:?}");

    drop(frozen);
    lock.release().await;
    manager.hears("WATCHDOG=1");
    eventually(&db, QUEUED, 0).await;
    service.stops();
}

#[tokio::test]
async fn a_manager_that_is_gone_or_does_not_listen_holds_up_nothing() {
    let db = Database::new().await;
    let gone = Scratch::new();
    let mut command = db.worker();
    command.env("NOTIFY_SOCKET", gone.path().join("nobody"));
    let service = Running::service(command, &[]);
    service.logs("supervisor_unreachable").await;
    insert_samples(&db, 2, 5).await;
    eventually(&db, QUEUED, 0).await;
    assert_eq!(service.stops().events("supervisor_unreachable").len(), 1, "said once");

    // This one has a socket whose queue is full before long, as it never reads.
    let manager = Manager::new();
    let mut command = db.worker();
    command.env("WATCHDOG_USEC", "4000");
    let service = manager.start(command, &[("WORKER__SERVICE__OBSERVE_SECONDS", "0.1")]);
    service.logs("database_ready").await;
    for round in 1..=5 {
        insert_samples(&db, 2, 100 * round).await;
        eventually(&db, QUEUED, 0).await;
    }
    service.stops();
    assert_eq!(untouched(&db).await, 0);
}
