//! Labs: the figures of the group's local date, one row for each analyte and unit, and the deltas
//! of the rows that come next.

use std::collections::HashMap;

use aggregation::labs::{RawLab, compare, figures, judge};
use store::{GroupTransaction, StoreError, Verdict};

use super::{Work, guarded, raw_ids, undated, verdicts};

/// Computes and writes the group's figures, and judges its raw rows.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let base_zone = &work.user.base_zone;
    let analytes = work.settings.catalogue.analytes();
    let mut dates = vec![work.date];
    dates.extend(transaction.other_dates(work.date, &undated(work.entries)).await?);
    let mut rows = Vec::new();
    for date in dates {
        let of_date = transaction.read_labs(date).await?;
        let mut days = guarded(|| figures(&of_date, date, base_zone, analytes))?;
        let neighbours = transaction.clear_labs(date, &days).await?;
        let following = guarded(|| compare(&mut days, &neighbours))?;
        transaction.write_labs(date, &days).await?;
        transaction.write_deltas(&following).await?;
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
        let judge = |row: &RawLab| (row.id, judge(row, base_zone, analytes).err());
        let judged: HashMap<_, _> = rows.iter().chain(&by_id).map(judge).collect();
        verdicts(work.entries, &judged)
    })
}
