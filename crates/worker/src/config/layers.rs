//! The settings while the layers are laid over each other.

use std::fmt;

use toml::de::{DeTable, DeValue};

use super::value::Value;
use super::{ConfigError, Entry, Loaded, file, read};

/// Keys whose value is never printed.
const SECRET_KEYS: [&str; 5] =
    ["database.url", "mail.password", "webhook.url", "http.token", "http.operator_token"];

/// What the variables of single settings begin with.
pub(super) const VARIABLE_PREFIX: &str = "WORKER__";

/// One key with the value of the last layer that set it.
pub(super) struct Setting {
    pub(super) section: String,
    pub(super) name: String,
    /// `section.name`
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Setting {
    fn new(section: &str, name: &str, value: Value) -> Self {
        Self {
            section: section.to_owned(),
            name: name.to_owned(),
            key: format!("{section}.{name}"),
            value,
            origin: Origin::Default,
        }
    }

    /// The variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}__{}", self.section, self.name).to_uppercase()
    }

    /// The value as it may be printed.
    pub(super) fn shown(&self) -> String {
        let text = self.value.as_text();
        match (SECRET_KEYS.contains(&self.key.as_str()), text.is_empty()) {
            (false, _) => text,
            (true, false) => "(set)".to_owned(),
            (true, true) => "(not set)".to_owned(),
        }
    }
}

/// Where a value comes from; prints as the phrase that follows it in a problem.
#[derive(Clone)]
pub(super) enum Origin {
    Default,
    Profile(String),
    File { path: String, line: usize },
    Credential(&'static str),
    Variable(String),
    Flag(&'static str),
}

impl Origin {
    fn name(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::Profile(name) => format!("profile {name}"),
            Self::File { path, .. } => path.clone(),
            Self::Credential(name) => format!("credential {name}"),
            Self::Variable(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }

    fn line(&self) -> Option<usize> {
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
        }
    }
}

/// The layers so far, and what was wrong with them.
pub(super) struct Layers {
    /// In the order of `config/default.toml`.
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<String>,
}

impl Layers {
    /// The first layer, which also says which keys there are and of which type.
    pub(super) fn new(defaults: &str) -> Self {
        let mut layers = Self { settings: Vec::new(), problems: Vec::new() };
        match DeTable::parse(defaults) {
            Ok(document) => layers.define(document.get_ref()),
            Err(error) => {
                let problem = file::syntax_problem("the built-in default.toml", defaults, &error);
                layers.problems.push(problem);
            }
        }
        layers
    }

    fn define(&mut self, document: &DeTable<'_>) {
        let mut found = Vec::new();
        for (section, content) in document {
            let DeValue::Table(content) = content.get_ref() else {
                continue;
            };
            for (name, value) in content {
                match Value::from_default(value.get_ref()) {
                    Ok(value) => {
                        let setting = Setting::new(section.get_ref(), name.get_ref(), value);
                        found.push((name.span().start, setting));
                    }
                    Err(kind) => self.problems.push(format!(
                        "{}.{} in the built-in default.toml must not be {kind}",
                        section.get_ref(),
                        name.get_ref(),
                    )),
                }
            }
        }
        // The tables come sorted by name; people want the order of the file.
        found.sort_by_key(|(start, _)| *start);
        self.settings = found.into_iter().map(|(_, setting)| setting).collect();
    }

    /// Lays a flag over all other layers, which stands for a level of the log.
    pub(super) fn add_flag(&mut self, flag: &'static str, level: &str) {
        if let Some(setting) = self.find_mut("log", "level") {
            setting.value = Value::Text(level.to_owned());
            setting.origin = Origin::Flag(flag);
        }
    }

    /// The setting with that section and name.
    pub(super) fn find_mut(&mut self, section: &str, name: &str) -> Option<&mut Setting> {
        self.settings.iter_mut().find(|setting| setting.section == section && setting.name == name)
    }

    /// The sections, in the order of `config/default.toml`.
    pub(super) fn sections(&self) -> Vec<&str> {
        let mut sections: Vec<_> =
            self.settings.iter().map(|setting| setting.section.as_str()).collect();
        sections.dedup();
        sections
    }

    /// Reads the value in force of each setting, and refuses when anything was wrong.
    pub(super) fn into_loaded(mut self) -> Result<Loaded, ConfigError> {
        self.apply_profile();
        let mut reader = read::Reader::new(&self.settings);
        let config = reader.config();
        self.problems.append(&mut reader.problems);
        // Judged only once all else is sound: beside a misspelt or broken value its partner would
        // be blamed for a relation that nobody asked for.
        if self.problems.is_empty() {
            reader.check_relations(&config);
            self.problems.append(&mut reader.problems);
        }
        if !self.problems.is_empty() {
            return Err(ConfigError::new(self.problems));
        }
        let entries = self
            .settings
            .iter()
            .map(|setting| Entry {
                key: setting.key.clone(),
                value: setting.shown(),
                origin: setting.origin.name(),
                line: setting.origin.line(),
            })
            .collect();
        Ok(Loaded { config, entries })
    }
}
