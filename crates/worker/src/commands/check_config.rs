//! `worker check-config`

use std::path::Path;

use serde_json::json;

use crate::exit::{self, Exit};
use crate::setup::{self, Settings};
use crate::{output, tables};

/// Checks the configuration without a database, and shows each value with its origin.
///
/// # Errors
/// What is wrong with it.
pub fn execute(config: Option<&Path>, json: bool) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    Settings::of(&loaded.config)?;
    if !loaded.config.database.url.expose().is_empty() {
        setup::check_url(&loaded.config)?;
    }
    if json {
        let entries: Vec<_> = loaded
            .entries
            .iter()
            .map(|entry| json!({ "key": entry.key, "value": entry.value, "origin": entry.origin }))
            .collect();
        output::print_json(&json!({ "valid": true, "entries": entries }));
    } else {
        let rows = loaded
            .entries
            .iter()
            .map(|entry| vec![entry.key.clone(), entry.value.clone(), entry.origin.clone()]);
        output::print(&tables::table(&["key", "value", "from"], rows));
        output::print("The configuration is valid.");
    }
    Ok(exit::DONE)
}
