//! The password file: lines of `host:port:database:user:password`. The first match wins.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Socket folders for which libpq matches `localhost`: Debian's, and PostgreSQL's default.
const SOCKET_FOLDERS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

/// The location of the password file. It is read for each connection, so a new password applies at once.
#[derive(Clone)]
pub(crate) struct PassFile {
    pub(crate) path: PathBuf,
    /// Whether the configuration names the file. Then it must exist.
    pub(crate) asked_for: bool,
    /// The user of the connection if the URL names none.
    pub(crate) user: String,
}

impl PassFile {
    /// The password for this connection, if the file has one.
    ///
    /// # Errors
    /// If the file was configured and cannot be used. The server may still accept a connection without a
    /// password.
    pub(crate) fn password(&self, config: &Config) -> Result<Option<String>, String> {
        let path = self.path.display();
        let text = match self.read() {
            Ok(text) => text,
            // As in libpq, the default file may be missing, and is ignored if others can read it.
            Err(_) if !self.asked_for => return Ok(None),
            Err(problem) => return Err(format!("the password file {path} {problem}")),
        };
        Ok(places(config).iter().find_map(|(host, port)| {
            let user = config.get_user().unwrap_or(&self.user);
            let database = config.get_dbname().unwrap_or(user);
            text.lines().find_map(|line| password_in(line, [host, port, database, user]))
        }))
    }

    fn read(&self) -> Result<String, String> {
        let found = fs::metadata(&self.path).map_err(|error| format!("cannot be read: {error}"))?;
        if found.mode() & 0o077 != 0 {
            return Err("may be read by others: chmod 0600".to_owned());
        }
        fs::read_to_string(&self.path).map_err(|error| format!("cannot be read: {error}"))
    }
}

/// The hosts and ports of the connection, in the file's notation.
fn places(config: &Config) -> Vec<(String, String)> {
    let ports = config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let name = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) if SOCKET_FOLDERS.iter().any(|usual| folder == Path::new(usual)) => {
            "localhost".to_owned()
        }
        Host::Unix(folder) => folder.display().to_string(),
    };
    let mut hosts: Vec<String> = config.get_hosts().iter().map(name).collect();
    if hosts.is_empty() {
        hosts = config.get_hostaddrs().iter().map(ToString::to_string).collect();
    }
    hosts.into_iter().enumerate().map(|(index, host)| (host, port(index).to_string())).collect()
}

/// The password of a line, if the line matches.
fn password_in(line: &str, wanted: [&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for wanted in wanted {
        let (field, behind) = field(rest)?;
        // Only a bare asterisk matches everything.
        let all = rest.starts_with("*:");
        if !all && field != wanted {
            return None;
        }
        rest = behind;
    }
    let password = unescaped(rest);
    (!password.is_empty()).then_some(password)
}

/// The text before the first unescaped colon, and the rest after it.
fn field(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((unescaped(&text[..index]), &text[index + 1..])),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::new();
    while let Some(character) = characters.next() {
        let escaped = if character == '\\' { characters.next() } else { None };
        plain.push(escaped.unwrap_or(character));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::password_in;

    const WANTED: [&str; 4] = ["db", "5432", "app", "me"];

    #[test]
    fn a_line_gives_its_password_to_what_it_names() {
        for (line, password) in [
            ("db:5432:app:me:secret", Some("secret")),
            ("*:*:*:*:secret", Some("secret")),
            ("db:*:app:*:a\\:b\\\\c:d", Some("a:b\\c:d")),
            ("other:5432:app:me:secret", None),
            ("db:5432:app:you:secret", None),
            ("# db:5432:app:me:secret", None),
            ("db:5432:app:me:", None),
            ("db:5432:app", None),
            ("", None),
        ] {
            assert_eq!(password_in(line, WANTED).as_deref(), password, "{line}");
        }
    }

    #[test]
    fn colons_in_names_are_escaped() {
        let wanted = ["::1", "5432", "a\\b", "*"];
        assert_eq!(password_in("\\:\\:1:5432:a\\\\b:\\*:x", wanted).as_deref(), Some("x"));
    }
}
