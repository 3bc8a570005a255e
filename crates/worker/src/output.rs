//! What goes to stdout, and the one line that says why a command could not do its work.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use store::ConnectError;

use crate::config::ConfigError;
use crate::{progress, terminal, verbosity};

/// Prints data. A reader that has gone away (`worker status | head -1`) is no error of ours.
pub fn print(text: &str) {
    let _ = try_to_print(text);
}

fn try_to_print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Prints what came of a command; if it is to be quiet, only where not all went well.
pub fn print_outcome(text: &str, went_well: bool) {
    if went_well { print_success(text) } else { print(text) }
}

/// Prints in a sentence that all went well; nothing if it is to be quiet.
pub fn print_success(text: &str) {
    if !verbosity::is_quiet() {
        print(text);
    }
}

/// Makes room for [`print_over`], on a terminal.
pub fn clear() {
    if terminal::redraws(&io::stdout()) {
        print("\x1b[2J");
    }
}

/// Prints a text in the place of the one before, on a terminal; elsewhere below it. Whether anybody
/// still reads.
pub fn print_over(text: &str) -> bool {
    // Home, each line to its end, and whatever is left below: no flicker, unlike clearing first.
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

/// Says on stderr why a command could not do its work and what can be done: in one line, or for
/// a configuration in one line for each problem.
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

/// Where the database's URL comes from.
static URL_ORIGIN: Mutex<Option<String>> = Mutex::new(None);

/// Keeps where the database's URL comes from, for advice.
pub fn set_url_origin(origin: String) {
    *URL_ORIGIN.lock().unwrap_or_else(PoisonError::into_inner) = Some(origin);
}

/// Where the database's URL comes from, as a place to correct it.
pub fn url_origin() -> String {
    let origin = URL_ORIGIN.lock().unwrap_or_else(PoisonError::into_inner);
    origin.clone().unwrap_or_else(|| "DATABASE_URL".to_owned())
}

/// What to do about a connection that could not be made, by what the server or the network said.
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

/// Says something on stderr that is neither data nor a log event.
pub fn say(text: &str) {
    progress::aside(|| {
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
}
