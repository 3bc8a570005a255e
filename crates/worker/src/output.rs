//! What goes to stdout, and the one line that says why a command could not do its work.

use std::io::{self, Write};

/// Prints data. A reader that has gone away (`worker status | head -1`) is no error of ours.
pub fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.write_all(b"\n");
    let _ = stdout.flush();
}

/// Prints a value as one line of JSON.
pub fn print_json(value: &serde_json::Value) {
    print(&value.to_string());
}

/// Says on stderr, in one line, why a command could not do its work.
pub fn complain(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "error: {error:#}");
}

/// Says something on stderr that is neither data nor a log event.
pub fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}
