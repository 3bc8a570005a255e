//! The profiles of users: the settings that affect figures besides the raw rows, and the dates whose figures
//! are frozen.

use aggregation::UserId;
use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::raw_text::RawText;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

/// A row of `user_profiles`, or the defaults of a user without one, and the user's frozen dates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// `time_zone`, as written; it may be no valid zone. `None` if the user has no profile.
    pub time_zone: Option<String>,
    /// `source_priority`, best first, folded like the source names of rows.
    pub source_priority: Vec<String>,
    /// The figures of earlier local dates are frozen; `None` if none are.
    pub frozen_before: Option<NaiveDate>,
    /// The version of all of this.
    pub version: ProfileVersion,
}

/// Identifies a state of a profile: a hash of all columns that affect figures, and of the date before which
/// figures are frozen. The default means that there is neither.
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

/// The date before which the figures of this user are frozen: the later one of the user's own and that for all.
/// NULL if there is neither.
macro_rules! frozen_before {
    ($user_id:literal) => {
        concat!(
            "greatest((SELECT frozen_before FROM frozen_figures),
                      (SELECT frozen_before FROM frozen_figures_of_users AS of_user
                       WHERE of_user.user_id = ",
            $user_id,
            "))"
        )
    };
}

/// The hash of that date; 0 if there is none.
macro_rules! frozen_version {
    ($user_id:literal) => {
        concat!(
            "coalesce(hashint8extended((",
            crate::profiles::frozen_before!($user_id),
            " - date '2000-01-01')::bigint, 0), 0)"
        )
    };
}

/// The version of the profile of `{user_id}`.
macro_rules! version_of_user {
    () => {
        concat!(
            "coalesce((SELECT ",
            crate::profiles::version!(),
            " FROM user_profiles WHERE user_id = {user_id}), 0) # ",
            crate::profiles::frozen_version!("{user_id}")
        )
    };
}

pub(crate) use {frozen_before, frozen_version, sources, version, version_of_user, zone};

statement! {
    struct ReadProfiles {
        user_ids: Vec<UserId> => Array<UserKey>,
    } -> (UserKey, Nullable<Text>, Array<Nullable<Text>>, Nullable<Date>, BigInt)
    concat!(
        "SELECT asked.user_id::user_key, ",
        zone!(),
        ", ",
        sources!(),
        ", ",
        frozen_before!("asked.user_id"),
        ", CASE WHEN profile.user_id IS NULL THEN 0 ELSE ",
        version!(),
        " END # ",
        frozen_version!("asked.user_id"),
        " FROM unnest({user_ids}) AS asked (user_id)
          LEFT JOIN user_profiles AS profile ON profile.user_id = asked.user_id"
    )
}

statement! {
    /// Fails if the profile has changed since it was read. Sent last, so that no figure is written that follows
    /// from the former one.
    struct AssertProfile {
        user_id: UserId => UserKey,
        profile: i64 => BigInt,
    } -> ()
    concat!(
        "SELECT CASE WHEN {profile} <> ",
        version_of_user!(),
        " THEN aggregation_fail('DF002', 'profile_is_unchanged') END"
    )
}

impl Store {
    /// The profiles of the given users.
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
    pub async fn profile(&mut self) -> Result<Profile, StoreError> {
        let read = ReadProfiles { user_ids: vec![self.user_id()] };
        let rows: Vec<Columns> = self.read(read).await?;
        Ok(rows.into_iter().map(profile).map(|(_, profile)| profile).next().unwrap_or_default())
    }

    /// Has the transaction fail, with the class `outdated`, unless the user's profile is of this version at its
    /// end. The call comes after all writes.
    pub fn assert_profile(&mut self, version: ProfileVersion) {
        self.write(AssertProfile { user_id: self.user_id(), profile: version.0 });
    }
}

type Columns = (UserId, Option<RawText>, Vec<Option<RawText>>, Option<NaiveDate>, i64);

fn profile((user_id, time_zone, sources, frozen_before, version): Columns) -> (UserId, Profile) {
    let profile = Profile {
        time_zone: time_zone.map(Into::into),
        source_priority: sources.into_iter().flatten().map(RawText::into_source).collect(),
        frozen_before,
        version: ProfileVersion(version),
    };
    (user_id, profile)
}
