//! Ids of users in arguments and logs.

use aggregation::UserId;
use store::{Store, StoreError};
use tracing::Value;

use crate::cli;

/// Reads the id of an argument by the type of the database's ids. A text that is no such id ends the
/// process, as wrong usage does.
///
/// # Errors
/// If the database fails.
pub async fn required(store: &Store, user: &str) -> Result<UserId, StoreError> {
    let user_id = store.user_id_type().await?.parse(user);
    Ok(user_id.unwrap_or_else(|error| {
        cli::refuse_user(&format!("invalid value for '--user <ID>': {error}"))
    }))
}

/// As [`required`], for an argument that may be missing.
///
/// # Errors
/// If the database fails.
pub async fn from_argument(
    store: &Store,
    user: Option<&str>,
) -> Result<Option<UserId>, StoreError> {
    match user {
        Some(user) => required(store, user).await.map(Some),
        None => Ok(None),
    }
}

/// The id as a field of the log: a number, or a text.
pub fn logged(user_id: &UserId) -> Box<dyn Value> {
    match user_id {
        UserId::Bigint(number) => Box::new(*number),
        UserId::Uuid(_) | UserId::Text(_) => Box::new(tracing::field::display(user_id.clone())),
    }
}
