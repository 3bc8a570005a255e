//! `worker pause` and `worker resume`

use std::path::Path;

use aggregation::Kind;
use serde_json::json;
use store::ActionState;

use crate::cli;
use crate::exit::{self, Exit};
use crate::{output, setup};

/// Pauses a kind for all workers, or ends its pause, and writes that into the action log.
///
/// # Errors
/// Why it could not; then nothing has changed.
pub async fn execute(
    config: Option<&Path>,
    arguments: &cli::Pause,
    pause: bool,
) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let kind: Kind = arguments.kind;
    let by = format!("command line, {}", setup::identity(&loaded.config.session.application_name));
    let action = if pause { "pause" } else { "resume" };
    let id = store.begin_action(&by, action, kind.name(), None).await?;
    let changed = if pause { store.pause(kind, &by).await? } else { store.resume(kind).await? };
    let said = match (pause, changed) {
        (true, true) => {
            "No worker claims rows of it from its next claim on; `worker resume` ends that."
        }
        (true, false) => "It was paused already.",
        (false, true) => "All workers claim rows of it again.",
        (false, false) => "It was not paused.",
    };
    store.update_action(id, 1, ActionState::Done, Some(said)).await?;
    if arguments.json {
        output::print_json(&json!({
            "kind": kind.name(), "paused": pause, "changed": changed,
        }));
    } else {
        output::print_success(&format!("{kind} {action}d. {said}"));
    }
    Ok(exit::DONE)
}
