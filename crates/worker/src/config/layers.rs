//! The settings while layers are applied over each other.

use std::sync::Arc;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::setting::{Origin, Setting, entries};
use super::syntax::syntax_problem;
use super::targets::{Common, Spec};
use super::value::from_default;
use super::{ConfigError, Loaded, read};

/// The settings so far, and the problems found.
pub(super) struct Layers {
    /// The settings in the order of `config/default.toml`.
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<String>,
    /// The targets of the file.
    pub(super) specs: Vec<Spec>,
}

impl Layers {
    /// The first layer, which defines the keys and their types.
    pub(super) fn new(defaults: &str) -> Self {
        let mut layers = Self { settings: Vec::new(), problems: Vec::new(), specs: Vec::new() };
        match DeTable::parse(defaults) {
            Ok(document) => layers.define(document.get_ref()),
            Err(error) => {
                let problem = syntax_problem("the built-in default.toml", defaults, &error);
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
                match from_default(value.get_ref()) {
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
        // Tables are sorted by name; users expect the order of the file.
        found.sort_by_key(|(start, _)| *start);
        self.settings = found.into_iter().map(|(_, setting)| setting).collect();
    }

    /// Applies a flag that sets the log level, over all other layers.
    pub(super) fn add_flag(&mut self, flag: &'static str, level: &str) {
        if let Some(setting) = self.find_mut("log", "level") {
            setting.value = Value::String(level.to_owned());
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

    /// Reads the values in force. Fails if any layer had a problem.
    pub(super) fn into_loaded(mut self) -> Result<Loaded, ConfigError> {
        self.apply_profile();
        let config = read::config(&self.settings, &mut self.problems);
        // Relations are checked only if each value is valid. Otherwise a problem could blame a relation
        // to the default, which the user never set.
        if let Some(config) = config.as_ref().filter(|_| self.problems.is_empty()) {
            self.problems = read::unfit(config, &self.settings);
        }
        let Some(config) = config.filter(|_| self.problems.is_empty()) else {
            return Err(ConfigError::new(self.problems));
        };
        let entries = entries(&self.settings);
        let common = Common { settings: self.settings, specs: self.specs };
        let loaded = Loaded { config, entries, common: Arc::new(common) };
        loaded.targets(&[])?;
        Ok(loaded)
    }
}
