//! The profiles of users: the settings that affect figures besides the raw rows.

use aggregation::UserId;
use std::collections::HashMap;

use diesel::sql_types::{Array, BigInt, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::raw_text::RawText;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

/// A row of `user_profiles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `time_zone`, as written; it may be no valid zone.
    pub time_zone: String,
    /// `source_priority`, best first, folded like the source names of rows.
    pub source_priority: Vec<String>,
    /// The version of the row.
    pub version: ProfileVersion,
}

/// Identifies a state of a profile: a hash of all columns that affect figures. The default means that
/// there is no profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileVersion(pub(crate) i64);

/// The zone of the current row. A zone over the length limit is not read. This text replaces it, and is
/// as unknown.
macro_rules! zone {
    () => {
        "CASE WHEN octet_length(time_zone::text) > 1024 THEN '(too long)' ELSE time_zone::text END"
    };
}

/// The sources of the current row. Only the first 256 count, without those that no raw row may have.
///
/// The column accepts arrays of any dimensions, which the driver cannot read: one such profile would
/// fail the whole batch. unnest() returns the elements in order.
macro_rules! sources {
    () => {
        "ARRAY(SELECT name
               FROM (SELECT unnest(source_priority)::text AS name LIMIT 256) AS first_names
               WHERE octet_length(name) <= 1024)"
    };
}

/// The version of the current row.
macro_rules! version {
    () => {
        concat!(
            "hashtextextended(ROW(",
            crate::profiles::zone!(),
            ", ",
            crate::profiles::sources!(),
            ")::text, 0)"
        )
    };
}

/// The version of the profile of `{user_id}`.
macro_rules! version_of_user {
    () => {
        concat!(
            "coalesce((SELECT ",
            crate::profiles::version!(),
            " FROM user_profiles WHERE user_id = {user_id}), 0)"
        )
    };
}

pub(crate) use {sources, version, version_of_user, zone};

statement! {
    struct ReadProfiles {
        user_ids: Vec<UserId> => Array<UserKey>,
    } -> (UserKey, Text, Array<Nullable<Text>>, BigInt)
    concat!(
        "SELECT user_id::user_key, ",
        zone!(),
        ", ",
        sources!(),
        ", ",
        version!(),
        " FROM user_profiles WHERE user_id = ANY ({user_ids})"
    )
}

impl Store {
    /// The profiles of the given users, as far as they exist.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn profiles(
        &self,
        user_ids: Vec<UserId>,
    ) -> Result<HashMap<UserId, Profile>, StoreError> {
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

type Columns = (UserId, RawText, Vec<Option<RawText>>, i64);

fn profile((user_id, time_zone, sources, version): Columns) -> (UserId, Profile) {
    let source_priority = sources.into_iter().flatten().map(RawText::into_source).collect();
    (
        user_id,
        Profile { time_zone: time_zone.into(), source_priority, version: ProfileVersion(version) },
    )
}
