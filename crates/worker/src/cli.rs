//! The command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::OnceLock;

use aggregation::Kind;
use chrono::{Datelike, NaiveDate};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::MAX_ROWS_PER_SECOND;
use crate::exit;
use crate::verbosity::Verbosity;

const AFTER_HELP: &str = "\
Begin with `worker demo`: it needs no database of yours.

Configuration, later wins:
  1. the defaults, listed by `worker check-config`
  2. --config FILE, a TOML file with the keys that differ
  3. systemd's credential database-url, then DATABASE_URL, such as
     postgresql://user@host/database
  4. WORKER__SECTION__KEY, such as WORKER__POOL__MAX_SIZE=8
  5. for log.level, --quiet or -v
`worker config show` tells which of them each value comes from.

Exit codes:";

fn after_help() -> String {
    let mut text = AFTER_HELP.to_owned();
    for (code, meaning) in exit::MEANINGS {
        text.push_str(&format!("\n  {code:<3}  {meaning}"));
    }
    text
}

const AFTER_IMPORT_HELP: &str = "\
Columns (* must be there and filled in, in any order):
  profiles   user_id* time_zone* source_priority
  vitals     user_id* metric* value* started_at* ended_at comparator unit source
             time_zone is_daily_total
  nutrition  user_id* meal_type* eaten_at* food_name time_zone source
             and nutrients as in nutrition_raw, such as energy_kcal and protein_g
  labs       user_id* value_text* status* collected_at* test_name loinc_code unit
             reference_range flag specimen time_zone source

Names of columns may be in any case. Times need an offset:
2026-03-29T01:30:00+01:00. A sensor's value may have its comparator: <40. The
sources in source_priority are separated by semicolons, the best one first.";

/// Broken by hand: clap breaks no usage, and a terminal may have 80 columns.
const REPORT_USAGE: &str = "\
worker report [OPTIONS] --user <ID> --from <DATE> --to <DATE>
       --html <FILE>";

/// Below the options of the command itself.
const GLOBAL: &str = "Options of every command";

/// The names of the command that runs, for the usage that an error shows.
static RUNNING: OnceLock<Vec<String>> = OnceLock::new();

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
    after_long_help = after_help()
)]
pub struct Cli {
    /// TOML file with the settings that differ from the defaults
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub config: Option<PathBuf>,

    /// Say nothing but errors and what was asked for: no progress, log.level is error
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,

