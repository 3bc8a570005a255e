//! The folder of `--keep`: the server's files, the page, and a description.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::NaiveDate;
use local_postgres::Kept;

use crate::output;

/// The page in the folder.
pub const PAGE: &str = "report.html";

const DESCRIPTION: &str = "README.txt";

/// The absolute path of a folder that does not exist or is empty.
///
/// # Errors
/// If it is another one.
pub fn require_empty(folder: &Path) -> anyhow::Result<PathBuf> {
    let shown = folder.display();
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(false) => bail!("--keep: {shown} is not empty; name a new folder, or an empty one"),
        Ok(true) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            bail!("--keep: {shown} is no folder; name a new folder, or an empty one")
        }
        Err(error) => {
            return Err(error).with_context(|| format!("--keep: {shown} cannot be read"));
        }
    }
    std::path::absolute(folder).with_context(|| format!("--keep: {shown} cannot be used"))
}

/// Removes the files beside the server's.
pub fn remove(folder: &Path) {
    for name in [PAGE, DESCRIPTION] {
        // Usually there is none.
        let _ = fs::remove_file(folder.join(name));
    }
}

/// Writes and prints how to use the folder.
///
/// # Errors
/// If the description cannot be written.
pub fn describe(
    folder: &Path,
    kept: &Kept,
    user: &str,
    (from, to): (NaiveDate, NaiveDate),
) -> anyhow::Result<()> {
    let page = if folder.join(PAGE).exists() {
        format!("{PAGE:<13} the page of {from} to {to}\n")
    } else {
        String::new()
    };
    let alias = super::alias().map_or_else(String::new, |alias| format!("  {alias}\n"));
    let text = format!(
        "Health data of user {user}, kept by `worker demo --data`.\n\n\
         postgresql    the files of a PostgreSQL server, with the raw rows and the figures\n\
         {page}\n\
         Start the server:\n  {}\n\
         Use it:\n{alias}  export DATABASE_URL='{}'\n  \
         worker report --user {user} --from {from} --to {to} --html FILE\n  \
         worker import --user {user} FILE && worker run-once\n\
         Stop it:\n  {}\n\
         Remove everything, while it is stopped:\n  rm -r {}\n",
        kept.start(),
        kept.url(),
        kept.stop(),
        kept.place(),
    );
    let file = folder.join(DESCRIPTION);
    fs::write(&file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
    output::print(&format!(
        "\nThe private PostgreSQL is stopped, and kept in {}. Its {DESCRIPTION} says:\n\n{text}",
        folder.display()
    ));
    Ok(())
}
