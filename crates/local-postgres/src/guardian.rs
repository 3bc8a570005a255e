//! A command that ends with its owner.
//!
//! Without `unsafe` there is no `prctl(PR_SET_PDEATHSIG)`, and macOS has none. A pipe serves as
//! well: the kernel closes the owner's end whenever the owner dies, and `guardian.sh` reads the
//! other end. No other process keeps the owner's end open, because std marks it close-on-exec.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::LocalPostgresError;
use crate::account::Account;

const SCRIPT: &str = include_str!("guardian.sh");

/// The interval between checks of a condition; short enough to cause no noticeable delay.
const POLL: Duration = Duration::from_millis(5);

/// A running command. Its guardian stops it, and removes its folder, when this value is dropped or
/// its process is gone.
#[derive(Debug)]
pub(crate) struct Guarded {
    account: Account,
    child: Child,
    pipe: ChildStdin,
}

/// The signals that PostgreSQL handles.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    /// Disconnect all clients and stop in order.
    Interrupt,
    /// Stop immediately.
    Quit,
}

impl Guarded {
    /// Runs a program whose output goes to `log`, in a process group of its own, so that Ctrl-C at
    /// the terminal only reaches the owner.
    pub(crate) fn spawn(
        account: &Account,
        folder: &Path,
        log: &File,
        program: &Path,
        arguments: &[OsString],
    ) -> Result<Guarded, LocalPostgresError> {
        let spawned = || {
            let mut child = account
                .command("/bin/sh")
                .args(["-c", SCRIPT, "guardian"])
                .args([folder, program])
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(log.try_clone()?)
                .stderr(log.try_clone()?)
                .process_group(0)
                .spawn()?;
            let pipe = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
            Ok((child, pipe))
        };
        let (child, pipe) =
            spawned().map_err(|error| process_error("run /bin/sh", account, error))?;
        Ok(Guarded { account: account.clone(), child, pipe })
    }

    /// The id of the command's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status of the command, if it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, LocalPostgresError> {
        self.child
            .try_wait()
            .map_err(|error| process_error("wait for a child", &self.account, error))
    }

    /// Polls every few milliseconds until `done` returns a value or the time-out passes.
    pub(crate) fn poll<T>(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&mut Guarded) -> Result<Option<T>, LocalPostgresError>,
    ) -> Result<Option<T>, LocalPostgresError> {
        let start = Instant::now();
        loop {
            if let Some(answer) = done(self)? {
                return Ok(Some(answer));
            }
            if start.elapsed() > patience {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for the command to end.
    pub(crate) fn wait(
        &mut self,
        patience: Duration,
    ) -> Result<Option<ExitStatus>, LocalPostgresError> {
        self.poll(patience, Guarded::ended)
    }

    /// Sends a signal to the command, unless it has ended.
    ///
    /// std can only send SIGKILL, the shell can send any signal. The owner sends it, not the
    /// guardian, so it also works if the guardian was killed.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), LocalPostgresError> {
        // A child that was not waited for keeps its id, so no other process gets the signal.
        if self.ended()?.is_some() {
            return Ok(());
        }
        signal_process(&self.account, self.pid(), signal)
    }

    /// Kills the command, as the last resort.
    pub(crate) fn kill(&mut self) {
        // This fails only if the command has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends the guardian; the folder stays.
    pub(crate) fn leave(&mut self) {
        // This fails only if the guardian was killed, which has the same effect.
        let _ = self.pipe.write_all(b"leave\n");
    }
}

/// Sends a signal through the shell.
pub(crate) fn signal_process(
    account: &Account,
    pid: u32,
    signal: Signal,
) -> Result<(), LocalPostgresError> {
    let name = match signal {
        Signal::Interrupt => "INT",
        Signal::Quit => "QUIT",
    };
    account
        .command("/bin/sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "signal", name, &pid.to_string()])
        .output()
        .map(|_| ())
        .map_err(|error| process_error("signal the server", account, error))
}

fn process_error(action: &str, account: &Account, error: io::Error) -> LocalPostgresError {
    LocalPostgresError::Process {
        action: action.to_owned(),
        user: account.name().to_owned(),
        error,
    }
}
