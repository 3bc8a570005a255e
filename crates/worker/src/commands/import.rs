//! `worker import`

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::Context;

use crate::cli::{Import, ImportKind};
use crate::exit::{self, Exit};
use crate::import::{Imported, import};
use crate::tables::counted;
use crate::{output, progress, setup};

/// Maximum of invalid lines that are printed. One wrong column makes every line invalid, so the rest is
/// only counted.
const BAD_LINES_SHOWN: u64 = 20;

/// Imports a CSV file.
///
/// # Errors
/// The reason why it failed.
pub async fn execute(config: Option<&Path>, arguments: &Import) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let is_stdin = arguments.file.as_os_str() == "-";
    let name = if is_stdin { "stdin".to_owned() } else { arguments.file.display().to_string() };
    let (file, length): (Box<dyn Read>, Option<u64>) = if is_stdin {
        (Box::new(io::stdin().lock()), None)
    } else {
        let file = File::open(&arguments.file).with_context(|| format!("cannot open {name}"))?;
        // A pipe has a length of 0, for which a progress bar would be full from the start.
        let length = file.metadata().ok().map(|file| file.len()).filter(|length| *length > 0);
        (Box::new(file), length)
    };
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;

    let bar = progress::bytes("importing", length);
    let mut shown = 0;
    let on_bad_line = |bad: &crate::import::lines::BadLine| {
        shown += 1;
        if shown <= BAD_LINES_SHOWN {
            output::say(&format!("{name}, line {}: {}", bad.number, bad.problem));
        }
    };
    let (kind, skip) = (arguments.kind, arguments.skip_unknown_columns);
    let file = BufReader::new(file);
    let on_progress = |at| bar.set_position(at);
    let imported = import(&store, kind, file, skip, on_bad_line, on_progress).await;
    bar.finish_and_clear();
    let imported = imported.with_context(|| name.clone())?;

    let not_shown = imported.bad_lines.saturating_sub(BAD_LINES_SHOWN) as i64;
    if !imported.skipped.is_empty() {
        output::say(&format!("{name}: left out columns: {}", imported.skipped.join(", ")));
    }
    if not_shown > 0 {
        output::say(&format!("… and {}", counted(not_shown, "more bad line", "more bad lines")));
    }
    if arguments.json {
        output::print_json(&serde_json::json!({
            "rows": imported.rows,
            "bad_lines": imported.bad_lines,
            "skipped_columns": imported.skipped,
        }));
    } else {
        let text = sentence(arguments.kind, &imported);
        output::print_outcome(&text, imported.bad_lines == 0);
    }
    Ok(if imported.bad_lines > 0 { exit::DONE_WITH_FAILURES } else { exit::DONE })
}

fn sentence(kind: ImportKind, imported: &Imported) -> String {
    let rows = imported.rows as i64;
    let rows = match kind {
        ImportKind::Profiles => counted(rows, "profile", "profiles"),
        _ => counted(rows, "row", "rows"),
    };
    match imported.bad_lines {
        0 => format!("{rows} imported"),
        bad => {
            format!("{rows} imported; {} left out", counted(bad as i64, "bad line", "bad lines"))
        }
    }
}
