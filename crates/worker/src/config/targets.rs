//! Targets: the databases and schemas that one worker serves, each with the common settings and some of
//! its own.
//!
//! They are listed as `[[targets]]` in the configuration file, in the file `targets_from.file`, and by
//! `targets_from.query`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::nearest::{nearest_name, printable, printable_key};
use super::setting::{Origin, Setting, entries};
use super::source::{Source, in_order, read};
use super::syntax::syntax_problem;
use super::value::{expected, found_in_toml, same_from_toml};
use super::{ConfigError, Entry, Loaded, read as sections};

/// The name of the list, in the configuration and in the file of targets.
pub(super) const TARGETS: &str = "targets";

/// Maximum size of the file of targets: about 20,000 of them.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The longest name of a target, in characters. It is a label of metrics and a field of each log line.
const MAX_NAME: usize = 63;

/// The keys of a target, and the settings that they replace.
const KEYS: [(&str, &str); 6] = [
    ("url", "database.url"),
    ("schema", "database.schema"),
    ("pooler", "database.pooler"),
    ("pool.max_size", "pool.max_size"),
    ("batch.concurrency", "batch.concurrency"),
    ("batch.max_rows_per_second", "batch.max_rows_per_second"),
];

/// One target with its settings.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The unique name.
    pub(crate) name: String,
    /// The common settings with those of the target.
    pub(crate) loaded: Loaded,
    /// The keys that the target sets, such as `targets.eu.schema`.
    pub(crate) own: Vec<Entry>,
}

/// A row of `targets_from.query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryRow {
    /// The column `name`.
    pub(crate) name: String,
    /// The column `url`, if the row has one.
    pub(crate) url: Option<String>,
    /// The column `schema`, if the row has one.
    pub(crate) schema: Option<String>,
}

/// The settings from which those of each target are made, and the targets of the configuration file.
pub(super) struct Common {
    pub(super) settings: Vec<Setting>,
    pub(super) specs: Vec<Spec>,
}

impl fmt::Debug for Common {
    /// The settings have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("targets", &self.specs.len()).finish_non_exhaustive()
    }
}

/// A target as it is written down.
#[derive(Clone)]
pub(super) struct Spec {
    name: String,
    origin: Origin,
    /// The settings that it replaces: key of the target, key of the setting, value and origin.
    own: Vec<(&'static str, &'static str, Value, Origin)>,
}

impl Loaded {
    /// Whether the worker serves targets instead of one database.
    pub(crate) fn has_targets(&self) -> bool {
        let from = &self.config.targets_from;
        !self.common.specs.is_empty() || from.file.is_some() || !from.query.is_empty()
    }

    /// The targets of the configuration, of the file, which is read now, and of these rows, by name.
    ///
    /// # Errors
    /// All problems, one per line; then none of the list is usable.
    pub(crate) fn targets(&self, rows: &[DirectoryRow]) -> Result<Vec<Target>, ConfigError> {
        let mut problems = Vec::new();
        let mut specs = self.common.specs.clone();
        if let Some(file) = &self.config.targets_from.file {
            let (of_file, of_reading) = read_file(file, &self.common.settings);
            specs.extend(of_file);
            problems.extend(of_reading);
        }
        specs.extend(rows.iter().enumerate().filter_map(|(index, row)| {
            from_row(row, Origin::Row(index + 1)).map_err(|problem| problems.push(problem)).ok()
        }));
        let mut by_name = BTreeMap::<String, (Origin, Target)>::new();
        let mut places = BTreeMap::new();
        for spec in specs {
            if let Some((first, _)) = by_name.get(&spec.name) {
                problems.push(format!(
                    "two targets have the name {}: {first} and {}; give each its own",
                    spec.name, spec.origin
                ));
                continue;
            }
            let Some(target) = self.target(&spec, &mut problems) else { continue };
            let database = &target.loaded.config.database;
            let place = (database.url.expose().to_owned(), database.schema.clone());
            if let Some(first) = places.insert(place, spec.name.clone()) {
                problems.push(format!(
                    "the targets {first} and {} have the same url and schema; remove one",
                    spec.name
                ));
            }
            by_name.insert(spec.name, (spec.origin, target));
        }
        if problems.is_empty() {
            Ok(by_name.into_values().map(|(_, target)| target).collect())
        } else {
            Err(ConfigError::new(problems))
        }
    }

    /// The target with the common settings and its own.
    fn target(&self, spec: &Spec, problems: &mut Vec<String>) -> Option<Target> {
        let before = problems.len();
        let mut settings = self.common.settings.clone();
        let mut own = Vec::new();
        for (key, replaced, value, origin) in &spec.own {
            if let Some(setting) = settings.iter_mut().find(|setting| setting.key == *replaced) {
                setting.value = value.clone();
                setting.origin = origin.clone();
                own.push(Entry {
                    key: format!("{TARGETS}.{}.{key}", spec.name),
                    value: setting.shown(),
                    origin: origin.name(),
                    line: origin.line(),
                });
            }
        }
        let config = sections::config(&settings, problems)?;
        if problems.len() == before {
            problems.extend(sections::unfit(&config, &settings));
        }
        let entries = entries(&settings);
        let common = Arc::new(Common { settings: Vec::new(), specs: Vec::new() });
        let loaded = Loaded { config, entries, common };
        Some(Target { name: spec.name.clone(), loaded, own })
    }

