//! Progress bars, on a terminal only.

use std::fmt::Write;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::tables::thousands;

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

/// A bar over about so many rows of `what`; nothing where stderr is no terminal.
pub fn about(what: &str, rows: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(rows);
    let template =
        "{msg} {wide_bar:.cyan/blue} {human_pos} of about {human_len} ({rate}), {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.set_message(what.to_owned());
    bar
}

/// So many more rows are done; where there are more than was thought, the bar stays full.
pub fn advance(bar: &ProgressBar, rows: u64) {
    bar.inc(rows);
    if bar.length().is_some_and(|length| bar.position() > length) {
        bar.set_length(bar.position());
    }
}

/// A count of rows, of which nobody knows how many there are.
pub fn rows(what: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} {spinner} {human_pos} ({rate})") {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.set_message(what.to_owned());
    bar
}

/// Whole rows a second.
fn rate(state: &ProgressState, text: &mut dyn Write) {
    // A bar that cannot be written harms nobody.
    let _ = write!(text, "{}/s", thousands(state.per_sec() as i64));
}
