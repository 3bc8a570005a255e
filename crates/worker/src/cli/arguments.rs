//! The arguments of the commands.

use std::path::PathBuf;

use aggregation::local_time::Zone;
use aggregation::{Kind, UserIdType};
use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use super::parse::{
    parse_cursor, parse_date, parse_kind, parse_seconds, parse_user_id_type, parse_zone,
};
use crate::config::MAX_ROWS_PER_SECOND;

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
    /// Load this file of yours instead of the examples, and draw a page of its last days: any file that
    /// `import` reads; may be given more than once
    ///
    /// Nothing leaves this machine.
    #[arg(long, value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// The user whose data the file has [default: 1]; CSV names the user of each row
    #[arg(long, value_name = "ID", allow_negative_numbers = true, requires = "data")]
    pub user: Option<String>,
    /// The user's time zone, such as Europe/Berlin [default: that of this machine]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone, requires = "data")]
    pub time_zone: Option<Zone>,
    /// Keep the server's files and the page in this folder, which is new or empty
    #[arg(long, value_name = "DIR", requires = "data")]
    pub keep: Option<PathBuf>,
    /// Write a page for a browser: a week of one user's meals, or with --data the last days [default
    /// with --data: dayfold-report.html]; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Keep the server, run the service on it, and serve the operator's page until Ctrl-C; without
    /// --data, new rows arrive
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
