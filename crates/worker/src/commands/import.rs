//! `worker import`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use aggregation::catalogue::Catalogue;
use anyhow::{Context, bail};
use store::Store;

use crate::cli::{Import, ImportKind};
use crate::exit::{self, Exit};
use crate::import::export::{BAD_RECORDS_SHOWN, Owner, import_export};
use crate::import::lines::BadLine;
use crate::import::source::{Content, Source};
use crate::import::{Imported, import};
use crate::stop::Stop;
use crate::tables::{counted, thousands};
use crate::{output, progress, settings, setup, user_ids};

/// Types of left-out records that are listed. The others are counted together.
const TYPES_SHOWN: usize = 40;

/// Imports files.
///
/// # Errors
/// The reason why it failed.
pub async fn execute(config: Option<&Path>, arguments: &Import) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let mut sources = Vec::new();
    for file in &arguments.files {
        sources.push(Source::open(file, arguments.kind)?);
    }
    require_user(&sources, arguments.user.as_deref())?;
    let catalogue = Arc::new(settings::catalogue(&loaded.config)?);
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;

    let mut whole = Imported::default();
    for source in sources {
        let (name, content, length) = (source.name.clone(), source.content, source.length);
        let imported = one_file(&store, source, arguments, &catalogue, &stop);
        let imported = imported.await.with_context(|| name.clone())?;
        complain(&name, content, &imported);
        if !arguments.json {
            let of = if arguments.files.len() > 1 { format!("{name}: ") } else { String::new() };
            let text = format!("{of}{}", sentence(content, &imported, length));
            output::print_outcome(&text, imported.bad_lines == 0 && !imported.is_stopped);
        }
        add(&mut whole, imported);
        if whole.is_stopped {
            break;
        }
    }
    // The rows are loaded. A role that may load rows need not have the right to look at the queue.
    if let Ok(frozen @ 1..) = store.count_frozen_rows().await {
        output::say(&format!(
            "{} of dates with frozen figures in the queue: the next run refuses new and changed ones, and \
             rejected_rows lists them with the reason frozen",
            counted(frozen, "changed raw row", "changed raw rows")
        ));
    }
    if arguments.json {
        output::print_json(&serde_json::json!({
            "rows": whole.rows,
            "already_there": whole.already_there,
            "bad_lines": whole.bad_lines,
            "skipped_columns": whole.skipped,
            "left_out": whole.left_out,
            "unlisted_workouts": whole.unlisted_workouts,
        }));
    }
    Ok(match whole {
        Imported { is_stopped: true, .. } => exit::INTERRUPTED,
        Imported { bad_lines: 0, .. } => exit::DONE,
        _ => exit::DONE_WITH_FAILURES,
    })
}

/// Says which columns and bad records of a file were left out.
pub fn complain(name: &str, content: Content, imported: &Imported) {
    if !imported.skipped.is_empty() {
        output::say(&format!("{name}: left out columns: {}", imported.skipped.join(", ")));
    }
    for bad in &imported.bad_shown {
        output::say(&format!("{name}, {bad}"));
    }
    let not_shown = imported.bad_lines.saturating_sub(BAD_RECORDS_SHOWN as u64) as i64;
    if not_shown > 0 {
        let (one, more) = match content {
            Content::Table(_) => ("more bad line", "more bad lines"),
            _ => ("more bad record", "more bad records"),
        };
        output::say(&format!("… and {}", counted(not_shown, one, more)));
    }
}

fn require_user(sources: &[Source], user: Option<&str>) -> anyhow::Result<()> {
    let export = sources.iter().find(|source| !matches!(source.content, Content::Table(_)));
    match export {
        Some(source) if user.is_none() => bail!(
            "{}: an export of {} does not name the user of your database; give --user ID",
            source.name,
            source.content.name()
        ),
        _ => Ok(()),
    }
}

