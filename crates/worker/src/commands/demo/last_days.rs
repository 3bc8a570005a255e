//! The last days that have figures.

use std::collections::BTreeSet;

use aggregation::UserId;
use aggregation::local_time::Zone;
use chrono::{Days, NaiveDate};
use store::{Store, StoreError};

use super::serve::today;
use crate::cli::MOST_REPORTED_DAYS;

/// The dates with figures on the page: four weeks.
const DATES: usize = 28;

/// Finds the first and the last of the last dates with figures; `None` without any. Rows dated in the future
/// do not move the page away from today.
///
/// # Errors
/// If the database fails.
pub async fn read(
    store: &Store,
    user_id: &UserId,
    zone: Zone,
) -> Result<Option<(NaiveDate, NaiveDate)>, StoreError> {
    // No zone is more than a day ahead of UTC.
    let tomorrow = today() + Days::new(1);
    let any = store.user_days(user_id, tomorrow, tomorrow, zone).await?;
    let Some((first, last)) = any.extent else { return Ok(None) };
    let to = if first <= tomorrow { last.min(tomorrow) } else { last };
    let from = to - Days::new(MOST_REPORTED_DAYS as u64 - 1);
    let year = store.user_days(user_id, from, to, zone).await?;
    let dates: BTreeSet<_> = report::all_days(&year).map(|day| day.date).collect();
    let first = dates.iter().rev().nth(DATES - 1).or(dates.first());
    Ok(Some(first.zip(dates.last()).map_or((from, to), |(first, last)| (*first, *last))))
}
