//! One setting: its value in force, and the origin of the value.

use std::fmt;

use toml::Value;

use super::Entry;
use super::value::as_text;

/// Keys whose value is never printed.
const SECRET_KEYS: [&str; 8] = [
    "database.url",
    "mail.password",
    "webhook.url",
    "http.token",
    "http.operator_token",
    "changes.webhook_url",
    "changes.webhook_secret",
    "targets_from.url",
];

/// The prefix of the variables that set single keys.
pub(super) const VARIABLE_PREFIX: &str = "WORKER__";

/// One key with the value of the last layer that set it.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) section: String,
    pub(super) name: String,
    /// `section.name`
    pub(super) key: String,
    pub(super) default: Value,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Setting {
    pub(super) fn new(section: &str, name: &str, value: Value) -> Self {
        Self {
            section: section.to_owned(),
            name: name.to_owned(),
            key: format!("{section}.{name}"),
            default: value.clone(),
            value,
            origin: Origin::Default,
        }
    }

    /// The name of the variable that sets the key.
    pub(super) fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}__{}", self.section, self.name).to_uppercase()
    }

    /// A number with its origin, such as `batch.size = 500 (from WORKER__BATCH__SIZE)`.
    pub(super) fn described(&self) -> String {
        format!("{} = {} ({})", self.key, self.shown(), self.origin)
    }

    /// The value in printable form.
    pub(super) fn shown(&self) -> String {
        let text = as_text(&self.value);
        match (SECRET_KEYS.contains(&self.key.as_str()), text.is_empty()) {
            (false, _) => text,
            (true, false) => "(set)".to_owned(),
            (true, true) => "(not set)".to_owned(),
        }
    }
}

/// Keys, values and origins of settings, safe to print.
pub(super) fn entries(settings: &[Setting]) -> Vec<Entry> {
    let entry = |setting: &Setting| Entry {
        key: setting.key.clone(),
        value: setting.shown(),
        origin: setting.origin.name(),
        line: setting.origin.line(),
    };
    settings.iter().map(entry).collect()
}

/// The origin of a value. It prints as the phrase that follows it in a problem.
#[derive(Clone)]
pub(super) enum Origin {
    Default,
    Profile(String),
    File {
        path: String,
        line: usize,
    },
    Credential(&'static str),
    Variable(String),
    Flag(&'static str),
    /// A row of `targets_from.query`, from 1.
    Row(usize),
}

impl Origin {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::Profile(name) => format!("profile {name}"),
            Self::File { path, .. } => path.clone(),
            Self::Credential(name) => format!("credential {name}"),
            Self::Variable(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
            Self::Row(row) => format!("targets_from.query row {row}"),
        }
    }

    pub(super) fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("by default"),
            Self::Profile(name) => write!(formatter, "by the profile {name}"),
            Self::File { path, line } => write!(formatter, "in {path} line {line}"),
            Self::Credential(name) => write!(formatter, "from the credential {name}"),
            Self::Variable(name) => write!(formatter, "from {name}"),
            Self::Flag(flag) => write!(formatter, "from {flag}"),
            Self::Row(row) => write!(formatter, "in row {row} of targets_from.query"),
        }
    }
}
