//! Progress bars, on a terminal only.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `length` bytes of `what`, or a count where the length is not known; nothing where
/// stderr is no terminal.
pub fn bytes(what: &str, length: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = match length {
        Some(_) => "{msg} {wide_bar:.cyan/blue} {bytes:>10} of {total_bytes}, {eta} left",
        None => "{msg} {spinner} {bytes} read",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// A count of rows, of which nobody knows how many there are.
pub fn rows(what: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} {spinner} {human_pos} ({per_sec})") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
