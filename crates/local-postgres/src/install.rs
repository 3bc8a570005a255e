//! Installs PostgreSQL's package where that can be done without asking.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::LocalPostgresError;
use crate::account::we_are_root;
use crate::log::last_lines;

const SCRIPT: &str = include_str!("install.sh");

/// Read by Debian's package before it creates a cluster. A file of ours beside
/// `createcluster.conf`, which is the administrator's.
const NO_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/dayfold-no-cluster.conf";

/// In a folder that only root may write to.
const LOCK: &str = "/run/dayfold-install-postgresql.lock";

const APT_GET: &str = "/usr/bin/apt-get";

/// dpkg insists on finding the programs of `sbin`, which a caller's PATH may lack.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const INSTALL: [&str; 3] = ["install", "--no-install-recommends", "postgresql"];
const UPDATE: [&str; 1] = ["update"];

const OPTIONS: [&str; 8] = [
    "--quiet",
    "--yes",
    // Wait for another installation to end, this many seconds; the default is to give up.
    "-oDPkg::Lock::Timeout=300",
    // A settings file that the administrator changed stays as it is, without a question.
    "-oDPkg::Options::=--force-confdef",
    "-oDPkg::Options::=--force-confold",
    // A list that cannot be fetched is an error, not a warning: it tells why there is no
    // such package.
    "-oAPT::Update::Error-Mode=any",
    // A mirror that does not answer is given up after a minute.
    "-oAcquire::http::Timeout=20",
    "-oAcquire::https::Timeout=20",
];

/// A new machine is often fetching package lists of its own. apt-get waits for an
/// installation to end, but not for that, so we do.
const FETCHING: &str = "Could not get lock /var/lib/apt/lists/";
const FETCHING_PATIENCE: Duration = Duration::from_secs(300);
const FETCHING_POLL: Duration = Duration::from_secs(2);

/// What decides whether the package may be installed from here.
#[derive(Clone, Copy)]
struct Facts {
    root: bool,
    /// Debian, or a system made from it.
    debian: bool,
    apt_get: bool,
    /// Whether apt-get knows of any package; in a fresh container image it does not.
    package_lists: bool,
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
        }
    }
}

/// Installs the package, or says what to install.
pub(crate) fn install(say: &mut dyn FnMut(&str)) -> Result<(), LocalPostgresError> {
    install_with(Facts::of_this_machine(), say, apt_get)
}

fn install_with(
    facts: Facts,
    say: &mut dyn FnMut(&str),
    mut apt_get: impl FnMut(&[&str]) -> Result<(), String>,
) -> Result<(), LocalPostgresError> {
    if !(facts.root && facts.debian && facts.apt_get) {
        return Err(LocalPostgresError::NotFound);
    }
    say("PostgreSQL is not installed: installing the package `postgresql`, about a minute");
    if facts.package_lists && apt_get(&INSTALL).is_ok() {
        return Ok(());
    }
    // No lists, or old ones that name files the mirror no longer has. An update that fails
    // may still have fetched the list that matters, so the install has the last word.
    let updated = apt_get(&UPDATE);
    apt_get(&INSTALL).map_err(|output| LocalPostgresError::Install {
        output: match updated {
            Ok(()) => output,
            Err(update) => format!("{output}; and before it `apt-get update`: {update}"),
        },
    })
}

/// Runs apt-get, once nobody else does; if it fails, what it says is wrong.
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
        // Ubuntu would otherwise restart services of the machine after an installation.
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

/// apt-get's errors without its progress; if it states none, whatever it said last.
fn complaints(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("E: ")).collect();
    if errors.is_empty() { last_lines(output) } else { last_lines(errors.join("\n").as_bytes()) }
}

/// Whether an os-release file is that of Debian or of a system made from it.
fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .any(|name| name == "debian" || name == "ubuntu")
}

#[cfg(test)]
mod tests;
