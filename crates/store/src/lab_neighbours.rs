//! The rows of `lab_daily` around a date: what a delta is taken from, and to.
//!
//! A group holds the lock of (labs, user), so that nobody else changes these rows meanwhile, and
//! commits the date's rows and the deltas behind them at once.

use aggregation::labs::{LabDay, Neighbours, NextDay, NextDelta};
use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Double, Nullable, Text};

use crate::error::StoreError;
use crate::statement::statement;
use crate::transaction::GroupTransaction;

statement! {
    /// Deletes what the date has no more and reads the neighbours of that and of what it has. Both
    /// see the table as it was before; the neighbours are of other dates, so nothing is missed.
    struct ClearAnalytes {
        user_id: i64 => BigInt,
        date: NaiveDate => Date,
        analytes: Vec<String> => Array<Text>,
        units: Vec<String> => Array<Text>,
    } -> (Text, Text, Nullable<Double>, Nullable<Date>, Nullable<Double>)
    "WITH asked AS MATERIALIZED (
         SELECT {user_id}::bigint AS user_id, {date}::date AS local_date
     ), kept AS MATERIALIZED (
         SELECT analyte, unit FROM unnest({analytes}::text[], {units}::text[]) AS k (analyte, unit)
     ), vanished AS (
         DELETE FROM lab_daily AS d
         USING asked AS a
         WHERE d.user_id = a.user_id AND d.local_date = a.local_date
           AND NOT EXISTS (
               SELECT FROM kept AS k WHERE k.analyte = d.analyte AND k.unit = d.unit)
         RETURNING d.analyte, d.unit
     )
     SELECT t.analyte, t.unit, previous.last_exact, next.local_date, next.last_exact
     FROM asked AS a
     CROSS JOIN (SELECT * FROM kept UNION ALL SELECT * FROM vanished) AS t
     LEFT JOIN LATERAL (
         SELECT CASE WHEN d.last_comparator IS NULL THEN d.last_value END AS last_exact
         FROM lab_daily AS d
         WHERE d.user_id = a.user_id AND d.analyte = t.analyte AND d.unit = t.unit
           AND d.local_date < a.local_date
         ORDER BY d.local_date DESC LIMIT 1) AS previous ON true
     LEFT JOIN LATERAL (
         SELECT d.local_date,
                CASE WHEN d.last_comparator IS NULL THEN d.last_value END AS last_exact
         FROM lab_daily AS d
         WHERE d.user_id = a.user_id AND d.analyte = t.analyte AND d.unit = t.unit
           AND d.local_date > a.local_date
         ORDER BY d.local_date LIMIT 1) AS next ON true"
}

statement! {
    /// Rows whose delta stays what it is are not written.
    struct UpdateDeltas {
        user_id: i64 => BigInt,
        dates: Vec<NaiveDate> => Array<Date>,
        analytes: Vec<String> => Array<Text>,
        units: Vec<String> => Array<Text>,
        deltas: Vec<Option<f64>> => Array<Nullable<Double>>,
        delta_percents: Vec<Option<f64>> => Array<Nullable<Double>>,
    } -> ()
    "UPDATE lab_daily AS d
     SET delta = n.delta, delta_percent = n.delta_percent, computed_at = now()
     FROM unnest({dates}::date[], {analytes}::text[], {units}::text[], {deltas}::float8[],
                 {delta_percents}::float8[])
          AS n (local_date, analyte, unit, delta, delta_percent)
     WHERE d.user_id = {user_id} AND d.local_date = n.local_date AND d.analyte = n.analyte
       AND d.unit = n.unit
       AND (d.delta, d.delta_percent) IS DISTINCT FROM (n.delta, n.delta_percent)"
}

impl GroupTransaction<'_> {
    /// Deletes the rows of a date that `days` no longer has, and reads the neighbours of every row
    /// that the date has or had.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clear_labs(
        &mut self,
        date: NaiveDate,
        days: &[LabDay],
    ) -> Result<Vec<Neighbours>, StoreError> {
        let clear = ClearAnalytes {
            user_id: self.user_id(),
            date,
            analytes: days.iter().map(|day| day.analyte.clone()).collect(),
            units: days.iter().map(|day| day.unit.clone()).collect(),
        };
        type Columns = (String, String, Option<f64>, Option<NaiveDate>, Option<f64>);
        let rows: Vec<Columns> = self.read(clear).await?;
        let neighbours = rows.into_iter().map(|(analyte, unit, previous, next, last)| Neighbours {
            analyte,
            unit,
            previous,
            next: next.map(|date| NextDay { date, last }),
        });
        Ok(neighbours.collect())
    }

    /// Writes the deltas of rows of later dates.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_deltas(&mut self, deltas: &[NextDelta]) -> Result<(), StoreError> {
        if deltas.is_empty() {
            return Ok(());
        }
        let update = UpdateDeltas {
            user_id: self.user_id(),
            dates: deltas.iter().map(|next| next.date).collect(),
            analytes: deltas.iter().map(|next| next.analyte.clone()).collect(),
            units: deltas.iter().map(|next| next.unit.clone()).collect(),
            deltas: deltas.iter().map(|next| next.delta.value).collect(),
            delta_percents: deltas.iter().map(|next| next.delta.percent).collect(),
        };
        self.write(update);
        Ok(())
    }
}
