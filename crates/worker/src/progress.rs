//! Progress on stderr: amount done, rate and remaining time. Shown on a terminal only, and not with
//! --quiet.

use std::fmt::Write;
use std::io;
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressState, ProgressStyle};

use crate::tables::thousands;
use crate::{terminal, verbosity};

/// The bars of the process. Other output to stderr is written above them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Whether stderr is a terminal that can redraw. Cached, because each log line needs it and it does not
/// change.
static REDRAWS: LazyLock<bool> = LazyLock::new(|| terminal::redraws(&io::stderr()));

/// Whether bars are visible.
pub fn is_shown() -> bool {
    *REDRAWS && !verbosity::is_quiet()
}

/// Runs `write`, which writes to stderr, with the bars hidden meanwhile.
pub fn aside<R>(write: impl FnOnce() -> R) -> R {
    if is_shown() { BARS.suspend(write) } else { write() }
}

/// A writer to stderr that writes above the bars.
#[derive(Debug)]
pub struct Aside;

impl io::Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        aside(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A bar over `length` bytes of `what`, or a counter if the length is unknown.
pub fn bytes(what: &str, length: Option<u64>) -> ProgressBar {
    let template = match length {
        Some(_) => "{msg} {BAR} {bytes} of {total_bytes} ({bytes_per_sec}), {eta} left",
        None => "{msg} {spinner} {bytes} read ({bytes_per_sec})",
    };
    bar(what, length, template)
}

/// A bar over an estimated number of rows of `what`.
pub fn about(what: &str, rows: u64) -> ProgressBar {
    let template = "{msg} {BAR} {human_pos} of about {human_len} ({rate}), {eta} left";
    bar(what, Some(rows), template)
}

/// A bar over a known number of `what`.
pub fn of(what: &str, number: u64) -> ProgressBar {
    bar(what, Some(number), "{msg} {BAR} {human_pos} of {human_len}, {eta} left")
}

/// A counter of rows whose total is unknown.
pub fn rows(what: &str) -> ProgressBar {
    bar(what, None, "{msg} {spinner} {human_pos} ({rate})")
}

fn bar(what: &str, length: Option<u64>, template: &str) -> ProgressBar {
    if !is_shown() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    // The bar is cleared at any end of the work, because half a bar would obscure an error.
    let bar = BARS.add(bar.with_finish(ProgressFinish::AndClear));
    let cells = if terminal::colours() { "{wide_bar:.cyan/blue}" } else { "{wide_bar}" };
    if let Ok(style) = ProgressStyle::with_template(&template.replace("{BAR}", cells)) {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.set_message(what.to_owned());
    bar
}

/// Adds rows to the bar. If there are more than estimated, the bar stays full.
pub fn advance(bar: &ProgressBar, rows: u64) {
    bar.inc(rows);
    if bar.length().is_some_and(|length| bar.position() > length) {
        bar.set_length(bar.position());
    }
}

/// Writes the rate in whole rows a second.
fn rate(state: &ProgressState, text: &mut dyn Write) {
    // An error of writing the bar is harmless.
    let _ = write!(text, "{}/s", thousands(state.per_sec() as i64));
}
