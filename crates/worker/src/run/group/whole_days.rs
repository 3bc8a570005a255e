//! Days that are computed whole from all their raw vitals, rather than merged from hours: what blood
//! pressure and glucose have in common.

use std::collections::BTreeSet;

use aggregation::vitals::scope::{Span, union};
use aggregation::vitals::{Change, RawVital};
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError};

use super::guarded;

/// The raw rows of each of some metrics, in the order of their start.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Vec<RawVital>>);

impl Rows {
    /// The rows of the metric at this place.
    pub(super) fn all(&self, metric: usize) -> &[RawVital] {
        self.0.get(metric).map_or(&[][..], Vec::as_slice)
    }

    /// The rows of the metric at this place that start within a span.
    pub(super) fn within(&self, metric: usize, (from, to): Span) -> &[RawVital] {
        let rows = self.all(metric);
        let first = rows.partition_point(|row| row.started_at < from);
        let last = rows.partition_point(|row| row.started_at < to);
        rows.get(first..last).unwrap_or_default()
    }
}

/// Those of the changes that concern one of these metrics.
pub(super) fn of_metrics<'c>(changes: &'c [Change], metrics: &[&str]) -> Vec<&'c Change> {
    changes.iter().filter(|change| metrics.contains(&change.metric.as_str())).collect()
}

/// The dates that changed rows touch, and the rows to compute them from.
///
/// `dates` are stored ones that must be computed in any case, `near` what must be read to know which
/// dates are touched. Nearly always the changed rows name them all, and one statement reads
/// everything; only rows of several zones at about the same time cost another.
pub(super) async fn touched(
    transaction: &mut GroupTransaction<'_>,
    metrics: &[&str],
    mut dates: BTreeSet<NaiveDate>,
    near: &[Span],
    touched_by: impl Fn(&Rows) -> BTreeSet<NaiveDate>,
    span_to_read: fn(NaiveDate) -> Span,
) -> Result<(BTreeSet<NaiveDate>, Rows), StoreError> {
    dates.extend(guarded(|| touched_by(&Rows::default()))?);
    let rows = read(transaction, metrics, &dates, near, span_to_read).await?;
    let touched = guarded(|| touched_by(&rows))?;
    if touched.is_subset(&dates) {
        return Ok((dates, rows));
    }
    dates.extend(touched);
    let rows = read(transaction, metrics, &dates, near, span_to_read).await?;
    Ok((dates, rows))
}

/// The rows of whole dates, and those that start in some other spans.
pub(super) async fn read(
    transaction: &mut GroupTransaction<'_>,
    metrics: &[&str],
    dates: &BTreeSet<NaiveDate>,
    others: &[Span],
    span_to_read: fn(NaiveDate) -> Span,
) -> Result<Rows, StoreError> {
    let of_dates = dates.iter().map(|date| span_to_read(*date));
    let spans = union(of_dates.chain(others.iter().copied()).collect());
    Ok(Rows(transaction.read_vitals_that_start(metrics, &spans).await?))
}
