//! Settles claimed sets that are not finished; each step is committed at once.

use std::time::Duration;

use aggregation::{Kind, UserId};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};

use super::{ChangeSet, Failed, SetKeys};
use crate::error::StoreError;
use crate::pool::Store;
use crate::queue::retry::RetryPolicy;
use crate::sql::user_key::UserKey;
use crate::statement::statement;

/// A change of claimed sets, found by their keys and guarded by the token.
macro_rules! update_claimed {
    ($set:expr) => {
        update_claimed!($set, "")
    };
    ($set:expr, $returning:literal) => {
        concat!(
            "UPDATE aggregation_queue AS q SET ",
            $set,
            " FROM unnest({user_ids}, {starts_at}::timestamptz[], {ids}::bigint[])
                       AS held (user_id, starts_at, id)
              WHERE q.user_id = held.user_id AND q.kind = {kind}
                AND q.starts_at = held.starts_at AND q.id = held.id
                AND q.lease_token = {token} AND q.state = 'processing' ",
            $returning
        )
    };
}

macro_rules! claimed_statement {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $rust:ty => $sql_type:ty),* } -> ($($column:ty),*) $sql:expr) => {
        statement! {
            $(#[$meta])*
            struct $name<'a> {
                kind: &'a str => Text,
                token: i64 => BigInt,
                user_ids: Vec<UserId> => Array<UserKey>,
                starts_at: Vec<PgTimestamp> => Array<Timestamptz>,
                ids: Vec<i64> => Array<BigInt>,
                $($field: $rust => $sql_type,)*
            } -> ($($column),*)
            $sql
        }
    };
}

claimed_statement! {
    /// The time of the next attempt is in a SELECT of its own: Citus plans no modification with now() in a CASE or
    /// beside a column.
    FailSets {
        max_attempts: i32 => Integer,
        backoff_first: f64 => Double,
        backoff_max: f64 => Double,
        error: &'a str => Text
    } -> (Bool, Integer, Integer)
    update_claimed!(
        "attempts = q.attempts + 1,
         state = CASE WHEN q.attempts + 1 >= {max_attempts} THEN 'dead' ELSE 'pending' END,
         not_before = (SELECT CASE
             WHEN q.attempts + 1 >= {max_attempts} THEN timestamptz 'infinity'
             ELSE now() + make_interval(secs => least(
                 {backoff_max}, {backoff_first} * power(2, least(q.attempts, 30))))
         END),
         lease_token = NULL, lease_expires_at = NULL, last_error = {error}",
        "RETURNING q.state = 'dead', q.attempts, cardinality(q.raw_ids)"
    )
}

claimed_statement! {
    GiveUpSets {} -> ()
    update_claimed!(
        "state = 'dead', not_before = 'infinity', lease_token = NULL, lease_expires_at = NULL,
         last_error = 'lease_expired'"
    )
}

claimed_statement! {
    ReleaseSets {
        pause_seconds: Option<f64> => Nullable<Double>,
        error: Option<&'a str> => Nullable<Text>
    } -> ()
    update_claimed!(
        "state = 'pending', lease_token = NULL, lease_expires_at = NULL,
         last_error = coalesce({error}, q.last_error),
         not_before = (SELECT coalesce(now() + make_interval(secs => {pause_seconds}), q.not_before))"
    )
}

claimed_statement! {
    RenewLease { lease_seconds: f64 => Double } -> ()
    update_claimed!("lease_expires_at = now() + make_interval(secs => {lease_seconds})")
}

statement! {
    /// Sets that would be due too late, because the server's clock was ahead when they were written. A
    /// set is never queued in the future, and never waits longer than the maximum back-off.
    ///
    /// For each kind this reads the index from the current time on, past the sets in back-off, and stops
    /// before the dead ones at infinity. So it never reads sets that are due.
    struct DateBack {
        longest_wait: f64 => Double,
        step: i64 => BigInt,
    } -> (Integer)
    include_str!("date_back.sql")
}

/// Runs a statement on claimed sets.
macro_rules! on_claimed {
    ($statement:ident, $kind:expr, $token:expr, $sets:expr $(, $field:ident: $value:expr)*) => {{
        let SetKeys { user_ids, starts_at, ids } = $sets.into_iter().collect();
        $statement { kind: $kind.name(), token: $token, user_ids, starts_at, ids $(, $field: $value)* }
    }};
}

