//! A walk over the users, in order of their ids.

use std::ops::{AsyncFn, AsyncFnOnce};

use aggregation::Kind;
use chrono::NaiveDate;
use indicatif::ProgressBar;
use store::{Store, StoreError, UserKinds};
use tokio::sync::{Mutex, MutexGuard};

use crate::progress;
use crate::run::group::rebuild::Dates;

/// Logs that a user could not be done. The walk goes on with the next one, so that one user's rows never keep
/// the others from being looked at. If the database is away, the search for the next user says so.
pub fn log_failed(kind: Kind, user_id: i64, error: &StoreError) {
    tracing::warn!(
        event = "user_failed",
        kind = %kind,
        user_id,
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

/// A bar over the raw rows that a walk looks at.
///
/// # Errors
/// If the database fails.
pub async fn progress_bar(
    store: &Store,
    kinds: &[Kind],
    only: Option<i64>,
    (from, to): (NaiveDate, NaiveDate),
) -> Result<ProgressBar, StoreError> {
    let mut rows = 0;
    for kind in kinds {
        match store.estimate_raw_rows(*kind, only, from, to).await {
            Ok(estimate) => rows += estimate,
            // The first statement of the command that reads raw rows.
            Err(error) => return Err(store.explain(error).await),
        }
    }
    Ok(progress::about("raw rows", rows))
}

/// Users whom two walkers share, so that the server reads the rows of one while the figures of the
/// other are computed. Each user is given to one of them, as two would only wait for the user's lock.
#[derive(Debug)]
pub struct Users {
    kinds: Vec<Kind>,
    next: Mutex<Next>,
    /// Taken by whoever works on a large portion.
    large: Mutex<()>,
}

/// Two walks at a time, if there is a connection for each, else one: what they have done. What fails one of
/// them ends the other, too; its transaction is rolled back.
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

/// Where the walk goes on.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// One user, and nobody else.
    Only(i64),
    /// Whoever is next from this id on.
    From(i64),
    /// Nobody.
    End,
}

impl Users {
    /// This one user, or all who have something of these kinds.
    pub fn new(only: Option<i64>, kinds: Vec<Kind>) -> Self {
        Self {
            kinds,
            next: Mutex::new(only.map_or(Next::From(i64::MIN), Next::Only)),
            large: Mutex::new(()),
        }
    }

    /// Waits until no other large portion is worked on, if this is one: memory is for one of them. Until
    /// what is given back is dropped, the next one waits.
    pub async fn alone_if_large(&self, portion: &Dates) -> Option<MutexGuard<'_, ()>> {
        match portion.is_large() {
            true => Some(self.large.lock().await),
            false => None,
        }
    }

    /// The next one; `find` looks for the first user from an id on who has something of these kinds.
    ///
    /// # Errors
    /// Those of `find`.
    pub async fn next(
        &self,
        find: impl AsyncFnOnce(&[Kind], i64) -> Result<Option<UserKinds>, StoreError>,
    ) -> Result<Option<UserKinds>, StoreError> {
        let mut next = self.next.lock().await;
        let user = match *next {
            Next::Only(user_id) => Some(UserKinds { user_id, kinds: self.kinds.clone() }),
            Next::From(from) => find(&self.kinds, from).await?,
            Next::End => None,
        };
        *next = match (*next, user.as_ref().and_then(|user| user.user_id.checked_add(1))) {
            (Next::From(_), Some(from)) => Next::From(from),
            _ => Next::End,
        };
        Ok(user)
    }
}
