//! A question before something is changed, asked at a terminal only: a script goes on as before.

use std::io::{self, IsTerminal, Write};

use crate::stop::Stop;

/// Whether a person at a terminal can be asked.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether to go on. Anything but yes is no, and so is a request to stop.
pub async fn ask(question: &str, stop: &Stop) -> bool {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    drop(stderr);
    // A thread of its own, so that Ctrl-C is heard meanwhile.
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
