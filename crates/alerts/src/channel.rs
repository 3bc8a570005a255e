//! One message to one server, in bounded time and beside everything else.
//!
//! Each delivery is a thread of its own with a small runtime of its own, for as long as it takes:
//! looking up a name, reading certificates and the arithmetic of TLS hold up no batch, and a server
//! that hangs holds nothing but that thread.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::{Mail, Message, Webhook, mail, webhook};

/// So long after its bounds a delivery is not waited for any more: they are kept within it, and only on a
/// host that hardly moves it takes longer.
const GRACE: Duration = Duration::from_secs(30);

/// What a server says is cut there.
const MOST_SAID: usize = 160;

/// A way to tell people.
#[derive(Clone, Debug)]
pub enum Channel {
    /// A mail server.
    Mail(Mail),
    /// A web server.
    Webhook(Webhook),
}

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

    fn no_answer(step: &'static str, limit: Duration) -> Self {
        let seconds = (limit.as_secs_f64() * 1e3).round() / 1e3;
        Self::new(step, format!("no answer within {seconds} s"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.reason)
    }
}

impl Channel {
    /// Those that are configured.
    pub fn all(mail: &Mail, webhook: &Webhook) -> Vec<Self> {
        let mail = (!mail.host.is_empty()).then(|| Self::Mail(mail.clone()));
        let webhook = webhook.url.is_some().then(|| Self::Webhook(webhook.clone()));
        mail.into_iter().chain(webhook).collect()
    }

    /// As in the log, in metrics and in the database.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mail(_) => "mail",
            Self::Webhook(_) => "webhook",
        }
    }

    /// Where messages go: host and port, and never more.
    pub fn address(&self) -> String {
        match self {
            Self::Mail(mail) => mail.address(),
            Self::Webhook(webhook) => {
                webhook.url.as_ref().map_or_else(String::new, ToString::to_string)
            }
        }
    }

    /// Whether messages leave this host unencrypted.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Mail(mail) => mail.tls == mail::MailTls::None && !is_loopback(&mail.host),
            Self::Webhook(webhook) => {
                let url = webhook.url.as_ref();
                url.is_some_and(|url| !url.is_encrypted() && !is_loopback(url.host()))
            }
        }
    }

    /// The longest that a delivery takes, whatever the server does.
    pub fn longest(&self) -> Duration {
        let (connect, send) = match self {
            Self::Mail(mail) => (mail.connect_timeout, mail.send_timeout),
            Self::Webhook(webhook) => (webhook.connect_timeout, webhook.send_timeout),
        };
        connect + send + GRACE
    }

    /// Delivers a message.
    ///
    /// # Errors
    /// Why not. The server may have got it all the same, if only its answer was lost.
    pub async fn send(&self, message: &Message) -> Result<Sent, Failure> {
        let (channel, message) = (self.clone(), message.clone());
        let delivery = tokio::task::spawn_blocking(move || channel.send_in_this_thread(&message));
        match tokio::time::timeout(self.longest(), delivery).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err(Failure::new("delivery", "it broke off; please report it")),
            Err(_) => Err(Failure::no_answer("delivery", self.longest())),
        }
    }

    fn send_in_this_thread(&self, message: &Message) -> Result<Sent, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new("delivery", error))?;
        let sent = runtime.block_on(async {
            match self {
                Self::Mail(mail) => mail::send(mail, message).await,
                Self::Webhook(webhook) => webhook::send(webhook, message).await,
            }
        });
        // To look up a name may take a minute, which nobody waits for.
        runtime.shutdown_background();
        sent
    }
}

/// Whether a host is this one (RFC 6761 for the name).
fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Waits for a step no longer than this.
///
/// # Errors
/// As the step, and that it took longer.
pub async fn with_timeout<T>(
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
pub async fn at_each_address<T>(
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
pub fn trusted(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|error| Failure::new("ca_file", error))?;
    if found.is_empty() {
        return Err(Failure::new("ca_file", "it holds no PEM certificate"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn loopback_is_known_by_name_and_by_address() {
        for host in ["localhost", "LOCALHOST.", "mail.localhost", "127.0.0.1", "127.8.8.8", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        assert!(is_loopback("::ffff:127.0.0.1"));
        for host in
            ["localhost.example.org", "10.0.0.1", "128.0.0.1", "::2", "127.0.0.1.nip.io", ""]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
