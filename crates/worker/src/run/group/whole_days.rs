//! The parts that blood pressure and glucose share: their days are computed whole from all raw vitals,
//! not merged from hours.

use std::collections::BTreeSet;

use aggregation::vitals::scope::{Span, union};
use aggregation::vitals::{Change, RawVital};
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError};

use super::guarded;

/// The raw rows of several metrics, each ordered by start.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Vec<RawVital>>);

impl Rows {
    /// The rows of the metric at this index.
    pub(super) fn all(&self, metric: usize) -> &[RawVital] {
        self.0.get(metric).map_or(&[][..], Vec::as_slice)
    }

    /// The rows of the metric at this index that start within a span.
    pub(super) fn within(&self, metric: usize, (from, to): Span) -> &[RawVital] {
        let rows = self.all(metric);
        let first = rows.partition_point(|row| row.started_at < from);
        let last = rows.partition_point(|row| row.started_at < to);
        rows.get(first..last).unwrap_or_default()
    }
}

/// The changes that concern one of these metrics.
pub(super) fn of_metrics<'c>(changes: &'c [Change], metrics: &[&str]) -> Vec<&'c Change> {
    changes.iter().filter(|change| metrics.contains(&change.metric.as_str())).collect()
}

/// Finds the dates that changed rows affect, and reads the rows for their computation.
///
/// `dates` are stored dates that must be computed in any case. `near` are the spans that must be read to
/// find the affected dates. Nearly always the changed rows determine all dates, so one statement reads
/// everything. Only rows of several zones at about the same time need a second statement.
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

/// Reads the rows of whole dates, and those that start in some other spans.
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
