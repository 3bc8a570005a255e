//! Notifications to systemd, if NOTIFY_SOCKET is set (sd_notify(3)).
//!
//! A separate thread sends the messages, so that an unresponsive service manager never delays the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Maximum of messages waiting to be sent, more than a healthy service manager leaves unread. Further
/// ones are dropped.
const WAITING: usize = 64;

/// How long the end of the service waits until the last messages are sent.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Watchdog notifications per time-out: two would suffice, four tolerate a slow moment.
const FEEDS_PER_TIMEOUT: u32 = 4;

enum Message {
    Ready,
    Status(String),
    Alive,
    Reloading,
    Stopping,
    Flush(SyncSender<()>),
}

/// The service manager, if there is one.
#[derive(Clone)]
pub struct Supervisor {
    sender: Option<SyncSender<Message>>,
    watchdog: Option<Arc<Watchdog>>,
    stopping: Arc<AtomicBool>,
}

struct Watchdog {
    interval: Duration,
    began: Instant,
    fed_ms: AtomicU64,
}

impl Supervisor {
    /// The service manager that the environment names.
    pub fn from_environment() -> Self {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self::none();
        }
        let (sender, receiver) = sync_channel(WAITING);
        std::thread::spawn(move || send(&receiver));
        let timeout = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero());
        let watchdog = timeout.map(|timeout| {
            let interval = timeout / FEEDS_PER_TIMEOUT;
            Arc::new(Watchdog { interval, began: Instant::now(), fed_ms: AtomicU64::new(0) })
        });
        Self { sender: Some(sender), watchdog, stopping: Arc::default() }
    }

    /// No service manager.
    pub fn none() -> Self {
        Self { sender: None, watchdog: None, stopping: Arc::default() }
    }

    /// The interval of watchdog notifications, if there is a watchdog.
    pub fn watches_every(&self) -> Option<Duration> {
        self.watchdog.as_ref().map(|watchdog| watchdog.interval)
    }

    /// Reports that the service has started, with or without its database.
    pub fn ready(&self) {
        self.tell(Message::Ready);
    }

    /// Sets the line that `systemctl status` shows.
    pub fn status(&self, text: String) {
        self.tell(Message::Status(text));
    }

    /// Reports progress. It may be called at any rate; the watchdog is notified only as often as
    /// necessary.
    pub fn alive(&self) {
        let Some(watchdog) = &self.watchdog else { return };
        let now_ms = watchdog.began.elapsed().as_millis() as u64;
        let fed_ms = watchdog.fed_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(fed_ms) >= watchdog.interval.as_millis() as u64 {
            watchdog.fed_ms.store(now_ms, Ordering::Relaxed);
            self.tell(Message::Alive);
        }
    }

    /// Reports the beginning of a reload; [`Supervisor::ready`] reports its end.
    pub fn reloading(&self) {
        self.tell(Message::Reloading);
    }

    /// Reports that the service stops. Only the first call sends a message.
    pub fn stopping(&self) {
        if !self.stopping.swap(true, Ordering::Relaxed) {
            self.tell(Message::Stopping);
        }
    }

    /// Waits until all messages are sent, at most a second.
    pub fn flush(&self) {
        let (done, sent) = sync_channel(1);
        self.tell(Message::Flush(done));
        let _ = sent.recv_timeout(LAST_WORDS);
    }

    fn tell(&self, message: Message) {
        if let Some(sender) = &self.sender {
            let _ = sender.try_send(message);
        }
    }
}

fn send(messages: &Receiver<Message>) {
    let mut reachable = true;
    for message in messages {
        let result = match &message {
            Message::Ready => sd_notify::notify(&[NotifyState::Ready]),
            Message::Status(text) => sd_notify::notify(&[NotifyState::Status(text)]),
            Message::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
            Message::Reloading => NotifyState::monotonic_usec_now()
                .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
            Message::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
            Message::Flush(done) => {
                let _ = done.try_send(());
                continue;
            }
        };
        if let (Err(error), true) = (&result, reachable) {
            tracing::warn!(
                event = "supervisor_unreachable",
                error = %error,
                "Service manager unreachable: {error}; the work goes on"
            );
        }
        reachable = result.is_ok();
    }
}
