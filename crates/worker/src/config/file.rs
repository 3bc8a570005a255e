//! The layer of the file given by `--config`.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::layers::Layers;
use super::nearest::{nearest_name, nearest_setting, printable};
use super::setting::Origin;
use super::source::{Key, Source, in_order, read};
use super::syntax::syntax_problem;
use super::targets::{TARGETS, read_specs};
use super::value::{expected, found_in_toml, same_from_toml};

/// Maximum size. A configuration has a few kilobytes; a larger file is the wrong one, and a device may
/// never end.
const MAX_FILE_BYTES: u64 = 64 * 1024;

impl Layers {
    /// Applies the file over the earlier layers.
    pub(super) fn add_file(&mut self, path: &Path) {
        let shown = path.display().to_string();
        if shown.contains("://") {
            // The path is not shown: a user who confuses --config with the database's URL passes the
            // password.
            let problem = "--config must be the path of a file, not a URL; \
                           the database's URL belongs into DATABASE_URL";
            return self.problems.push(problem.to_owned());
        }
        let text = match read(path, &shown, MAX_FILE_BYTES, "--config") {
            Ok(text) => text,
            Err(problem) => return self.problems.push(problem),
        };
        match DeTable::parse(&text) {
            Ok(document) => {
                let file = Source::new(&shown, &text);
                for (section, content) in in_order(document.get_ref()) {
                    self.add_section(&file, section, content);
                }
            }
            Err(error) => self.problems.push(syntax_problem(&shown, &text, &error)),
        }
    }

    fn add_section(&mut self, file: &Source<'_>, section: &Key<'_>, content: &DeValue<'_>) {
        let name = section.get_ref().as_ref();
        let origin = file.origin(section);
        let known = self.sections().contains(&name);
        if name == TARGETS {
            let (specs, problems) = read_specs(file, content, &origin, &self.settings);
            self.specs.extend(specs);
            self.problems.extend(problems);
            return;
        }
        let problem = match content {
            DeValue::Table(content) if known => {
                for (key, value) in in_order(content) {
                    self.add_key(file, name, key, value);
                }
                return;
            }
            DeValue::Table(_) => self.unknown_section(name, &origin),
            value if known => {
                format!("{name} {origin} must be a section, [{name}], not {}", found_in_toml(value))
            }
            _ => {
                let name = printable(name);
                let advice = match nearest_setting(&name, &self.settings) {
                    Some(near) => format!("did you mean {}?", near.key),
                    None => format!("put it below its section: {}", self.section_list()),
                };
                format!("unknown key {name} {origin}, outside all sections; {advice}")
            }
        };
        self.problems.push(problem);
    }

    fn add_key(&mut self, file: &Source<'_>, section: &str, name: &Key<'_>, value: &DeValue<'_>) {
        let origin = file.origin(name);
        let Some(setting) = self.find_mut(section, name.get_ref()) else {
            let problem = self.unknown_key(section, name.get_ref(), &origin);
            return self.problems.push(problem);
        };
        match same_from_toml(&setting.value, value) {
            Ok(value) => {
                setting.value = value;
                setting.origin = origin;
            }
            Err(found) => {
                let (key, expected) = (&setting.key, expected(&setting.value));
                let problem = format!("{key} {origin} must be {expected}, not {found}");
                self.problems.push(problem);
            }
        }
    }

    fn unknown_section(&self, name: &str, origin: &Origin) -> String {
        let name = printable(name);
        let advice = match nearest_name(&name, self.sections()) {
            Some(near) => format!("did you mean [{near}]?"),
            None => format!("the sections are {}", self.section_list()),
        };
        format!("unknown section [{name}] {origin}; {advice}")
    }

    fn unknown_key(&self, section: &str, name: &str, origin: &Origin) -> String {
        let key = format!("{section}.{}", printable(name));
        let advice = match nearest_setting(&key, &self.settings) {
            Some(near) => format!("did you mean {}?", near.key),
            None => {
                let siblings = self.settings.iter().filter(|setting| setting.section == section);
                let names: Vec<_> = siblings.map(|setting| setting.name.as_str()).collect();
                format!("the keys of [{section}] are {}", names.join(", "))
            }
        };
        format!("unknown key {key} {origin}; {advice}")
    }

    fn section_list(&self) -> String {
        let sections: Vec<_> =
            self.sections().into_iter().map(|name| format!("[{name}]")).collect();
        sections.join(", ")
    }
}
