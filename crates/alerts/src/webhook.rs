//! A webhook: the message as JSON, by POST.

use std::fmt;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::channel::{Failure, Sent, at_each_address, trusted, with_timeout};
use crate::{Message, Webhook};

/// A URL to post to. It may hold a token, so that it prints as its host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct PostUrl(Uri);

impl PostUrl {
    /// What it must be, as the end of a sentence.
    pub const EXPECTED: &str =
        "be http://HOST/PATH or https://HOST/PATH, without a user or password";

    /// Takes a URL with a host, without a user, and with a port that there is, if with one.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.trim().parse().ok()?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority()?;
        let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        // What is no port would be taken for none, and another server would get the message.
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let there_is = |port: &str| {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            digits && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        let reachable = port.is_empty() || port.strip_prefix(':').is_some_and(there_is);
        (known && plain && reachable).then_some(Self(uri))
    }

    /// Whether the way there is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }
}

impl fmt::Display for PostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port())
    }
}

impl fmt::Debug for PostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/***")
    }
}

/// Posts a message.
///
/// # Errors
/// Why not: whatever is not answered by a status of success. A redirection is none, as it may lead
/// anywhere.
pub async fn send(webhook: &Webhook, message: &Message) -> Result<Sent, Failure> {
    let Some(url) = &webhook.url else { return Err(Failure::new("webhook", "it has no URL")) };
    let place = (url.host(), url.port());
    let connect = webhook.connect_timeout;
    if url.is_encrypted() {
        let tls = TlsConnector::from(Arc::new(encryption(webhook)?));
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|error| Failure::new("connect", error))?;
        let stream = at_each_address(place, connect, async |address| {
            let stream = TcpStream::connect(address).await;
            let stream = stream.map_err(|error| Failure::new("connect", error))?;
            let encrypted = tls.connect(name.clone(), stream).await;
            encrypted.map_err(|error| Failure::new("TLS", error))
        });
        let stream = with_timeout("connect", connect, stream).await?;
        with_timeout("answer", webhook.send_timeout, post(url, TokioIo::new(stream), message)).await
    } else {
        let stream = at_each_address(place, connect, async |address| {
            TcpStream::connect(address).await.map_err(|error| Failure::new("connect", error))
        });
        let stream = with_timeout("connect", connect, stream).await?;
        with_timeout("answer", webhook.send_timeout, post(url, TokioIo::new(stream), message)).await
    }
}

/// The certificates are read anew for each message, so that renewed ones need no restart.
fn encryption(webhook: &Webhook) -> Result<ClientConfig, Failure> {
    let certificates = match &webhook.ca_file {
        Some(file) => trusted(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let _ = roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new("TLS", error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn post<S>(url: &PostUrl, stream: S, message: &Message) -> Result<Sent, Failure>
where
    S: Read + Write + Send + Unpin + 'static,
{
    // Of hyper's errors none quotes the request.
    let broken = |error: hyper::Error| Failure::new("answer", error);
    let path = url.0.path_and_query().map_or("/", |path| path.as_str());
    let host = url.0.authority().map_or("", |authority| authority.as_str());
    let request = Request::post(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("dayfold/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(message.json.to_string())))
        .map_err(|_| Failure::new("webhook", "its URL cannot be asked for"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
    // Beside the question; it ends with the runtime of this delivery.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    if status.is_success() {
        Ok(Sent::default())
    } else {
        Err(Failure::new("answer", format!("status {}", status.as_u16())))
    }
}

#[cfg(test)]
mod tests {
    use super::PostUrl;

    #[test]
    fn a_url_prints_as_its_host_and_port() {
        for (text, shown) in [
            ("https://hooks.example.org/services/T0/hunter2geheim", "hooks.example.org:443"),
            ("http://127.0.0.1:8080/a?token=hunter2geheim", "127.0.0.1:8080"),
            ("http://[::1]/hunter2geheim", "::1:80"),
        ] {
            let url = PostUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2geheim"), "{url:?}");
        }
    }

    #[test]
    fn a_port_that_there_is_not_is_refused() {
        for port in ["", "0", "00", "65536", "99999999999", "+80"] {
            for host in ["hooks.example.org", "[::1]"] {
                let text = format!("https://{host}:{port}/a");
                assert_eq!(PostUrl::parse(&text), None, "{text}");
            }
        }
        for (text, shown) in [("http://a:65535/", "a:65535"), ("http://[::1]:1/", "::1:1")] {
            assert_eq!(PostUrl::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_url_of_a_web_server_is_refused() {
        for text in
            ["", "hooks.example.org", "ftp://a/b", "https://user:pass@a/b", "/a", "https://"]
        {
            assert_eq!(PostUrl::parse(text), None, "{text}");
        }
    }
}
