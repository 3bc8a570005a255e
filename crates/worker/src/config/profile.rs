//! Profiles: groups of related settings, applied between the defaults and explicit settings.

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::layers::Layers;
use super::setting::Origin;
use super::syntax::syntax_problem;
use super::value::same_from_toml;

/// The profiles and their settings.
const PROFILES: &str = include_str!("../../../../config/profiles.toml");

/// The key that names a profile.
const KEY: &str = "pool.profile";

impl Layers {
    /// Applies the named profile over the defaults, but below explicit settings.
    pub(super) fn apply_profile(&mut self) {
        let document = match DeTable::parse(PROFILES) {
            Ok(document) => document,
            Err(error) => {
                let shown = "the built-in profiles.toml";
                self.problems.push(syntax_problem(shown, PROFILES, &error));
                return;
            }
        };
        let Some(setting) = self.settings.iter().find(|setting| setting.key == KEY) else { return };
        let Value::String(name) = &setting.value else { return };
        let name = name.clone();
        let Some((_, profile)) =
            document.get_ref().iter().find(|(profile, _)| *profile.get_ref() == name.as_str())
        else {
            let names: Vec<&str> = document.get_ref().keys().map(|key| &**key.get_ref()).collect();
            // The message omits the name: it may be a misplaced secret.
            let problem = format!("{KEY} {} must be one of {}", setting.origin, names.join(", "));
            self.problems.push(problem);
            return;
        };
        let DeValue::Table(profile) = profile.get_ref() else { return };
        for (key, value) in profile {
            self.set_by_profile(&name, key.get_ref(), value.get_ref());
        }
    }

    fn set_by_profile(&mut self, name: &str, key: &str, value: &DeValue<'_>) {
        let Some(setting) = self.settings.iter_mut().find(|setting| setting.key == key) else {
            self.problems.push(format!("the profile {name} sets {key}, which is no key"));
            return;
        };
        if !matches!(setting.origin, Origin::Default) {
            return;
        }
        match same_from_toml(&setting.value, value) {
            Ok(value) => {
                setting.value = value;
                setting.origin = Origin::Profile(name.to_owned());
            }
            Err(found) => self.problems.push(format!("the profile {name} has {key} as {found}")),
        }
    }
}

#[cfg(test)]
pub(super) fn names() -> Vec<String> {
    let document = DeTable::parse(PROFILES).unwrap();
    document.get_ref().keys().map(|key| key.get_ref().to_string()).collect()
}
