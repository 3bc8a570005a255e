//! What the deliveries of all channels have in common: outcomes, time limits, addresses, trusted certificates.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// What a server says is cut there.
const MOST_SAID: usize = 160;

/// What became of a delivery that ended well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Some of several recipients were refused, and why.
    pub refused: Option<Failure>,
}

/// Why a message could not be delivered: at which step, and what happened there. Never a health
/// value, a password or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    step: &'static str,
    reason: String,
}

impl Failure {
    /// At a step of ours. The reason may be another machine's: of that, only what can be printed.
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

/// Waits for a step no longer than this.
///
/// # Errors
/// As the step, and that it took longer.
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

/// Tries each address of a host in turn, each with its share of the time, so that one that is silent
/// does not keep the others from being tried.
///
/// # Errors
/// If the name is unknown, or why the last address could not be used.
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

/// The certificates of a file, which are trusted.
///
/// # Errors
/// If there are none.
pub(crate) fn trusted(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|error| Failure::new("ca_file", error))?;
    if found.is_empty() {
        return Err(Failure::new("ca_file", "it holds no PEM certificate"));
    }
    Ok(found)
}
