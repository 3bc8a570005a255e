//! A mail server and a web server that receive alerts. At each step of the dialogue they do as a test
//! requests: continue, refuse, or hang until released.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::outside::eventually;

/// A step at which a test can end or block a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Banner,
    Ehlo,
    StartTls,
    Handshake,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    /// After the dot that ends the message.
    Dot,
    Quit,
    /// The response of the web server.
    Answer,
}

impl Step {
    /// The steps of a mail without the farewell, which no client waits for.
    pub const OF_MAIL: [Self; 9] = [
        Self::Banner,
        Self::Ehlo,
        Self::StartTls,
        Self::Handshake,
        Self::Auth,
        Self::MailFrom,
        Self::RcptTo,
        Self::Data,
        Self::Dot,
    ];
}

/// The action at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do {
    /// Wait until the test releases the dialogue.
    Hang,
    /// Send this response instead.
    Say(&'static str),
}

/// One accepted mail.
#[derive(Clone, Debug)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    pub data: String,
    pub encrypted: bool,
    pub logged_in: bool,
}

impl Taken {
    /// The value of a header, unfolded.
    pub fn header(&self, name: &str) -> String {
        let data = self.data.replace("\r\n ", " ");
        let line = data.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.data)).to_owned()
    }
}

#[derive(Default)]
struct Seen {
    script: BTreeMap<Step, Do>,
    /// Recipients that the server refuses.
    unknown: Vec<String>,
    reached: BTreeMap<Step, usize>,
    mails: Vec<Taken>,
    posts: Vec<(String, Value)>,
    /// All text received from clients.
    said: String,
}

/// The encryption of a receiver.
#[derive(Clone)]
pub enum Encryption {
    None,
    StartTls(TlsAcceptor),
    Implicit(TlsAcceptor),
}

/// A server on a port of this host.
pub struct Receiver {
    pub port: u16,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    seen: Mutex<Seen>,
    encryption: Encryption,
    let_go: watch::Sender<bool>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
type Connection = BufStream<Box<dyn Stream>>;

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response to send instead at this step. Hangs first if the test requests it.
    async fn reach(&self, step: Step) -> Option<&'static str> {
        let todo = {
            let mut seen = self.seen();
            *seen.reached.entry(step).or_default() += 1;
            seen.script.get(&step).cloned()
        };
        match todo? {
            Do::Say(text) => Some(text),
            Do::Hang => {
                let mut let_go = self.let_go.subscribe();
                let _ = let_go.wait_for(|open| *open).await;
                None
            }
        }
    }
}

