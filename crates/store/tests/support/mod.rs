//! A private server and a store on it.

#![allow(clippy::print_stderr)]

use std::time::Duration;

use aggregation::{UserId, UserIdType};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use local_postgres::{Binaries, LocalPostgres};
use store::{MigrateOptions, PoolSettings, Pooler, SessionSettings, Store};

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

/// A store on tables with user ids of a type. The function `user_of` makes the ids of numbers.
#[allow(dead_code)]
pub async fn migrated(url: &str, id_type: UserIdType) -> Store {
    let store = store(url).await;
    let options = MigrateOptions { user_id: Some(id_type), ..MigrateOptions::default() };
    store::migrate_with(&store, Duration::from_secs(10), options).await.unwrap();
    let id = match id_type {
        UserIdType::Bigint => "n",
        UserIdType::Uuid => "lpad(to_hex(n), 32, '0')::uuid",
        UserIdType::Text => "'user ' || n",
    };
    let mut admin = AsyncPgConnection::establish(url).await.unwrap();
    let sql = format!(
        "CREATE FUNCTION user_of(n bigint) RETURNS user_key LANGUAGE sql IMMUTABLE AS $$ SELECT ({id})::user_key $$"
    );
    admin.batch_execute(&sql).await.unwrap();
    store
}

/// The id that `user_of` makes of a number.
#[allow(dead_code)]
pub fn user_of(id_type: UserIdType, number: u32) -> UserId {
    let id = match id_type {
        UserIdType::Bigint => number.to_string(),
        UserIdType::Uuid => format!("{number:032x}"),
        UserIdType::Text => format!("user {number}"),
    };
    id_type.parse(&id).unwrap()
}
