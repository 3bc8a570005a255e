//! Rows of a dump, restored into a database that was migrated before, with PostgreSQL's own programs.

use std::path::PathBuf;
use std::process::Command;

use local_postgres::Binaries;

use crate::support::outside::Scratch;
use crate::support::{Database, Ran};

/// Each row in a change set of its own.
const ROWS: &str = "
    INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'Europe/Berlin');
    DO $$ BEGIN FOR i IN 0..9 LOOP
        INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
        SELECT 1, 'heart_rate', 60 + i, 'bpm', 'Watch', at, at
        FROM (SELECT timestamptz '2024-03-05 08:00Z' + i * interval '1 min' AS at) AS t;
    END LOOP; END $$";

fn program(name: &str) -> Command {
    let mut command = Command::new(Binaries::find().unwrap().directory().join(name));
    command.env_clear().env("LC_ALL", "C");
    command
}

/// Runs it; it must succeed.
fn succeeds(command: &mut Command) {
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 0, "{command:?}: {ran:?}");
}

fn dump(db: &Database, scratch: &Scratch, more: &[&str]) -> PathBuf {
    let file = scratch.file("dump", "");
    let mut command = program("pg_dump");
    command.args(["--data-only", "-d", &db.url, "-f"]).arg(&file).args(more);
    succeeds(&mut command);
    file
}

fn restore_by_psql(db: &Database, file: &PathBuf) {
    let mut command = program("psql");
    succeeds(command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &db.url, "-f"]).arg(file));
}

fn restore_by_pg_restore(db: &Database, file: &PathBuf, more: &[&str]) {
    let mut command = program("pg_restore");
    command.args(["--data-only", "--exit-on-error", "-d", &db.url]).args(more);
    succeeds(command.arg(file));
}

/// A database whose rows are queued, some of them claimed by a worker that is gone.
async fn source() -> Database {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.execute(
        "UPDATE aggregation_queue SET state = 'processing', lease_token = 1,
                lease_expires_at = now() - interval '1 s'
         WHERE starts_at < '2024-03-05 08:03Z'",
    )
    .await;
    db
}

async fn assert_computed_once(db: &Database) {
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_raw").await, 10);
    db.run_once();
    let day: String =
        db.value("SELECT string_agg(sample_count || ' of ' || mean, ', ') FROM vitals_daily").await;
    assert_eq!(day, "10 of 64.5");
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 0);
    // Rows that come now have numbers of their own.
    db.execute(&ROWS[ROWS.find("DO $$").unwrap()..]).await;
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_raw").await, 20);
    let verified = db.run(&["verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[tokio::test]
async fn a_dump_of_rows_alone_is_restored_by_psql() {
    let (source, target, scratch) = (source().await, Database::new().await, Scratch::new());
    restore_by_psql(&target, &dump(&source, &scratch, &[]));
    assert_eq!(
        target
            .value::<i64>("SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue")
            .await,
        20
    );
    assert_computed_once(&target).await;
}

#[tokio::test]
async fn a_dump_of_rows_alone_is_restored_by_pg_restore_also_in_one_transaction() {
    let (source, scratch) = (source().await, Scratch::new());
    let file = dump(&source, &scratch, &["-Fc"]);
    for more in [&[][..], &["-1"], &["-j", "4"]] {
        let target = Database::new().await;
        restore_by_pg_restore(&target, &file, more);
        assert_computed_once(&target).await;
    }
}

#[tokio::test]
async fn a_queue_that_is_restored_after_the_raw_rows_meets_none_of_their_keys() {
    let (source, target, scratch) = (source().await, Database::new().await, Scratch::new());
    for table in ["user_profiles", "vitals_raw", "aggregation_queue"] {
        restore_by_psql(&target, &dump(&source, &scratch, &["-t", table]));
    }
    assert_computed_once(&target).await;
}

#[tokio::test]
async fn an_app_that_seeds_its_random_numbers_in_each_session_queues_every_change() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    for _ in 0..2 {
        let app = db.connect().await;
        app.batch_execute("SELECT setseed(0.5); UPDATE vitals_raw SET value = value + 1")
            .await
            .unwrap();
    }
    assert_eq!(
        db.value::<i64>("SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue")
            .await,
        30
    );
}
