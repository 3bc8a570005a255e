//! The page's own connection to the database.

use std::time::Duration;

use aggregation::{UserId, UserIdType};
use store::{Store, StoreError};
use tokio::sync::Mutex;

use super::Page;
use crate::config::Config;
use crate::service::Breaker;
use crate::setup;

/// The longest that a statement of the page may run.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest that it may wait for the page's connection, or for a new one.
const WAIT: Duration = Duration::from_secs(2);

/// The connection is closed after so long without a view.
const IDLE: Duration = Duration::from_secs(30);

/// The connection, and the URL that it was opened with.
#[derive(Default)]
pub struct Database(Mutex<Option<(String, Store)>>);

/// The configuration of the page's connection.
pub fn of_page(config: &Config) -> Config {
    let mut config = config.clone();
    config.pool.max_size = 1;
    config.pool.min_idle = 0;
    config.pool.wait_timeout = WAIT;
    config.pool.idle_timeout = IDLE;
    config.database.connect_timeout = config.database.connect_timeout.min(WAIT);
    config.session.statement_timeout = STATEMENT_TIMEOUT;
    config.session.lock_timeout = STATEMENT_TIMEOUT / 2;
    config.session.idle_in_transaction_timeout = STATEMENT_TIMEOUT;
    config.session.transaction_timeout = STATEMENT_TIMEOUT * 2;
    config.session.application_name.truncate(40);
    config.session.application_name.push_str("-page");
    config
}

impl Page {
    /// The page's database. While the service cannot use the database, the page does not try either.
    ///
    /// # Errors
    /// Why it cannot be asked, in a sentence.
    pub async fn store(&self) -> Result<Store, String> {
        match self.service.breaker() {
            Breaker::Closed => {}
            Breaker::Starting => return Err("The worker has not connected yet.".to_owned()),
            Breaker::Open { cause, .. } => return Err(cause),
        }
        let config = self.service.configuration();
        let mut kept = self.database.0.lock().await;
        let url = config.database.url.expose();
        if let Some((of, store)) = kept.as_ref().filter(|(of, _)| of == url) {
            debug_assert_eq!(of, url);
            return Ok(store.clone());
        }
        let store = setup::connect(&of_page(&config)).await.map_err(|error| error.to_string())?;
        *kept = Some((url.to_owned(), store.clone()));
        Ok(store)
    }
}

impl Page {
    /// The type of the database's user ids.
    ///
    /// # Errors
    /// Why the database cannot be asked, in a sentence.
    pub async fn user_id_type(&self) -> Result<UserIdType, String> {
        let store = self.store().await?;
        store.user_id_type().await.map_err(|error| in_words(&error))
    }
}

/// Reads the id of a user from a form.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn read_user(id_type: UserIdType, user: &str) -> Result<UserId, String> {
    id_type.parse(user).map_err(|_| {
        let what = match id_type {
            UserIdType::Bigint => "a whole number",
            UserIdType::Uuid => "a UUID",
            UserIdType::Text => "a text of 1 to 1024 bytes without control characters",
        };
        format!("The user must be {what}.")
    })
}

/// An error of the database, for a page. No text of the database's is in it but names.
pub fn in_words(error: &StoreError) -> String {
    error.to_string()
}