    /// A message that no target has this name, with the nearest name.
    pub(crate) fn unknown_target(name: &str, targets: &[Target]) -> String {
        let names = || targets.iter().map(|target| target.name.as_str());
        let advice = match nearest_name(name, names()) {
            Some(near) => format!("did you mean {near}?"),
            None if targets.is_empty() => "the configuration lists no targets".to_owned(),
            None => "`worker config show targets` lists those of the files".to_owned(),
        };
        format!("there is no target {}; {advice}", printable_key(name))
    }
}

/// Reads the file of targets.
fn read_file(path: &Path, settings: &[Setting]) -> (Vec<Spec>, Vec<String>) {
    let shown = path.display().to_string();
    let text = match read(path, &shown, MAX_FILE_BYTES, "targets_from.file") {
        Ok(text) => text,
        Err(problem) => return (Vec::new(), vec![problem]),
    };
    let document = match DeTable::parse(&text) {
        Ok(document) => document,
        Err(error) => return (Vec::new(), vec![syntax_problem(&shown, &text, &error)]),
    };
    let (mut specs, mut problems) = (Vec::new(), Vec::new());
    let file = Source::new(&shown, &text);
    for (key, value) in in_order(document.get_ref()) {
        let origin = file.origin(key);
        if key.get_ref() == TARGETS {
            let (of_list, of_reading) = read_specs(&file, value, &origin, settings);
            specs.extend(of_list);
            problems.extend(of_reading);
        } else {
            let name = printable(key.get_ref());
            problems.push(format!("unknown key {name} {origin}; this file lists only [[targets]]"));
        }
    }
    (specs, problems)
}

/// Reads the list of targets in a file.
pub(super) fn read_specs(
    file: &Source<'_>,
    list: &DeValue<'_>,
    origin: &Origin,
    settings: &[Setting],
) -> (Vec<Spec>, Vec<String>) {
    let (mut specs, mut problems) = (Vec::new(), Vec::new());
    let DeValue::Array(list) = list else {
        let found = found_in_toml(list);
        return (
            specs,
            vec![format!("{TARGETS} {origin} must be a list, [[targets]] for each, not {found}")],
        );
    };
    for item in list {
        match item.get_ref() {
            DeValue::Table(table) => {
                specs.extend(read_spec(file, table, origin, settings, &mut problems));
            }
            other => problems.push(format!(
                "{TARGETS} {origin} must have tables, [[targets]], not {}",
                found_in_toml(other)
            )),
        }
    }
    (specs, problems)
}

/// Reads one target. Adds a problem for each mistake.
fn read_spec(
    file: &Source<'_>,
    table: &DeTable<'_>,
    list: &Origin,
    settings: &[Setting],
    problems: &mut Vec<String>,
) -> Option<Spec> {
    let mut entries = Vec::new();
    for (key, value) in in_order(table) {
        let (name, origin) = (key.get_ref().to_string(), file.origin(key));
        match value {
            DeValue::Table(below) => {
                entries.extend(in_order(below).into_iter().map(|(key, value)| {
                    (format!("{name}.{}", key.get_ref()), file.origin(key), value)
                }))
            }
            value => entries.push((name, origin, value)),
        }
    }
    let origin = entries.first().map_or_else(|| list.clone(), |(_, origin, _)| origin.clone());
    let (mut own, mut target) = (Vec::new(), None);
    for (name, origin, value) in entries {
        let known = KEYS.into_iter().find(|(key, _)| *key == name);
        let replaced =
            known.and_then(|(_, key)| settings.iter().find(|setting| setting.key == key));
        match (known, replaced, value) {
            _ if name == "name" => match value {
                DeValue::String(text) if is_name(text) => target = Some(text.to_string()),
                _ => problems.push(format!("{TARGETS}.name {origin} must {}", NAME_FORM)),
            },
            (Some((key, replaced)), Some(setting), value) => {
                match same_from_toml(&setting.value, value) {
                    Ok(value) => own.push((key, replaced, value, origin)),
                    Err(found) => problems.push(format!(
                        "{TARGETS}.{key} {origin} must be {}, not {found}",
                        expected(&setting.value)
                    )),
                }
            }
            _ => problems.push(unknown_key(&name, &origin)),
        }
    }
    if target.is_none() && !table.keys().any(|key| key.get_ref() == "name") {
        problems.push(format!("the target {origin} has no name; add name = \"…\""));
    }
    Some(Spec { name: target?, origin, own })
}

fn unknown_key(name: &str, origin: &Origin) -> String {
    let keys = || std::iter::once("name").chain(KEYS.into_iter().map(|(key, _)| key));
    let last = name.rsplit('.').next().unwrap_or(name);
    let near = nearest_name(name, keys())
        .or_else(|| keys().find(|key| key.rsplit('.').next() == Some(last)));
    let advice = match near {
        Some(near) => format!("did you mean {near}?"),
        None => format!("the keys of a target are {}", keys().collect::<Vec<_>>().join(", ")),
    };
    format!("unknown key {TARGETS}.{} {origin}; {advice}", printable_key(name))
}

const NAME_FORM: &str = "have 1 to 63 letters, digits, dots, underscores and hyphens";

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=MAX_NAME).contains(&text.len()) && text.chars().all(plain)
}

/// A target of the directory.
fn from_row(row: &DirectoryRow, origin: Origin) -> Result<Spec, String> {
    if !is_name(&row.name) {
        return Err(format!("the name {origin} must {NAME_FORM}"));
    }
    let text = |text: &Option<String>| text.clone().map(Value::String);
    let own = KEYS.into_iter().filter_map(|(key, replaced)| {
        let value = match key {
            "url" => text(&row.url),
            "schema" => text(&row.schema),
            _ => None,
        };
        Some((key, replaced, value?, origin.clone()))
    });
    Ok(Spec { name: row.name.clone(), own: own.collect(), origin })
}
