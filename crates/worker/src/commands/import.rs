//! `worker import`

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::Context;

use crate::cli::Import;
use crate::exit::{self, Exit};
use crate::import::import;
use crate::{output, progress, setup};

/// After so many bad lines the rest is only counted: one wrong column makes every line bad.
const BAD_LINES_SHOWN: u64 = 20;

/// Loads a CSV file.
///
/// # Errors
/// Why it could not.
pub async fn execute(config: Option<&Path>, arguments: &Import) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let name = arguments.file.display();
    let (file, length): (Box<dyn Read>, u64) = if arguments.file.as_os_str() == "-" {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let file = File::open(&arguments.file).with_context(|| format!("cannot open {name}"))?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(file), length)
    };
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;

    let bar = progress::bytes("importing", length);
    let mut shown = 0;
    let on_bad_line = |bad: &crate::import::lines::BadLine| {
        shown += 1;
        if shown <= BAD_LINES_SHOWN {
            bar.suspend(|| output::say(&format!("{name}, line {}: {}", bad.number, bad.problem)));
        }
    };
    let imported =
        import(&store, arguments.kind, BufReader::new(file), on_bad_line, |at| bar.set_position(at)).await;
    bar.finish_and_clear();
    let imported = imported.with_context(|| format!("{name}"))?;

    if imported.bad_lines > BAD_LINES_SHOWN {
        output::say(&format!("… and {} more bad lines", imported.bad_lines - BAD_LINES_SHOWN));
    }
    if arguments.json {
        output::print_json(&serde_json::json!({
            "rows": imported.rows,
            "bad_lines": imported.bad_lines,
        }));
    } else {
        let bad = match imported.bad_lines {
            0 => String::new(),
            1 => "; 1 line could not be used".to_owned(),
            several => format!("; {several} lines could not be used"),
        };
        output::print(&format!("{} rows imported{bad}", imported.rows));
    }
    Ok(if imported.bad_lines > 0 { exit::DONE_WITH_FAILURES } else { exit::DONE })
}
