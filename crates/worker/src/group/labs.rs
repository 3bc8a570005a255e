//! Labs: the figures of the group's local date, one row for each analyte and unit.

use std::collections::{BTreeSet, HashMap};

use aggregation::Reason;
use aggregation::labs::{figures, judge};
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError, Verdict};

use super::{User, Work, guarded, raw_ids, undated, verdicts};

/// Computes and writes the group's figures, and judges its raw rows.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let base_zone = &work.user.base_zone;
    let mut dates = vec![work.date];
    dates.extend(transaction.other_dates(work.date, &undated(work.entries)).await?);
    let mut rows = Vec::new();
    for date in dates {
        let of_date = transaction.read_labs(date).await?;
        let days = guarded(|| figures(&of_date, date, base_zone))?;
        transaction.write_labs(date, &days).await?;
        rows.extend(of_date);
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
        let judged: HashMap<_, _> =
            rows.iter().chain(&by_id).map(|row| (row.id, judge(row, base_zone).err())).collect();
        verdicts(work.entries, &judged)
    })
}

/// Computes and writes the figures of whole dates, from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    user: &User,
    dates: &BTreeSet<NaiveDate>,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    let base_zone = &user.base_zone;
    let mut judged = HashMap::new();
    for date in dates {
        let rows = transaction.read_labs(*date).await?;
        let days = guarded(|| figures(&rows, *date, base_zone))?;
        transaction.write_labs(*date, &days).await?;
        guarded(|| judged.extend(rows.iter().map(|row| (row.id, judge(row, base_zone).err()))))?;
    }
    Ok(judged)
}
