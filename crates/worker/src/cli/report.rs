//! The arguments of `worker report`.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use super::parse::parse_date;
use super::{require_order, require_range};

/// Broken by hand, because clap does not wrap the usage, and a terminal may have 80 columns.
pub const USAGE: &str = "\
worker report [OPTIONS] --user <ID> --from <DATE> --to <DATE>
       --html <FILE>
       worker report [OPTIONS] --user <ID> --period <LENGTH> [--on <DATE>]
       --html <FILE>";

/// Maximum of days on a page: those of a leap year.
pub const MOST_DAYS: i64 = 366;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// The user
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub user: String,
    /// The first local date, such as 2026-03-01
    #[arg(long, value_name = "DATE", value_parser = parse_date, requires = "to",
          required_unless_present = "period")]
    pub from: Option<NaiveDate>,
    /// The last local date; at most 366 days in total
    #[arg(long, value_name = "DATE", value_parser = parse_date, requires = "from",
          required_unless_present = "period")]
    pub to: Option<NaiveDate>,
    /// A whole week, month or year, compared with the one before, instead of --from and --to
    #[arg(long, value_name = "LENGTH", value_enum, conflicts_with_all = ["from", "to"])]
    pub period: Option<Period>,
    /// A date in the period; without it, the last date with figures
    #[arg(long, value_name = "DATE", value_parser = parse_date, requires = "period")]
    pub on: Option<NaiveDate>,
    /// The units; laboratory results are always shown as reported first
    #[arg(long, value_name = "UNITS", value_enum, default_value = "as-reported")]
    pub units: Units,
    /// The unit of glucose; without it, mg/dL with --units us, else as reported
    #[arg(long, value_name = "UNIT", value_enum)]
    pub glucose_unit: Option<GlucoseUnit>,
    /// The file to write, or - for stdout; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    pub html: PathBuf,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// A length of `--period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Period {
    /// Monday to Sunday
    Week,
    /// A calendar month
    Month,
    /// A calendar year
    Year,
}

/// A choice of `--units`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Units {
    /// Each metric in the unit of its newest row
    AsReported,
    /// Kilogram, centimetre, kilometre, degree Celsius
    Metric,
    /// Pound, inch, mile, degree Fahrenheit
    Us,
}

/// A choice of `--glucose-unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GlucoseUnit {
    /// Milligram per decilitre
    #[value(name = "mg/dL")]
    MgPerDl,
    /// Millimole per litre
    #[value(name = "mmol/L")]
    MmolPerL,
}

impl Report {
    /// The dates to report. Exits with an error if they are no span or too many days.
    pub fn dates(&self) -> store::ReportDates {
        if let Some(period) = self.period {
            let length = match period {
                Period::Week => store::PeriodLength::Week,
                Period::Month => store::PeriodLength::Month,
                Period::Year => store::PeriodLength::Year,
            };
            return store::ReportDates::Period { length, on: self.on };
        }
        // clap requires both unless there is a period.
        let (from, to) = (self.from.unwrap_or_default(), self.to.unwrap_or_default());
        require_order(from, to);
        require_range(from, to, MOST_DAYS);
        store::ReportDates::Range(from, to)
    }

    /// The units to show.
    pub fn unit_choice(&self) -> report::UnitChoice {
        report::UnitChoice {
            system: match self.units {
                Units::AsReported => report::UnitSystem::AsReported,
                Units::Metric => report::UnitSystem::Metric,
                Units::Us => report::UnitSystem::Us,
            },
            glucose: self.glucose_unit.map(|unit| match unit {
                GlucoseUnit::MgPerDl => report::GlucoseUnit::MgPerDl,
                GlucoseUnit::MmolPerL => report::GlucoseUnit::MmolPerL,
            }),
        }
    }
}
