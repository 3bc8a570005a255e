//! Writes a page to its file: completely or not at all, and readable by its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Only the owner may read the file: it contains health data.
const MODE: u32 = 0o600;

/// Maximum of leftover temporary files, of earlier processes with the same id, that are skipped.
const MOST_LEFTOVERS: u32 = 16;

/// Writes a new file beside `path` and then renames it to `path`. A reader sees either the former
/// content or the new one.
///
/// A symbolic link is refused: in a folder that others may write to, an attacker could use it to have
/// another file overwritten. A rename never follows a link that appears after the check. A device or a
/// pipe is refused, because the rename would replace it.
///
/// # Errors
/// The file, and the reason why it cannot be written.
pub fn put(path: &Path, content: &str) -> anyhow::Result<()> {
    require_replaceable(path)?;
    replace(path, content).with_context(|| refusal(path))
}

/// Checks that [`put`] can write this file.
///
/// # Errors
/// As [`put`].
pub fn check(path: &Path) -> anyhow::Result<()> {
    require_replaceable(path)?;
    let tried = create(folder_of(path)).and_then(|(_, beside)| fs::remove_file(beside));
    tried.with_context(|| refusal(path))
}

fn refusal(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

fn require_replaceable(path: &Path) -> anyhow::Result<()> {
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
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn replace(target: &Path, content: &str) -> io::Result<()> {
    let (mut file, beside) = create(folder_of(target))?;
    let placed = file
        .write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, target));
    if placed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    placed
}

/// Creates a file with a hidden temporary name.
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
