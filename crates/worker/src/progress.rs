//! Progress on stderr: how much is done, how fast, and how long the rest takes. On a terminal only,
//! and not if it is to be quiet.

use std::fmt::Write;
use std::io;
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressState, ProgressStyle};

use crate::tables::thousands;
use crate::{terminal, verbosity};

/// The bars of the process, so that whatever else goes to stderr is written above them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Whether stderr can be written over. Each line of the log asks, and it does not change.
static REDRAWS: LazyLock<bool> = LazyLock::new(|| terminal::redraws(&io::stderr()));

/// Whether anybody would see a bar.
pub fn is_shown() -> bool {
    *REDRAWS && !verbosity::is_quiet()
}

/// Writes something else to stderr, with the bars out of its way.
pub fn aside<R>(write: impl FnOnce() -> R) -> R {
    if is_shown() { BARS.suspend(write) } else { write() }
}

/// Stderr, above the bars.
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

/// A bar over `length` bytes of `what`, or a count where the length is not known.
pub fn bytes(what: &str, length: Option<u64>) -> ProgressBar {
    let template = match length {
        Some(_) => "{msg} {BAR} {bytes} of {total_bytes} ({bytes_per_sec}), {eta} left",
        None => "{msg} {spinner} {bytes} read ({bytes_per_sec})",
    };
    bar(what, length, template)
}

/// A bar over about so many rows of `what`.
pub fn about(what: &str, rows: u64) -> ProgressBar {
    let template = "{msg} {BAR} {human_pos} of about {human_len} ({rate}), {eta} left";
    bar(what, Some(rows), template)
}

/// A count of rows, of which nobody knows how many there are.
pub fn rows(what: &str) -> ProgressBar {
    bar(what, None, "{msg} {spinner} {human_pos} ({rate})")
}

fn bar(what: &str, length: Option<u64>, template: &str) -> ProgressBar {
    if !is_shown() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    // However the work ends, an error is read better without half a bar before it.
    let bar = BARS.add(bar.with_finish(ProgressFinish::AndClear));
    let cells = if terminal::colours() { "{wide_bar:.cyan/blue}" } else { "{wide_bar}" };
    if let Ok(style) = ProgressStyle::with_template(&template.replace("{BAR}", cells)) {
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

/// Whole rows a second.
fn rate(state: &ProgressState, text: &mut dyn Write) {
    // A bar that cannot be written harms nobody.
    let _ = write!(text, "{}/s", thousands(state.per_sec() as i64));
}
