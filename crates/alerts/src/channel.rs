//! One message to one server, in bounded time and in parallel with the worker.
//!
//! Each delivery has its own thread and small runtime. So name resolution, reading certificates and
//! the arithmetic of TLS delay no batch, and a server that hangs blocks only that thread.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::{Mail, MailTls, Webhook};
use crate::delivery::{Failure, Sent, in_own_thread};
use crate::message::Message;
use crate::{mail, webhook};

/// The grace after the time limits of a delivery. Deliveries keep their own limits; only an
/// overloaded host exceeds them.
const GRACE: Duration = Duration::from_secs(30);

/// A channel for alerts.
#[derive(Clone, Debug)]
pub enum Channel {
    /// A mail server.
    Mail(Mail),
    /// A web server.
    Webhook(Webhook),
}

impl Channel {
    /// The channels that are configured.
    pub fn all(mail: &Mail, webhook: &Webhook) -> Vec<Self> {
        let mail = (!mail.host.is_empty()).then(|| Self::Mail(mail.clone()));
        let webhook = webhook.url.is_some().then(|| Self::Webhook(webhook.clone()));
        mail.into_iter().chain(webhook).collect()
    }

    /// The name in the log, in metrics and in the database.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mail(_) => "mail",
            Self::Webhook(_) => "webhook",
        }
    }

    /// The destination, host and port only.
    pub fn address(&self) -> String {
        match self {
            Self::Mail(mail) => mail.address(),
            Self::Webhook(webhook) => webhook.address(),
        }
    }

    /// Whether messages leave this host unencrypted.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Mail(mail) => mail.tls == MailTls::None && !is_loopback(&mail.host),
            Self::Webhook(webhook) => webhook.is_open(),
        }
    }

    /// The maximum duration of a delivery, including its time-outs.
    pub fn longest(&self) -> Duration {
        match self {
            Self::Mail(mail) => mail.connect_timeout + mail.send_timeout + GRACE,
            Self::Webhook(webhook) => webhook.longest(),
        }
    }

    /// Delivers a message.
    ///
    /// # Errors
    /// The error says at which step it failed. If only the answer was lost, the server may have the
    /// message.
    pub async fn send(&self, message: &Message) -> Result<Sent, Failure> {
        let (channel, message) = (self.clone(), message.clone());
        in_own_thread(self.longest(), async move || match &channel {
            Self::Mail(mail) => mail::send(mail, &message).await,
            Self::Webhook(webhook) => webhook::send(webhook, &message).await,
        })
        .await
    }
}

impl Webhook {
    /// Whether messages leave this host unencrypted.
    pub fn is_open(&self) -> bool {
        let url = self.url.as_ref();
        url.is_some_and(|url| !url.is_encrypted() && !is_loopback(url.host()))
    }

    /// The destination, host and port only.
    pub fn address(&self) -> String {
        self.url.as_ref().map_or_else(String::new, ToString::to_string)
    }

    /// The maximum duration of a delivery, including its time-outs.
    pub fn longest(&self) -> Duration {
        self.connect_timeout + self.send_timeout + GRACE
    }
}

/// Whether a host is the local one (RFC 6761 for the name).
fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
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
