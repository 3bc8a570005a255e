//! A confirmation before a change, requested only at a terminal: scripts proceed without it.

use std::io::{self, IsTerminal, Write};

use crate::stop::Stop;

/// Whether a user at a terminal can be asked.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for confirmation. Any answer but yes means no, and so does a request to stop.
pub async fn ask(question: &str, stop: &Stop) -> bool {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    drop(stderr);
    // A separate thread, so that Ctrl-C is handled meanwhile.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let _ = io::stdin().read_line(&mut line);
        line
    });
    let answer = tokio::select! {
        answer = answer => answer.unwrap_or_default(),
        () = stop.requested() => String::new(),
    };
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
