//! Records the fields of the server's error messages.
//!
//! The driver keeps the text of an error and drops its SQLSTATE. So the server's messages are parsed on
//! their way to the driver. The code and the names of table, column and constraint are kept until the
//! driver reports the error. Text, detail and hint may quote a row, so they are not kept.
//!
//! Source: PostgreSQL documentation, "Message Formats" and "Error and Notice Message Fields".

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use crate::error::{ServerError, StoreError};
use crate::transaction::failpoint::Crash;

/// Maximum of errors kept. In a pipeline, each statement after the failed one also has one.
const MOST_ERRORS: usize = 32;

/// Maximum of bytes parsed of one error: the texts before the names may be as long as a row.
const MOST_BYTES: usize = 64 * 1024;

/// A statement counts as timed out from this fraction of `statement_timeout` on. Its start is taken from
/// the answer before it, which may have been read late.
const MEASURED: f64 = 0.9;

/// The server's messages on one connection.
#[derive(Debug)]
pub(crate) struct Wire {
    /// The server's `statement_timeout` for this session.
    statement_timeout: Option<Duration>,
    said: Mutex<Said>,
}

#[derive(Debug)]
struct Said {
    /// The server's process, as the log-in names it.
    process: i32,
    /// A lower bound for the start of the running statement.
    since: Instant,
    /// Whether data was sent since the server was last ready.
    sent: bool,
    /// Errors by the hash of their text, the oldest first.
    errors: VecDeque<(u64, ServerError)>,
}

impl Wire {
    pub(crate) fn new(statement_timeout: Option<Duration>) -> Arc<Self> {
        let said = Said { process: 0, since: Instant::now(), sent: false, errors: VecDeque::new() };
        Arc::new(Self { statement_timeout, said: Mutex::new(said) })
    }

    /// The server's process for this connection.
    pub(crate) fn process(&self) -> i32 {
        self.said().process
    }

    /// Converts a driver's error and adds the server's error fields.
    pub(crate) fn error(&self, cause: DieselError) -> StoreError {
        let server = match &cause {
            DieselError::DatabaseError(kind, information) => {
                let mut said = self.said();
                let errors = &mut said.errors;
                let hash = hash_of(information.message().as_bytes());
                let found = errors.iter().rposition(|(of, _)| *of == hash);
                // A closed connection reports no server error, so use the server's last message.
                let last_words = || errors.iter().rposition(|(_, error)| error.ends_session);
                let found = match kind {
                    DatabaseErrorKind::UnableToSendCommand
                    | DatabaseErrorKind::ClosedConnection => found.or_else(last_words),
                    _ => found,
                };
                // In a pipeline, each statement after the end of the session asks for that error.
                let is_last =
                    |place: usize| errors.get(place).is_some_and(|(_, of)| of.ends_session);
                match found {
                    Some(place) if is_last(place) => errors.get(place).cloned(),
                    Some(place) => errors.remove(place),
                    None => None,
                }
                .map(|(_, error)| error)
            }
            _ => None,
        };
        StoreError::of_driver(cause, server)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_sending(&self) {
        let mut said = self.said();
        if !said.sent {
            said.sent = true;
            said.since = Instant::now();
        }
    }

    fn is_ready(&self) {
        let mut said = self.said();
        (said.sent, said.since) = (false, Instant::now());
    }

    fn logged_in(&self, body: &[u8]) {
        if let Some(process) = body.first_chunk() {
            self.said().process = i32::from_be_bytes(*process);
        }
    }

    fn failed(&self, body: &[u8]) {
        let mut said = self.said();
        let took = said.since.elapsed().as_secs_f64();
        let limit = self.statement_timeout.unwrap_or_default().as_secs_f64();
        let timed_out = took >= limit * MEASURED;
        let mut error = ServerError { process: said.process, timed_out, ..ServerError::default() };
        let mut hash = 0;
        let mut rest = body;
        while let Some((field, text)) = rest.split_first().filter(|(field, _)| **field != 0) {
            let Some(end) = text.iter().position(|byte| *byte == 0) else { break };
            let text = &text[..end];
            match field {
                b'M' => hash = hash_of(text),
                b'V' => error.ends_session = matches!(text, b"FATAL" | b"PANIC"),
                b'C' => error.code = std::str::from_utf8(text).unwrap_or_default().to_owned(),
                b's' => error.schema = identifier(text),
                b't' => error.table = identifier(text),
                b'c' => error.column = identifier(text),
                b'n' => error.constraint = identifier(text),
                // The context of the error. If there is one, the error happened inside a function.
                b'W' => (error.in_function, error.function) = (true, function(text)),
                _ => {}
            }
            rest = &rest[end + 2..];
        }
        if said.errors.len() >= MOST_ERRORS {
            said.errors.pop_front();
        }
        said.errors.push_back((hash, error));
    }
}

fn hash_of(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A name in the form of the server's catalogs. An application's function may put any text in its place,
/// so other text is ignored.
fn identifier(text: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(text).ok()?;
    let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '.');
    (begins && name.len() < 64 && name.chars().all(is_name)).then(|| name.to_owned())
}

/// The innermost function of a context such as `PL/pgSQL function audit() line 1 at RAISE`, in any
/// language of the server. The rest of the context may quote a row.
fn function(context: &[u8]) -> Option<String> {
    let context = context.strip_prefix(b"PL/pgSQL")?;
    let before = context.split(|byte| matches!(byte, b'(' | b'\n')).next()?;
    identifier(before.rsplit(|byte| *byte == b' ').next()?)
}

/// Splits the server's bytes into messages: a type of one byte, a length that includes itself, and the
/// body.
#[derive(Debug)]
struct Messages {
    /// Bytes that precede the first message.
    before: usize,
    head: [u8; 5],
    /// Bytes of the head read so far.
    headed: usize,
    /// Bytes of the body still to read.
    left: usize,
    /// The part of the body that is kept.
    body: Vec<u8>,
}

impl Messages {
    const fn new(before: usize) -> Self {
        Self { before, head: [0; 5], headed: 0, left: 0, body: Vec::new() }
    }

