//! Tests connections that another user has used before, or abandoned.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use aggregation::Kind;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use local_postgres::LocalPostgres;
use store::{ErrorClass, Store};

use support::{start, store};

struct Server {
    _postgres: LocalPostgres,
    url: String,
    observer: AsyncPgConnection,
}

impl Server {
    async fn new() -> Self {
        let postgres = start(&[]);
        let url = postgres.url("postgres");
        let observer = AsyncPgConnection::establish(&url).await.unwrap();
        Self { _postgres: postgres, url, observer }
    }

    /// A store whose pool has one connection, on a migrated schema.
    async fn store(&self) -> Store {
        let store = store(&self.url).await;
        store::migrate(&store, std::time::Duration::from_secs(10)).await.unwrap();
        store
    }

    /// Waits until the condition holds for the store's sessions.
    async fn until(&mut self, condition: &str) {
        let check = format!(
            "DO $$ BEGIN
                 IF NOT (SELECT {condition} FROM pg_stat_activity
                         WHERE application_name = 'dayfold-test')
                 THEN RAISE EXCEPTION 'not yet'; END IF;
             END $$"
        );
        for _ in 0..2_000 {
            if self.observer.batch_execute(&check).await.is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("never: {condition}");
    }
}

const ONE_WAITS: &str = "count(*) FILTER (WHERE wait_event_type = 'Lock') = 1";
const NOBODY_IS_LEFT: &str = "count(*) = 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_nobody_waits_for_any_more_is_ended_and_its_connection_not_handed_on() {
    let mut server = Server::new().await;
    let store = server.store().await;
    let mut holder = AsyncPgConnection::establish(&server.url).await.unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE aggregation_queue").await.unwrap();

    tokio::select! {
        due = store.any_due() => panic!("the table is locked, yet {due:?}"),
        () = server.until(ONE_WAITS) => {}
    }

    // The lock is still held, so only the cancel request ends the statement.
    server.until(NOBODY_IS_LEFT).await;
    store.clock().await.unwrap();
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(!store.any_due().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_dropped_in_the_middle_leaves_no_transaction_and_no_lock() {
    let mut server = Server::new().await;
    let store = server.store().await;
    let group = store.begin_group(Kind::Vitals, &1.into()).await.unwrap();
    server.until("bool_or(state = 'idle in transaction')").await;

    drop(group);

    server.until(NOBODY_IS_LEFT).await;
    let again = store.begin_group(Kind::Vitals, &1.into()).await.unwrap();
    again.commit().await.unwrap();
    server.until("bool_and(state = 'idle')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_leaves_a_connection_as_clean_as_one_that_does_not() {
    let mut server = Server::new().await;
    let store = server.store().await;
    let mut holder = AsyncPgConnection::establish(&server.url).await.unwrap();
    holder.batch_execute("ALTER TABLE aggregation_queue RENAME TO elsewhere").await.unwrap();

    let error = store.any_due().await.unwrap_err();

    assert_eq!(error.class(), ErrorClass::Environment);
    server.until("bool_and(state = 'idle') AND count(*) = 1").await;
    holder.batch_execute("ALTER TABLE elsewhere RENAME TO aggregation_queue").await.unwrap();
    assert!(!store.any_due().await.unwrap());
}
