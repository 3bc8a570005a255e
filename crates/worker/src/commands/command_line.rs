//! `worker completions` and `worker man-pages`: what a package installs beside the program, made
//! from the definition of the command line.

use std::path::Path;
use std::{fs, io};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{self, Exit};
use crate::output;

/// Prints the completion script of a shell.
pub fn complete(shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "worker", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end());
    exit::DONE
}

/// Writes `worker.1`, and `worker-run.1` and so on, into a folder.
///
/// # Errors
/// If it cannot be written to.
pub fn describe(folder: &Path) -> anyhow::Result<Exit> {
    write_pages(folder)
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    Ok(exit::DONE)
}

fn write_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)?;
    for page in fs::read_dir(folder)? {
        let page = page?.path();
        if page.extension().is_some_and(|extension| extension == "1") {
            // What stands below the options are tables that fit 80 columns, not paragraphs.
            let text = fs::read_to_string(&page)?;
            fs::write(&page, text.replace(".SH EXTRA\n", ".SH NOTES\n.nf\n.in 0\n"))?;
        }
    }
    Ok(())
}
