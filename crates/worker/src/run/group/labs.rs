//! Labs: the figures of the group's local date, one row for each analyte and unit, and the deltas
//! of the rows that come next.

use std::collections::{BTreeSet, HashMap};

use aggregation::Reason;
use aggregation::catalogue::Analytes;
use aggregation::labs::{RawLab, compare, figures, judge};
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
    let analytes = work.settings.catalogue.analytes();
    let mut dates = vec![work.date];
    dates.extend(transaction.other_dates(work.date, &undated(work.entries)).await?);
    let mut rows = Vec::new();
    for date in dates {
        rows.extend(write(transaction, date, base_zone, analytes).await?);
    }

    let mut missing = raw_ids(work.entries);
    for row in &rows {
        missing.remove(&row.id);
    }
    let by_id = if missing.is_empty() {
        Vec::new()
    } else {
        transaction.read_labs_by_id(missing.into_iter().collect()).await?
    };
    guarded(|| {
        let judge = |row: &RawLab| (row.id, judge(row, base_zone, analytes).err());
        let judged: HashMap<_, _> = rows.iter().chain(&by_id).map(judge).collect();
        verdicts(work.entries, &judged)
    })
}

/// Computes and writes one date, and what later dates take from it; gives back its raw rows.
async fn write(
    transaction: &mut GroupTransaction<'_>,
    date: NaiveDate,
    base_zone: &BaseZone,
    analytes: &Analytes,
) -> Result<Vec<RawLab>, StoreError> {
    let rows = transaction.read_labs(date).await?;
    let mut days = guarded(|| figures(&rows, date, base_zone, analytes))?;
    let neighbours = transaction.clear_labs(date, &days).await?;
    let following = guarded(|| compare(&mut days, &neighbours))?;
    transaction.write_labs(date, &days).await?;
    transaction.write_deltas(&following).await?;
    Ok(rows)
}

/// Computes and writes the figures of whole dates, from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    dates: &BTreeSet<NaiveDate>,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    let (base_zone, analytes) = (&user.base_zone, settings.catalogue.analytes());
    let mut judged = HashMap::new();
    for date in dates {
        let rows = write(transaction, *date, base_zone, analytes).await?;
        let judge = |row: &RawLab| (row.id, judge(row, base_zone, analytes).err());
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
    let (base_zone, analytes) = (&user.base_zone, settings.catalogue.analytes());
    let rows = transaction.read_labs_by_id(raw_ids).await?;
    let judge = |row: &RawLab| (row.id, judge(row, base_zone, analytes).err());
    guarded(|| rows.iter().map(judge).collect())
}