impl Store {
    /// Records a failed attempt of claimed sets: they go into back-off, or are dead after the last
    /// attempt. `label` is [`StoreError::label`].
    ///
    /// # Errors
    /// If the database fails; then the lease expires and the sets are claimed again.
    pub async fn fail<'s>(
        &self,
        kind: Kind,
        token: i64,
        sets: impl IntoIterator<Item = &'s ChangeSet>,
        label: &str,
        policy: RetryPolicy,
    ) -> Result<Failed, StoreError> {
        let statement = on_claimed!(
            FailSets, kind, token, sets,
            max_attempts: policy.max_attempts,
            backoff_first: policy.first.as_secs_f64(),
            backoff_max: policy.max.as_secs_f64(),
            error: label
        );
        let sets: Vec<(bool, i32, i32)> = self.load("fail", statement).await?;
        let mut failed = Failed::default();
        for (is_dead, attempts, rows) in sets {
            if is_dead {
                failed.dead += rows as u32;
            } else {
                failed.attempts = failed.attempts.max(attempts);
            }
        }
        Ok(failed)
    }

    /// Marks claimed sets as dead, because each worker that held them ended.
    ///
    /// # Errors
    /// If the database fails; then the lease expires and the sets are claimed again.
    pub async fn give_up<'s>(
        &self,
        kind: Kind,
        token: i64,
        sets: impl IntoIterator<Item = &'s ChangeSet>,
    ) -> Result<(), StoreError> {
        self.execute("fail", on_claimed!(GiveUpSets, kind, token, sets)).await?;
        Ok(())
    }

    /// Releases claimed sets, due at once. An interruption is not a failure, so no attempt is counted.
    ///
    /// # Errors
    /// If the database fails; then the lease expires and the sets are claimed again.
    pub async fn release<'s>(
        &self,
        kind: Kind,
        token: i64,
        sets: impl IntoIterator<Item = &'s ChangeSet>,
    ) -> Result<(), StoreError> {
        // They may precede the oldest set that claims have seen meanwhile.
        self.scan_window(Some(kind)).require_full_scan();
        self.scan_window(None).require_full_scan();
        self.execute(
            "release",
            on_claimed!(
                ReleaseSets, kind, token, sets, pause_seconds: None, error: None
            ),
        )
        .await?;
        Ok(())
    }

    /// Gives claimed sets back, to be claimed again after a pause. No attempt is counted. `label` is
    /// [`StoreError::label`] of what they wait for.
    ///
    /// # Errors
    /// As [`Store::release`].
    pub async fn snooze<'s>(
        &self,
        kind: Kind,
        token: i64,
        sets: impl IntoIterator<Item = &'s ChangeSet>,
        pause: Duration,
        label: &str,
    ) -> Result<(), StoreError> {
        let release = on_claimed!(
            ReleaseSets, kind, token, sets,
            pause_seconds: Some(pause.as_secs_f64()),
            error: Some(label)
        );
        self.execute("release", release).await?;
        Ok(())
    }

    /// Extends the lease on claimed sets to `lease` from now.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker holds any of them now.
    pub async fn renew<'s>(
        &self,
        kind: Kind,
        token: i64,
        sets: impl IntoIterator<Item = &'s ChangeSet>,
        lease: Duration,
    ) -> Result<(), StoreError> {
        let statement =
            on_claimed!(RenewLease, kind, token, sets, lease_seconds: lease.as_secs_f64());
        let held = statement.ids.len();
        let renewed = self.execute("renew", statement).await?;
        if renewed == held { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    /// Makes sets due that were dated in the future while the server's clock was ahead. Returns the
    /// number of their raw rows. `longest_wait` is the maximum back-off of a failed set.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn date_back(&self, longest_wait: Duration) -> Result<u64, StoreError> {
        const STEP: usize = 1_000;
        let mut dated_back = 0;
        loop {
            let longest_wait = longest_wait.as_secs_f64();
            let step: Vec<(i32,)> =
                self.load("queue", DateBack { longest_wait, step: STEP as i64 }).await?;
            dated_back += step.iter().map(|(rows,)| *rows as u64).sum::<u64>();
            if step.len() < STEP {
                return Ok(dated_back);
            }
        }
    }
}
