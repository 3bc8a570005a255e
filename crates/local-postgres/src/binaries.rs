//! Finds PostgreSQL's server programs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::account::plain_command;
use crate::{LocalPostgresError, install};

/// Folders with one subfolder per installed version, which has the programs in its `bin`. Each
/// entry is the folder, and the prefix of the version in the subfolder's name.
const VERSIONED: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),          // Debian, Ubuntu
    ("/usr", "pgsql-"),                   // Red Hat and Fedora, from PostgreSQL's own packages
    ("/usr/lib", "postgresql"),           // SUSE
    ("/opt/homebrew/opt", "postgresql@"), // macOS on Apple's processors
    ("/usr/local/opt", "postgresql@"),    // macOS on Intel's
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@"),
];

/// Folders that hold one version only, tried after [`VERSIONED`] and before `PATH`.
const UNVERSIONED: [&str; 3] = ["/opt/homebrew/bin", "/usr/local/bin", "/usr/local/pgsql/bin"];

/// PostgreSQL's server programs: a folder that holds at least `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    version: String,
}

impl Binaries {
    /// Searches `PG_BIN_DIR`, then the folders of Debian, Red Hat, SUSE and Homebrew, the newest
    /// version first, then `PATH`.
    ///
    /// If `PG_BIN_DIR` is set but wrong, no other folder is searched, since the user asked for that
    /// one. [`Binaries::find_or_install`] reports the problem.
    pub fn find() -> Option<Binaries> {
        find_in(&Places::of_this_machine()).ok().flatten()
    }

    /// Runs [`Binaries::find`]. If it finds none, root on Debian and Ubuntu installs the package
    /// `postgresql`, after one line to `say`. On a terminal it asks first.
    ///
    /// The package's own database cluster is neither created nor started.
    ///
    /// # Errors
    ///
    /// `PG_BIN_DIR` is wrong, the package cannot be installed, or this system or user cannot
    /// install it. The message says what to install.
    pub fn find_or_install(mut say: impl FnMut(&str)) -> Result<Binaries, LocalPostgresError> {
        let places = Places::of_this_machine();
        if let Some(found) = find_in(&places)? {
            return Ok(found);
        }
        install::install(&mut say)?;
        find_in(&places)?.ok_or(LocalPostgresError::InstalledButNotFound)
    }

    /// The programs in a folder that is named, as `PG_BIN_DIR` does.
    ///
    /// # Errors
    ///
    /// If the folder does not hold them, or they do not run.
    pub fn in_folder(named: &Path) -> Result<Binaries, LocalPostgresError> {
        // The server is started from `/`, where a relative path would lead elsewhere.
        let directory = std::path::absolute(named).unwrap_or_else(|_| named.to_owned());
        Binaries::at(directory.clone())
            .map_err(|why| LocalPostgresError::WrongBinDir { directory, why })
    }

    /// The folder that holds the programs; `psql` usually lies there too.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The version that the server reports, for example `15.14` or `18beta1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Checks the programs in `directory`; the error says why they are unusable.
    fn at(directory: PathBuf) -> Result<Binaries, String> {
        if let Some(missing) = missing_program(&directory) {
            return Err(format!("there is no executable {missing} in it"));
        }
        let postgres = directory.join("postgres");
        let output = plain_command(&postgres)
            .arg("--version")
            .output()
            .map_err(|error| format!("its postgres does not run: {error}"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let version = version_in(&printed)
            .ok_or_else(|| format!("its postgres states no version ({})", output.status))?;
        Ok(Binaries { directory, version: version.to_owned() })
    }
}

/// The inputs of the search, so that a test can search elsewhere.
struct Places {
    /// The value of `PG_BIN_DIR`; an empty one counts as unset.
    named: Option<PathBuf>,
    /// The root folder: `/` except in tests.
    root: PathBuf,
    /// The value of `PATH`.
    path: Option<OsString>,
}

impl Places {
    fn of_this_machine() -> Places {
        Places {
            named: env::var_os("PG_BIN_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            root: PathBuf::from("/"),
            path: env::var_os("PATH"),
        }
    }
}

fn find_in(places: &Places) -> Result<Option<Binaries>, LocalPostgresError> {
    if let Some(named) = &places.named {
        return Binaries::in_folder(named).map(Some);
    }
    // A candidate whose postgres does not run, for example because a library is missing, is
    // skipped.
    Ok(candidates(places).into_iter().find_map(|directory| Binaries::at(directory).ok()))
}

/// Every folder that holds both programs, best first.
fn candidates(places: &Places) -> Vec<PathBuf> {
    let under_root = |path: &str| places.root.join(path.trim_start_matches('/'));
    let versioned = VERSIONED.iter().flat_map(|(parent, prefix)| {
        newest_first(&under_root(parent), prefix).into_iter().map(|found| found.join("bin"))
    });
    let unversioned = UNVERSIONED.iter().map(|path| under_root(path));
    let path = places.path.as_deref().map(env::split_paths).into_iter().flatten();
    versioned
        .chain(unversioned)
        // A relative entry of PATH is another folder in every process, so it is skipped.
        .chain(path.filter(|directory| directory.is_absolute()))
        .filter(|directory| missing_program(directory).is_none())
        .collect()
}

/// The subfolders of `parent` named `prefix` and a version, the newest version first. Versions are
/// compared as numbers, since 16 is newer than 9.6.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            let numbers =
                version.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
            Some((numbers, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

fn missing_program(directory: &Path) -> Option<&'static str> {
    ["initdb", "postgres"].into_iter().find(|name| !is_executable(&directory.join(name)))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn version_in(printed: &str) -> Option<&str> {
    let (_, rest) = printed.split_once("(PostgreSQL)")?;
    rest.split_whitespace().next().filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
