//! `worker completions` and `worker man-pages`: files that a package installs beside the program,
//! generated from the definition of the command line.

use std::path::Path;
use std::{fs, io};

use anyhow::Context;
use clap::CommandFactory;
use clap::builder::{Resettable, StyledStr};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{self, Exit};
use crate::output;

/// Prints the completion script for a shell.
pub fn complete(shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "worker", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end());
    exit::DONE
}

/// Writes `worker.1`, and `worker-run.1` and so on, into a folder.
///
/// # Errors
/// If the folder cannot be written to.
pub fn describe(folder: &Path) -> anyhow::Result<Exit> {
    write_pages(folder)
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    Ok(exit::DONE)
}

/// The page of the program itself, with the sections about all commands.
const MAIN_PAGE: &str = "worker.1";

/// The start of the section before which the additional sections are inserted.
const VERSION_SECTION: &str = ".SH VERSION\n";

fn write_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // On the program's page, the text after the options is replaced by sections of its own.
    clap_mangen::generate_to(
        Cli::command().after_long_help(Resettable::<StyledStr>::Reset),
        folder,
    )?;
    for page in fs::read_dir(folder)? {
        let page = page?.path();
        if page.extension().is_none_or(|extension| extension != "1") {
            continue;
        }
        // The text after the options consists of tables that fit 80 columns, so it must not be filled.
        let mut text = fs::read_to_string(&page)?.replace(".SH EXTRA\n", ".SH NOTES\n.nf\n.in 0\n");
        let of_program = page.file_name().is_some_and(|name| name == MAIN_PAGE);
        let ours = if of_program { sections() } else { SEE_PROGRAM.to_owned() };
        match text.find(VERSION_SECTION) {
            Some(at) => text.insert_str(at, &ours),
            None => text.push_str(&ours),
        }
        fs::write(&page, text)?;
    }
    Ok(())
}

/// The section of the commands' pages that refers to the main page.
const SEE_PROGRAM: &str = "\
.SH \"EXIT STATUS, ENVIRONMENT, FILES\"
See
.BR worker (1).
.SH \"SEE ALSO\"
.BR worker (1)
";

/// Sections that clap does not generate.
fn sections() -> String {
    let meanings: Vec<(String, &str)> =
        exit::MEANINGS.iter().map(|(code, meaning)| (code.to_string(), *meaning)).collect();
    let exit_status = items(meanings.iter().map(|(code, meaning)| (code.as_str(), *meaning)));
    format!(
        "{CONFIGURATION}.SH \"EXIT STATUS\"\n{exit_status}.SH ENVIRONMENT\n{}.SH FILES\n{}{SEE_ALSO}",
        items(ENVIRONMENT),
        items(FILES),
    )
}

/// Terms and their meanings. A hyphen in a name must be copyable, so it is escaped.
fn items<'i>(items: impl IntoIterator<Item = (&'i str, &'i str)>) -> String {
    let one = |(term, text): (&str, &str)| {
        format!(".TP\n.B {}\n{}\n", term.replace('-', "\\-"), text.replace('-', "\\-"))
    };
    items.into_iter().map(one).collect()
}

const CONFIGURATION: &str = "\
.SH CONFIGURATION
Later wins: the defaults; the profile that
.I pool.profile
names; the file given by
.BR \\-\\-config ,
with only the keys that differ; the credential
.IR database\\-url ;
.BR DATABASE_URL ;
.BI WORKER__ SECTION __ KEY\\fR;
and, for
.IR log.level ,
.B \\-\\-quiet
and
.BR \\-v .
.B worker config show
tells the value of each key and where it comes from.
";

const ENVIRONMENT: [(&str, &str); 12] = [
    ("DATABASE_URL", "Where the database is, such as postgresql://user@host/database."),
    ("WORKER__SECTION__KEY", "Any key of the configuration, such as WORKER__POOL__MAX_SIZE=8."),
    (
        "PGHOST, PGPORT, PGUSER, PGDATABASE",
        "Parts of the database's address that the URL does not contain.",
    ),
    (
        "PGPASSFILE, PGSERVICE, PGSERVICEFILE",
        "The files with passwords and services, as for all of PostgreSQL's programs.",
    ),
    (
        "PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, PGCHANNELBINDING",
        "Encryption of the connection, and verification of the server.",
    ),
    ("CREDENTIALS_DIRECTORY", "The folder, made by systemd, with the credential database-url."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd, which receives the state of the service."),
    ("NO_COLOR", "If it is set and not empty, nothing is coloured, even on a terminal."),
    ("TERM", "If it is dumb, output has no colours, and no progress is shown."),
    ("PG_BIN_DIR", "Where worker demo finds PostgreSQL's server programs first."),
    ("TMPDIR", "Where worker demo makes the folder of its private PostgreSQL."),
    ("RUST_LOG", "Is not read: log.level, or WORKER__LOG__LEVEL, takes the same directives."),
];

/// The paths of the package's files.
const FILES: [(&str, &str); 6] = [
    ("/etc/dayfold/worker.toml", "The configuration of the service, with the keys that differ."),
    ("/etc/dayfold/database-url", "The URL of the service's database; root alone reads it."),
    ("/usr/share/doc/dayfold/default.toml", "Every key, its default, its limits and its reason."),
    ("/usr/share/doc/dayfold/catalogue.toml", "The metrics and analytes with their units."),
    ("/usr/share/dayfold/sql/", "roles.sql and grants.sql: the roles of owner, worker and app."),
    ("~/.pgpass, ~/.pg_service.conf", "Passwords and services, if no variable names others."),
];

const SEE_ALSO: &str = "\
.SH \"SEE ALSO\"
.BR psql (1),
.BR systemctl (1),
.BR journalctl (1)
.PP
The documents in
.IR /usr/share/doc/dayfold .
";
