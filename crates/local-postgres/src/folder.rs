//! The folder that holds one server: its data, its socket and its log.
//!
//! The owner holds a lock on the folder as long as it lives. A folder whose lock is free has lost
//! its owner. Normally the guardian has removed it; if the guardian was killed, too, the next start
//! removes it.

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

/// The prefix of the names of these folders; no other program uses it.
const PREFIX: &str = "dayfold-postgres-";

/// The name of the folder in a place that the caller names.
const NAME_AT: &str = "postgresql";

/// The socket's name, with PostgreSQL's default port, so that clients need no option.
const SOCKET: &str = ".s.PGSQL.5432";

/// A socket's path has 108 bytes on Linux and 104 on macOS, one of them for the final NUL.
const SOCKET_PATH_BYTES: usize = 103;

/// Room for [`PREFIX`], a process id, a hyphen and a count.
const NAME_BYTES: usize = PREFIX.len() + 7 + 1 + 6;

const TOO_LONG: &str = "is too long for a socket's path";

/// Time-out for stopping a server whose owner and guardian were killed, and for emptying its folder
/// while its last writers end.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(20);

/// A folder that was made for a server's folder. It is removed when dropped, if it is empty.
#[derive(Debug)]
struct MadePlace(PathBuf);

impl Drop for MadePlace {
    fn drop(&mut self) {
        // One that is not empty has files of the caller.
        let _ = fs::remove_dir(&self.0);
    }
}

/// A locked folder, removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    log_path: PathBuf,
    /// Open in append mode, since the server's user may change the path but not this handle.
    log: File,
    /// Whether it stays when dropped.
    is_kept: bool,
    /// The folder around it, if it was made for it.
    made_place: Option<MadePlace>,
    /// The lock on the folder lasts until this file is closed.
    _lock: File,
}

impl Folder {
    /// Sweeps leftover folders, then creates a folder for a server of this account.
    pub(crate) fn create(account: &Account) -> Result<Folder, LocalPostgresError> {
        let place = place(&[env::temp_dir(), PathBuf::from("/tmp")], account)?;
        sweep(&place, account);
        Folder::create_in(&place, account)
    }

