//! The profiles of users: what decides their figures beside the raw rows.

use std::collections::HashMap;

use diesel::sql_types::{Array, BigInt, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::raw_text::RawText;
use crate::sql::statement::statement;
use crate::transaction::GroupTransaction;

/// A row of `user_profiles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `time_zone`, as written; it may not be a zone at all.
    pub time_zone: String,
    /// `source_priority`, best first, with the names folded as those of rows are.
    pub source_priority: Vec<String>,
    /// Which state of the row this is.
    pub version: ProfileVersion,
}

/// Tells a profile from what it was before: a hash of all that decides figures. By default, that there is
/// no profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileVersion(pub(crate) i64);

/// The zone of the row at hand. One that is too long for a zone is not read, and is as unknown as this text.
macro_rules! zone {
    () => {
        "CASE WHEN octet_length(time_zone::text) > 1024 THEN '(too long)' ELSE time_zone::text END"
    };
}

/// The sources of the row at hand, of which the first 256 count, without those that no raw row may have.
///
/// The column takes arrays of any dimensions, which the driver does not read: one such profile
/// would fail the batch of everybody. unnest() gives the elements in their order.
macro_rules! sources {
    () => {
        "ARRAY(SELECT name
               FROM (SELECT unnest(source_priority)::text AS name LIMIT 256) AS first_names
               WHERE octet_length(name) <= 1024)"
    };
}

/// The version of the row at hand.
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
        user_ids: Vec<i64> => Array<BigInt>,
    } -> (BigInt, Text, Array<Nullable<Text>>, BigInt)
    concat!(
        "SELECT user_id::bigint, ",
        zone!(),
        ", ",
        sources!(),
        ", ",
        version!(),
        " FROM user_profiles WHERE user_id = ANY ({user_ids})"
    )
}

statement! {
    struct ReadVersion {
        user_id: i64 => BigInt,
    } -> (BigInt)
    concat!("SELECT ", version_of_user!())
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

    /// Which state a user's profile is in.
    pub(crate) async fn profile_version(&self, user_id: i64) -> Result<ProfileVersion, StoreError> {
        let read: Vec<(i64,)> = self.load("profiles", ReadVersion { user_id }).await?;
        Ok(ProfileVersion(read.first().map_or(0, |(version,)| *version)))
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

type Columns = (i64, RawText, Vec<Option<RawText>>, i64);

fn profile((user_id, time_zone, sources, version): Columns) -> (i64, Profile) {
    let source_priority = sources.into_iter().flatten().map(RawText::into_source).collect();
    (
        user_id,
        Profile { time_zone: time_zone.into(), source_priority, version: ProfileVersion(version) },
    )
}
