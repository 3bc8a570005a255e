//! `worker migrate`

use std::path::Path;
use std::time::Duration;

use crate::exit::{self, Exit};
use crate::tables::counted;
use crate::{cli, output, setup};

/// The maximum wait for another process that migrates: index builds on large tables take long.
const PATIENCE: Duration = Duration::from_secs(600);

/// Migrates the schema to this version.
///
/// # Errors
/// The reason why it failed.
pub async fn execute(config: Option<&Path>, arguments: &cli::Migrate) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let store = setup::connect(&loaded.config).await?;
    // A newer schema is refused; an older one is migrated.
    if let store::SchemaState::TooNew { .. } = store::schema_state(&store).await? {
        setup::require_current_schema(&store).await?;
    }
    // A named schema is meant on purpose.
    let beside = arguments.beside || loaded.config.database.schema.is_some();
    let options = store::MigrateOptions { beside, user_id: arguments.user_id };
    let store::Migrated { applied, functions } =
        store::migrate_with(&store, PATIENCE, options).await?;
    if arguments.json {
        output::print_json(&serde_json::json!({ "applied": applied, "functions": functions }));
        return Ok(exit::DONE);
    }
    for migration in &applied {
        output::print_success(&format!("applied {migration}"));
    }
    if !functions.is_empty() {
        output::print_success(&format!(
            "{} in the schema of its table now: {}",
            counted(functions.len() as i64, "trigger function looks", "trigger functions look"),
            functions.join(", ")
        ));
    }
    if applied.is_empty() && functions.is_empty() {
        output::print_success("The schema is up to date.");
    }
    Ok(exit::DONE)
}
