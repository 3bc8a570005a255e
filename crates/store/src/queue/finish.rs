//! Deletes the sets that a group has completed, in the transaction of the group.

use aggregation::UserId;
use diesel::data_types::PgTimestamp;
use diesel::query_builder::QueryId;
use diesel::sql_types::{Array, BigInt, Integer, Text, Timestamptz};

use super::{ChangeSet, SetKeys};
use crate::cte::CteStatement;
use crate::error::StoreError;
use crate::profiles::{ProfileVersion, version_of_user};
use crate::queue::rejected::Verdict;
use crate::sql::user_key::UserKey;
use crate::statement::statement;
use crate::transaction::{GroupTransaction, UnsentCommit};

/// Claimed sets with the given number of committed dates. Only the transaction that writes the figures
/// uses this.
macro_rules! claimed {
    () => {
        " unnest({starts_at}::timestamptz[], {ids}::bigint[], {dates_done}::integer[])
               AS claimed (starts_at, id, dates_done)
          WHERE q.user_id = {user_id} AND q.kind = {kind}
            AND q.starts_at = claimed.starts_at AND q.id = claimed.id
            AND q.lease_token = {token} AND q.state = 'processing' AND q.dates_done = claimed.dates_done
            AND current_setting('dayfold.group', true) = 'begun'
          RETURNING true"
    };
}

macro_rules! claimed_statement {
    ($name:ident, $begins:literal) => {
        statement! {
            struct $name {
                kind: &'static str => Text,
                user_id: UserId => UserKey,
                token: i64 => BigInt,
                starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
                ids: Vec<i64> => Array<BigInt>,
                dates_done: Vec<i32> => Array<Integer>,
            } -> ()
            concat!($begins, claimed!())
        }
    };
}

claimed_statement!(DeleteClaimed, "DELETE FROM aggregation_queue AS q USING");
claimed_statement!(
    CountDate,
    "UPDATE aggregation_queue AS q SET dates_done = q.dates_done + 1 FROM"
);

/// The statement fails if a set is not as the worker knows it, or if the profile has changed. Its SQLSTATE says which.
/// COMMIT is sent with it, because after a failed statement COMMIT is a ROLLBACK.
macro_rules! assertion {
    ($name:ident, $parts:literal) => {
        statement! {
            struct $name {
                count: i64 => BigInt,
                user_id: UserId => UserKey,
                profile: i64 => BigInt,
            } -> ()
            concat!(
                "SELECT CASE
                     WHEN count(*) <> {count} THEN aggregation_fail('DF001', 'claim_is_held')
                     WHEN {profile} <> ", version_of_user!(), "
                         THEN aggregation_fail('DF002', 'profile_is_unchanged')
                 END
                 FROM ",
                $parts
            )
        }
    };
}

assertion!(AssertDeleted, "deleted");
assertion!(
    AssertDeletedAndCounted,
    "(SELECT FROM deleted UNION ALL SELECT FROM date_counted) AS done"
);

/// A set in a group.
#[derive(Clone, Copy, Debug)]
pub struct SetOfGroup<'s> {
    /// The set.
    pub set: &'s ChangeSet,
    /// Number of its dates committed since it was claimed.
    pub dates_done: i32,
    /// Whether no later group has rows of the set.
    pub is_last: bool,
}

impl<'p> GroupTransaction<'p> {
    /// Lists the group's rejected rows, deletes the completed sets, and counts the date in the others.
    /// These statements are sent with the beginning of the next group, or with [`UnsentCommit::commit`].
    ///
    /// It deletes exactly the claimed sets: a later change of a raw row is in another set. The database
    /// must have counted the same dates, because a crashed server may have lost the commit of an earlier
    /// date. Without this check the set would be deleted without that date's figures.
    ///
    /// # Errors
    /// If an earlier write cannot be sent; then the transaction is rolled back.
    pub async fn finish(
        mut self,
        token: i64,
        sets: &[SetOfGroup<'_>],
        verdicts: &[Verdict],
        profile: ProfileVersion,
    ) -> Result<UnsentCommit<'p>, StoreError> {
        self.record_verdicts(verdicts);
        let (kind, user_id) = (self.kind().name(), self.user_id());
        macro_rules! on_claimed {
            ($statement:ident, $sets:expr) => {{
                let sets: Vec<&SetOfGroup<'_>> = $sets.collect();
                let SetKeys { starts_at, ids, .. } = sets.iter().map(|of| of.set).collect();
                let dates_done = sets.iter().map(|of| of.dates_done).collect();
                $statement { kind, user_id: user_id.clone(), token, starts_at, ids, dates_done }
            }};
        }
        let delete = on_claimed!(DeleteClaimed, sets.iter().filter(|of| of.is_last));
        let (count, profile_hash) = (sets.len() as i64, profile.0);
        let last = if sets.iter().all(|of| of.is_last) {
            let assertion = AssertDeleted { count, user_id, profile: profile_hash };
            CteStatement::with("deleted", delete, assertion)
        } else {
            let count_date = on_claimed!(CountDate, sets.iter().filter(|of| !of.is_last));
            let assertion = AssertDeletedAndCounted { count, user_id, profile: profile_hash };
            let mut last = CteStatement::with("deleted", delete, assertion);
            last.add("date_counted", CountDate::query_id(), Box::new(count_date));
            last
        };
        self.end_with(last).await
    }
}
