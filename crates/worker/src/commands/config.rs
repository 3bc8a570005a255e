//! `worker config show`

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{self, ConfigCommand, ConfigShow};
use crate::config::{ConfigError, Entry, Loaded};
use crate::exit::{self, Exit};
use crate::{output, setup, tables};

/// Runs a command about the configuration.
///
/// # Errors
/// If the configuration is invalid.
pub fn execute(config: Option<&Path>, command: &ConfigCommand) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Show(arguments) => show(config, arguments),
    }
}

/// Shows the values in force with their origins, of all keys or of the requested ones.
fn show(config: Option<&Path>, arguments: &ConfigShow) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let own = of_targets(&loaded)?;
    let entries = asked_for(&loaded, &own, &arguments.keys);
    if arguments.json {
        output::print_json(&json!({ "entries": to_json(&entries) }));
    } else {
        output::print(&to_text(&entries));
    }
    Ok(exit::DONE)
}

/// The entries of these keys and sections; all if none is named. Any other name is wrong usage.
fn asked_for<'l>(loaded: &'l Loaded, own: &'l [Entry], names: &[String]) -> Vec<&'l Entry> {
    let all = || loaded.entries.iter().chain(own);
    for name in names {
        if !all().any(|entry| entry.is_called(name)) {
            cli::refuse_key(&loaded.unknown(name));
        }
    }
    let asked = |entry: &&Entry| names.is_empty() || names.iter().any(|name| entry.is_called(name));
    all().filter(asked).collect()
}

/// The keys that the targets of the files set. Those of a query are not known without its database.
///
/// # Errors
/// If the file of targets has become invalid.
pub fn of_targets(loaded: &Loaded) -> Result<Vec<Entry>, ConfigError> {
    Ok(loaded.targets(&[])?.into_iter().flat_map(|target| target.own).collect())
}

/// Converts keys, values and origins to JSON.
pub fn to_json(entries: &[&Entry]) -> Vec<Value> {
    let one = |entry: &&Entry| {
        json!({
            "key": entry.key,
            "value": entry.value,
            "origin": entry.origin,
            "line": entry.line,
        })
    };
    entries.iter().map(one).collect()
}

/// Formats keys, values and origins as a table.
pub fn to_text(entries: &[&Entry]) -> String {
    let rows = entries.iter().map(|entry| {
        let origin = match entry.line {
            Some(line) => format!("{}:{line}", entry.origin),
            None => entry.origin.clone(),
        };
        vec![entry.key.clone(), entry.value.clone(), origin]
    });
    tables::table(&["key", "value", "from"], rows)
}
