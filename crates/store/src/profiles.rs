//! The profiles of users: what decides their figures beside the raw rows.

use std::collections::HashMap;

use diesel::sql_types::{Array, BigInt, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::statement::statement;
use crate::transaction::GroupTransaction;

/// A row of `user_profiles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `time_zone`, as written; it may not be a zone at all.
    pub time_zone: String,
    /// `source_priority`, best first.
    pub source_priority: Vec<String>,
}

statement! {
    struct ReadProfiles {
        user_ids: Vec<i64> => Array<BigInt>,
    } -> (BigInt, Text, Array<Nullable<Text>>)
    // The column takes arrays of any dimensions, which the driver does not read: one such profile
    // would fail the batch of everybody. unnest() gives the elements in their order.
    "SELECT user_id, time_zone, ARRAY(SELECT unnest(source_priority)) FROM user_profiles
     WHERE user_id = ANY ({user_ids})"
}

impl Store {
    /// The profiles of those of the users who have one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn profiles(&self, user_ids: Vec<i64>) -> Result<HashMap<i64, Profile>, StoreError> {
        let rows: Vec<Columns> = self.load("profiles", ReadProfiles { user_ids }).await?;
        Ok(rows.into_iter().map(profile).collect())
    }
}

impl GroupTransaction<'_> {
    /// The profile of the transaction's user, as the transaction sees it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn profile(&mut self) -> Result<Option<Profile>, StoreError> {
        let read = ReadProfiles { user_ids: vec![self.user_id()] };
        let rows: Vec<Columns> = self.read(read).await?;
        Ok(rows.into_iter().map(profile).map(|(_, profile)| profile).next())
    }
}

type Columns = (i64, String, Vec<Option<String>>);

fn profile((user_id, time_zone, sources): Columns) -> (i64, Profile) {
    let source_priority = sources.into_iter().flatten().collect();
    (user_id, Profile { time_zone, source_priority })
}