    fn read(&mut self, mut bytes: &[u8], wire: &Wire) {
        let skipped = self.before.min(bytes.len());
        self.before -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.headed < self.head.len() {
                let taken = (self.head.len() - self.headed).min(bytes.len());
                self.head[self.headed..self.headed + taken].copy_from_slice(&bytes[..taken]);
                self.headed += taken;
                bytes = &bytes[taken..];
                if self.headed < self.head.len() {
                    return;
                }
                let [_, length @ ..] = self.head;
                self.left = (u32::from_be_bytes(length) as usize).saturating_sub(length.len());
            } else {
                let taken = self.left.min(bytes.len());
                if matches!(self.head[0], b'E' | b'K') {
                    let kept = taken.min(MOST_BYTES - self.body.len());
                    self.body.extend_from_slice(&bytes[..kept]);
                }
                self.left -= taken;
                bytes = &bytes[taken..];
            }
            if self.left == 0 {
                match self.head[0] {
                    b'E' => wire.failed(&self.body),
                    b'K' => wire.logged_in(&self.body),
                    b'Z' => wire.is_ready(),
                    _ => {}
                }
                self.headed = 0;
                self.body = Vec::new();
            }
        }
    }
}

/// A stream between driver and server that records the server's messages.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    messages: Messages,
    wire: Arc<Wire>,
    crash: Crash,
}

impl<S> Watched<S> {
    /// Wraps a stream. The first `before` bytes from the server precede its first message.
    pub(crate) const fn new(stream: S, before: usize, wire: Arc<Wire>) -> Self {
        Self { stream, messages: Messages::new(before), wire, crash: Crash::new() }
    }

    /// The inner stream, and the recorder.
    pub(crate) fn into_parts(self) -> (S, Arc<Wire>) {
        (self.stream, self.wire)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Self { stream, messages, wire, .. } = &mut *self;
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        messages.read(&buffer.filled()[before..], wire);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.is_sending();
        let limit = self.crash.limit(bytes);
        let bytes = bytes.get(..limit).unwrap_or(bytes);
        let sent = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.crash.sent(sent);
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    fn error(text: &str, constraint: &str) -> Vec<u8> {
        let body = format!(
            "SFEHLER\0VERROR\0C23514\0M{text}\0DFailing row contains (71.5).\0tvitals_daily\0n{constraint}\0\0"
        );
        message(b'E', body.as_bytes())
    }

    fn reported(text: &str) -> DieselError {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned()))
    }

    fn server_error(wire: &Wire, text: &str) -> Option<ServerError> {
        wire.error(reported(text)).server().cloned()
    }

    #[test]
    fn an_error_is_known_by_its_text_however_its_bytes_arrive() {
        let bytes = [
            b"N".to_vec(),
            message(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]),
            message(b'D', &[b'E'; 300]),
            error("first", "one_check"),
            message(b'Z', b"I"),
            error("second", "two_check"),
        ]
        .concat();
        for step in [1, 2, 3, 7, 64, bytes.len()] {
            let wire = Wire::new(None);
            let mut messages = Messages::new(1);
            bytes.chunks(step).for_each(|chunk| messages.read(chunk, &wire));
            let second = server_error(&wire, "second").unwrap();
            assert_eq!(second.constraint.as_deref(), Some("two_check"));
            let first = server_error(&wire, "first").unwrap();
            assert_eq!((first.code.as_str(), first.process), ("23514", 258));
            assert_eq!(first.table.as_deref(), Some("vitals_daily"));
            assert_eq!(server_error(&wire, "first"), None, "it is reported once");
        }
    }

    #[test]
    fn the_innermost_function_is_named_and_nothing_else_of_its_context() {
        let context = "PL/pgSQL function audit(integer) line 1 at RAISE\nSQL statement \"71.5\"";
        assert_eq!(function(context.as_bytes()).as_deref(), Some("audit"));
        let german = "PL/pgSQL-Funktion app.audit() Zeile 1 bei RAISE";
        assert_eq!(function(german.as_bytes()).as_deref(), Some("app.audit"));
        for other in
            ["COPY vitals_raw, line 1, column value: \"71.5\"", "SQL statement \"71.5(\"", ""]
        {
            assert_eq!(function(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn memory_is_bounded_for_any_message_of_the_server() {
        let wire = Wire::new(None);
        let mut messages = Messages::new(0);
        for _ in 0..3 * MOST_ERRORS {
            messages.read(&error("again", "a_check"), &wire);
        }
        assert_eq!(wire.said().errors.len(), MOST_ERRORS);
        messages.read(&message(b'E', &vec![b'M'; 3 * MOST_BYTES])[..2 * MOST_BYTES], &wire);
        assert!(messages.body.len() <= MOST_BYTES);
    }

    #[test]
    fn a_text_in_the_place_of_a_name_is_not_kept() {
        for (text, name) in [
            ("vitals_daily_mean_check", true),
            ("größe", true),
            ("my-table", true),
            ("71.5", false),
            ("mean is 71.5", false),
            ("", false),
        ] {
            assert_eq!(identifier(text.as_bytes()).is_some(), name, "{text}");
        }
        assert_eq!(identifier(&[b'a'; 64]), None);
        assert_eq!(identifier(b"\xff"), None);
    }
}
