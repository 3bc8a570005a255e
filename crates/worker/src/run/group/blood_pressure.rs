//! Blood pressure: the measurements of the dates that the group's changes affect.

use std::collections::BTreeSet;

use aggregation::blood_pressure::{
    METRICS, figures, fingerprint, span_near, span_to_read, touched_dates,
};
use aggregation::vitals::scope::Span;
use aggregation::vitals::{Change, Context};
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError};

use super::guarded;
use super::whole_days::{Rows, of_metrics, read, touched};

/// Computes and writes the figures affected by changed rows; does nothing if none is of blood pressure.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    changes: &[Change],
) -> Result<(), StoreError> {
    let changes = of_metrics(changes, &METRICS);
    if changes.is_empty() {
        return Ok(());
    }
    let near: Vec<Span> = changes.iter().map(|change| span_near(change)).collect();
    let touched_by = |rows: &Rows| {
        touched_dates(
            &changes,
            [0, 1].into_iter().flat_map(|metric| rows.all(metric)),
            context.base_zone,
        )
    };
    let stored = transaction.blood_pressure_near(&near).await?.into_iter().collect();
    let (dates, rows) =
        touched(transaction, &METRICS, stored, &near, touched_by, span_to_read).await?;
    write(transaction, context, &dates, &rows).await
}

/// Computes and writes the figures of whole dates from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    dates: &BTreeSet<NaiveDate>,
) -> Result<(), StoreError> {
    let rows = read(transaction, &METRICS, dates, &[], span_to_read).await?;
    write(transaction, context, dates, &rows).await
}

async fn write(
    transaction: &mut GroupTransaction<'_>,
    context: &Context<'_>,
    dates: &BTreeSet<NaiveDate>,
    rows: &Rows,
) -> Result<(), StoreError> {
    let day = |date: &NaiveDate| {
        let [systolic, diastolic] = [0, 1].map(|metric| rows.within(metric, span_to_read(*date)));
        (*date, figures(systolic, diastolic, *date, context))
    };
    let days = guarded(|| dates.iter().map(day).collect())?;
    transaction.write_blood_pressure(&days, fingerprint(context)).await
}
