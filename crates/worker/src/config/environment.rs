//! The layers of the environment: systemd's credentials, then `DATABASE_URL`, then
//! `WORKER__SECTION__KEY`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::Value;

use super::layers::Layers;
use super::nearest::{nearest_setting, printable};
use super::setting::{Origin, VARIABLE_PREFIX};
use super::value::{expected, same_from_text};

/// The variable with the folder of a service's credentials (systemd.exec(5), LoadCredential=).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The credentials, each with section and name of its setting.
const CREDENTIALS: [(&str, &str, &str); 7] = [
    ("database-url", "database", "url"),
    ("mail-password", "mail", "password"),
    ("webhook-url", "webhook", "url"),
    ("http-token", "http", "token"),
    ("http-operator-token", "http", "operator_token"),
    ("changes-webhook-url", "changes", "webhook_url"),
    ("changes-webhook-secret", "changes", "webhook_secret"),
];

/// The variable that most tools and platforms use for the database's URL.
const DATABASE_URL: &str = "DATABASE_URL";

impl Layers {
    /// Applies the worker's variables over the earlier layers.
    pub(super) fn add_environment<N, V>(&mut self, environment: impl IntoIterator<Item = (N, V)>)
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let mut database_url = None;
        let mut credentials = None;
        // Sorted, because the order of environment variables is random, and so would be the problems.
        let mut single = BTreeMap::new();
        for (name, value) in environment {
            let name = name.into();
            // A name that is not UTF-8 keeps its prefix and cannot become a valid name.
            let name = name.to_string_lossy();
            if name == DATABASE_URL {
                database_url = Some(value.into());
            } else if name == CREDENTIALS_DIRECTORY {
                credentials = Some(PathBuf::from(value.into()));
            } else if name.starts_with(VARIABLE_PREFIX) {
                single.insert(name.into_owned(), value.into());
            }
        }
        if let Some(directory) = credentials {
            for (name, section, key) in CREDENTIALS {
                self.add_credential(name, &directory.join(name), section, key);
            }
        }
        // Platforms set an empty variable when no database is attached.
        if let Some(value) = database_url.filter(|value| !value.is_empty()) {
            self.add_variable(DATABASE_URL, "database.url", value);
        }
        for (name, value) in single {
            let setting = self.settings.iter().find(|setting| setting.variable() == name);
            match setting.map(|setting| setting.key.clone()) {
                Some(key) => self.add_variable(&name, &key, value),
                None => {
                    let problem = self.unknown_variable(&name);
                    self.problems.push(problem);
                }
            }
        }
    }

    /// A service may lack this credential, or have the empty one that a package installs.
    fn add_credential(&mut self, name: &'static str, file: &Path, section: &str, key: &str) {
        let text = match fs::read_to_string(file) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                let problem = format!("cannot read the credential {name}: {error}");
                self.problems.push(problem);
                return;
            }
        };
        if let Some(setting) = self.find_mut(section, key).filter(|_| !text.is_empty()) {
            setting.value = Value::String(text);
            setting.origin = Origin::Credential(name);
        }
    }

    fn add_variable(&mut self, variable: &str, key: &str, value: OsString) {
        let Some(setting) = self.settings.iter_mut().find(|setting| setting.key == key) else {
            return;
        };
        let problem = match value.into_string() {
            Ok(text) => match same_from_text(&setting.value, &text) {
                Ok(value) => {
                    setting.value = value;
                    setting.origin = Origin::Variable(variable.to_owned());
                    return;
                }
                Err(found) => {
                    format!(
                        "{key} from {variable} must be {}, not {found}",
                        expected(&setting.value)
                    )
                }
            },
            Err(_) => format!("{key} from {variable} is not UTF-8; set the variable as UTF-8 text"),
        };
        self.problems.push(problem);
    }

    fn unknown_variable(&self, name: &str) -> String {
        let name = printable(name);
        let below = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(&name);
        let dotted = below.replacen("__", ".", 1).to_lowercase();
        let section = dotted.split_once('.').map_or("", |(section, _)| section);
        let siblings: Vec<_> = self
            .settings
            .iter()
            .filter(|setting| setting.section == section)
            .map(|setting| setting.variable())
            .collect();
        let advice = match nearest_setting(&dotted, &self.settings) {
            Some(near) => format!("did you mean {}?", near.variable()),
            None if siblings.is_empty() => {
                let sections: Vec<_> = self.sections().into_iter().map(str::to_uppercase).collect();
                format!(
                    "it must be {VARIABLE_PREFIX}SECTION__KEY with a section of {}",
                    sections.join(", ")
                )
            }
            None => format!("the variables of this section are {}", siblings.join(", ")),
        };
        format!("unknown variable {name}; {advice}")
    }
}
