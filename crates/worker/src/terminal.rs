//! What stands at the other end of stdout and stderr: a terminal, of which width, and with colours
//! or without.

use std::env;
use std::io::{self, IsTerminal};

/// Whether stderr takes colours: a terminal that is not dumb, and nobody set `NO_COLOR`.
pub fn colours() -> bool {
    redraws(&io::stderr()) && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether what is written there can be written over: a terminal, but not one that calls itself
/// dumb, such as an editor's window, which shows the commands for that as garbage.
pub fn redraws(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// The columns of the terminal at stdout; none where there is no terminal, or one that does not
/// say.
pub fn columns() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}