    /// Creates a folder for a server of this account in `place`, which is made if it is missing.
    pub(crate) fn create_at(place: &Path, account: &Account) -> Result<Folder, LocalPostgresError> {
        let prepared = |error| LocalPostgresError::Prepare { path: place.to_owned(), error };
        let made = match DirBuilder::new().mode(0o700).create(place) {
            Ok(()) => Some(MadePlace(place.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            Err(error) => return Err(prepared(error)),
        };
        if let (Some(_), Some((uid, gid))) = (&made, account.gives_files_to()) {
            chown(place, Some(uid), Some(gid)).map_err(prepared)?;
        }
        let path = place.join(NAME_AT);
        let is_too_long = socket_path_bytes(&path) > SOCKET_PATH_BYTES;
        let objection = is_too_long.then_some(TOO_LONG).or_else(|| objection(place, account));
        if let Some(objection) = objection {
            return Err(LocalPostgresError::WrongPlace {
                place: place.to_owned(),
                objection,
                user: account.name().to_owned(),
            });
        }
        let taken = || io::Error::from(io::ErrorKind::AlreadyExists);
        let lock = make_and_lock(&path).and_then(|lock| lock.ok_or_else(taken));
        let mut folder = Folder::prepare(path.clone(), lock.map_err(prepared)?, account)?;
        folder.made_place = made;
        Ok(folder)
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
        Folder::prepare(path, lock, account)
    }

    /// Gives the folder to the account, with an empty log.
    fn prepare(path: PathBuf, lock: File, account: &Account) -> Result<Folder, LocalPostgresError> {
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
            Ok(log) => {
                Ok(Folder { path, log_path, log, is_kept: false, made_place: None, _lock: lock })
            }
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

    /// Lets the folder stay.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// The current length of the log, in bytes.
    pub(crate) fn log_length(&self) -> u64 {
        self.log.metadata().map_or(0, |log| log.len())
    }

    /// The part of the log after this length.
    pub(crate) fn logged_since(&self, length: u64) -> Vec<u8> {
        let log = fs::read(&self.log_path).unwrap_or_default();
        let start = usize::try_from(length).unwrap_or(usize::MAX).min(log.len());
        log[start..].to_vec()
    }

    /// Whether the server with this process id accepts connections.
    ///
    /// The id distinguishes its file from one that a crashed server left.
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
        if !self.is_kept {
            remove(&self.path);
        }
    }
}

fn data_of(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// The file in which a running server writes its process id (line 1) and its state (line 8).
fn pid_file_of(folder: &Path) -> PathBuf {
    data_of(folder).join("postmaster.pid")
}

/// Creates and locks a folder; `None` if the name is taken or was lost in the race below.
fn make_and_lock(path: &Path) -> io::Result<Option<File>> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        made => made?,
    }
    // Between these lines another process may treat the new folder as a leftover. Then that process
    // holds the lock, or it has removed the folder, and the locked folder no longer exists.
    lock(path)
}

/// Locks the folder at `path`; `None` if another process has the lock or the folder is gone.
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

/// The length of the path of the socket of a server in this folder.
fn socket_path_bytes(folder: &Path) -> usize {
    folder.as_os_str().len() + 1 + SOCKET.len()
}

/// The first of these folders in which a server of this account can have its folder.
fn place(candidates: &[PathBuf], account: &Account) -> Result<PathBuf, LocalPostgresError> {
    let mut tried = Vec::new();
    for candidate in candidates {
        let is_too_long = socket_path_bytes(candidate) + 1 + NAME_BYTES > SOCKET_PATH_BYTES;
        match is_too_long.then_some(TOO_LONG).or_else(|| objection(candidate, account)) {
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
    // PostgreSQL would read the path as a list of folders.
    if place.as_os_str().as_bytes().contains(&b',') {
        return Some("has a comma in its path");
    }
    // Only the kernel knows for sure, so a command of the account checks it. The account must have
    // write access, because its guardian removes the folder.
    let looked = account
        .command("/bin/sh")
        .args(["-c", "cd \"$1\" && [ -w . ]", "look"])
        .arg(place)
        .output();
    if looked.is_ok_and(|output| output.status.success()) { None } else { Some("is closed to it") }
}

/// Removes the folders whose owner and guardian were both killed.
///
/// A folder that cannot be removed stays; the start continues.
fn sweep(place: &Path, account: &Account) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // Any user may create a folder of this name here, so only folders of this account are
        // touched.
        let ours = fs::symlink_metadata(&path)
            .is_ok_and(|found| found.is_dir() && account.owns(found.uid()));
        if !ours {
            continue;
        }
        // The lock is held until the folder is removed. A folder that is being created or used is
        // locked.
        if let Ok(Some(_lock)) = lock(&path) {
            stop_orphan(&path, account);
            remove(&path);
        }
    }
}

/// Stops the server in a folder without an owner, if it runs.
///
/// Its answer on its socket proves that the id in its file still belongs to it.
fn stop_orphan(folder: &Path, account: &Account) {
    let runs = || UnixStream::connect(folder.join(SOCKET)).is_ok();
    if !runs() {
        return;
    }
    let pid_file = fs::read_to_string(pid_file_of(folder)).unwrap_or_default();
    let pid = pid_file.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
    // For `kill`, 0 means the sender's own process group.
    let Some(pid) = pid.filter(|pid| *pid > 1) else {
        return;
    };
    // If it cannot be signalled, it ends within a minute because its data is gone.
    if signal_process(account, pid, Signal::Quit).is_ok() {
        until(|| !runs());
    }
}

/// Removes a folder, and retries if a process writes to it meanwhile.
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
