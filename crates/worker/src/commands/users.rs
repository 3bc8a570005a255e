//! Walks over the users in order of their ids.

use std::ops::{AsyncFn, AsyncFnOnce};

use aggregation::{Kind, UserId};
use chrono::NaiveDate;
use indicatif::ProgressBar;
use store::{Store, StoreError, UserKinds};
use tokio::sync::{Mutex, MutexGuard};

use crate::progress;
use crate::run::group::rebuild::Dates;
use crate::user_ids;

/// Logs that a user failed. The walk continues with the next user, so one user's rows never block the
/// others. If the database is unavailable, the search for the next user fails.
pub fn log_failed(kind: Kind, user_id: &UserId, error: &StoreError) {
    tracing::warn!(
        event = "user_failed",
        kind = %kind,
        user_id = user_ids::logged(user_id),
        class = error.class().name(),
        sqlstate = error.sqlstate(),
        table = error.table(),
        column = error.column(),
        constraint = error.constraint(),
        pid = error.process(),
        error = %error,
        "User {user_id} failed ({kind}): {error}; going on with the next user"
    );
}

/// A progress bar over the raw rows of the walk.
///
/// # Errors
/// If the database fails.
pub async fn progress_bar(
    store: &Store,
    kinds: &[Kind],
    only: Option<&UserId>,
    (from, to): (NaiveDate, NaiveDate),
) -> Result<ProgressBar, StoreError> {
    let mut rows = 0;
    for kind in kinds {
        match store.estimate_raw_rows(*kind, only.cloned(), from, to).await {
            Ok(estimate) => rows += estimate,
            // This is the command's first statement that reads raw rows, so the error is explained.
            Err(error) => return Err(store.explain(error).await),
        }
    }
    Ok(progress::about("raw rows", rows))
}

/// Users shared by two walkers, so that the server reads rows for one while the other computes. Each
/// user is given to one walker only, because two would wait for the user's lock.
#[derive(Debug)]
pub struct Users {
    kinds: Vec<Kind>,
    next: Mutex<Next>,
    /// Held by the walker that processes a large portion.
    large: Mutex<()>,
}

/// Runs two walkers if there is a connection for each, else one, and returns their results. An error of
/// one walker also ends the other, whose transaction is rolled back.
pub async fn by_two<D: Default>(
    two_at_a_time: bool,
    walk: impl AsyncFn(&mut D) -> Result<(), StoreError>,
) -> ([D; 2], Result<(), StoreError>) {
    let mut done = <[D; 2]>::default();
    let [one, other] = &mut done;
    let outcome = if two_at_a_time {
        tokio::try_join!(walk(one), walk(other)).map(|_| ())
    } else {
        walk(one).await
    };
    (done, outcome)
}

/// The position of the walk.
#[derive(Clone, Debug)]
enum Next {
    /// Only this user.
    Only(UserId),
    /// The next user from this id on.
    From(UserId),
    /// The walk is complete.
    End,
}

impl Users {
    /// Selects one user.
    pub fn only(user_id: UserId, kinds: Vec<Kind>) -> Self {
        Self { kinds, next: Mutex::new(Next::Only(user_id)), large: Mutex::new(()) }
    }

    /// Selects this one user, or all users with data of these kinds.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn select(
        store: &Store,
        only: Option<UserId>,
        kinds: Vec<Kind>,
    ) -> Result<Self, StoreError> {
        if let Some(user_id) = only {
            return Ok(Self::only(user_id, kinds));
        }
        let first = store.user_id_type().await?.least();
        Ok(Self { kinds, next: Mutex::new(Next::From(first)), large: Mutex::new(()) })
    }

    /// Waits until no other large portion is in progress, if this one is large: memory suffices for one.
    /// The caller holds the returned guard while it processes the portion.
    pub async fn alone_if_large(&self, portion: &Dates) -> Option<MutexGuard<'_, ()>> {
        match portion.is_large() {
            true => Some(self.large.lock().await),
            false => None,
        }
    }

    /// The next user. `find` searches for the first user from an id on with data of these kinds.
    ///
    /// # Errors
    /// The errors of `find`.
    pub async fn next(
        &self,
        find: impl AsyncFnOnce(&[Kind], UserId) -> Result<Option<UserKinds>, StoreError>,
    ) -> Result<Option<UserKinds>, StoreError> {
        let mut next = self.next.lock().await;
        let user = match next.clone() {
            Next::Only(user_id) => Some(UserKinds { user_id, kinds: self.kinds.clone() }),
            Next::From(from) => find(&self.kinds, from).await?,
            Next::End => None,
        };
        *next = match (&*next, user.as_ref().and_then(|user| user.user_id.next())) {
            (Next::From(_), Some(from)) => Next::From(from),
            _ => Next::End,
        };
        Ok(user)
    }
}
