//! Imports files: CSV with the columns of the raw tables, and exports of apps.

pub mod columns;
pub mod export;
pub mod lines;
pub mod source;

use std::collections::BTreeMap;
use std::io::BufRead;

use aggregation::UserIdType;
use anyhow::Context;
use store::{ImportRow, ProfileRow, Store};

use crate::cli::ImportKind;
use crate::tables::counted;
use columns::Columns;
use lines::{BadLine, Line, Lines};

/// Rows per transaction: about a second of work, and a few megabytes.
const ROWS_AT_ONCE: usize = 5_000;

/// The results of an import.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows loaded.
    pub rows: u64,
    /// Rows of an export that were not loaded, because an equal one is there.
    pub already_there: u64,
    /// Whether a stop was requested before the end of the file.
    pub is_stopped: bool,
    /// Number of records of an export that are not imported, by their type.
    pub left_out: BTreeMap<String, u64>,
    /// Number of imported workouts of types that the catalogue does not list, by type.
    pub unlisted_workouts: BTreeMap<String, u64>,
    /// Place and problem of the first bad records of an export.
    pub bad_shown: Vec<String>,
    /// Number of skipped lines or records.
    pub bad_lines: u64,
    /// Names of skipped columns.
    pub skipped: Vec<String>,
}

/// Imports a file, skipping unknown columns if `skip_unknown` is set. Calls `on_bad_line` with each
/// skipped line, and `on_progress` with the bytes read so far.
///
/// # Errors
/// If the header is invalid, or the file or the database fails. Rows loaded before remain, and the error
/// gives their number.
pub async fn import(
    store: &Store,
    kind: ImportKind,
    file: impl BufRead,
    skip_unknown: bool,
    mut on_bad_line: impl FnMut(&BadLine),
    mut on_progress: impl FnMut(u64),
) -> anyhow::Result<Imported> {
    let id_type = store.user_id_type().await?;
    let columns = Columns::for_kind(kind, id_type);
    let mut lines = Lines::new(file, &columns, skip_unknown)?;
    let mut target = Target::open(store, kind, id_type).await?;
    let skipped = lines.skipped().to_vec();
    let mut imported = Imported { skipped, ..Imported::default() };
    let mut rows: Vec<ImportRow> = Vec::new();
    loop {
        let line = lines.next().with_context(|| loaded(imported.rows))?;
        match &line {
            Some(Line::Bad(bad)) => {
                imported.bad_lines += 1;
                on_bad_line(bad);
            }
            Some(Line::Good(row)) => rows.push(row.clone()),
            None => {}
        }
        if rows.len() >= ROWS_AT_ONCE || (line.is_none() && !rows.is_empty()) {
            target.insert(store, &rows).await.with_context(|| loaded(imported.rows))?;
            imported.rows += rows.len() as u64;
            rows.clear();
        }
        on_progress(lines.bytes_read());
        if line.is_none() {
            return Ok(imported);
        }
    }
}

fn loaded(rows: u64) -> String {
    let were = if rows == 1 { "was" } else { "were" };
    format!("{} before this {were} loaded", counted(rows as i64, "row", "rows"))
}

/// The destination of the rows.
enum Target {
    Profiles(UserIdType),
    Raw(store::Importer, aggregation::Kind),
}

impl Target {
    async fn open(store: &Store, kind: ImportKind, id_type: UserIdType) -> anyhow::Result<Self> {
        let kind = match kind {
            ImportKind::Profiles => return Ok(Self::Profiles(id_type)),
            ImportKind::Vitals => aggregation::Kind::Vitals,
            ImportKind::Nutrition => aggregation::Kind::Nutrition,
            ImportKind::Labs => aggregation::Kind::Labs,
        };
        Ok(Self::Raw(store.importer().await?, kind))
    }

    async fn insert(&mut self, store: &Store, rows: &[ImportRow]) -> anyhow::Result<()> {
        match self {
            Self::Raw(importer, kind) => importer.insert(*kind, rows).await?,
            Self::Profiles(id_type) => {
                let profile = |row| profile(row, *id_type);
                let profiles: Vec<ProfileRow> = rows.iter().filter_map(profile).collect();
                store.write_profiles(&profiles).await?;
            }
        }
        Ok(())
    }
}

/// Converts a checked line to a profile; sources are separated by semicolons.
fn profile(row: &ImportRow, id_type: UserIdType) -> Option<ProfileRow> {
    let [user_id, time_zone, sources] = row.as_slice() else { return None };
    Some(ProfileRow {
        user_id: id_type.parse(user_id.as_ref()?).ok()?,
        time_zone: time_zone.clone()?,
        source_priority: sources
            .iter()
            .flat_map(|sources| sources.split(';'))
            .map(str::trim)
            .filter(|source| !source.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}
