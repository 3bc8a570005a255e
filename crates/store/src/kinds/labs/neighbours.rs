//! The rows of `lab_daily` before and after a date, which the deltas are computed from.
//!
//! A group holds the lock of (labs, user), so no other session changes these rows meanwhile. It commits
//! the date's rows and the later rows' deltas at once.

use aggregation::UserId;
use aggregation::labs::{LabDay, Neighbours, NextDay, NextDelta};
use chrono::NaiveDate;
use diesel::sql_types::{Array, Date, Double, Nullable, Text};

use crate::error::StoreError;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

/// The neighbours of the analytes and units `t`; `a` has the user and the date.
macro_rules! neighbours_of {
    ($from:literal) => {
        concat!(
            "SELECT t.analyte, t.unit, previous.last_exact, next.local_date, next.last_exact FROM ",
            $from,
            " LEFT JOIN LATERAL (
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
        )
    };
}

statement! {
    /// Deletes the date's outdated rows. Reads the neighbours of those and of the current rows. Both
    /// parts see the table as it was before; the neighbours are on other dates, so nothing is missed.
    ///
    /// NOT IN on columns that are never null uses a hash of the kept rows. Sessions disable hash joins,
    /// so NOT EXISTS would compare each row of the date with each kept row.
    struct ClearAnalytes {
        user_id: UserId => UserKey,
        date: NaiveDate => Date,
        analytes: Vec<String> => Array<Text>,
        units: Vec<String> => Array<Text>,
    } -> (Text, Text, Nullable<Double>, Nullable<Date>, Nullable<Double>)
    concat!("WITH asked AS MATERIALIZED (
         SELECT {user_id} AS user_id, {date}::date AS local_date
     ), kept AS MATERIALIZED (
         SELECT analyte, unit FROM unnest({analytes}::text[], {units}::text[]) AS k (analyte, unit)
     ), vanished AS (
         DELETE FROM lab_daily AS d
         USING asked AS a
         WHERE d.user_id = a.user_id AND d.local_date = a.local_date
           AND (d.analyte, d.unit) NOT IN (SELECT k.analyte, k.unit FROM kept AS k)
         RETURNING d.analyte, d.unit
     ) ", neighbours_of!("asked AS a
         CROSS JOIN (SELECT * FROM kept UNION ALL SELECT * FROM vanished) AS t"))
}

statement! {
    struct ReadNeighbours {
        user_id: UserId => UserKey,
        date: NaiveDate => Date,
        analytes: Vec<String> => Array<Text>,
        units: Vec<String> => Array<Text>,
    } -> (Text, Text, Nullable<Double>, Nullable<Date>, Nullable<Double>)
    neighbours_of!("(SELECT {user_id} AS user_id, {date}::date AS local_date) AS a
         CROSS JOIN unnest({analytes}::text[], {units}::text[]) AS t (analyte, unit)")
}

statement! {
    struct ReadKeys {
        user_id: UserId => UserKey,
        date: NaiveDate => Date,
    } -> (Text, Text)
    "SELECT analyte, unit FROM lab_daily WHERE user_id = {user_id} AND local_date = {date}"
}

statement! {
    /// Deletes rows of the date, and reads their neighbours.
    struct ClearThese {
        user_id: UserId => UserKey,
        date: NaiveDate => Date,
        analytes: Vec<String> => Array<Text>,
        units: Vec<String> => Array<Text>,
    } -> (Text, Text, Nullable<Double>, Nullable<Date>, Nullable<Double>)
    concat!(
        "WITH asked AS MATERIALIZED (
         SELECT {user_id} AS user_id, {date}::date AS local_date
     ), t AS (
         DELETE FROM lab_daily AS d
         USING asked AS a, unnest({analytes}::text[], {units}::text[]) AS k (analyte, unit)
         WHERE d.user_id = a.user_id AND d.local_date = a.local_date
           AND d.analyte = k.analyte AND d.unit = k.unit
         RETURNING d.analyte, d.unit
     ) ",
        neighbours_of!("asked AS a CROSS JOIN t")
    )
}

statement! {
    /// Rows whose delta is unchanged are not written.
    struct UpdateDeltas {
        user_id: UserId => UserKey,
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
       AND (d.delta, d.delta_percent) IS DISTINCT FROM (n.delta, n.delta_percent)
     RETURNING d.local_date"
}

impl GroupTransaction<'_> {
    /// Deletes the date's rows that are not in `days`. Reads the neighbours of the deleted and of the
    /// current rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clear_labs(
        &mut self,
        date: NaiveDate,
        days: &[LabDay],
    ) -> Result<Vec<Neighbours>, StoreError> {
        if self.only_computes() {
            return Ok(self.computed_neighbours(days));
        }
        let clear = ClearAnalytes {
            user_id: self.user_id(),
            date,
            analytes: days.iter().map(|day| day.analyte.clone()).collect(),
            units: days.iter().map(|day| day.unit.clone()).collect(),
        };
        let found = neighbours(self.read(clear).await?);
        // There is one for each current and each deleted row.
        if found.len() > days.len() {
            self.note_changed([date]);
        }
        Ok(found)
    }

    /// The neighbours of rows among figures that are not written. There are no later dates yet.
    fn computed_neighbours(&self, days: &[LabDay]) -> Vec<Neighbours> {
        let neighbours = |day: &LabDay| Neighbours {
            analyte: day.analyte.clone(),
            unit: day.unit.clone(),
            previous: self.noted_lab_value(&day.analyte, &day.unit),
            next: None,
        };
        days.iter().map(neighbours).collect()
    }

    /// Reads the neighbours of some of the date's rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn lab_neighbours(
        &mut self,
        date: NaiveDate,
        days: &[LabDay],
    ) -> Result<Vec<Neighbours>, StoreError> {
        if self.only_computes() {
            return Ok(self.computed_neighbours(days));
        }
        let read = ReadNeighbours {
            user_id: self.user_id(),
            date,
            analytes: days.iter().map(|day| day.analyte.clone()).collect(),
            units: days.iter().map(|day| day.unit.clone()).collect(),
        };
        Ok(neighbours(self.read(read).await?))
    }

    /// Visits the analyte and the unit of each of the date's rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn visit_lab_keys(
        &mut self,
        date: NaiveDate,
        mut visit: impl FnMut(String, String) + Send,
    ) -> Result<(), StoreError> {
        if self.only_computes() {
            return Ok(());
        }
        let read = ReadKeys { user_id: self.user_id(), date };
        self.read_each(read, |(analyte, unit): (String, String)| {
            visit(analyte, unit);
            Ok(())
        })
        .await
    }

    /// Deletes rows of the date by their analytes and units, and reads their neighbours.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clear_these_labs(
        &mut self,
        date: NaiveDate,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Neighbours>, StoreError> {
        let (analytes, units) = keys.into_iter().unzip();
        let clear = ClearThese { user_id: self.user_id(), date, analytes, units };
        let found = neighbours(self.read(clear).await?);
        if !found.is_empty() {
            self.note_changed([date]);
        }
        Ok(found)
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
        self.write_figures("lab_deltas", update, "SELECT local_date FROM lab_deltas");
        Ok(())
    }
}

type Columns = (String, String, Option<f64>, Option<NaiveDate>, Option<f64>);

fn neighbours(rows: Vec<Columns>) -> Vec<Neighbours> {
    let neighbours = |(analyte, unit, previous, next, last): Columns| Neighbours {
        analyte,
        unit,
        previous,
        next: next.map(|date| NextDay { date, last }),
    };
    rows.into_iter().map(neighbours).collect()
}
