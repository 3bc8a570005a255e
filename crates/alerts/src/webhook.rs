//! A webhook: the message as JSON, by POST.

use std::sync::Arc;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use crate::config::Webhook;
use crate::delivery::{Failure, Sent, at_each_address, trusted, with_timeout};
use crate::message::Message;
use crate::post_url::PostUrl;

/// Posts a message.
///
/// # Errors
/// Every outcome other than an answer with a status of success. A redirection is a failure, as its
/// target is not trusted.
pub async fn send(webhook: &Webhook, message: &Message) -> Result<Sent, Failure> {
    send_body(webhook, message.json.to_string(), &[]).await
}

/// Posts a body of JSON with further headers.
///
/// # Errors
/// As [`send`].
pub(crate) async fn send_body(
    webhook: &Webhook,
    body: String,
    headers: &[(&'static str, String)],
) -> Result<Sent, Failure> {
    let Some(url) = &webhook.url else { return Err(Failure::new("webhook", "it has no URL")) };
    let tls = match url.is_encrypted() {
        true => Some((TlsConnector::from(Arc::new(encryption(webhook)?)), server_name(url)?)),
        false => None,
    };
    let connect = webhook.connect_timeout;
    let stream = at_each_address((url.host(), url.port()), connect, async |address| {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| Failure::new("connect", error))?;
        let Some((tls, name)) = &tls else { return Ok(Either::Left(stream)) };
        let encrypted = tls.connect(name.clone(), stream).await;
        encrypted.map(Either::Right).map_err(|error| Failure::new("TLS", error))
    });
    let stream = with_timeout("connect", connect, stream).await?;
    with_timeout("answer", webhook.send_timeout, post(url, TokioIo::new(stream), body, headers))
        .await
}

fn server_name(url: &PostUrl) -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(url.host().to_owned()).map_err(|error| Failure::new("connect", error))
}

/// The certificates are read for each message, so that renewed ones need no restart.
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

async fn post<S>(
    url: &PostUrl,
    stream: S,
    body: String,
    headers: &[(&'static str, String)],
) -> Result<Sent, Failure>
where
    S: Read + Write + Send + Unpin + 'static,
{
    // None of hyper's errors quotes the request.
    let broken = |error: hyper::Error| Failure::new("answer", error);
    let path = url.path();
    let host = url.authority();
    let mut request = Request::post(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("dayfold/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| Failure::new("webhook", "its URL cannot be asked for"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
    // The connection runs in parallel with the request; it ends with the runtime of this delivery.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    if status.is_success() {
        Ok(Sent::default())
    } else {
        Err(Failure::new("answer", format!("status {}", status.as_u16())))
    }
}
