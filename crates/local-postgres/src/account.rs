//! The user that the server runs as.
//!
//! PostgreSQL refuses to run as root, so root starts the server as an unprivileged user. Any other
//! user runs it under the own account.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::LocalPostgresError;

/// The users to which root may hand the server, in order of preference: the owner of PostgreSQL's
/// package, or the user that exists everywhere.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The search path for all commands here; the caller's own PATH could lead elsewhere.
const PATH: &str = "/usr/bin:/bin";

/// The user that runs the server and every command that touches its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// Whether this process is root and must change to this user.
    changes: bool,
}

impl Account {
    /// The user of this process, or for root the first of [`UNPRIVILEGED`] that exists.
    pub(crate) fn for_server() -> Result<Account, LocalPostgresError> {
        let no_account = |why: &str| LocalPostgresError::NoAccount { why: why.to_owned() };
        let uid = id(&["-u"]).ok_or_else(|| no_account("`id -u` says nothing"))?;
        if uid != 0 {
            let gid = id(&["-g"]).ok_or_else(|| no_account("`id -g` says nothing"))?;
            return Ok(Account { name: format!("with id {uid}"), uid, gid, changes: false });
        }
        UNPRIVILEGED
            .iter()
            .find_map(|name| {
                let (uid, gid) = (id(&["-u", name])?, id(&["-g", name])?);
                // The server would also refuse an alias of root.
                (uid != 0).then(|| Account { name: (*name).to_owned(), uid, gid, changes: true })
            })
            .ok_or_else(|| no_account("running as root, with neither a postgres nor a nobody"))
    }

    /// The user's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The user and group to give files to, if they belong to another user.
    pub(crate) fn gives_files_to(&self) -> Option<(u32, u32)> {
        self.changes.then_some((self.uid, self.gid))
    }

    /// The user that root changes to.
    pub(crate) fn changes_to(&self) -> Option<&str> {
        self.changes.then_some(self.name.as_str())
    }

    /// Whether this account owns files of the user with this id, and may remove them.
    pub(crate) fn owns(&self, uid: u32) -> bool {
        uid == self.uid || (self.changes && uid == 0)
    }

    /// A command that runs as this user, without the caller's environment.
    ///
    /// The C locale keeps messages and sort order the same everywhere, and avoids a thread on macOS
    /// that PostgreSQL forbids. The working folder is `/`, since this user may have no access to
    /// the caller's. When root changes the user id, std also drops all supplementary groups.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = plain_command(program);
        if self.changes {
            command.gid(self.gid).uid(self.uid);
        }
        command
    }
}

/// A command with the same bare environment, run as the user of this process.
pub(crate) fn plain_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("PATH", PATH).current_dir("/").stdin(Stdio::null());
    command
}

/// Whether this process is root, the only user that may install packages and change users.
pub(crate) fn we_are_root() -> bool {
    id(&["-u"]) == Some(0)
}

/// The number that `id` prints. It reads the system's directory of users as well as /etc/passwd,
/// and std has no safe `geteuid`.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = plain_command("id").args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    std::str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_never_runs_as_root() {
        let account = Account::for_server().unwrap();
        assert_ne!(account.uid, 0);
        let output = account.command("id").arg("-u").output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), account.uid.to_string());
    }

    #[test]
    fn a_command_keeps_no_supplementary_group_of_root() {
        let account = Account::for_server().unwrap();
        if account.gives_files_to().is_none() {
            return; // An ordinary user keeps his own groups: he may drop none.
        }
        let output = account.command("id").arg("-G").output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), account.gid.to_string());
    }

    #[test]
    fn a_command_sees_nothing_of_our_environment() {
        let account = Account::for_server().unwrap();
        let output = account.command("env").output().unwrap();
        let environment = String::from_utf8(output.stdout).unwrap();
        let mut names: Vec<&str> =
            environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "PATH"]);
    }

    #[test]
    fn a_user_who_does_not_exist_has_no_id() {
        assert_eq!(id(&["-u", "no-such-user-anywhere"]), None);
    }
}
