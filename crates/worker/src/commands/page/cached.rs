//! An answer of the database that all open pages share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// Asks the database at most once in a while, however many pages ask, and keeps the last answer for when the
/// database is away.
#[derive(Debug)]
pub struct Cached<T> {
    /// For so long an answer is good.
    good_for: Duration,
    last: Mutex<Option<Known<T>>>,
}

/// The last answer, and what became of the last question.
#[derive(Debug)]
pub struct Known<T> {
    /// The last answer; `None` if there never was one.
    pub value: Option<Arc<T>>,
    /// When it was given.
    pub at: Option<Instant>,
    /// Why the last question was not answered.
    pub error: Option<String>,
    asked: Instant,
}

impl<T> Clone for Known<T> {
    fn clone(&self) -> Self {
        let Self { value, at, error, asked } = self;
        Self { value: value.clone(), at: *at, error: error.clone(), asked: *asked }
    }
}

impl<T> Cached<T> {
    /// Without an answer.
    pub fn new(good_for: Duration) -> Self {
        Self { good_for, last: Mutex::const_new(None) }
    }

    /// The answer, by asking if the last one is too old. Requests that come meanwhile wait for the same answer.
    pub async fn get(&self, ask: impl Future<Output = Result<T, String>>) -> Known<T> {
        let mut last = self.last.lock().await;
        if let Some(known) = last.as_ref().filter(|known| known.asked.elapsed() < self.good_for) {
            return known.clone();
        }
        let answer = ask.await;
        let asked = Instant::now();
        let known = match answer {
            Ok(value) => {
                Known { value: Some(Arc::new(value)), at: Some(asked), error: None, asked }
            }
            Err(error) => {
                let (value, at) = last.take().map_or((None, None), |known| (known.value, known.at));
                Known { value, at, error: Some(error), asked }
            }
        };
        *last = Some(known.clone());
        known
    }

    /// Makes the next request read again, at any age of the last answer.
    pub async fn forget(&self) {
        if let Some(known) = self.last.lock().await.as_mut() {
            known.asked = known.asked.checked_sub(self.good_for).unwrap_or(known.asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn ten_pages_ask_once_and_the_last_answer_outlives_the_database() {
        let cached = Cached::new(Duration::from_secs(60));
        let asked = AtomicU32::new(0);
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(7)
        };
        let answers = futures_util::future::join_all((0..10).map(|_| cached.get(ask()))).await;
        assert!(answers.iter().all(|known| known.value.as_deref() == Some(&7)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);

        cached.forget().await;
        let known = cached.get(async { Err("away".to_owned()) }).await;
        assert_eq!((known.value.as_deref(), known.error.as_deref()), (Some(&7), Some("away")));
        assert!(known.at.is_some());
    }
}
