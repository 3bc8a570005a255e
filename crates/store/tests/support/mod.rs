//! A private server and a store on it.

#![allow(clippy::print_stderr)]

use std::time::Duration;

use local_postgres::{Binaries, LocalPostgres};
use store::{PoolSettings, Pooler, SessionSettings, Store};

pub fn start(settings: &[(&str, &str)]) -> LocalPostgres {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    LocalPostgres::start_with(&binaries, settings).unwrap()
}

/// A store whose pool has one connection.
pub async fn store(url: &str) -> Store {
    let pool = PoolSettings {
        max_size: 1,
        min_idle: 0,
        wait_timeout: Duration::from_millis(300),
        max_lifetime: Duration::from_secs(300),
        idle_timeout: Duration::from_secs(300),
        test_on_checkout: true,
        connect_timeout: Duration::from_secs(10),
        slow_hold: Duration::from_secs(60),
    };
    Store::connect(url, pool, &session_settings(), &|_| None).await.unwrap()
}

/// As the worker's sessions have them.
pub fn session_settings() -> SessionSettings {
    SessionSettings {
        statement_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(10),
        idle_in_transaction_timeout: Duration::from_secs(30),
        transaction_timeout: Duration::from_secs(45),
        jit: false,
        synchronous_commit: false,
        application_name: "dayfold-test".to_owned(),
        pooler: Pooler::None,
        schema: None,
    }
}
