//! `worker report`: some days of one user as an HTML page.

mod file;

use std::path::Path;

use aggregation::catalogue::Catalogue;
use report::UnitChoice;
use serde_json::json;
use store::{UserDays, UserReport};

use crate::cli::{self, require_stdout_for_one};
use crate::exit::{self, Exit};
use crate::output;
use crate::settings::Settings;
use crate::setup;
use crate::tables::counted;
use crate::user_ids;

/// The file name that means stdout.
const STDOUT: &str = "-";

/// Writes the page.
///
/// # Errors
/// The reason why it failed, which never contains a health value.
pub async fn execute(config: Option<&Path>, arguments: &cli::Report) -> anyhow::Result<Exit> {
    let (dates, units) = (arguments.dates(), arguments.unit_choice());
    let to_stdout = arguments.html == Path::new(STDOUT);
    require_stdout_for_one(to_stdout, arguments.json);
    let loaded = setup::configuration(config)?;
    let settings = Settings::from_config(&loaded.config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;

    let user_id = user_ids::required(&store, &arguments.user).await?;
    let read = store.user_report(&user_id, dates, settings.default_zone).await?;
    if to_stdout {
        output::print(report::page(&read, &settings.catalogue, units).trim_end());
    } else {
        write(&read, &settings.catalogue, units, &arguments.html)?;
    }
    tell(&read.days, arguments, to_stdout);
    Ok(exit::DONE)
}

/// Writes the page of some days.
///
/// # Errors
/// The file, and the reason why it cannot be written.
pub fn write(
    read: &UserReport,
    catalogue: &Catalogue,
    units: UnitChoice,
    html: &Path,
) -> anyhow::Result<()> {
    file::put(html, &report::page(read, catalogue, units))
}

/// Checks that a page can be written to this file, without changing it.
///
/// # Errors
/// As [`write`].
pub fn check(html: &Path) -> anyhow::Result<()> {
    file::check(html)
}

/// Prints a summary without health values: figures are only on the page.
fn tell(days: &UserDays, arguments: &cli::Report, to_stdout: bool) {
    let asked = (days.to - days.from).num_days() + 1;
    let dates: std::collections::BTreeSet<_> = report::all_days(days).map(|day| day.date).collect();
    let with_figures = dates.len() as i64;
    if with_figures == 0 {
        output::say(&report::nothing(days));
    }
    if arguments.json {
        output::print_json(&json!({
            "path": arguments.html.to_string_lossy(),
            "user_id": days.user_id,
            "from": days.from.to_string(),
            "to": days.to.to_string(),
            "days": asked,
            "days_with_figures": with_figures,
            "rows_pending": days.waiting.rows,
            "rows_dead": days.waiting.dead,
            "rows_rejected": days.rejected.iter().map(|of| of.rows).sum::<i64>(),
        }));
    } else if !to_stdout {
        output::print_success(&format!(
            "{}: {} of user {}, {} with figures.",
            arguments.html.display(),
            counted(asked, "day", "days"),
            days.user_id,
            with_figures,
        ));
        if days.waiting.rows > 0 {
            output::print(&format!(
                "They are not up to date: {} in the queue.",
                counted(days.waiting.rows, "row of the user waits", "rows of the user wait"),
            ));
        }
    }
}
