//! A time limit for queries.

use std::time::Duration;

use crate::StoreError;

/// Waits for an answer for at most `limit`.
///
/// # Errors
/// As the query, and [`StoreError::NoAnswer`].
pub async fn with_timeout<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, question).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::NoAnswer(limit.as_secs_f64())),
    }
}
