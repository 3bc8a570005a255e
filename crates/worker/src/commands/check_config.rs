//! `worker check-config`

use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::config;
use crate::exit::{self, Exit};
use crate::output;
use crate::settings::Settings;
use crate::setup;

/// Checks the configuration without a database, and shows each value with its origin.
///
/// # Errors
/// The problems of the configuration.
pub fn execute(file: Option<&Path>, json: bool) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(file)?;
    Settings::from_config(&loaded.config)?;
    if !loaded.config.database.url.expose().is_empty() {
        setup::check_url(&loaded.config)?;
    }
    for target in loaded.targets(&[])? {
        setup::check_url(&target.loaded.config)
            .with_context(|| format!("the target {}", target.name))?;
    }
    let own = config::of_targets(&loaded)?;
    let entries: Vec<_> = loaded.entries.iter().chain(&own).collect();
    if json {
        output::print_json(&json!({ "valid": true, "entries": config::to_json(&entries) }));
    } else {
        output::print(&config::to_text(&entries));
        output::print("The configuration is valid.");
    }
    Ok(exit::DONE)
}
