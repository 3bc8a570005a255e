//! The environment of the program: error messages, folders, signals, and other users.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Ran, WORKER};

/// A password that no output may show.
pub const PASSWORD: &str = "hunter2geheim";

/// The usual id of the user and group without rights.
pub const NOBODY: u32 = 65_534;

/// Far longer than any test takes; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a command that must fail, and returns the reason. Asserts one clear line, exit code 1, an empty
/// stdout, no panic and no password.
#[track_caller]
pub fn refused(command: &mut Command) -> String {
    let reasons = refused_for(command);
    let [reason] = reasons.as_slice() else { panic!("not one line: {reasons:#?}") };
    reason.clone()
}

/// Runs a command that must fail for several reasons, and returns them, one per line.
#[track_caller]
pub fn refused_for(command: &mut Command) -> Vec<String> {
    let ran = Ran::of(command.output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{command:?}: {ran:?}");
    for unwanted in [PASSWORD, "panic", "RUST_BACKTRACE", "Error("] {
        assert!(!ran.stderr.contains(unwanted), "{unwanted} in {ran:?}");
    }
    let reason = |line: &str| {
        let reason = line.strip_prefix("error: ");
        reason.unwrap_or_else(|| panic!("{command:?}: {ran:?}")).to_owned()
    };
    ran.stderr.lines().map(reason).collect()
}

/// Asserts that a text contains all phrases.
#[track_caller]
pub fn assert_says(text: &str, phrases: &[&str]) {
    for phrase in phrases {
        assert!(text.contains(phrase), "it does not say {phrase:?}: {text}");
    }
}

/// A folder accessible to all users, removed when dropped. Its path is short enough for a socket.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = PathBuf::from(format!("/tmp/dayfold-test-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o1777)).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that all users may read.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies the program to where a user without rights can run it. That user may not have access to the
/// build's folder.
pub fn worker_for_everybody(place: &Scratch) -> PathBuf {
    let path = place.path().join("worker");
    // Copied by another process. A file that this process holds open for writing cannot be run, even if
    // only a child that a concurrent test has just forked holds it.
    assert!(Command::new("cp").arg(WORKER).arg(&path).status().unwrap().success());
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

/// Whether the tests run as root.
pub fn we_are_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Waits until the condition holds.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a process, or to a group if its number is negative.
#[track_caller]
pub fn signal(signal: &str, process: i64) {
    let kill = ["-c", "kill -s \"$1\" -- \"$2\"", "kill", signal, &process.to_string()];
    assert!(Command::new("/bin/sh").args(kill).status().unwrap().success());
}

/// The running child processes of a process.
pub fn children_of(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let child = |process: fs::DirEntry| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        // The state and the parent follow the name, which is in brackets and may contain any character.
        let (_, behind) = stat.rsplit_once(") ")?;
        let its_parent: i32 = behind.split(' ').nth(1)?.parse().ok()?;
        if its_parent == parent { process.file_name().to_str()?.parse().ok() } else { None }
    };
    processes.filter_map(child).collect()
}

/// The number of processes with this text in their command line.
pub fn processes_with(text: &str) -> usize {
    let command_lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|process| {
        process.file_name().to_str()?.parse::<u32>().ok()?;
        fs::read(process.path().join("cmdline")).ok()
    });
    let found = |bytes: &Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    command_lines.filter(found).count()
}
