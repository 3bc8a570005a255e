//! One private server, from initdb to its removal.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::account::Account;
use crate::folder::Folder;
use crate::guardian::{Guarded, Signal};
use crate::log::last_lines;
use crate::{Binaries, LocalPostgresError};

/// Time-out of initdb. It takes 1 to 2 s; several at once on a small, busy machine take a multiple.
const INITDB_PATIENCE: Duration = Duration::from_secs(120);

/// Time-out of a start, which takes 0.1 s.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// Time-out of a fast shutdown, which first writes the memory to the disk.
const FAST_PATIENCE: Duration = Duration::from_secs(60);

/// Time-out of an immediate shutdown. The server kills its remaining processes after 5 s; this is
/// twice that.
const IMMEDIATE_PATIENCE: Duration = Duration::from_secs(10);

/// A private PostgreSQL server. When dropped, it is stopped and its folder removed.
///
/// The superuser is `postgres`, without a password: only users with access to the folder, its owner
/// and root, can reach the socket. Text is UTF-8 and sorts by bytes (the C locale).
#[derive(Debug)]
pub struct LocalPostgres {
    binaries: Binaries,
    account: Account,
    settings: Vec<OsString>,
    /// The length of the log, in bytes, when the current program began.
    log_start: u64,
    // Dropped before the guardian is released, which then finds no folder to remove.
    folder: Folder,
    server: Guarded,
}

/// A stopped server whose folder stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    program: PathBuf,
    folder: PathBuf,
    /// The user to change to, for root.
    user: Option<String>,
    url: String,
}

impl Kept {
    /// The command that starts the server, for a shell. It runs until [`Kept::stop`].
    pub fn start(&self) -> String {
        let log = quoted(&self.folder.join("server.log"));
        format!("{} -l {log} start", self.pg_ctl())
    }

    /// The command that stops the server.
    pub fn stop(&self) -> String {
        format!("{} stop", self.pg_ctl())
    }

    /// The URL of its database while it runs.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder around the server's, as a word of a shell.
    pub fn place(&self) -> String {
        quoted(self.folder.parent().unwrap_or(&self.folder))
    }

    fn pg_ctl(&self) -> String {
        // PostgreSQL refuses to run as root.
        let user =
            self.user.as_ref().map_or_else(String::new, |user| format!("runuser -u {user} -- "));
        format!("{user}{} -D {}", quoted(&self.program), quoted(&self.folder.join("data")))
    }
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    let shown = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if shown.chars().all(is_plain) {
        return shown;
    }
    format!("'{}'", shown.replace('\'', "'\\''"))
}

/// The way to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Disconnect all clients, write all data to the files and stop.
    Fast,
    /// Stop immediately, as in a crash: the next start recovers from the write-ahead log.
    Immediate,
}

impl LocalPostgres {
    /// Makes a new database cluster, starts its server and waits until it accepts
    /// connections, which takes about two seconds.
    ///
    /// # Errors
    ///
    /// There is no user or folder for the server, or one of PostgreSQL's programs fails. Then no
    /// files are left behind, and the error quotes the end of the log.
    pub fn start(binaries: &Binaries) -> Result<LocalPostgres, LocalPostgresError> {
        LocalPostgres::start_with(binaries, &[])
    }

    /// [`LocalPostgres::start`] with settings of the server, as in `postgresql.conf`.
    ///
    /// # Errors
    ///
    /// The errors of [`LocalPostgres::start`], and an unknown setting.
    pub fn start_with(
        binaries: &Binaries,
        settings: &[(&str, &str)],
    ) -> Result<LocalPostgres, LocalPostgresError> {
        let account = Account::for_server()?;
        let folder = Folder::create(&account)?;
        LocalPostgres::make(binaries, account, folder, settings)
    }

