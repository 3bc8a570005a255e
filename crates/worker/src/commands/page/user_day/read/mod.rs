//! A user's day out of the database: the stored figures, and the raw rows with the verdict on each, by the functions
//! that compute the figures.

mod glucose;
mod meals;
mod pressure;
mod results;
mod rows;
mod sleep;
mod vitals;

use aggregation::UserId;
use aggregation::catalogue::Catalogue;
use aggregation::local_time::Zone;
use aggregation::raw::Context;
use chrono::NaiveDate;
use store::{DayRow, Store, StoreError};

use super::day::{Day, Section};

/// A day that differs although nothing waits is read this number of times: a row may have come between two reads.
const MAX_READS: u32 = 3;

/// Reads and explains a user's day.
///
/// # Errors
/// If the database fails, or a computation does.
pub async fn read(
    store: &Store,
    inputs: &(Zone, Catalogue),
    user_id: UserId,
    date: NaiveDate,
) -> Result<Day, StoreError> {
    let mut day = read_once(store, inputs, user_id.clone(), date).await?;
    for _ in 1..MAX_READS {
        if day.waiting > 0 || day.is_frozen || day.sections.iter().all(Section::agrees) {
            break;
        }
        day = read_once(store, inputs, user_id.clone(), date).await?;
    }
    Ok(day)
}

async fn read_once(
    store: &Store,
    (zone, catalogue): &(Zone, Catalogue),
    user_id: UserId,
    date: NaiveDate,
) -> Result<Day, StoreError> {
    let days = store.user_days(&user_id, date, date, *zone).await?;
    let base_zone = match &days.profile_zone {
        Some(text) => text.parse(),
        None => Ok(*zone),
    };
    let context = Context { catalogue, base_zone: &base_zone, source_order: &days.source_priority };
    let mut sections = vitals::sections(store, &context, &days, date).await?;
    sections.extend(meals::section(store, &context, &days, date).await?);
    sections.extend(results::sections(store, &context, &days, date).await?);
    for section in &mut sections {
        section.rows.sort_by_key(|row| (row.starts_at, row.id));
    }
    let time_zone = days.profile_zone.clone().unwrap_or_else(|| zone.to_string());
    let (waiting, dead) = (days.waiting.near, days.waiting.dead);
    let source_order = days.source_priority.clone();
    Ok(Day {
        user_id,
        date,
        time_zone,
        has_profile: days.profile_zone.is_some(),
        source_order,
        is_frozen: days.frozen_before.is_some_and(|before| date < before),
        waiting,
        dead,
        sections,
    })
}

/// The circumstances of a stored row.
pub fn circumstances(row: &DayRow) -> String {
    format!(
        "time zone {}, version {} of the definitions{}",
        row.time_zone,
        row.algorithm_version,
        if row.is_partial { ", the day had not ended when it was computed" } else { "" }
    )
}
