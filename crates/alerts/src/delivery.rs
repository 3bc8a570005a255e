//! Shared by the deliveries of all channels: outcomes, time limits, addresses, trusted
//! certificates.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The maximum length of a server's answer in a message, in characters; the rest is cut.
const MOST_SAID: usize = 160;

/// The outcome of a successful delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The refusal of some of several recipients.
    pub refused: Option<Failure>,
}

/// A failed delivery: the step, and the reason. It never contains a health value, a password or a
/// URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    step: &'static str,
    reason: String,
}

impl Failure {
    /// A failure at a step of this worker. The reason may come from another machine, so unprintable
    /// characters are removed.
    pub fn new(step: &'static str, reason: impl fmt::Display) -> Self {
        let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        let reason = reason.to_string();
        Self { step, reason: reason.chars().take(MOST_SAID).map(printable).collect() }
    }

    pub(crate) fn no_answer(step: &'static str, limit: Duration) -> Self {
        let seconds = (limit.as_secs_f64() * 1e3).round() / 1e3;
        Self::new(step, format!("no answer within {seconds} s"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.reason)
    }
}

/// Delivers in a thread with a small runtime of its own, for at most `longest`.
///
/// # Errors
/// The error of the delivery.
pub(crate) async fn in_own_thread<F, D>(longest: Duration, deliver: F) -> Result<Sent, Failure>
where
    F: FnOnce() -> D + Send + 'static,
    D: Future<Output = Result<Sent, Failure>>,
{
    let delivery = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new("delivery", error))?;
        let sent = runtime.block_on(deliver());
        // A name look-up may take a minute; the runtime does not wait for it.
        runtime.shutdown_background();
        sent
    });
    match tokio::time::timeout(longest, delivery).await {
        Ok(Ok(sent)) => sent,
        Ok(Err(_)) => Err(Failure::new("delivery", "it broke off; please report it")),
        Err(_) => Err(Failure::no_answer("delivery", longest)),
    }
}

/// Waits for a step with a time limit.
///
/// # Errors
/// The step's error, or that it timed out.
pub(crate) async fn with_timeout<T>(
    step: &'static str,
    limit: Duration,
    doing: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, doing).await {
        Ok(done) => done,
        Err(_) => Err(Failure::no_answer(step, limit)),
    }
}

/// Tries each address of a host in turn, each with its share of the time, so that one silent
/// address does not use up the time of the others.
///
/// # Errors
/// The name is unknown, or the last address failed.
pub(crate) async fn at_each_address<T>(
    (host, port): (&str, u16),
    limit: Duration,
    connect: impl AsyncFn(SocketAddr) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let until = Instant::now() + limit;
    let looked_up = async {
        let found = tokio::net::lookup_host((host, port)).await;
        found.map(Iterator::collect).map_err(|error| Failure::new("look-up of the name", error))
    };
    let addresses: Vec<SocketAddr> = with_timeout("look-up of the name", limit, looked_up).await?;
    let mut last = Failure::new("look-up of the name", "it has no address");
    for (number, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - number) as u32;
        match with_timeout("connect", share, connect(*address)).await {
            Ok(connected) => return Ok(connected),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// Reads the trusted certificates of a file.
///
/// # Errors
/// The file has none, or cannot be read.
pub(crate) fn trusted(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|error| Failure::new("ca_file", error))?;
    if found.is_empty() {
        return Err(Failure::new("ca_file", "it holds no PEM certificate"));
    }
    Ok(found)
}
