//! Output to stdout, and error messages on stderr.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use store::ConnectError;
use tokio::sync::oneshot;

use crate::config::ConfigError;
use crate::{progress, terminal, verbosity};

/// Prints data. If the reader has exited (`worker status | head -1`), this is no error.
pub fn print(text: &str) {
    let _ = try_to_print(text);
}

fn try_to_print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Prints a line of data. Returns whether the reader still exists.
pub fn print_line(text: &str) -> bool {
    try_to_print(text).is_ok()
}

/// Waits until the reader of stdout has gone, as `head` does when it has its lines. A file has no reader: then it
/// waits for ever.
pub async fn reader_gone() {
    let (sender, gone) = oneshot::channel();
    // A thread of the runtime would keep the process. This one ends with it.
    let watching =
        std::thread::Builder::new().name("reader of stdout".to_owned()).spawn(move || {
            let stdout = io::stdout();
            // Of no event but an error and the end, of which the system always tells.
            let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
            while poll(&mut watched, None) == Err(Errno::INTR) {}
            let _ = sender.send(());
        });
    if watching.is_err() || gone.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Prints the result of a command; with --quiet, only if there were failures.
pub fn print_outcome(text: &str, went_well: bool) {
    if went_well { print_success(text) } else { print(text) }
}

/// Prints a message of success; nothing with --quiet.
pub fn print_success(text: &str) {
    if !verbosity::is_quiet() {
        print(text);
    }
}

/// Clears the screen for [`print_over`], on a terminal.
pub fn clear() {
    if terminal::redraws(&io::stdout()) {
        print("\x1b[2J");
    }
}

/// Prints a text over the previous one on a terminal, and below it elsewhere. Returns whether the reader
/// still exists.
pub fn print_over(text: &str) -> bool {
    // Move home, clear each line to its end, then clear the rest. Unlike clearing first, this does not
    // flicker.
    const HOME: &str = "\x1b[H";
    const TO_END_OF_LINE: &str = "\x1b[K\n";
    const BELOW: &str = "\x1b[J";
    if terminal::redraws(&io::stdout()) {
        let lines = text.lines().collect::<Vec<_>>().join(TO_END_OF_LINE);
        try_to_print(&format!("{HOME}{lines}{TO_END_OF_LINE}{BELOW}")).is_ok()
    } else {
        try_to_print(text).is_ok()
    }
}

/// Prints a value as one line of JSON.
pub fn print_json(value: &serde_json::Value) {
    print(&value.to_string());
}

/// Prints an error and its remedy on stderr: in one line, or for a configuration in one line per
/// problem.
pub fn complain(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    if let Some(problems) = error.downcast_ref::<ConfigError>() {
        for problem in problems.to_string().lines() {
            let _ = writeln!(stderr, "error: {problem}");
        }
        return;
    }
    let _ = match error.downcast_ref::<ConnectError>().and_then(advice) {
        Some(advice) => writeln!(stderr, "error: {error:#}; {advice}"),
        None => writeln!(stderr, "error: {error:#}"),
    };
}

/// The origin of the database's URL.
static URL_ORIGIN: Mutex<Option<String>> = Mutex::new(None);

/// Stores the origin of the database's URL, for advice.
pub fn set_url_origin(origin: String) {
    *URL_ORIGIN.lock().unwrap_or_else(PoisonError::into_inner) = Some(origin);
}

/// The origin of the database's URL, for advice.
pub fn url_origin() -> String {
    let origin = URL_ORIGIN.lock().unwrap_or_else(PoisonError::into_inner);
    origin.clone().unwrap_or_else(|| "DATABASE_URL".to_owned())
}

/// The remedy for a connection error, based on the error of the server or the network.
pub fn advice(error: &ConnectError) -> Option<String> {
    let ConnectError::Connect { cause, .. } = error else { return None };
    let said = |phrases: &[&str]| phrases.iter().any(|phrase| cause.contains(phrase));
    let url = url_origin();
    Some(if said(&["Connection refused", "No such file or directory"]) {
        format!("no server listens there: start PostgreSQL, or correct the host in {url}")
    } else if said(&["lookup address"]) {
        format!("correct the host in {url}")
    } else if said(&["no answer within", "timed out"]) {
        "is it a PostgreSQL server, and does a firewall let it answer?".to_owned()
    } else if said(&["does not support TLS"]) {
        format!("turn ssl on at the server, or change sslmode in {url}")
    } else if said(&["certificate", "TLS"]) {
        format!("check sslmode and sslrootcert in {url}")
    } else if said(&["too many", "connection slots"]) {
        "see in pg_stat_activity who uses them, or raise the limit".to_owned()
    } else if said(&["database \""]) {
        format!("create it, or correct the database in {url}")
    } else if said(&["role \"", "password", "authentication"]) {
        format!("correct the user and password in {url}")
    } else {
        format!("check {url}")
    })
}

/// Prints a message to stderr that is neither data nor a log event.
pub fn say(text: &str) {
    progress::aside(|| {
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
}