    /// Log more: log.level is debug, with -vv trace
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line. Ends the program if it asks for help or is wrong.
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        let (mut names, mut of) = (Vec::new(), &matches);
        while let Some((name, below)) = of.subcommand() {
            names.push(name.to_owned());
            of = below;
        }
        let _ = RUNNING.set(names);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// How much to say. Ends the program with a sentence if that is less and more at once, which
    /// clap does not see where one flag stands before the command and one behind it.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (false, 0) => Verbosity::AsConfigured,
            (true, 0) => Verbosity::Quiet,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::VeryVerbose,
            (true, _) => {
                let problem = "--quiet and --verbose exclude each other; give one of them";
                wrong_usage(ErrorKind::ArgumentConflict, problem)
            }
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole job on real data, in a private PostgreSQL
    ///
    /// It starts a PostgreSQL server of its own in a temporary folder, makes the tables, imports
    /// sample data, computes the figures, shows them, and removes server and folder again. It
    /// touches no other database. PostgreSQL's server programs must be installed; as root on
    /// Debian and Ubuntu it installs them.
    Demo(Demo),
    /// Bring the database's schema up to date
    ///
    /// Any number of workers may do this at once: one migrates, the others wait for it.
    Migrate(Migrate),
    /// Load raw rows or profiles from a CSV file
    ///
    /// The file's first line names the columns. A line that cannot be used is reported with its
    /// number and left out; the rest is loaded. Profiles replace those that exist; raw rows are
    /// always added, and queued for the next run.
    #[command(after_long_help = AFTER_IMPORT_HELP)]
    Import(Import),
    /// Run as a service: compute whatever becomes due, until stopped
    ///
    /// It starts without its database, too, and keeps trying. SIGTERM or Ctrl-C ends it after the
    /// running group, the rest of the batch stays queued; a second one ends it at once. SIGHUP
    /// reads the configuration again, SIGUSR1 logs more, or again as configured. Any number of
    /// workers may run at the same time.
    Run,
    /// Compute everything that is due, then exit
    ///
    /// Ctrl-C or SIGTERM ends it after the running group; the rest stays queued. A second one ends
    /// it at once. Any number of workers may run at the same time.
    RunOnce(RunOnce),
    /// Show what is due, what failed and what the last runs did
    Status(Status),
    /// Have rows computed again: dead ones, or those of a user or of some days
    ///
    /// Without --dead, raw rows are queued as if they had just been changed, and the figures of
    /// their days are computed again from all raw rows: harmless at any time, and what to do after
    /// a change of a user's profile. With --dead, rows that were given up get all their attempts
    /// back. At a terminal it counts the rows first and asks; a script is not asked.
    Requeue(Requeue),
    /// Have no worker claim rows of a kind, until `worker resume`
    ///
    /// Each worker obeys from its next claim on, also those that run; a batch that has begun is finished. Rows
    /// are queued meanwhile. It is written into the action log.
    Pause(Pause),
    /// Have all workers claim rows of a kind again
    Resume(Pause),
    /// Compute the figures of a range of dates anew, straight from raw rows
    ///
    /// It does not go through the queue, and is safe beside running workers and an app that writes.
    /// After a change of profiles or of the catalogue, it brings old days up to it.
    Backfill(Backfill),
    /// Compute all figures again and compare them with those that are stored, to the last bit
    ///
    /// Each user is looked at as of one moment. Dates with rows that wait in the queue are left out; those
    /// with dead rows, whose attempts are spent, are counted and end it with exit code 4. The list of
    /// rejected rows is compared like the figures. What differs is listed by table, user and date, without
    /// any health value.
    Verify(Verify),
    /// Write some days of one user as a page to look at, with charts
    ///
    /// One file of HTML that stands for itself: it loads nothing and runs nothing, and can be
    /// printed. It holds health data, so only its owner may read it. A page without any figure says
    /// so, which is no failure.
    #[command(override_usage = REPORT_USAGE)]
    Report(Report),
    /// Show the catalogue in force: metrics, analytes and nutrients, their units and limits
    ///
    /// aggregation.catalogue names a file that extends or overrides the built-in one. No database
    /// is needed.
    Catalogue(Json),
    /// Check the configuration; show each value and its origin
    ///
    /// No database is needed. Secrets are shown as (set) or (not set).
    CheckConfig(Json),
    /// Show the configuration in force
    Config {
        /// What to do with it
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Examine everything that the worker needs, step by step, and say what to change
    ///
    /// Name, network, TLS, log-in, version, schema, rights, triggers, connections, time-outs, old
    /// transactions and clocks. It changes nothing. Exit code 1 if the worker cannot work here.
    Doctor(Json),
    /// Alerts by mail and webhook
    Alerts {
        /// What to do with them
        #[command(subcommand)]
        command: Alerts,
    },
    /// Print a script that completes this program's arguments in a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command into a folder
    #[command(hide = true)]
    ManPages {
        /// The folder; it is made if it is not there
        folder: PathBuf,
    },
}

/// What can be done with alerts.
#[derive(Debug, Subcommand)]
pub enum Alerts {
    /// Send a test message by mail and by webhook, and say what became of it
    ///
    /// Each way that is configured is tried at once and tells in one line how it went. No database
    /// is needed. Exit code 1 if a message could not be delivered, or if nothing is configured.
    Test(Json),
}

/// How to migrate.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Make the tables here although another schema of the database has them
    #[arg(long)]
    pub beside: bool,

    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// Whether to print JSON.
#[derive(Debug, Args)]
pub struct Json {
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show each value in force and its origin
    ///
    /// The origin is default, the profile that pool.profile names, the line of the file given by
    /// --config, the credential, the variable, or the flag. Secrets are shown as (set) or (not set).
    /// No database is needed.
    Show(ConfigShow),
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub struct ConfigShow {
    /// Only these keys or sections, such as pool or batch.size [default: all]
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
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
    /// The CSV file, in UTF-8; - reads stdin
    pub file: PathBuf,
    /// Leave out columns that the kind does not have, and name them, instead of refusing the file
    #[arg(long)]
    pub skip_unknown_columns: bool,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// Users and kinds.
#[derive(Debug, Args)]
pub struct Of {
    /// Only this user
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub user: Option<i64>,
    /// Only this kind; may be given more than once [default: all kinds]
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub kind: Vec<Kind>,
}

impl Of {
    /// The kinds asked for, each once and in order; all if none was.
    pub fn kinds(&self) -> Vec<Kind> {
        kinds_or_all(self.kind.clone())
    }

    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        self.user.is_none() && self.kinds() == Kind::ALL
    }
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
        allow_negative_numbers = true)]
    pub max_batches: Option<u32>,
    /// Begin no further batch after this time
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds,
        allow_negative_numbers = true)]
    pub time_budget: Option<f64>,
    /// Claim no more rows than this each second, instead of batch.max_rows_per_second; 0 is no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_ROWS_PER_SECOND)))]
    pub max_rows_per_second: Option<u32>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Show it again and again until Ctrl-C, every 2 seconds or as often as given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "2", value_parser = parse_seconds)]
    pub watch: Option<f64>,
    /// Also show the server's sessions by application and state
    #[arg(long)]
    pub sessions: bool,
    /// Print one JSON object as the last line of stdout; with --watch, one a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `requeue`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true)
    .args(["dead", "user", "from", "kind"]))]
