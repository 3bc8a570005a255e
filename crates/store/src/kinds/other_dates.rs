//! Stored dates on which a changed row was counted, although it now belongs to another date.

use aggregation::{Timestamp, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, Date, Text, Timestamptz};

use crate::error::StoreError;
use crate::sql::statement::statement;
use crate::sql::time::to_postgres;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

statement! {
    /// Two days around: an instant's local dates in two zones differ by two at most. The condition on
    /// the other table is constant, so only the kind's own table is read. The rows of a date share few
    /// distinct bounds, however many analytes it has, so each pair of bounds is compared once.
    struct OtherDates<'a> {
        user_id: UserId => UserKey,
        kind: &'a str => Text,
        date: NaiveDate => Date,
        instants: Vec<PgTimestamp> => Array<Timestamptz>,
    } -> (Date)
    include_str!("other_dates.sql")
}

impl GroupTransaction<'_> {
    /// Stored dates of nutrition or labs other than `date` that contain one of the instants: a row may
    /// have been counted there while the profile had another zone.
    ///
    /// Vitals find such dates while they read, by the context stored with each day.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn other_dates(
        &mut self,
        date: NaiveDate,
        instants: &[Timestamp],
    ) -> Result<Vec<NaiveDate>, StoreError> {
        let read = OtherDates {
            user_id: self.user_id(),
            kind: self.kind().name(),
            date,
            instants: instants.iter().map(|instant| to_postgres(*instant)).collect(),
        };
        let rows: Vec<(NaiveDate,)> = self.read(read).await?;
        Ok(rows.into_iter().map(|(date,)| date).collect())
    }
}
