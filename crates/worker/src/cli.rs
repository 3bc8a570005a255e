//! The command line.

use std::path::PathBuf;

use aggregation::Kind;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Folds raw vitals, nutrition and lab rows in PostgreSQL into daily figures for each user.
///
/// Raw rows queue themselves by triggers. The worker takes them in small batches, marks each
/// batch with a commit of its own, and computes one user's date at a time in a transaction that
/// lasts milliseconds, so that the application beside it never waits for a connection.
///
/// Data goes to stdout, logs go to stderr.
#[derive(Debug, Parser)]
#[command(
    name = "worker",
    version,
    after_long_help = "Exit codes:
  0  done
  1  could not: database, configuration, files
  2  wrong usage
  3  done, but groups failed, rows died, or lines of a file were refused

Configuration, later wins: the built-in defaults (config/default.toml), --config FILE,
DATABASE_URL, and WORKER__SECTION__KEY such as WORKER__POOL__MAX_SIZE=8.

Begin with `worker demo`: it needs no database of yours."
)]
pub struct Cli {
    /// Configuration file with the keys that differ from the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the main job on real data, in a private PostgreSQL that is gone afterwards
    Demo,
    /// Bring the database's schema up to date
    ///
    /// Any number of workers may do this at once: one migrates, the others wait for it.
    Migrate(Json),
    /// Load raw rows or profiles from a CSV file
    ///
    /// The file's first line names the columns as the raw table does. A line that cannot be
    /// used is reported with its number and left out; the rest is loaded. Profiles replace
    /// those that exist; raw rows are always added.
    Import(Import),
    /// Compute everything that is due, then exit
    RunOnce(RunOnce),
    /// Show what there is to do and what the last runs did
    Status(Json),
    /// Check the configuration and show each value and where it comes from
    CheckConfig(Json),
}

/// Whether to print JSON.
#[derive(Debug, Args)]
pub struct Json {
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// What the file holds
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: ImportKind,
    /// The CSV file; - reads stdin
    pub file: PathBuf,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// What can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportKind {
    /// Time zone and order of sources of each user
    Profiles,
    /// Samples and intervals of sensors
    Vitals,
    /// Food and drink
    Nutrition,
    /// Laboratory results
    Labs,
}

/// Arguments of `run-once`.
#[derive(Debug, Args)]
pub struct RunOnce {
    /// Only rows of this kind; may be given more than once [default: all kinds]
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub kind: Vec<Kind>,
    /// Stop after this many batches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_batches: Option<u32>,
    /// Begin no further batch after this many seconds
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub time_budget: Option<f64>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|error: aggregation::kind::UnknownKind| error.to_string())
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e9 => Ok(seconds),
        _ => Err("a number of seconds above 0 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_defined() {
        super::Cli::command().debug_assert();
    }
}
