//! Nutrition: the figures of the group's local date, from all its rows.

use std::collections::{BTreeSet, HashMap};

use aggregation::Reason;
use aggregation::catalogue::Nutrients;
use aggregation::nutrition::{RawMeal, figures, judge};
use aggregation::zones::BaseZone;
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError, Verdict};

use super::{Profile, Work, guarded, raw_ids, undated, verdicts};
use crate::setup::Settings;

/// Computes and writes the group's figures, and judges its raw rows.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let base_zone = &work.profile.base_zone;
    let nutrients = work.settings.catalogue.nutrients();
    let mut dates = vec![work.date];
    dates.extend(transaction.other_dates(work.date, &undated(work.entries)).await?);
    let mut rows = Vec::new();
    for date in dates {
        rows.extend(write(transaction, date, base_zone, nutrients).await?);
    }

    let mut missing = raw_ids(work.entries);
    for row in &rows {
        missing.remove(&row.id);
    }
    let by_id = if missing.is_empty() {
        Vec::new()
    } else {
        transaction.read_meals_by_id(missing.into_iter().collect()).await?
    };
    guarded(|| {
        let judge = |row: &RawMeal| (row.id, judge(row, base_zone, nutrients).err());
        let judged: HashMap<_, _> = rows.iter().chain(&by_id).map(judge).collect();
        verdicts(work.entries, &judged)
    })
}

/// Computes and writes one date; gives back its raw rows.
async fn write(
    transaction: &mut GroupTransaction<'_>,
    date: NaiveDate,
    base_zone: &BaseZone,
    nutrients: &Nutrients,
) -> Result<Vec<RawMeal>, StoreError> {
    let rows = transaction.read_meals(date).await?;
    let day = guarded(|| figures(&rows, date, base_zone, nutrients))?;
    transaction.write_nutrition(date, day.as_ref(), nutrients.fingerprint()).await?;
    Ok(rows)
}

/// Computes and writes the figures of whole dates, from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    dates: &BTreeSet<NaiveDate>,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    let (base_zone, nutrients) = (&user.base_zone, settings.catalogue.nutrients());
    let mut judged = HashMap::new();
    for date in dates {
        let rows = write(transaction, *date, base_zone, nutrients).await?;
        let judge = |row: &RawMeal| (row.id, judge(row, base_zone, nutrients).err());
        guarded(|| judged.extend(rows.iter().map(judge)))?;
    }
    Ok(judged)
}

/// Judges single raw rows; those that are deleted are missing.
pub(super) async fn judge_by_id(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    raw_ids: Vec<i64>,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    let (base_zone, nutrients) = (&user.base_zone, settings.catalogue.nutrients());
    let rows = transaction.read_meals_by_id(raw_ids).await?;
    let judge = |row: &RawMeal| (row.id, judge(row, base_zone, nutrients).err());
    guarded(|| rows.iter().map(judge).collect())
}
