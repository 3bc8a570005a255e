//! Putting a page in its place: whole or not at all, and for its owner's eyes only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// For its owner alone: it is health data.
const MODE: u32 = 0o600;

/// So many leftovers of processes with this one's number are stepped over.
const MOST_LEFTOVERS: u32 = 16;

/// Writes a file beside the one that is meant, and puts it in its place once it is whole: a reader
/// sees the former content or the new one. What is not a regular file is refused, as it would be
/// replaced: a device, or a pipe.
///
/// # Errors
/// Names the file, and says why it cannot be written.
pub fn put(path: &Path, content: &str) -> anyhow::Result<()> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => bail!("{shown} cannot be written: it is a folder"),
        Ok(found) if !found.is_file() => bail!("{shown} cannot be written: it is no regular file"),
        _ => {}
    }
    // A link stays, and what it leads to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace(&target, content).with_context(|| format!("{shown} cannot be written"))
}

fn replace(target: &Path, content: &str) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let (mut file, beside) = create(folder.unwrap_or(Path::new(".")))?;
    let placed = file
        .write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, target));
    if placed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    placed
}

/// A new file under a name that nobody looks for.
fn create(folder: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 0;
    loop {
        let beside = folder.join(format!(".dayfold-report-{}-{number}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside) {
            Ok(file) => return Ok((file, beside)),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(error) if number == MOST_LEFTOVERS => return Err(error),
            Err(_) => number += 1,
        }
    }
}
