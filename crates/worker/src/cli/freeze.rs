//! The arguments of `worker freeze`.

use chrono::NaiveDate;
use clap::Args;

use super::arguments::Json;
use super::parse::parse_date;

/// Arguments of `freeze`.
#[derive(Debug, Args)]
pub struct Freeze {
    /// Freeze the figures of all local dates before this one, such as 2026-03-01
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub before: Option<NaiveDate>,
    /// End it: figures may change again
    #[arg(long, conflicts_with = "before")]
    pub lift: bool,
    /// Only the figures of this user; of this date and that for all users, the later one holds
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub user: Option<String>,
    /// Also while changed raw rows of these dates wait in the queue or are dead: they will be refused
    #[arg(long, requires = "before")]
    pub even_if_rows_wait: bool,
    /// Also unfreeze dates with figures whose raw rows are gone: they are lost when they are computed again
    #[arg(long)]
    pub even_without_raw_rows: bool,
    /// The output format
    #[command(flatten)]
    pub output: Json,
}
