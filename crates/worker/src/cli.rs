//! The command line.

mod adopt;
mod report;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::OnceLock;

use aggregation::local_time::Zone;
use aggregation::{Kind, UserIdType};
use chrono::{Datelike, NaiveDate};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::MAX_ROWS_PER_SECOND;
use crate::exit;
use crate::verbosity::Verbosity;

pub use adopt::Adopt;
pub use report::Report;

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
Columns of CSV (* must be there and filled in, in any order):
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

/// Heading of the global options, below the options of the command itself.
const GLOBAL: &str = "Options of every command";

/// The names of the running command, for the usage in error messages.
static RUNNING: OnceLock<Vec<String>> = OnceLock::new();

/// Folds raw vitals, nutrition and lab rows in PostgreSQL into daily figures for each user.
///
/// Triggers queue raw rows. The worker claims them in small batches and commits each claim at once. It
/// then computes one user's date at a time, in a transaction of milliseconds. So the application never
/// waits for a connection.
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

    /// Print only errors and the requested output: no progress, log.level is error
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,

    /// Log more: log.level is debug, with -vv trace
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,

    /// Only this target; may be given more than once [default: all targets]
    #[arg(long = "target", global = true, value_name = "NAME", help_heading = GLOBAL)]
    pub targets: Vec<String>,

    /// The command to run
    #[command(subcommand)]
    pub command: Command,
}

/// The number of targets on which a command works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetUse {
    /// None: it needs no database, or one of its own.
    None,
    /// One.
    One,
    /// Any number, in a process for each.
    Several,
    /// Any number, in one process.
    Service,
}

impl Command {
    /// The number of targets on which the command works.
    pub const fn target_use(&self) -> TargetUse {
        match self {
            Self::Run => TargetUse::Service,
            Self::Adopt(_)
            | Self::Changes(_)
            | Self::Import(_)
            | Self::Report(_)
            | Self::Status(Status { watch: Some(_), .. }) => TargetUse::One,
            Self::Migrate(_)
            | Self::RunOnce(_)
            | Self::Status(_)
            | Self::Requeue(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Backfill(_)
            | Self::Verify(_)
            | Self::Doctor(_) => TargetUse::Several,
            _ => TargetUse::None,
        }
    }

    /// Whether the output is JSON.
    pub const fn is_json(&self) -> bool {
        match self {
            Self::Migrate(Migrate { json, .. })
            | Self::RunOnce(RunOnce { json, .. })
            | Self::Status(Status { json, .. })
            | Self::Pause(Pause { json, .. })
            | Self::Resume(Pause { json, .. })
            | Self::Doctor(Json { json })
            | Self::Requeue(Requeue { output: Json { json }, .. })
            | Self::Backfill(Backfill { output: Json { json }, .. })
            | Self::Verify(Verify { output: Json { json }, .. }) => *json,
            _ => false,
        }
    }

    /// The change for which the command asks for confirmation at a terminal.
    pub const fn asks(&self) -> Option<&'static str> {
        match self {
            Self::Requeue(Requeue { yes: false, dry_run: false, .. }) => Some("queues rows again"),
            Self::Verify(Verify { repair: true, yes: false, dry_run: false, .. }) => {
                Some("repairs figures that differ")
            }
            _ => None,
        }
    }
}

impl Cli {
    /// Parses the command line. Exits after help or wrong usage.
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