pub struct Requeue {
    /// Rows that were given up after their last attempt, instead of raw rows
    #[arg(long)]
    pub dead: bool,
    /// Only rows of this local date and later, such as 2026-03-29
    #[arg(long, value_name = "DATE", requires = "to", value_parser = parse_date)]
    pub from: Option<NaiveDate>,
    /// Only rows of this local date and earlier
    #[arg(long, value_name = "DATE", requires = "from", value_parser = parse_date)]
    pub to: Option<NaiveDate>,
    /// Whose rows
    #[command(flatten)]
    pub of: Of,
    /// Do not ask, as without a terminal
    #[arg(short, long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Count the rows and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to print
    #[command(flatten)]
    pub output: Json,
}

/// Arguments of `pause` and `resume`.
#[derive(Debug, Args)]
pub struct Pause {
    /// vitals, nutrition or labs
    #[arg(value_name = "KIND", value_parser = parse_kind)]
    pub kind: Kind,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `backfill`.
#[derive(Debug, Args)]
pub struct Backfill {
    /// The first local date, such as 2026-03-01
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub from: NaiveDate,
    /// The last local date
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub to: NaiveDate,
    /// Whose figures
    #[command(flatten)]
    pub of: Of,
    /// How to print
    #[command(flatten)]
    pub output: Json,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Compute again what differs; at a terminal, count it first and ask
    #[arg(long)]
    pub repair: bool,
    /// Do not ask before a repair, as without a terminal
    #[arg(short, long, requires = "repair", conflicts_with = "dry_run")]
    pub yes: bool,
    /// With --repair: list what would be computed again and change nothing
    #[arg(long, requires = "repair")]
    pub dry_run: bool,
    /// Only this local date and later, such as 2026-03-01
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub from: Option<NaiveDate>,
    /// Only this local date and earlier
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub to: Option<NaiveDate>,
    /// Whose figures
    #[command(flatten)]
    pub of: Of,
    /// How to print
    #[command(flatten)]
    pub output: Json,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Also draw a week of one user's meals as a page for a browser; a file that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Keep the server, run the service on it, have new rows arrive, and serve the operator's page until Ctrl-C
    ///
    /// The page is at http.port, or at 9187 if that is not set, with a token that is printed.
    #[arg(long)]
    pub serve: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// The user
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub user: i64,
    /// The first local date, such as 2026-03-01
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub from: NaiveDate,
    /// The last local date, at most 366 days in all
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub to: NaiveDate,
    /// The file to write; one that is there is replaced; - writes to stdout
    #[arg(long, value_name = "FILE")]
    pub html: PathBuf,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The days of a year: on a page of more, a day is too narrow to be seen.
pub const MOST_REPORTED_DAYS: i64 = 366;

/// The kinds asked for, each once and in order; all if none was.
pub fn kinds_or_all(mut kinds: Vec<Kind>) -> Vec<Kind> {
    if kinds.is_empty() {
        kinds = Kind::ALL.to_vec();
    }
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Ends the program with a sentence and the usage of the command that runs.
fn wrong_usage(kind: ErrorKind, problem: &str) -> ! {
    let mut command = Cli::command();
    // Only then do commands know their whole name.
    command.build();
    error_of(&mut command, RUNNING.get().map_or(&[], Vec::as_slice), kind, problem).exit()
}

fn error_of(
    command: &mut clap::Command,
    names: &[String],
    kind: ErrorKind,
    problem: &str,
) -> clap::Error {
    match names.split_first() {
        Some((name, below)) if command.find_subcommand(name).is_some() => command
            .find_subcommand_mut(name)
            .map_or_else(|| clap::Error::new(kind), |of| error_of(of, below, kind, problem)),
        _ => command.error(kind, problem),
    }
}

/// Ends the program with a sentence if a range of dates has its ends the wrong way round.
pub fn require_order(from: NaiveDate, to: NaiveDate) {
    if from > to {
        let problem = format!("--from {from} is later than --to {to}; exchange them");
        wrong_usage(ErrorKind::ValueValidation, &problem);
    }
}

/// Ends the program with a sentence if a range has more days than this.
pub fn require_range(from: NaiveDate, to: NaiveDate, most: i64) {
    let days = (to - from).num_days() + 1;
    if days > most {
        let problem =
            format!("--from {from} to --to {to} is {days} days; a page has at most {most}");
        wrong_usage(ErrorKind::ValueValidation, &problem);
    }
}

/// Ends the program with a sentence about a name that is no key of the configuration.
pub fn refuse_key(problem: &str) -> ! {
    wrong_usage(ErrorKind::InvalidValue, problem)
}

/// Ends the program with a sentence if a page and JSON are to go to the same place.
pub fn require_stdout_for_one(page: bool, json: bool) {
    if page && json {
        let problem = "--html - and --json both go to stdout; give the page a file";
        wrong_usage(ErrorKind::ArgumentConflict, problem);
    }
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|error: aggregation::kind::UnknownKind| error.to_string())
}

/// The years that a day of the figures can have: in the west the first instant of the year 1 belongs
/// to the day before.
const YEARS: RangeInclusive<i32> = 0..=9999;

fn parse_date(text: &str) -> Result<NaiveDate, String> {
    match text.parse::<NaiveDate>() {
        Ok(date) if YEARS.contains(&date.year()) => Ok(date),
        _ => Err("a date such as 2026-03-29 is needed".to_owned()),
    }
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

    use crate::import::columns::{Columns, Empty};

    use super::{AFTER_IMPORT_HELP, ImportKind};

    #[test]
    fn the_command_line_is_well_defined() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_import_names_every_column_and_which_ones_are_needed() {
        let words: Vec<&str> = AFTER_IMPORT_HELP.split_whitespace().collect();
        for kind in
            [ImportKind::Profiles, ImportKind::Vitals, ImportKind::Nutrition, ImportKind::Labs]
        {
            let columns = Columns::for_kind(kind).0;
            for column in
                columns.iter().filter(|c| !aggregation::nutrition::NUTRIENTS.contains(&c.name))
            {
                let needed = if column.empty == Empty::Refused { "*" } else { "" };
                let word = format!("{}{needed}", column.name);
                assert!(words.contains(&word.as_str()), "{word}");
            }
        }
    }
}
