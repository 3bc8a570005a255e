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

/// Writes a new file beside `path` and renames it to `path` once it is whole: a reader sees the former
/// content or the new one.
///
/// A symbolic link is refused: in a folder that others may write to, anyone could have put it there to
/// have another file overwritten. A rename never follows a link that appears after the check. A device
/// or a pipe is refused, because the rename would replace it.
///
/// # Errors
/// Names the file, and says why it cannot be written.
pub fn put(path: &Path, content: &str) -> anyhow::Result<()> {
    let shown = path.display();
    if let Ok(found) = fs::symlink_metadata(path) {
        let kind = found.file_type();
        if kind.is_symlink() {
            bail!("{shown} cannot be written: it is a symbolic link; name the file it leads to");
        }
        if kind.is_dir() {
            bail!("{shown} cannot be written: it is a folder");
        }
        if !kind.is_file() {
            bail!("{shown} cannot be written: it is no regular file");
        }
    }
    replace(path, content).with_context(|| format!("{shown} cannot be written"))
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