    /// The requested verbosity. Exits with an error if both flags are given: clap does not see the
    /// conflict if one is before the command and one after it.
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
    /// Show the whole process on real data, in a private PostgreSQL
    ///
    /// It starts a PostgreSQL server in a temporary folder, creates the tables and imports sample data.
    /// Then it computes and shows the figures, and removes server and folder. It touches no other
    /// database. PostgreSQL's server programs must be installed; as root on Debian and Ubuntu it
    /// installs them.
    Demo(Demo),
    /// Migrate the database's schema to this version
    ///
    /// Any number of workers may do this at once: one migrates, and the others wait for it.
    Migrate(Migrate),
    /// Load raw rows from exports of apps, or raw rows and profiles from CSV files
    ///
    /// It recognises Apple Health (export.xml or the zip file around it), Health Auto Export
    /// (JSON), and FHIR R4 Observations (a Bundle, or one resource a line). It also recognises
    /// Dexcom Clarity and LibreView (CSV), Nightscout entries (JSON), and CSV whose first line
    /// names columns of the raw tables. A record that cannot be read is reported with its place and
    /// skipped; the others are loaded, and queued for the next run. Records of types without a
    /// metric are counted by type.
    ///
    /// Rows of an export that are there already are not loaded again, so an import may be repeated, or
    /// continued after Ctrl-C. Rows of CSV are always added; profiles replace existing ones.
    #[command(after_long_help = AFTER_IMPORT_HELP)]
    Import(Import),
    /// Mirror a table of the application into a raw table, by triggers generated from a mapping
    ///
    /// From then on, each statement of the application that changes the table's rows copies them in its own
    /// transaction. Rows that are there already are copied in batches; if that is interrupted, the same
    /// command resumes it. An update that changes no mapped column copies nothing. --dry-run shows the SQL,
    /// and --undo removes triggers and copies.
    #[command(override_usage = adopt::USAGE)]
    Adopt(Adopt),
    /// Run as a service: process due rows until stopped
    ///
    /// It also starts without its database, and retries until the database is available. SIGTERM or
    /// Ctrl-C stops it after the running group, and the rest of the batch stays queued; a second signal
    /// stops it at once. SIGHUP reloads the configuration. SIGUSR1 toggles between debug logging and the
    /// configured level. Any number of workers may run at the same time.
    Run,
    /// Process all due rows, then exit
    ///
    /// Ctrl-C or SIGTERM stops it after the running group, and the rest stays queued. A second signal
    /// stops it at once. Any number of workers may run at the same time.
    RunOnce(RunOnce),
    /// Show due rows, failures and the last runs
    Status(Status),
    /// Queue rows again: dead ones, or those of a user or of some days
    ///
    /// Without --dead, raw rows are queued as if they had just been changed, and the figures of their
    /// days are computed again from all raw rows. This is harmless at any time, and necessary after a
    /// change of a user's profile. With --dead, dead rows get all their attempts back. At a terminal it
    /// counts the rows first and asks for confirmation; in a script it does not ask.
    Requeue(Requeue),
    /// Pause a kind: no worker claims its rows until `worker resume`
    ///
    /// All workers obey from their next claim on. A batch that has begun is finished. New rows are
    /// queued meanwhile. The action log has an entry.
    Pause(Pause),
    /// Resume a kind: all workers claim its rows again
    Resume(Pause),
    /// Recompute the figures of a range of dates from raw rows
    ///
    /// It bypasses the queue, and is safe while workers run and the application writes. After a change
    /// of profiles or of the catalogue, it applies the change to old days.
    Backfill(Backfill),
    /// Recompute all figures and compare them with the stored ones, to the last bit
    ///
    /// Each user is compared as of one moment. Dates with rows waiting in the queue are left out. Dates
    /// with dead rows are counted and cause exit code 4. The list of rejected rows is compared like the
    /// figures. Differences are listed by table, user and date, without any health value.
    Verify(Verify),
    /// Print the days whose figures have changed, one JSON object in each line
    ///
    /// Each line has a user, a date, a kind, and the cursor from which `--after` continues. A day of which
    /// nothing is left is printed, too. docs/changes.md says how to consume the feed without missing a change.
    Changes(Changes),
    /// Write some days of one user as an HTML page with charts
    ///
    /// The page is a self-contained HTML file: it loads nothing, runs no scripts, and can be printed. It says
    /// what has changed against the days before. Up to 62 days are drawn by day, up to 190 by week, more by
    /// month. The page contains health data, so only its owner may read it. A page without any figure says
    /// so, which is no failure.
    #[command(override_usage = report::USAGE)]
    Report(Report),
    /// Show the catalogue in force: metrics, analytes and nutrients with units and limits
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
        /// The command to run
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Check everything that the worker needs, step by step, and say how to correct it
    ///
    /// It checks name resolution, network, TLS, log-in, version, schema, rights, triggers, connections,
    /// time-outs, old transactions and clocks. It changes nothing. Exit code 1 if the worker cannot work
    /// here.
    Doctor(Json),
    /// Alerts by mail and webhook
    Alerts {
        /// The command to run
        #[command(subcommand)]
        command: Alerts,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command into a folder
    #[command(hide = true)]
    ManPages {
        /// The folder; it is created if it is missing
        folder: PathBuf,
    },
}

/// The commands about alerts.
#[derive(Debug, Subcommand)]
pub enum Alerts {
    /// Send a test message by mail and by webhook, and report the results
    ///
    /// Each configured channel is tried at once, and its result takes one line. No database is needed.
    /// Exit code 1 if a message could not be delivered, or if no channel is configured.
    Test(Json),
}

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Create the tables here although another schema of the database has them
    #[arg(long)]
    pub beside: bool,

