//! The command line.

mod adopt;
mod arguments;
mod freeze;
mod parse;
mod report;
mod usage;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit;
use crate::verbosity::Verbosity;
use usage::{RUNNING, wrong_usage};

pub use adopt::Adopt;
pub use arguments::{
    Backfill, Changes, ConfigShow, Demo, Import, ImportKind, Json, Migrate, Pause, Requeue,
    RunOnce, Status, Verify, kinds_or_all,
};
pub use freeze::Freeze;
pub use report::{MOST_DAYS as MOST_REPORTED_DAYS, Report};
pub use usage::{
    refuse_key, refuse_user, refuse_value, require_order, require_range, require_stdout_for_one,
};

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
             time_zone is_daily_total workout_type
  nutrition  user_id* meal_type* eaten_at* food_name time_zone source
             and nutrients as in nutrition_raw, such as energy_kcal and protein_g
  labs       user_id* value_text* status* collected_at* test_name loinc_code unit
             reference_range flag specimen time_zone source

Names of columns may be in any case. Times need an offset:
2026-03-29T01:30:00+01:00. A sensor's value may have its comparator: <40. The
sources in source_priority are separated by semicolons, the best one first.";

/// Heading of the global options, below the options of the command itself.
const GLOBAL: &str = "Options of every command";

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
    /// None, or one whose name it uses.
    OneIfNamed,
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
            Self::Alerts { .. } => TargetUse::OneIfNamed,
            Self::Migrate(_)
            | Self::RunOnce(_)
            | Self::Status(_)
            | Self::Requeue(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Freeze(_)
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
            | Self::Freeze(Freeze { output: Json { json }, .. })
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
    /// It starts a PostgreSQL server in a temporary folder, creates the tables and imports sample data,
    /// or with --data your own. Then it computes and shows the figures, and removes server and folder. It
    /// touches no other database. PostgreSQL's server programs must be installed; as root on Debian and Ubuntu it
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
    /// Freeze the figures of old dates, so that their raw rows may be dropped
    ///
    /// Figures of dates before the given one never change again: neither by a deletion of raw rows, nor by backfill
    /// or verify --repair. A new or changed raw row of such a date is refused, and rejected_rows lists it with the
    /// reason frozen. Without --before and --lift it shows the dates. docs/retention.md has the steps.
    Freeze(Freeze),
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
    ///
    /// Targets share the channels, so one message tests them for all. With --target the message names
    /// that target, as its alerts do.
    Test(Json),
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