    /// [`LocalPostgres::start`] in a folder of the caller's choice, which is made if it is missing.
    /// The server's folder in it is named `postgresql`. Its path is absolute.
    ///
    /// # Errors
    ///
    /// The errors of [`LocalPostgres::start`], and a folder that cannot be used.
    pub fn start_at(
        binaries: &Binaries,
        place: &Path,
    ) -> Result<LocalPostgres, LocalPostgresError> {
        let account = Account::for_server()?;
        let folder = Folder::create_at(place, &account)?;
        LocalPostgres::make(binaries, account, folder, &[])
    }

    /// Makes the cluster and starts the server.
    fn make(
        binaries: &Binaries,
        account: Account,
        folder: Folder,
        settings: &[(&str, &str)],
    ) -> Result<LocalPostgres, LocalPostgresError> {
        let initdb = Guarded::spawn(
            &account,
            folder.path(),
            folder.log(),
            &binaries.program("initdb"),
            // No fsync, no password, and sort order by bytes.
            &[
                "-D".into(),
                folder.data().into(),
                "-A".into(),
                "trust".into(),
                "-N".into(),
                "--no-locale".into(),
                "-E".into(),
                "UTF8".into(),
                "-U".into(),
                "postgres".into(),
            ],
        )?;
        let settings = settings.iter().map(|(name, value)| format!("{name}={value}").into());
        let mut server = LocalPostgres {
            binaries: binaries.clone(),
            account,
            settings: settings.collect(),
            log_start: 0,
            folder,
            server: initdb,
        };
        match server.server.wait(INITDB_PATIENCE)? {
            Some(status) if status.success() => {}
            Some(status) => return Err(server.failed("initdb", status)),
            None => return Err(server.too_slow("initdb", "done", INITDB_PATIENCE)),
        }
        server.start_again()?;
        Ok(server)
    }

