//! The service file: sections of keys and values, one for each service.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Variables, known};
use crate::error::ConnectError;

/// Debian's folder of the system-wide service file.
const SYSTEM: &str = "/etc/postgresql-common";

/// libpq keys that have no effect on this worker.
const IGNORED: [&str; 9] = [
    "application_name",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
];

/// The files in which a service is looked for, in this order.
pub(super) fn files(variables: Variables<'_>, home: Option<&Path>) -> Vec<PathBuf> {
    let own = variables("PGSERVICEFILE").map(PathBuf::from);
    let own = own.or_else(|| home.map(|home| home.join(".pg_service.conf")));
    let system = variables("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM.to_owned());
    own.into_iter().chain([Path::new(&system).join("pg_service.conf")]).collect()
}

/// The settings of a service, from the first file that has it.
///
/// # Errors
/// If no file has the service, a file cannot be read, or a key is unknown to the worker.
pub(super) fn read(
    service: &str,
    files: &[PathBuf],
) -> Result<BTreeMap<&'static str, String>, ConnectError> {
    for file in files {
        let shown = file.display();
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(problem(format!("{shown} cannot be read: {error}"))),
        };
        let found = section(&text, service)
            .map_err(|(line, what)| problem(format!("{shown}, line {line}: {what}")))?;
        if let Some(values) = found {
            return Ok(values);
        }
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let nowhere = format!("the service {service:?} is in none of {}", names.join(", "));
    Err(ConnectError::LibpqDefaults(nowhere))
}

fn problem(what: String) -> ConnectError {
    ConnectError::LibpqDefaults(format!("the service file {what}"))
}

type Section = BTreeMap<&'static str, String>;

/// The keys and values of one section; `None` if it is missing. An error has the line number and no
/// value.
fn section(text: &str, service: &str) -> Result<Option<Section>, (usize, String)> {
    let mut found: Option<Section> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            found = (name == service).then(BTreeMap::new);
            continue;
        }
        let Some(values) = &mut found else { continue };
        let Some((key, value)) = line.split_once('=') else {
            return Err((index + 1, "a key, = and a value are needed".to_owned()));
        };
        let key = key.trim();
        match known(key) {
            Some("service") => {
                return Err((index + 1, "a service cannot name another one".to_owned()));
            }
            Some(known) => {
                values.entry(known).or_insert_with(|| value.trim().to_owned());
            }
            None if IGNORED.contains(&key) => {}
            // The message omits the key: malformed text may be a password.
            None => return Err((index + 1, "the worker does not know this key".to_owned())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::section;

    const TEXT: &str = "# ours\n[other]\nhost=elsewhere\n\n[app]\nhost = db\nport=6543\n\
                        user=me\nhost=later\nconnect_timeout=3\n[third]\nhost=x\n";

    #[test]
    fn a_section_is_read_to_its_end_and_the_first_value_of_a_key_counts() {
        let app = section(TEXT, "app").unwrap().unwrap();
        let pairs: Vec<(&str, &str)> = app.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(pairs, [("host", "db"), ("port", "6543"), ("user", "me")]);
        assert_eq!(section(TEXT, "none").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_alone() {
        for text in ["[app]\nhunter2\n", "[app]\nhunter2=x\n", "[app]\nservice=other\n"] {
            let (line, what) = section(text, "app").unwrap_err();
            assert_eq!(line, 2);
            assert!(!what.contains("hunter2"), "{what}");
        }
        assert!(section("[other]\nhunter2\n[app]\n", "app").unwrap().is_some());
    }
}
