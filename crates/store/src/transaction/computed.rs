//! Computing figures without writing them, for `verify`.
//!
//! A transaction that only computes finds no stored figures, and keeps an image of each row that it would write.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel_async::RunQueryDsl;
use futures_util::future::try_join_all;

use super::GroupTransaction;
use super::distributed::{NamedRows, SharedRows};
use crate::error::StoreError;
use crate::sql::figure_table::{ComputedImages, FigureTable, ImageColumns, Upsert};

/// The figures that were computed and not compared yet.
#[derive(Default)]
pub(super) struct Computed {
    /// Queries for images that are not sent yet.
    unsent: Vec<ComputedImages>,
    images: Vec<ImageColumns>,
    /// The last exact value of each analyte and unit, on the latest date that was computed. The key is a hash,
    /// because an app decides how many names there are, and how long they are.
    lab_values: HashMap<u64, Option<f64>>,
}

impl GroupTransaction<'_> {
    /// From now on figures are computed and not written.
    pub(crate) fn only_compute(&mut self) {
        self.computed = Some(Box::default());
    }

    /// Whether figures are computed and not written.
    pub(crate) const fn only_computes(&self) -> bool {
        self.computed.is_some()
    }

    /// Forgets the computed figures; those of labs, on which later dates depend, only if `also_labs`.
    pub(crate) fn forget_computed(&mut self, also_labs: bool) {
        let Some(computed) = &mut self.computed else { return };
        computed.unsent.clear();
        computed.images = Vec::new();
        if also_labs {
            computed.lab_values = HashMap::new();
        }
    }

    /// Defers a statement that writes the rows of a query, over those of the same keys. `changed` is as in
    /// [`GroupTransaction::write_figures`].
    pub(crate) fn write_rows<S>(
        &mut self,
        part: &'static str,
        (table, rows): (&'static FigureTable, S),
        changed: &'static str,
    ) where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        match &mut self.computed {
            Some(computed) => {
                computed.unsent.push(ComputedImages { table, rows: Box::new(rows) });
            }
            None if self.is_distributed && self.records_changes => {
                let rows = Arc::new(rows);
                let asked = NamedRows { table, rows: Arc::<S>::clone(&rows) };
                let write = Upsert { table, rows: SharedRows(rows) };
                self.defer(write, Some(part), Some(changed), Some(asked));
            }
            None => self.write_figures(part, Upsert { table, rows }, changed),
        }
    }

    /// Reads the images of the computed rows, in one message.
    pub(super) async fn read_images(&mut self) -> Result<(), StoreError> {
        let Some(computed) = &mut self.computed else { return Ok(()) };
        let connection = &self.connection;
        let read = move |images: ComputedImages| async move {
            let mut shared = &**connection;
            let rows: QueryResult<Vec<ImageColumns>> = RunQueryDsl::load(images, &mut shared).await;
            rows.map_err(|cause| connection.error(cause))
        };
        let unsent = std::mem::take(&mut computed.unsent);
        let images = try_join_all(unsent.into_iter().map(read)).await?;
        computed.images.extend(images.into_iter().flatten());
        Ok(())
    }

    /// Takes the images of the rows that were computed for these dates. Other images are dropped.
    pub(crate) async fn take_images(
        &mut self,
        dates: &[NaiveDate],
    ) -> Result<Vec<ImageColumns>, StoreError> {
        self.read_images().await?;
        let Some(computed) = &mut self.computed else { return Ok(Vec::new()) };
        let dates: BTreeSet<&NaiveDate> = dates.iter().collect();
        let mut images = std::mem::take(&mut computed.images);
        images.retain(|(_, date, ..)| dates.contains(date));
        Ok(images)
    }

    /// Keeps the exact values of analytes and units, if figures are not written. Dates are computed in their order.
    pub(crate) fn note_lab_values<'v>(
        &mut self,
        values: impl Iterator<Item = (&'v str, &'v str, Option<f64>)>,
    ) {
        if let Some(computed) = &mut self.computed {
            let hashed = values.map(|(analyte, unit, value)| (hash(&(analyte, unit)), value));
            computed.lab_values.extend(hashed);
        }
    }

    /// The exact value of an analyte and unit on the date before; `None` if there is none.
    pub(crate) fn noted_lab_value(&self, analyte: &str, unit: &str) -> Option<f64> {
        let computed = self.computed.as_ref()?;
        computed.lab_values.get(&hash(&(analyte, unit))).copied().flatten()
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
