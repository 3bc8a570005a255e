//! Runs the worker at a terminal: a pseudo-terminal of a given width receives its stdout and stderr.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Runs a command at a terminal with this many columns. Returns its exit code and its output there.
#[track_caller]
pub fn at_terminal(command: &mut Command, columns: u16) -> (i32, String) {
    typing(command, columns, None)
}

/// Runs a command that asks for confirmation, and answers with this text.
#[track_caller]
pub fn answering(command: &mut Command, answer: &str) -> (i32, String) {
    typing(command, 100, Some(answer))
}

#[track_caller]
fn typing(command: &mut Command, columns: u16, answer: Option<&str>) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    tcsetwinsize(&theirs, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
        .unwrap();
    if !command.get_envs().any(|(name, _)| name == "TERM") {
        command.env("TERM", "xterm-256color");
    }
    let stdin = answer.map_or_else(Stdio::null, |_| theirs.try_clone().unwrap().into());
    command.stdin(stdin).stdout(theirs.try_clone().unwrap()).stderr(theirs);
    let mut child = command.spawn().unwrap();
    // The other end closes when the command exits, which ends the reading.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut shown = Vec::new();
    let mut ours = File::from(ours);
    // The answer waits at the terminal until the command reads it.
    ours.write_all(answer.unwrap_or_default().as_bytes()).unwrap();
    let mut part = [0; 4096];
    // A terminal whose other end is closed returns an error instead of an end.
    while let Ok(bytes @ 1..) = ours.read(&mut part) {
        shown.extend_from_slice(&part[..bytes]);
    }
    let code = child.wait().unwrap().code().unwrap();
    (code, String::from_utf8(shown).unwrap().replace("\r\n", "\n"))
}