    /// The type of the users' ids, for new tables: bigint, uuid or text [default: bigint]
    #[arg(long, value_name = "TYPE", value_parser = parse_user_id_type)]
    pub user_id: Option<UserIdType>,

    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// Whether the output is JSON.
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
    /// The files, in UTF-8; - reads stdin
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The user of an export; CSV names the user of each row
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub user: Option<String>,
    /// The time zone of rows of an export that name none, such as Europe/Berlin [default: that of the
    /// user's profile]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    pub time_zone: Option<Zone>,
    /// The files are CSV with rows of this kind [default: by the first line]
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<ImportKind>,
    /// Skip columns of CSV that the kind does not have, and name them, instead of refusing the file
    #[arg(long)]
    pub skip_unknown_columns: bool,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// Users and kinds to select.
#[derive(Debug, Args)]
pub struct Of {
    /// Only this user
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub user: Option<String>,
    /// Only this kind; may be given more than once [default: all kinds]
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub kind: Vec<Kind>,
}

impl Of {
    /// The requested kinds, each once and in order; all if none was requested.
    pub fn kinds(&self) -> Vec<Kind> {
        kinds_or_all(self.kind.clone())
    }

    /// Whether all users and kinds are selected.
    pub fn is_all(&self) -> bool {
        self.user.is_none() && self.kinds() == Kind::ALL
    }
}

/// The contents of a file to import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportKind {
    /// Time zone and source priority of each user
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
    /// Claim at most this many rows each second, instead of batch.max_rows_per_second; 0 means no limit
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
    /// Refresh until Ctrl-C, every 2 seconds or at the given interval
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
    /// Dead rows, which failed their last attempt, instead of raw rows
    #[arg(long)]
    pub dead: bool,
    /// Only rows from this local date on, such as 2026-03-29
    #[arg(long, value_name = "DATE", requires = "to", value_parser = parse_date)]
    pub from: Option<NaiveDate>,
    /// Only rows up to this local date
    #[arg(long, value_name = "DATE", requires = "from", value_parser = parse_date)]
    pub to: Option<NaiveDate>,
    /// The users and kinds
    #[command(flatten)]
    pub of: Of,
    /// Do not ask for confirmation
    #[arg(short, long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Count the rows and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The output format
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

/// Arguments of `changes`.
#[derive(Debug, Args)]
pub struct Changes {
    /// Wait for further changes until a signal ends it
    #[arg(long)]
    pub follow: bool,
    /// Begin after this change; without it, with the oldest that is kept
    #[arg(long, value_name = "CURSOR", value_parser = parse_cursor)]
    pub after: Option<String>,
    /// End after this many changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
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
    /// The users and kinds
    #[command(flatten)]
    pub of: Of,
    /// The output format
    #[command(flatten)]
    pub output: Json,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Recompute figures that differ; at a terminal, count them first and ask for confirmation
    #[arg(long)]
    pub repair: bool,
    /// Do not ask for confirmation before a repair
    #[arg(short, long, requires = "repair", conflicts_with = "dry_run")]
    pub yes: bool,
    /// With --repair: list the dates to recompute and change nothing
    #[arg(long, requires = "repair")]
    pub dry_run: bool,
    /// Only dates from this local date on, such as 2026-03-01
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub from: Option<NaiveDate>,
    /// Only dates up to this local date
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub to: Option<NaiveDate>,
    /// The users and kinds
    #[command(flatten)]
    pub of: Of,
    /// The output format
    #[command(flatten)]
    pub output: Json,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Also write a week of one user's meals as an HTML page; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Keep the server, run the service on it, have new rows arrive, and serve the operator's page until Ctrl-C
    ///
    /// The page is at http.port, or at 9187 if that is not set, with a token that is printed.
    #[arg(long)]
    pub serve: bool,
}

/// The requested kinds, each once and in order; all if none was requested.
pub fn kinds_or_all(mut kinds: Vec<Kind>) -> Vec<Kind> {
    if kinds.is_empty() {
        kinds = Kind::ALL.to_vec();
    }
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Exits with an error and the usage of the running command.
fn wrong_usage(kind: ErrorKind, problem: &str) -> ! {
    let mut command = Cli::command();
    // After this, commands know their full names.
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

/// Exits with an error if the first date is later than the last.
pub fn require_order(from: NaiveDate, to: NaiveDate) {
    if from > to {
        let problem = format!("--from {from} is later than --to {to}; exchange them");
        wrong_usage(ErrorKind::ValueValidation, &problem);
    }
}

/// Exits with an error if a range has more than `most` days.
pub fn require_range(from: NaiveDate, to: NaiveDate, most: i64) {
    let days = (to - from).num_days() + 1;
    if days > most {
        let problem =
            format!("--from {from} to --to {to} is {days} days; a page has at most {most}");
        wrong_usage(ErrorKind::ValueValidation, &problem);
    }
}

/// Exits with an error about a name that is no key of the configuration.
pub fn refuse_key(problem: &str) -> ! {
    wrong_usage(ErrorKind::InvalidValue, problem)
}

/// Exits with an error about the value of a flag.
pub fn refuse_value(problem: &str) -> ! {
    wrong_usage(ErrorKind::InvalidValue, problem)
}

/// Exits with an error about a user id that is none in the database.
pub fn refuse_user(problem: &str) -> ! {
    wrong_usage(ErrorKind::ValueValidation, problem)
}

/// Exits with an error if both a page and JSON are to go to stdout.
pub fn require_stdout_for_one(page: bool, json: bool) {
    if page && json {
        let problem = "--html - and --json both go to stdout; give the page a file";
        wrong_usage(ErrorKind::ArgumentConflict, problem);
    }
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|error: aggregation::kind::UnknownKind| error.to_string())
}

fn parse_zone(text: &str) -> Result<Zone, String> {
    text.parse().map_err(|error: aggregation::local_time::UnknownZone| error.to_string())
}

fn parse_user_id_type(text: &str) -> Result<UserIdType, String> {
    UserIdType::from_name(text).ok_or_else(|| "bigint, uuid or text is needed".to_owned())
}

/// Valid years of a local date. West of UTC, the first instant of the year 1 belongs to the year 0.
const YEARS: RangeInclusive<i32> = 0..=9999;

fn parse_cursor(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_number = |part: &&str| {
        (1..=18).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.len() == 3 && parts.iter().all(is_number) {
        Ok(text.to_owned())
    } else {
        Err("a cursor is the text \"cursor\" of a printed change, such as 1-7451-12".to_owned())
    }
}

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
            let columns = Columns::for_kind(kind, aggregation::UserIdType::Bigint).0;
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
