//! The folder that holds one server: its data, its socket and its log.
//!
//! The owner keeps a lock on the folder for as long as he lives. A folder whose lock is free
//! has lost its owner, and normally its guardian has cleared it away already; if the guardian
//! was killed too, the next start does so.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, process, thread};

use crate::LocalPostgresError;
use crate::account::Account;
use crate::guardian::{Signal, signal_process};

/// How the names of our folders begin, and of nobody else's.
const PREFIX: &str = "dayfold-postgres-";

/// The socket's name: PostgreSQL's default port, so that no client has to be told.
const SOCKET: &str = ".s.PGSQL.5432";

/// A socket's path has 108 bytes on Linux and 104 on macOS, one of them for the final NUL.
const SOCKET_PATH_BYTES: usize = 103;

/// Room for [`PREFIX`], a process id, a hyphen and a count.
const NAME_BYTES: usize = PREFIX.len() + 7 + 1 + 6;

/// How long a server whose owner and guardian were killed may take to stop, and a folder to
/// become empty while its last writers end.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(20);

/// A locked folder, removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    log_path: PathBuf,
    /// Held open in append mode: the path is the server's user's to change, this is not.
    log: File,
    /// Never read: the lock on the folder lasts until it is closed.
    _lock: File,
}

impl Folder {
    /// Sweeps what was left behind, then makes a folder for a server of this account.
    pub(crate) fn create(account: &Account) -> Result<Folder, LocalPostgresError> {
        let place = place(&[env::temp_dir(), PathBuf::from("/tmp")], account)?;
        sweep(&place, account);
        Folder::create_in(&place, account)
    }

    fn create_in(place: &Path, account: &Account) -> Result<Folder, LocalPostgresError> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let (path, lock) = loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = place.join(format!("{PREFIX}{}-{count}", process::id()));
            match make_and_lock(&path) {
                Ok(Some(lock)) => break (path, lock),
                Ok(None) => {}
                Err(error) => return Err(LocalPostgresError::Prepare { path, error }),
            }
        };
        let log_path = path.join("server.log");
        let prepared = || {
            let log =
                OpenOptions::new().append(true).create_new(true).mode(0o600).open(&log_path)?;
            if let Some((uid, gid)) = account.gives_files_to() {
                chown(&log_path, Some(uid), Some(gid))?;
                chown(&path, Some(uid), Some(gid))?;
            }
            Ok(log)
        };
        match prepared() {
            Ok(log) => Ok(Folder { path, log_path, log, _lock: lock }),
            Err(error) => {
                remove(&path);
                Err(LocalPostgresError::Prepare { path, error })
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn data(&self) -> PathBuf {
        data_of(&self.path)
    }

    pub(crate) fn log_path(&self) -> &Path {
        &self.log_path
    }

    pub(crate) fn log(&self) -> &File {
        &self.log
    }

    /// How long the log is by now.
    pub(crate) fn log_length(&self) -> u64 {
        self.log.metadata().map_or(0, |log| log.len())
    }

    /// What was logged after the log had this length.
    pub(crate) fn logged_since(&self, length: u64) -> Vec<u8> {
        let log = fs::read(&self.log_path).unwrap_or_default();
        let start = usize::try_from(length).unwrap_or(usize::MAX).min(log.len());
        log[start..].to_vec()
    }

    /// Whether the server with this process id accepts connections.
    ///
    /// The id tells its file from one that a crashed server left behind.
    pub(crate) fn has_ready_server(&self, pid: u32) -> bool {
        let Ok(text) = fs::read_to_string(pid_file_of(&self.path)) else {
            return false;
        };
        let mut lines = text.lines().map(str::trim);
        lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn data_of(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Where a running server states its process id (line 1) and its state (line 8).
fn pid_file_of(folder: &Path) -> PathBuf {
    data_of(folder).join("postmaster.pid")
}

/// Makes a folder and locks it; none if the name is taken or was lost in the race below.
fn make_and_lock(path: &Path) -> io::Result<Option<File>> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        made => made?,
    }
    // Between these lines another process may take the new folder for a leftover. Either it
    // holds the lock, or it has removed the folder, and what we lock is no longer there.
    lock(path)
}

/// Locks the folder at `path`; none if somebody else has the lock or the folder is gone.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let folder = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match folder.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let locked = folder.metadata()?;
    let still_there = fs::symlink_metadata(path)
        .is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino()));
    Ok(still_there.then_some(folder))
}

/// The first of these places where a server of this account can have its folder.
fn place(candidates: &[PathBuf], account: &Account) -> Result<PathBuf, LocalPostgresError> {
    let mut tried = Vec::new();
    for candidate in candidates {
        match objection(candidate, account) {
            None => return Ok(candidate.clone()),
            Some(objection) => tried.push(format!("{} {objection}", candidate.display())),
        }
    }
    tried.dedup();
    Err(LocalPostgresError::NoPlace { tried: tried.join(", "), user: account.name().to_owned() })
}

fn objection(place: &Path, account: &Account) -> Option<&'static str> {
    if !place.is_absolute() {
        return Some("is a relative path");
    }
    if place.as_os_str().len() + 1 + NAME_BYTES + 1 + SOCKET.len() > SOCKET_PATH_BYTES {
        return Some("is too long for a socket's path");
    }
    // PostgreSQL would read the path as a list of folders.
    if place.as_os_str().as_bytes().contains(&b',') {
        return Some("has a comma in its path");
    }
    // Only the kernel knows for sure, so the account itself has a look. It has to be able to
    // write here, because its guardian removes the folder.
    let looked = account
        .command("/bin/sh")
        .args(["-c", "cd \"$1\" && [ -w . ]", "look"])
        .arg(place)
        .output();
    if looked.is_ok_and(|output| output.status.success()) { None } else { Some("is closed to it") }
}

/// Clears away the folders whose owner and guardian were both killed.
///
/// What cannot be cleared stays: it is no reason not to start.
fn sweep(place: &Path, account: &Account) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // Anybody may create a folder of this name here: touch only what our account owns.
        let ours = fs::symlink_metadata(&path)
            .is_ok_and(|found| found.is_dir() && account.owns(found.uid()));
        if !ours {
            continue;
        }
        // Held until the folder is gone. A folder that is being made or used is locked.
        if let Ok(Some(_lock)) = lock(&path) {
            stop_orphan(&path, account);
            remove(&path);
        }
    }
}

/// Stops the server in a folder without an owner, if it runs.
///
/// That it answers on its socket proves that the id it left in its file is still its own.
fn stop_orphan(folder: &Path, account: &Account) {
    let runs = || UnixStream::connect(folder.join(SOCKET)).is_ok();
    if !runs() {
        return;
    }
    let pid_file = fs::read_to_string(pid_file_of(folder)).unwrap_or_default();
    let pid = pid_file.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
    // To `kill`, 0 is the sender's own process group.
    let Some(pid) = pid.filter(|pid| *pid > 1) else {
        return;
    };
    // If it cannot be signalled, it notices within a minute that its data is gone.
    if signal_process(account, pid, Signal::Quit).is_ok() {
        until(|| !runs());
    }
}

/// Removes a folder, again if something is written to it meanwhile.
fn remove(path: &Path) {
    until(|| match fs::remove_dir_all(path) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    });
}

fn until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() && start.elapsed() < PATIENCE {
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests;
