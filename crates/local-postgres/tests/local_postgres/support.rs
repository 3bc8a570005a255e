//! Queries through psql, folders, and checks of processes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use local_postgres::Binaries;

/// Far longer than any step takes: only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// PostgreSQL's programs on this machine.
pub(crate) fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| Binaries::find_or_install(|line| println!("{line}")).unwrap())
}

/// The answer to a query, or the error of psql.
pub(crate) fn query(url: &str, sql: &str) -> Result<String, String> {
    let output = Command::new(binaries().directory().join("psql"))
        .args(["--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-Atqc", sql, url])
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).map(|text| text.trim().to_owned()).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A folder for servers' folders, so that no other test's start sweeps it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Place {
        let path = PathBuf::from(format!("/tmp/lp-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o1777)).unwrap();
        Place(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }

    /// Whether a server's folder here holds this file.
    pub(crate) fn holds(&self, file: &str) -> bool {
        fs::read_dir(&self.0).unwrap().flatten().any(|found| found.path().join(file).exists())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until the condition is true.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The process id of the server in a folder.
pub(crate) fn server_in(folder: &Path) -> u32 {
    let text = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

/// Kills the server in a folder, as a crash would.
pub(crate) fn crash(folder: &Path) {
    let server = server_in(folder);
    let text = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    // A killed server leaves a small block of shared memory, which outlives its processes. Line 7
    // has its key and its id.
    let memory = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    assert!(signal("KILL", server));
    eventually("the server is gone", || !runs(server));
    let _ = Command::new("ipcrm").args(["-m", memory.unwrap()]).status();
}

/// Sends a signal to a process; `0` only checks whether the process exists.
pub(crate) fn signal(signal: &str, pid: u32) -> bool {
    let kill = ["-c", "kill -s \"$1\" \"$2\" 2>/dev/null", "kill", signal, &pid.to_string()];
    Command::new("/bin/sh").args(kill).status().unwrap().success()
}

/// Whether a process runs. One that has ended, but whose parent has not waited for it, does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    signal("0", pid) && !state.starts_with('Z')
}

/// Whether the tests run as root.
pub(crate) fn we_are_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Runs a line of a shell; whether it succeeds.
pub(crate) fn shell(line: &str) -> bool {
    let mut shell = Command::new("/bin/sh");
    // The server outlives the shell, and would keep a pipe open.
    shell.args(["-c", line]).stdout(Stdio::null()).stderr(Stdio::null());
    shell.current_dir("/").status().unwrap().success()
}
