//! Installs PostgreSQL's package. On a terminal it asks first.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::LocalPostgresError;
use crate::account::we_are_root;
use crate::log::last_lines;

const SCRIPT: &str = include_str!("install.sh");

/// Debian's package reads this file before it creates a cluster. It is a separate file, since
/// `createcluster.conf` belongs to the administrator.
const NO_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/dayfold-no-cluster.conf";

/// The lock file, in a folder that only root can write to.
const LOCK: &str = "/run/dayfold-install-postgresql.lock";

const APT_GET: &str = "/usr/bin/apt-get";

/// dpkg requires the programs of `sbin` in PATH, which a caller's PATH may lack.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const INSTALL: [&str; 3] = ["install", "--no-install-recommends", "postgresql"];
const UPDATE: [&str; 1] = ["update"];

const OPTIONS: [&str; 8] = [
    "--quiet",
    "--yes",
    // Wait this many seconds for another installation to end; by default apt-get fails immediately.
    "-oDPkg::Lock::Timeout=300",
    // Keep a settings file that the administrator changed, without a question.
    "-oDPkg::Options::=--force-confdef",
    "-oDPkg::Options::=--force-confold",
    // A list that cannot be fetched is an error instead of a warning: it explains why the package
    // is unknown.
    "-oAPT::Update::Error-Mode=any",
    // The time-out for a mirror that does not answer, in seconds; with retries about a minute.
    "-oAcquire::http::Timeout=20",
    "-oAcquire::https::Timeout=20",
];

/// A new machine often fetches package lists by itself. apt-get waits for another installation, but
/// not for that, so this code does.
const FETCHING: &str = "Could not get lock /var/lib/apt/lists/";
const FETCHING_PATIENCE: Duration = Duration::from_secs(300);
const FETCHING_POLL: Duration = Duration::from_secs(2);

/// The facts that decide whether the package may be installed.
#[derive(Clone, Copy)]
struct Facts {
    root: bool,
    /// Debian, or a system derived from it.
    debian: bool,
    apt_get: bool,
    /// Whether apt-get has package lists; a fresh container image has none.
    package_lists: bool,
    /// A person can be asked: input and error output are a terminal.
    terminal: bool,
}

impl Facts {
    fn of_this_machine() -> Facts {
        let os_release = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"));
        let mut lists = fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
        Facts {
            root: we_are_root(),
            debian: os_release.is_ok_and(|text| is_debian(&text)),
            apt_get: Path::new(APT_GET).exists(),
            package_lists: lists
                .any(|list| list.file_name().to_string_lossy().contains("_Packages")),
            terminal: io::stdin().is_terminal() && io::stderr().is_terminal(),
        }
    }
}

/// Installs the package; otherwise the error says what to install.
pub(crate) fn install(say: &mut dyn FnMut(&str)) -> Result<(), LocalPostgresError> {
    // Threads that need a server at the same time ask once.
    static CONSENT: LazyLock<bool> = LazyLock::new(ask);
    install_with(Facts::of_this_machine(), say, || *CONSENT, apt_get)
}

/// Asks on the terminal whether the package may be installed. Enter alone means yes.
fn ask() -> bool {
    let question = "PostgreSQL is not installed. Install the package `postgresql` with apt-get? It \
                    takes about a minute. [Y/n] ";
    let mut answer = String::new();
    let mut terminal = io::stderr();
    let asked = terminal
        .write_all(question.as_bytes())
        .and_then(|()| terminal.flush())
        .and_then(|()| io::stdin().read_line(&mut answer));
    asked.is_ok_and(|bytes| bytes > 0) && is_yes(&answer)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

fn install_with(
    facts: Facts,
    say: &mut dyn FnMut(&str),
    ask: impl FnOnce() -> bool,
    mut apt_get: impl FnMut(&[&str]) -> Result<(), String>,
) -> Result<(), LocalPostgresError> {
    if !(facts.root && facts.debian && facts.apt_get) || (facts.terminal && !ask()) {
        return Err(LocalPostgresError::NotFound);
    }
    say("PostgreSQL is not installed: installing the package `postgresql`, about a minute");
    if facts.package_lists && apt_get(&INSTALL).is_ok() {
        return Ok(());
    }
    // The lists are missing, or old ones name files that the mirror no longer has. A failed update
    // may still have fetched the necessary list, so the result of the installation decides.
    let updated = apt_get(&UPDATE);
    apt_get(&INSTALL).map_err(|output| LocalPostgresError::Install {
        output: match updated {
            Ok(()) => output,
            Err(update) => format!("{output}; and before it `apt-get update`: {update}"),
        },
    })
}

/// Runs apt-get when no other process does; the error is its output.
fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match apt_get_now(arguments) {
            Err(output) if output.contains(FETCHING) && start.elapsed() < FETCHING_PATIENCE => {
                thread::sleep(FETCHING_POLL);
            }
            result => return result,
        }
    }
}

fn apt_get_now(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "install", NO_CLUSTER, LOCK, APT_GET])
        .args(OPTIONS)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Without this, Ubuntu would restart services of the machine after an installation.
        .env("NEEDRESTART_SUSPEND", "1")
        .env("LC_ALL", "C")
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(complaints(&[output.stdout, output.stderr].concat()))
}

/// apt-get's errors without its progress; without errors, its last lines.
fn complaints(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("E: ")).collect();
    if errors.is_empty() { last_lines(output) } else { last_lines(errors.join("\n").as_bytes()) }
}

/// Whether an os-release file is that of Debian or of a system derived from it.
fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .any(|name| name == "debian" || name == "ubuntu")
}

#[cfg(test)]
mod tests;
