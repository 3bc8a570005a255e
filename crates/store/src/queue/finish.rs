//! Deleting the sets that a group has done, in its transaction.

use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};

use super::{ChangeSet, SetKeys};
use crate::cte::CteStatement;
use crate::error::{ErrorClass, StoreError};
use crate::pool::Store;
use crate::profiles::{ProfileVersion, version_of_user};
use crate::rejected::Verdict;
use crate::statement::statement;
use crate::transaction::{FailedWrite, GroupTransaction, UnsentCommit};

statement! {
    /// Nothing but in the transaction that writes the figures.
    struct DeleteClaimed {
        kind: &'static str => Text,
        user_id: i64 => BigInt,
        token: i64 => BigInt,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
    } -> ()
    "DELETE FROM aggregation_queue AS q
     USING unnest({starts_at}::timestamptz[], {ids}::bigint[]) AS done (starts_at, id)
     WHERE q.user_id = {user_id} AND q.kind = {kind} AND q.starts_at = done.starts_at AND q.id = done.id
       AND q.lease_token = {token} AND q.state = 'processing'
       AND current_setting('dayfold.group', true) = 'begun'
     RETURNING true"
}

statement! {
    /// It fails where a set is missing, or the profile has changed, so that COMMIT can be sent with it:
    /// after a statement that failed, that is a ROLLBACK.
    struct AssertAllDeleted {
        count: i64 => BigInt,
        user_id: i64 => BigInt,
        profile: i64 => BigInt,
    } -> ()
    concat!(
        "SELECT 1 / (count(*) = {count} AND ",
        version_of_user!(),
        " = {profile})::integer FROM deleted"
    )
}

statement! {
    struct CountClaimed<'a> {
        kind: &'a str => Text,
        token: i64 => BigInt,
        user_ids: Vec<i64> => Array<BigInt>,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
    } -> (BigInt)
    "SELECT count(*)
     FROM unnest({user_ids}::bigint[], {starts_at}::timestamptz[], {ids}::bigint[])
              AS held (user_id, starts_at, id)
     JOIN aggregation_queue AS q
       ON q.user_id = held.user_id AND q.kind = {kind}
      AND q.starts_at = held.starts_at AND q.id = held.id
     WHERE q.lease_token = {token} AND q.state = 'processing'"
}

/// What must hold for a group to be committed.
#[derive(Clone, Debug)]
pub struct Finish {
    kind: &'static str,
    token: i64,
    user_id: i64,
    keys: SetKeys,
    profile: ProfileVersion,
}

impl<'p> GroupTransaction<'p> {
    /// Lists the group's rejected rows and deletes the sets that are done with it. Nothing of that is sent
    /// before the beginning of the next group, or [`UnsentCommit::commit`].
    ///
    /// Exactly the sets that were claimed: if a raw row has changed since, the change is in another set.
    ///
    /// # Errors
    /// If what was written before cannot be sent; then the transaction is rolled back.
    pub async fn finish<'s>(
        mut self,
        token: i64,
        sets: impl IntoIterator<Item = &'s ChangeSet>,
        verdicts: &[Verdict],
        profile: ProfileVersion,
    ) -> Result<UnsentCommit<'p>, FailedWrite> {
        self.record_verdicts(verdicts);
        let (kind, user_id) = (self.kind().name(), self.user_id());
        let keys: SetKeys = sets.into_iter().collect();
        let (starts_at, ids) = (keys.starts_at.clone(), keys.ids.clone());
        let all_deleted =
            AssertAllDeleted { count: ids.len() as i64, user_id, profile: profile.0 };
        let delete = DeleteClaimed { kind, user_id, token, starts_at, ids };
        let last = CteStatement::with("deleted", delete, all_deleted);
        let finish = Finish { kind, token, user_id, keys, profile };
        self.end_with(last, finish).await
    }
}

impl Store {
    /// Why a group was not committed: [`StoreError::LeaseLost`] if another worker has any of the sets by now,
    /// [`StoreError::Outdated`] if the user's profile is no longer of the version that was read.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn why_not_committed(&self, failed: FailedWrite) -> StoreError {
        // A division by zero has no class of its own.
        if !failed.is_last || failed.error.class() != ErrorClass::Database {
            return failed.error;
        }
        let Some(finish) = &failed.finish else { return failed.error };
        match self.broken_condition(finish).await {
            Ok(condition) => condition.unwrap_or(failed.error),
            Err(error) => error,
        }
    }

    async fn broken_condition(&self, finish: &Finish) -> Result<Option<StoreError>, StoreError> {
        let Finish { kind, token, user_id, keys, profile } = finish;
        let SetKeys { user_ids, starts_at, ids } = keys.clone();
        let count = CountClaimed { kind, token: *token, user_ids, starts_at, ids };
        let held: Vec<(i64,)> = self.load("claim", count).await?;
        if held.first().is_none_or(|(held,)| *held != keys.ids.len() as i64) {
            return Ok(Some(StoreError::LeaseLost));
        }
        let is_current = self.profile_version(*user_id).await? == *profile;
        Ok((!is_current).then_some(StoreError::Outdated))
    }
}
