//! Imports exports of apps: one thread reads, while the database takes the rows of the batch before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aggregation::UserId;
use aggregation::catalogue::Catalogue;
use aggregation::local_time::Zone;
use anyhow::Context as _;
use exports::{Context, Format, Item, ReadError};
use store::{RawRows, Store};
use tokio::sync::{mpsc, oneshot};

use super::source::{Content, Source};
use super::{Imported, loaded};
use crate::stop::Stop;

/// Rows per transaction: a part of a second of work.
const ROWS_AT_ONCE: u64 = 20_000;

/// Bytes per transaction, so that long texts do not need more memory.
const BYTES_AT_ONCE: usize = 8 << 20;

/// Bad records whose place and problem are kept. One wrong field makes every record bad, so the rest is
/// only counted.
pub const BAD_RECORDS_SHOWN: usize = 20;

/// Types that are counted by their name. A file may have any number of names.
const TYPES_NAMED: usize = 1_000;

/// Under this name the records of further types are counted.
const OTHER_TYPES: &str = "other types";

/// Whose rows an export has, and how its times are read.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The user.
    pub user_id: UserId,
    /// The zone of rows that name none.
    pub time_zone: Option<Zone>,
    /// The catalogue in force.
    pub catalogue: Arc<Catalogue>,
}

/// The content of a file beside its rows.
#[derive(Debug, Default)]
struct Found {
    left_out: BTreeMap<String, u64>,
    unlisted_workouts: BTreeMap<String, u64>,
    bad: u64,
    shown: Vec<String>,
}

/// Imports a file. Calls `on_progress` with the bytes read so far. After a stop it ends with the batch
/// that is being loaded; [`Imported::is_stopped`] then says so.
///
/// # Errors
/// If the file cannot be read to its end, or the database fails. Rows loaded before remain, and the
/// error gives their number.
pub async fn import_export(
    store: &Store,
    source: Source,
    owner: Owner,
    stop: &Stop,
    mut on_progress: impl FnMut(u64),
) -> anyhow::Result<Imported> {
    let user_id = owner.user_id.clone();
    let profile = store.profiles(vec![user_id.clone()]).await?.remove(&user_id);
    let profile_zone = profile.and_then(|profile| profile.time_zone?.parse().ok());
    let mut importer = store.importer().await?;
    let position = source.position.clone();
    // One batch waits while another is loaded and a third is read.
    let (sender, mut batches) = mpsc::channel(1);
    let (done_sender, done) = oneshot::channel();
    // A thread of the runtime would keep the process while stdin is silent.
    std::thread::Builder::new().name("import".to_owned()).spawn(move || {
        // After a stop, the result is not needed.
        let _ = done_sender.send(read(source, &owner, profile_zone, &sender));
    })?;
    let mut imported = Imported::default();
    loop {
        let batch: Option<RawRows> = tokio::select! {
            batch = batches.recv() => batch,
            () = stop.requested() => {
                imported.is_stopped = true;
                None
            }
        };
        let Some(rows) = batch else { break };
        let number = rows.number();
        let added = importer.load(&user_id, rows).await.with_context(|| loaded(imported.rows))?;
        imported.rows += added;
        imported.already_there += number.saturating_sub(added);
        on_progress(position.load(Ordering::Relaxed));
    }
    drop(batches);
    if imported.is_stopped {
        return Ok(imported);
    }
    let (found, done) = done.await.context("reading the file failed")?;
    let rows = imported.rows;
    imported.bad_lines = found.bad;
    imported.bad_shown = found.shown;
    imported.left_out = found.left_out;
    imported.unlisted_workouts = found.unlisted_workouts;
    done.map(|()| imported).with_context(|| loaded(rows))
}

/// Reads the whole file, and sends its rows in batches.
fn read(
    source: Source,
    owner: &Owner,
    profile_zone: Option<Zone>,
    batches: &mpsc::Sender<RawRows>,
) -> (Found, anyhow::Result<()>) {
    let mut found = Found::default();
    let format = match source.content {
        Content::Export(format) => format,
        Content::Zip | Content::Table(_) => Format::AppleHealth,
    };
    let (mut file, mut again) = match source.read() {
        Ok(opened) => opened,
        Err(error) => return (found, Err(error)),
    };
    let context = Context { catalogue: &owner.catalogue, time_zone: owner.time_zone, profile_zone };
    let mut rows = RawRows::default();
    let send = |rows: &mut RawRows| {
        batches.blocking_send(std::mem::take(rows)).map_err(|_| ReadError::Stopped)
    };
    let done = exports::read(format, &mut *file, &mut *again, &context, &mut |item| {
        match item {
            Item::Vital(vital) => rows.add_vital(&vital),
            Item::Lab(lab) => rows.add_lab(&lab),
            Item::LeftOut(name) => count(&mut found.left_out, name),
            Item::UnlistedWorkout(name) => count(&mut found.unlisted_workouts, name),
            Item::Bad { place, problem } => found.add_bad(&place, &problem),
        }
        if rows.number() >= ROWS_AT_ONCE || rows.bytes() >= BYTES_AT_ONCE {
            send(&mut rows)?;
        }
        // A file without any row would not notice a stop.
        if batches.is_closed() { Err(ReadError::Stopped) } else { Ok(()) }
    });
    // Rows before an error are good, and are loaded.
    let sent = if rows.number() > 0 { send(&mut rows) } else { Ok(()) };
    (found, done.and(sent).map_err(anyhow::Error::from))
}

/// Counts one more record of a type.
fn count(types: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(number) = types.get_mut(name) {
        *number += 1;
    } else {
        let name = if types.len() < TYPES_NAMED { name } else { OTHER_TYPES };
        *types.entry(name.to_owned()).or_default() += 1;
    }
}

impl Found {
    fn add_bad(&mut self, place: &str, problem: &str) {
        self.bad += 1;
        if self.shown.len() < BAD_RECORDS_SHOWN {
            self.shown.push(format!("{place}: {problem}"));
        }
    }
}