impl Receiver {
    fn start(encryption: Encryption, is_mail: bool) -> Self {
        // A runtime of its own, because a test may block on a program that waits for this server.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let let_go = watch::Sender::new(false);
        let shared = Arc::new(Shared { seen: Mutex::default(), encryption, let_go });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let stream: Box<dyn Stream> = match &shared.encryption {
                        Encryption::Implicit(tls) => {
                            shared.reach(Step::Handshake).await;
                            Box::new(tls.accept(stream).await.ok()?)
                        }
                        _ => Box::new(stream),
                    };
                    let connection = BufStream::new(stream);
                    if is_mail {
                        take_mail(&shared, connection).await
                    } else {
                        take_post(&shared, connection).await
                    }
                });
            }
        });
        Self { port, shared, runtime: Some(runtime) }
    }

    pub fn of_mail(encryption: Encryption) -> Self {
        Self::start(encryption, true)
    }

    pub fn of_posts(encryption: Encryption) -> Self {
        Self::start(encryption, false)
    }

    /// Sets the action at a step from now on.
    pub fn at(&self, step: Step, what: Do) -> &Self {
        if what == Do::Hang {
            self.shared.let_go.send_replace(false);
        }
        self.shared.seen().script.insert(step, what);
        self
    }

    /// Clears all actions, and releases hanging dialogues.
    pub fn behave(&self) {
        self.shared.seen().script.clear();
        self.shared.let_go.send_replace(true);
    }

    /// Refuses a recipient.
    pub fn does_not_know(&self, address: &str) {
        self.shared.seen().unknown.push(address.to_owned());
    }

    pub fn reached(&self, step: Step) -> usize {
        self.shared.seen().reached.get(&step).copied().unwrap_or(0)
    }

    /// Waits until a step was reached this many times.
    #[track_caller]
    pub fn is_at(&self, step: Step, times: usize) {
        eventually(&format!("{step:?} is reached"), || self.reached(step) >= times);
    }

    /// The mails accepted so far.
    pub fn mails(&self) -> Vec<Taken> {
        self.shared.seen().mails.clone()
    }

    /// The posts accepted so far: path and JSON.
    pub fn posts(&self) -> Vec<(String, Value)> {
        self.shared.seen().posts.clone()
    }

    /// All text received from clients.
    pub fn said(&self) -> String {
        self.shared.seen().said.clone()
    }

    /// The number of mails that report the rule as `fires` or `resolved`.
    pub fn told(&self, rule: &str, state: &str) -> usize {
        let subject = format!("[dayfold] {rule} {state}: ");
        self.mails().iter().filter(|mail| mail.header("Subject").starts_with(&subject)).count()
    }

    /// Waits for this number of mails. It does not block, because the test may have other tasks.
    pub async fn tells(&self, rule: &str, state: &str, times: usize) {
        for _ in 0..9_000 {
            if self.told(rule, state) >= times {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let subjects: Vec<_> = self.mails().iter().map(|mail| mail.header("Subject")).collect();
        panic!("{rule} {state} was not reported: {subjects:?}");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn say(connection: &mut Connection, text: &str) -> Option<()> {
    connection.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
    connection.flush().await.ok()
}

async fn hear(shared: &Shared, connection: &mut Connection) -> Option<String> {
    let mut line = String::new();
    if connection.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    shared.seen().said.push_str(&line);
    Some(line.trim_end().to_owned())
}

/// Serves one SMTP dialogue.
async fn take_mail(shared: &Shared, mut connection: Connection) -> Option<()> {
    let mut encrypted = matches!(shared.encryption, Encryption::Implicit(_));
    let (mut logged_in, mut from, mut to) = (false, String::new(), Vec::new());
    let greeting = shared.reach(Step::Banner).await.unwrap_or("220 mail.test ESMTP");
    say(&mut connection, greeting).await?;
    loop {
        let line = hear(shared, &mut connection).await?;
        let verb = line.to_ascii_uppercase();
        if verb.starts_with("EHLO") {
            let offers = match (&shared.encryption, encrypted) {
                (Encryption::StartTls(_), false) => "250-mail.test\r\n250-STARTTLS\r\n250 8BITMIME",
                _ => "250-mail.test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
            };
            say(&mut connection, shared.reach(Step::Ehlo).await.unwrap_or(offers)).await?;
        } else if verb == "STARTTLS" {
            let instead = shared.reach(Step::StartTls).await;
            say(&mut connection, instead.unwrap_or("220 go on")).await?;
            if let (None, Encryption::StartTls(tls)) = (instead, &shared.encryption) {
                shared.reach(Step::Handshake).await;
                let encrypted_stream = tls.accept(connection.into_inner()).await.ok()?;
                connection = BufStream::new(Box::new(encrypted_stream));
                encrypted = true;
            }
        } else if verb.starts_with("AUTH PLAIN") {
            let instead = shared.reach(Step::Auth).await;
            logged_in = instead.is_none();
            say(&mut connection, instead.unwrap_or("235 welcome")).await?;
        } else if verb.starts_with("MAIL FROM") {
            from = line[10..].to_owned();
            say(&mut connection, shared.reach(Step::MailFrom).await.unwrap_or("250 ok")).await?;
        } else if verb.starts_with("RCPT TO") {
            let known = !shared.seen().unknown.iter().any(|unknown| line.contains(unknown));
            let answer = if known { "250 ok" } else { "550 5.1.1 no such user" };
            let instead = shared.reach(Step::RcptTo).await;
            if instead.is_none() && known {
                to.push(line[8..].to_owned());
            }
            say(&mut connection, instead.unwrap_or(answer)).await?;
        } else if verb == "DATA" {
            let instead = shared.reach(Step::Data).await;
            say(&mut connection, instead.unwrap_or("354 go on")).await?;
            if instead.is_some() {
                continue;
            }
            let mut data = String::new();
            loop {
                let line = hear(shared, &mut connection).await?;
                if line == "." {
                    break;
                }
                data.push_str(&(line + "\r\n"));
            }
            let instead = shared.reach(Step::Dot).await;
            if instead.is_none() {
                let (from, to) = (from.clone(), std::mem::take(&mut to));
                let taken = Taken { from, to, data, encrypted, logged_in };
                // A client that has gone got no confirmation, so the mail does not count as accepted.
                say(&mut connection, "250 taken").await?;
                shared.seen().mails.push(taken);
            } else {
                say(&mut connection, instead.unwrap_or_default()).await?;
            }
        } else if verb == "QUIT" {
            say(&mut connection, shared.reach(Step::Quit).await.unwrap_or("221 bye")).await?;
            return Some(());
        } else {
            say(&mut connection, "502 what?").await?;
        }
    }
}

/// Serves one HTTP request.
async fn take_post(shared: &Shared, mut connection: Connection) -> Option<()> {
    let request = hear(shared, &mut connection).await?;
    let path = request.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let line = hear(shared, &mut connection).await?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    tokio::io::AsyncReadExt::read_exact(&mut connection, &mut body).await.ok()?;
    let instead = shared.reach(Step::Answer).await;
    if instead.is_none() {
        shared.seen().posts.push((path, serde_json::from_slice(&body).ok()?));
    }
    let status = instead.unwrap_or("200 OK");
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n");
    say(&mut connection, &answer).await
}