/// Imports a file.
///
/// # Errors
/// The reason why it failed; it says how many rows are loaded.
pub async fn one_file(
    store: &Store,
    source: Source,
    arguments: &Import,
    catalogue: &Arc<Catalogue>,
    stop: &Stop,
) -> anyhow::Result<Imported> {
    let bar = progress::bytes("importing", source.length.filter(|length| *length > 0));
    let on_progress = |at| bar.set_position(at);
    let imported = match (source.content, &arguments.user) {
        (Content::Table(kind), _) => {
            let name = source.name.clone();
            let mut shown = 0;
            let on_bad_line = |bad: &BadLine| {
                shown += 1;
                if shown <= BAD_RECORDS_SHOWN {
                    output::say(&format!("{name}, line {}: {}", bad.number, bad.problem));
                }
            };
            let (file, _) = source.read()?;
            let skip = arguments.skip_unknown_columns;
            tokio::select! {
                imported = import(store, kind, file, skip, on_bad_line, on_progress) => imported,
                () = stop.requested() => Ok(Imported { is_stopped: true, ..Imported::default() }),
            }
        }
        (_, Some(user)) => {
            let user_id = user_ids::required(store, user).await?;
            let (time_zone, catalogue) = (arguments.time_zone, catalogue.clone());
            let owner = Owner { user_id, time_zone, catalogue };
            import_export(store, source, owner, stop, on_progress).await
        }
        (_, None) => bail!("an export needs --user"),
    };
    bar.finish_and_clear();
    imported
}

/// Adds the counts of a file.
pub fn add(whole: &mut Imported, imported: Imported) {
    whole.rows += imported.rows;
    whole.already_there += imported.already_there;
    whole.bad_lines += imported.bad_lines;
    whole.skipped.extend(imported.skipped);
    whole.is_stopped |= imported.is_stopped;
    for (name, number) in imported.left_out {
        *whole.left_out.entry(name).or_default() += number;
    }
    for (name, number) in imported.unlisted_workouts {
        *whole.unlisted_workouts.entry(name).or_default() += number;
    }
}

/// The result of a file in words.
pub fn sentence(content: Content, imported: &Imported, length: Option<u64>) -> String {
    let rows = imported.rows as i64;
    if let Content::Table(kind) = content {
        if imported.is_stopped {
            return "stopped; the rows before are imported, and would be added again".to_owned();
        }
        let rows = match kind {
            ImportKind::Profiles => counted(rows, "profile", "profiles"),
            _ => counted(rows, "row", "rows"),
        };
        return match imported.bad_lines as i64 {
            0 => format!("{rows} imported"),
            bad => format!("{rows} imported; {} left out", counted(bad, "bad line", "bad lines")),
        };
    }
    let mut parts = vec![format!("{}: {} imported", content.name(), counted(rows, "row", "rows"))];
    if imported.already_there > 0 {
        let there = counted(imported.already_there as i64, "row", "rows");
        parts.push(format!("{there} there already or repeated"));
    }
    if imported.bad_lines > 0 {
        let bad = counted(imported.bad_lines as i64, "bad record", "bad records");
        parts.push(format!("{bad} left out"));
    }
    if rows == 0 && !imported.is_stopped && imported.already_there > 0 {
        parts.push("nothing changed".to_owned());
    }
    let mut text = parts.join("; ");
    if imported.is_stopped {
        text.push_str("\nStopped before the end");
        text.push_str(if length.is_some() { " of the file" } else { "" });
        text.push_str(". Give the same command to continue; rows that are there are skipped.");
    }
    let not_imported = by_type(&imported.left_out, |sum| {
        let records = counted(sum, "record", "records");
        format!("Not imported: {records} of types that have no metric or no figure:")
    });
    let unlisted = by_type(&imported.unlisted_workouts, |sum| {
        let workouts = counted(sum, "workout", "workouts");
        format!(
            "Imported, and counted as other: {workouts} of types that the catalogue does not list:"
        )
    });
    text.push_str(&not_imported);
    text.push_str(&unlisted);
    text
}

/// Numbers by type, the greatest first, below a heading with their sum; empty if there are none.
fn by_type(types: &BTreeMap<String, u64>, heading: impl Fn(i64) -> String) -> String {
    if types.is_empty() {
        return String::new();
    }
    let mut types: Vec<(&str, u64)> =
        types.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    types.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let sum: u64 = types.iter().map(|(_, number)| number).sum();
    let mut text = format!("\n{}", heading(sum as i64));
    for (name, number) in types.iter().take(TYPES_SHOWN) {
        text.push_str(&format!("\n{:>10} {name}", thousands(*number as i64)));
    }
    if let Some(more) = types.len().checked_sub(TYPES_SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!(
            "\n           … and {}",
            counted(more as i64, "more type", "more types")
        ));
    }
    text
}
