//! Nutrition: the figures of the group's local date, from all its rows.

use std::collections::{BTreeSet, HashMap};

use aggregation::Reason;
use aggregation::catalogue::Nutrients;
use aggregation::nutrition::{DayBuilder, RawMeal, judge};
use chrono::NaiveDate;
use store::{GroupTransaction, ReadMode, StoreError, Verdict};

use super::{Profile, Work, guarded, raw_ids, undated, verdicts};
use crate::settings::Settings;

/// The verdicts on raw rows, by their ids.
type Judged = HashMap<i64, Option<Reason>>;

/// Computes and writes the group's figures, and judges its raw rows.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let nutrients = work.settings.catalogue.nutrients();
    let mut dates = vec![work.date];
    dates.extend(transaction.other_dates(work.date, &undated(work.entries)).await?);
    dates.retain(|date| work.profile.is_open(*date));
    let of_group = raw_ids(work.entries);
    let mut judged = Judged::new();
    for date in dates {
        let is_judged = |id| of_group.contains(&id);
        write(transaction, date, (work.profile, nutrients), is_judged, &mut judged).await?;
    }
    let missing: Vec<i64> = of_group.into_iter().filter(|id| !judged.contains_key(id)).collect();
    if !missing.is_empty() {
        let by_id = transaction.read_meals_by_id(missing).await?;
        let verdict = |row: &RawMeal| (row.id, verdict(row, work.profile, nutrients));
        guarded(|| judged.extend(by_id.iter().map(verdict)))?;
    }
    guarded(|| verdicts(work.entries, &judged))
}

/// The verdict on a row.
fn verdict(row: &RawMeal, user: &Profile, nutrients: &Nutrients) -> Option<Reason> {
    let judged = judge(row, &user.base_zone, nutrients).err();
    user.verdict(judged, row.eaten_at, row.time_zone.as_deref())
}

/// Computes and writes one date. Keeps the verdicts on the requested raw rows.
async fn write(
    transaction: &mut GroupTransaction<'_>,
    date: NaiveDate,
    (user, nutrients): (&Profile, &Nutrients),
    is_judged: impl Fn(i64) -> bool + Send + Sync,
    judged: &mut Judged,
) -> Result<(), StoreError> {
    for reading in [ReadMode::AtOnce, ReadMode::InPortions] {
        let mut day = DayBuilder::new(date, &user.base_zone, nutrients);
        let visit = |row: RawMeal| {
            let added = guarded(|| day.add(&row))?;
            if is_judged(row.id) {
                let zone = row.time_zone.as_deref();
                judged.insert(row.id, user.verdict(added.err(), row.eaten_at, zone));
            }
            Ok(())
        };
        if transaction.visit_meals(date, reading, visit).await? {
            let day = guarded(|| day.finish())?;
            transaction.write_nutrition(date, day.as_ref(), nutrients.fingerprint()).await?;
            break;
        }
    }
    Ok(())
}

/// Computes and writes the figures of whole dates from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    dates: &BTreeSet<NaiveDate>,
) -> Result<Judged, StoreError> {
    let nutrients = settings.catalogue.nutrients();
    let mut judged = Judged::new();
    for date in dates {
        write(transaction, *date, (user, nutrients), |_| true, &mut judged).await?;
    }
    Ok(judged)
}

/// Judges single raw rows; deleted rows are absent from the result.
pub(super) async fn judge_by_id(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    raw_ids: Vec<i64>,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    let nutrients = settings.catalogue.nutrients();
    let rows = transaction.read_meals_by_id(raw_ids).await?;
    guarded(|| rows.iter().map(|row| (row.id, verdict(row, user, nutrients))).collect())
}
