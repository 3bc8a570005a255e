//! Deleting the sets that a group has done, in its transaction.

use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Integer, Text, Timestamptz};

use super::{ChangeSet, SetKeys};
use crate::cte::CteStatement;
use crate::error::{ErrorClass, StoreError};
use crate::pool::Store;
use crate::profiles::{ProfileVersion, version_of_user};
use crate::queue::rejected::Verdict;
use crate::statement::statement;
use crate::transaction::{FailedWrite, GroupTransaction, UnsentCommit};

/// Claimed sets of which so many dates are committed. Nothing but in the transaction that writes the figures.
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
                user_id: i64 => BigInt,
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

/// It fails where a set is not as the worker knows it, or the profile has changed, so that COMMIT can be sent with
/// it: after a statement that failed, that is a ROLLBACK.
macro_rules! assertion {
    ($name:ident, $parts:literal) => {
        statement! {
            struct $name {
                count: i64 => BigInt,
                user_id: i64 => BigInt,
                profile: i64 => BigInt,
            } -> ()
            concat!(
                "SELECT 1 / (count(*) = {count} AND ",
                version_of_user!(),
                " = {profile})::integer FROM ",
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

statement! {
    struct CountClaimed<'a> {
        kind: &'a str => Text,
        token: i64 => BigInt,
        user_ids: Vec<i64> => Array<BigInt>,
        starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
        ids: Vec<i64> => Array<BigInt>,
        dates_done: Vec<i32> => Array<Integer>,
    } -> (BigInt)
    "SELECT count(*)
     FROM unnest({user_ids}::bigint[], {starts_at}::timestamptz[], {ids}::bigint[], {dates_done}::integer[])
              AS held (user_id, starts_at, id, dates_done)
     JOIN aggregation_queue AS q
       ON q.user_id = held.user_id AND q.kind = {kind}
      AND q.starts_at = held.starts_at AND q.id = held.id
     WHERE q.lease_token = {token} AND q.state = 'processing' AND q.dates_done = held.dates_done"
}

/// A set in a group.
#[derive(Clone, Copy, Debug)]
pub struct SetOfGroup<'s> {
    /// The set.
    pub set: &'s ChangeSet,
    /// How many of its dates were committed before, since it was claimed.
    pub dates_done: i32,
    /// Whether the group is the last one with rows of it.
    pub is_last: bool,
}

/// What must hold for a group to be committed.
#[derive(Clone, Debug)]
pub struct Finish {
    kind: &'static str,
    token: i64,
    user_id: i64,
    keys: SetKeys,
    dates_done: Vec<i32>,
    profile: ProfileVersion,
}

impl<'p> GroupTransaction<'p> {
    /// Lists the group's rejected rows, deletes the sets that are done with it, and counts the date in the others.
    /// Nothing of that is sent before the beginning of the next group, or [`UnsentCommit::commit`].
    ///
    /// Exactly the sets that were claimed: if a raw row has changed since, the change is in another set. That the
    /// database has counted the same dates matters where a server has crashed: it may have forgotten the commit of
    /// an earlier date, and the set would be deleted without it.
    ///
    /// # Errors
    /// If what was written before cannot be sent; then the transaction is rolled back.
    pub async fn finish(
        mut self,
        token: i64,
        sets: &[SetOfGroup<'_>],
        verdicts: &[Verdict],
        profile: ProfileVersion,
    ) -> Result<UnsentCommit<'p>, FailedWrite> {
        self.record_verdicts(verdicts);
        let (kind, user_id) = (self.kind().name(), self.user_id());
        macro_rules! on_claimed {
            ($statement:ident, $sets:expr) => {{
                let sets: Vec<&SetOfGroup<'_>> = $sets.collect();
                let SetKeys { starts_at, ids, .. } = sets.iter().map(|of| of.set).collect();
                let dates_done = sets.iter().map(|of| of.dates_done).collect();
                $statement { kind, user_id, token, starts_at, ids, dates_done }
            }};
        }
        let delete = on_claimed!(DeleteClaimed, sets.iter().filter(|of| of.is_last));
        let (count, profile_hash) = (sets.len() as i64, profile.0);
        let last = if sets.iter().all(|of| of.is_last) {
            let assertion = AssertDeleted { count, user_id, profile: profile_hash };
            CteStatement::with("deleted", delete, assertion)
        } else {
            let count_date = on_claimed!(CountDate, sets.iter().filter(|of| !of.is_last));
            self.write_part("date_counted", count_date);
            let assertion = AssertDeletedAndCounted { count, user_id, profile: profile_hash };
            CteStatement::with("deleted", delete, assertion)
        };
        let keys = sets.iter().map(|of| of.set).collect();
        let dates_done = sets.iter().map(|of| of.dates_done).collect();
        let finish = Finish { kind, token, user_id, keys, dates_done, profile };
        self.end_with(last, finish).await
    }
}

impl Store {
    /// Why a group was not committed: [`StoreError::LeaseLost`] if another worker has any of the sets by now, or the
    /// server has crashed and forgotten an earlier date of one,
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
        let Finish { kind, token, user_id, keys, dates_done, profile } = finish;
        let SetKeys { user_ids, starts_at, ids } = keys.clone();
        let dates_done = dates_done.clone();
        let count = CountClaimed { kind, token: *token, user_ids, starts_at, ids, dates_done };
        let held: Vec<(i64,)> = self.load("claim", count).await?;
        if held.first().is_none_or(|(held,)| *held != keys.ids.len() as i64) {
            return Ok(Some(StoreError::LeaseLost));
        }
        let is_current = self.profile_version(*user_id).await? == *profile;
        Ok((!is_current).then_some(StoreError::Outdated))
    }
}
