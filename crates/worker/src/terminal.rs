//! Properties of stdout and stderr: whether they are terminals, their width, and whether they support
//! colours.

use std::env;
use std::io::{self, IsTerminal};

/// Whether stderr supports colours: a terminal that is not dumb, without `NO_COLOR`.
pub fn colours() -> bool {
    redraws(&io::stderr()) && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether output can be overwritten: a terminal that is not dumb. A dumb one, such as an editor's
/// window, shows control sequences as garbage.
pub fn redraws(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// The width of the terminal at stdout, in columns; `None` without a terminal, or if its width is
/// unknown.
pub fn columns() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}
