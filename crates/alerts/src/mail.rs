//! Mail by SMTP (RFC 5321), step by step, so that a failure names its step.

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Quit, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use std::error::Error as _;
use std::time::Duration;

use crate::config::{Mail, MailTls};
use crate::delivery::{Failure, Sent, at_each_address, trusted, with_timeout};
use crate::message::Message;

/// Maximum time for QUIT: the server has accepted the mail by then.
const FAREWELL: Duration = Duration::from_secs(1);

impl Mail {
    fn port(&self) -> u16 {
        if self.port == 0 { self.tls.port() } else { self.port }
    }

    /// Host and port of the server.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port())
    }
}

/// Delivers a mail to the server.
///
/// # Errors
/// The error names the step that failed, and the reason.
pub async fn send(mail: &Mail, message: &Message) -> Result<Sent, Failure> {
    let bytes = written(mail, message)?;
    let mut connection = with_timeout("connect", mail.connect_timeout, connected(mail)).await?;
    let handed_over = hand_over(mail, &mut connection, &bytes);
    let sent = with_timeout("message", mail.send_timeout, handed_over).await?;
    let _ = tokio::time::timeout(FAREWELL, connection.command(Quit)).await;
    Ok(sent)
}

/// The mail as sent on the wire. A repeated mail has the same Message-ID.
fn written(mail: &Mail, message: &Message) -> Result<Vec<u8>, Failure> {
    let unusable = |error: &dyn std::fmt::Display| Failure::new("mail", error);
    let Some(from) = mail.from.clone() else { return Err(unusable(&"it has no sender")) };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '.' };
    let key: String = message.key.chars().map(plain).collect();
    let id = format!("<{key}@{}>", from.email.domain());
    // RFC 3834: prevents automatic answers such as "out of office".
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let mut builder = lettre::Message::builder()
        .message_id(Some(id))
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .from(from)
        .subject(&message.subject)
        .header(ContentType::TEXT_PLAIN);
    for to in mail.to.iter() {
        builder = builder.to(to.clone());
    }
    builder.body(message.text.clone()).map(|mail| mail.formatted()).map_err(|e| unusable(&e))
}

/// A connection after the greeting, with encryption and log-in as configured.
async fn connected(mail: &Mail) -> Result<AsyncSmtpConnection, Failure> {
    let hello = hello();
    let tls = if mail.tls == MailTls::None { None } else { Some(encryption(mail)?) };
    let at_once = tls.clone().filter(|_| mail.tls == MailTls::Implicit);
    let connect = async |address| {
        AsyncSmtpConnection::connect_tokio1(address, None, &hello, at_once.clone(), None)
            .await
            .map_err(|error| failure("connect", &error))
    };
    let place = (mail.host.as_str(), mail.port());
    let mut connection = at_each_address(place, mail.connect_timeout, connect).await?;
    if let Some(tls) = tls.filter(|_| mail.tls == MailTls::StartTls) {
        if !connection.can_starttls() {
            return Err(Failure::new("STARTTLS", "the server does not offer it"));
        }
        connection.starttls(tls, &hello).await.map_err(|error| failure("STARTTLS", &error))?;
    }
    if !mail.user.is_empty() {
        let credentials = Credentials::new(mail.user.clone(), mail.password.expose().to_owned());
        let known = [Mechanism::Plain, Mechanism::Login];
        connection.auth(&known, &credentials).await.map_err(|error| {
            // The server's text is omitted: it may quote the log-in.
            let reason = match error.status() {
                Some(code) => format!("{code}, the server refuses the log-in"),
                None if error.is_client() => "the server offers neither PLAIN nor LOGIN".to_owned(),
                None => "the connection broke off".to_owned(),
            };
            Failure::new("AUTH", reason)
        })?;
    }
    Ok(connection)
}

/// The name of this host for EHLO, as servers require one.
fn hello() -> ClientId {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    if !host.is_empty() && is_name(&host) { ClientId::Domain(host) } else { ClientId::default() }
}

/// The certificates are read for each mail, so that renewed ones need no restart.
fn encryption(mail: &Mail) -> Result<TlsParameters, Failure> {
    let mut builder = TlsParameters::builder(mail.host.clone());
    if let Some(file) = &mail.ca_file {
        builder = builder.certificate_store(CertificateStore::None);
        for certificate in trusted(file)? {
            let certificate = Certificate::from_der(certificate.to_vec())
                .map_err(|error| failure("ca_file", &error))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build_rustls().map_err(|error| failure("TLS", &error))
}

/// A refused recipient does not prevent delivery to the others.
async fn hand_over(
    mail: &Mail,
    connection: &mut AsyncSmtpConnection,
    bytes: &[u8],
) -> Result<Sent, Failure> {
    let from = mail.from.as_ref().map(|from| from.email.clone());
    let wide = |address: &lettre::Address| !AsRef::<str>::as_ref(address).is_ascii();
    let is_wide = from.as_ref().is_some_and(wide) || mail.to.iter().any(|to| wide(&to.email));
    let knows_wide = connection.server_info().supports_feature(Extension::SmtpUtfEight);
    let parameters =
        if is_wide && knows_wide { vec![MailParameter::SmtpUtfEight] } else { Vec::new() };
    let begun = connection.command(MailFrom::new(from, parameters)).await;
    begun.map_err(|error| failure("MAIL FROM", &error))?;
    let (mut accepted, mut refused) = (0, None);
    for to in mail.to.iter() {
        match connection.command(Rcpt::new(to.email.clone(), Vec::new())).await {
            Ok(_) => accepted += 1,
            Err(error) if error.status().is_some() => refused = Some(failure("RCPT TO", &error)),
            Err(error) => return Err(failure("RCPT TO", &error)),
        }
    }
    if let (0, Some(refused)) = (accepted, &refused) {
        return Err(refused.clone());
    }
    connection.command(Data).await.map_err(|error| failure("DATA", &error))?;
    connection.message(bytes).await.map_err(|error| failure("message", &error))?;
    Ok(Sent { refused })
}

/// The failure of a step, with the answer of the server or the error of the network.
fn failure(step: &'static str, error: &Error) -> Failure {
    // A prefix that the library adds; the step already says it.
    let words = "Connection error: ";
    let said = error.source().map(|said| said.to_string().replace(words, ""));
    match (error.status(), said) {
        (Some(code), said) => Failure::new(step, format!("{code} {}", said.unwrap_or_default())),
        (None, Some(said)) => Failure::new(step, said),
        (None, None) => Failure::new(step, error),
    }
}
