//! A walk over the users, in order of their ids.

use std::ops::AsyncFnOnce;

use aggregation::Kind;
use chrono::NaiveDate;
use indicatif::ProgressBar;
use store::{Store, StoreError};

use crate::progress;

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
        rows += store.estimate_raw_rows(*kind, only, from, to).await?;
    }
    Ok(progress::about("raw rows", rows))
}

/// Where the walk goes on.
#[derive(Clone, Copy, Debug)]
pub enum Users {
    /// One user, and nobody else.
    Only(i64),
    /// Whoever is next from this id on.
    From(i64),
    /// Nobody.
    End,
}

impl Users {
    /// This one user, or all.
    pub fn of(only: Option<i64>) -> Self {
        only.map_or(Self::From(i64::MIN), Self::Only)
    }

    /// The next one; `find` looks for the first user from an id on.
    ///
    /// # Errors
    /// Those of `find`.
    pub async fn next(
        &mut self,
        find: impl AsyncFnOnce(i64) -> Result<Option<i64>, StoreError>,
    ) -> Result<Option<i64>, StoreError> {
        let user = match *self {
            Self::Only(user) => Some(user),
            Self::From(from) => find(from).await?,
            Self::End => None,
        };
        *self = match (*self, user.and_then(|user| user.checked_add(1))) {
            (Self::From(_), Some(from)) => Self::From(from),
            _ => Self::End,
        };
        Ok(user)
    }
}
