//! Glucose: the readings of the dates that the group's changes affect.

use std::collections::BTreeSet;

use aggregation::glucose::{METRIC, figures, fingerprint, span_near, span_to_read, touched_dates};
use aggregation::vitals::scope::Span;
use aggregation::vitals::{Change, Context};
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError};

use super::guarded;
use super::whole_days::{Rows, of_metrics, read, touched};

/// Computes and writes the figures affected by changed rows; does nothing if none is of glucose.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    changes: &[Change],
) -> Result<(), StoreError> {
    let changes = of_metrics(changes, &[METRIC]);
    if changes.is_empty() {
        return Ok(());
    }
    let near: Vec<Span> = changes.iter().map(|change| span_near(change)).collect();
    let touched_by = |rows: &Rows| touched_dates(&changes, rows.all(0), context.base_zone);
    let stored = transaction.glucose_near(&near).await?.into_iter().collect();
    let (dates, rows) =
        touched(transaction, &[METRIC], stored, &near, touched_by, span_to_read).await?;
    write(transaction, context, &dates, &rows).await
}

/// Computes and writes the figures of whole dates from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    dates: &BTreeSet<NaiveDate>,
) -> Result<(), StoreError> {
    let rows = read(transaction, &[METRIC], dates, &[], span_to_read).await?;
    write(transaction, context, dates, &rows).await
}

async fn write(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    dates: &BTreeSet<NaiveDate>,
    rows: &Rows,
) -> Result<(), StoreError> {
    let day =
        |date: &NaiveDate| (*date, figures(rows.within(0, span_to_read(*date)), *date, context));
    let days = guarded(|| dates.iter().map(day).collect())?;
    transaction.write_glucose(&days, fingerprint(context)).await
}
