//! The lease token on a server that dies.

use local_postgres::{Binaries, LocalPostgres, Shutdown};

use super::{Running, UserLock, insert_samples, waiting};
use crate::support::{Database, Ran, database, worker_at};

const TOKEN: &str = "SELECT max(lease_token) FROM aggregation_queue";

/// A worker that claims and then waits.
async fn claiming(db: &Database) -> (Running, UserLock) {
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = Running::of(db);
    waiting(db, 1).await;
    (worker, lock)
}

#[tokio::test]
async fn a_server_that_died_and_forgot_a_claim_does_not_give_out_its_token_again() {
    // A commit that does not wait for the disk stays off it for long.
    let forgetful = [("wal_writer_delay", "10s"), ("autovacuum", "off")];
    let binaries = Binaries::find_or_install(|_| ()).unwrap();
    let mut server = LocalPostgres::start_with(&binaries, &forgetful).unwrap();
    let url = server.url("postgres");
    assert_eq!(Ran::of(worker_at(&url).arg("migrate").output().unwrap()).code, 0);
    let db = database(&url).await;
    insert_samples(&db, 1, 5).await;
    let (before, _lock) = claiming(&db).await;
    let its_token: i64 = db.value(TOKEN).await;

    before.freeze();
    server.stop(Shutdown::Immediate).unwrap();
    server.start_again().unwrap();
    let db = database(&url).await;
    // As the server has forgotten, unless the disk came first.
    db.execute(
        "UPDATE aggregation_queue
         SET state = 'pending', lease_token = NULL, lease_expires_at = NULL",
    )
    .await;
    let (after, lock) = claiming(&db).await;

    assert_ne!(db.value::<i64>(TOKEN).await, its_token);
    lock.release().await;
    assert_eq!(after.succeeds().json()["rows_completed"], 5);
}