    /// The URL of one of its databases, for tokio-postgres, psql and other clients; `postgres`
    /// exists from the start.
    ///
    /// The port is PostgreSQL's default, 5432, and not part of the URL. psql, unlike
    /// tokio-postgres, would use the variable `PGPORT` instead.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgresql://postgres@/{}?host={}",
            percent_encoded(database.as_bytes()),
            percent_encoded(self.socket_directory().as_os_str().as_bytes()),
        )
    }

    /// The folder of the server's socket, which is the server's folder.
    pub fn socket_directory(&self) -> &Path {
        self.folder.path()
    }

    /// The server's log. It is removed with the folder.
    pub fn log_path(&self) -> &Path {
        self.folder.log_path()
    }

    /// Stops the server, and keeps its folder. The files are on the disk afterwards, and the
    /// configuration names the socket's folder, so that [`Kept::start`] starts the server again.
    ///
    /// # Errors
    ///
    /// The server does not stop, or its files cannot be written. The folder is then removed.
    pub fn keep(mut self) -> Result<Kept, LocalPostgresError> {
        self.stop(Shutdown::Fast)?;
        let directory = self.folder.path().to_owned();
        let failed = |why: String| LocalPostgresError::Keep { directory: directory.clone(), why };
        // In this file a backslash begins the code of a character.
        let socket = directory.display().to_string().replace('\\', "\\\\").replace('\'', "''");
        let settings = format!("listen_addresses = ''\nunix_socket_directories = '{socket}'\n");
        let configuration = self.folder.data().join("postgresql.conf");
        let mut file = File::options()
            .append(true)
            .open(&configuration)
            .map_err(|error| failed(error.to_string()))?;
        file.write_all(settings.as_bytes()).map_err(|error| failed(error.to_string()))?;
        drop(file);
        // The server ran without fsync.
        let mut sync = self.account.command(self.binaries.program("initdb"));
        let synced = sync.arg("--sync-only").arg("-D").arg(self.folder.data()).output();
        let synced = synced.map_err(|error| failed(error.to_string()))?;
        if !synced.status.success() {
            return Err(failed(last_lines(&synced.stderr)));
        }
        self.server.leave();
        self.folder.keep();
        Ok(Kept {
            program: self.binaries.program("pg_ctl"),
            folder: directory,
            user: self.account.changes_to().map(str::to_owned),
            url: self.url("postgres"),
        })
    }

    /// Stops the server and waits for its end; the data stays. The server may already be stopped.
    ///
    /// # Errors
    ///
    /// The server cannot be signalled or does not stop.
    pub fn stop(&mut self, how: Shutdown) -> Result<(), LocalPostgresError> {
        let (signal, patience) = match how {
            Shutdown::Fast => (Signal::Interrupt, FAST_PATIENCE),
            Shutdown::Immediate => (Signal::Quit, IMMEDIATE_PATIENCE),
        };
        self.server.signal(signal)?;
        match self.server.wait(patience)? {
            Some(_) => Ok(()),
            None => Err(self.too_slow("postgres", "stopped", patience)),
        }
    }

    /// Starts the server on the same data and socket, after [`LocalPostgres::stop`] or after a
    /// crash, and waits until it accepts connections. If the server runs, it does nothing.
    ///
    /// # Errors
    ///
    /// The server ends or is not ready in time; the error quotes the end of the log.
    pub fn start_again(&mut self) -> Result<(), LocalPostgresError> {
        if self.server.ended()?.is_none() {
            return Ok(());
        }
        let mut arguments: Vec<OsString> =
            vec!["-D".into(), self.folder.data().into(), "-k".into(), self.folder.path().into()];
        // No fsync, no TCP. The caller's settings come last, since the last one counts.
        arguments.extend(["-F", "-c", "listen_addresses="].map(OsString::from));
        for setting in &self.settings {
            arguments.extend(["-c".into(), setting.clone()]);
        }
        self.log_start = self.folder.log_length();
        let server = Guarded::spawn(
            &self.account,
            self.folder.path(),
            self.folder.log(),
            &self.binaries.program("postgres"),
            &arguments,
        )?;
        // In this order a guardian watches the folder at any time.
        mem::replace(&mut self.server, server).leave();
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), LocalPostgresError> {
        enum Seen {
            Ready,
            Ended(ExitStatus),
        }
        let folder = &self.folder;
        let seen = self.server.poll(READY_PATIENCE, |server| {
            if let Some(status) = server.ended()? {
                return Ok(Some(Seen::Ended(status)));
            }
            Ok(folder.has_ready_server(server.pid()).then_some(Seen::Ready))
        })?;
        match seen {
            Some(Seen::Ready) => Ok(()),
            Some(Seen::Ended(status)) => Err(self.failed("postgres", status)),
            None => Err(self.too_slow("postgres", "ready", READY_PATIENCE)),
        }
    }

    fn failed(&self, program: &str, status: ExitStatus) -> LocalPostgresError {
        LocalPostgresError::Failed {
            program: self.binaries.program(program),
            directory: self.folder.path().to_owned(),
            status: status.to_string(),
            log: self.end_of_log(),
            user: self.account.name().to_owned(),
        }
    }

    fn too_slow(
        &self,
        program: &str,
        awaited: &'static str,
        patience: Duration,
    ) -> LocalPostgresError {
        LocalPostgresError::TooSlow {
            program: self.binaries.program(program),
            directory: self.folder.path().to_owned(),
            awaited,
            patience,
            log: self.end_of_log(),
        }
    }

    fn end_of_log(&self) -> String {
        last_lines(&self.folder.logged_since(self.log_start))
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        // An error here cannot be reported; if the stop fails, the guardian stops the server.
        if self.stop(Shutdown::Immediate).is_err() {
            self.server.kill();
        }
    }
}

/// Encodes all characters that have a meaning in a URL.
fn percent_encoded(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted(Path::new("/tmp/a-b_1.x")), "/tmp/a-b_1.x");
        assert_eq!(quoted(Path::new("/tmp/it's one")), "'/tmp/it'\\''s one'");
    }

    #[test]
    fn a_url_survives_every_byte_of_a_path() {
        assert_eq!(percent_encoded(b"/tmp/a b-1"), "%2Ftmp%2Fa%20b-1");
        assert_eq!(percent_encoded("ä%&?".as_bytes()), "%C3%A4%25%26%3F");
    }
}
