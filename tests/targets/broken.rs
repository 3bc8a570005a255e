//! Fifty targets, ten of them broken in ten ways.

use std::fmt::Write;
use std::net::TcpListener;

use local_postgres::{Binaries, LocalPostgres};

use super::{insert, of_target, target};
use crate::support::outside::Scratch;
use crate::support::running::{Running, eventually};
use crate::support::{Database, Ran, connect, database, worker_at};

/// A server with schemas, and the list of its targets.
struct Place {
    server: LocalPostgres,
    db: Database,
    url: String,
    scratch: Scratch,
    list: String,
}

impl Place {
    async fn new() -> Self {
        let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
        let server = LocalPostgres::start(&binaries).unwrap();
        let url = server.url("postgres");
        let db = database(&url).await;
        Self { server, db, url, scratch: Scratch::new(), list: String::new() }
    }

    fn list(&mut self, name: &str, url: &str, schema: &str) {
        write!(
            self.list,
            "[[targets]]\nname = \"{name}\"\nurl = \"{url}\"\nschema = \"{schema}\"\n"
        )
        .unwrap();
    }

    /// A schema with the tables, copied by `worker migrate`.
    async fn migrate(&self, schemas: &[String]) {
        let mut list = String::new();
        for schema in schemas {
            self.db.execute(&format!("CREATE SCHEMA {schema}")).await;
            writeln!(list, "[[targets]]\nname = \"{schema}\"\nschema = \"{schema}\"").unwrap();
        }
        let file = self.scratch.file("migrate.toml", list);
        let mut worker = worker_at(&self.url);
        let ran = Ran::of(worker.arg("--config").arg(file).arg("migrate").output().unwrap());
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }

    fn with_user(&self, user: &str) -> String {
        let joined = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{joined}user={user}", self.url)
    }
}

#[tokio::test]
async fn forty_targets_are_drained_beside_ten_that_are_broken_in_ten_ways() {
    let mut place = Place::new().await;
    let good: Vec<String> = (0..40).map(|number| format!("good_{number}")).collect();
    let broken = ["no_rights", "standby", "locked", "renamed", "hanging"].map(str::to_owned);
    place.migrate(&[&good[..], &broken[..]].concat()).await;
    place
        .db
        .execute(
            "CREATE SCHEMA not_migrated;
             CREATE ROLE nobody_knows LOGIN; CREATE ROLE reader LOGIN SUPERUSER;
             GRANT USAGE ON SCHEMA no_rights TO nobody_knows;
             ALTER ROLE reader SET default_transaction_read_only = on;
             CREATE ROLE secretive LOGIN PASSWORD 'right';
             CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END';
             CREATE TRIGGER hang BEFORE INSERT ON hanging.vitals_daily
                 FOR EACH ROW EXECUTE FUNCTION hang()",
        )
        .await;
    let hba: String = place.db.value("SHOW hba_file").await;
    let rules = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("local all secretive scram-sha-256\n{rules}")).unwrap();
    place.db.execute("SELECT pg_reload_conf()").await;

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let refused_port = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap().port()
    };
    let url = place.url.clone();
    for name in good.iter().chain(&broken) {
        insert(&place.db, name, 3).await;
    }
    for name in good.iter().map(String::as_str).chain(["locked", "renamed", "hanging"]) {
        place.list(name, &url, name);
    }
    let wrong = place.with_user("secretive") + "&password=wrong_and_secret";
    place.list("password", &wrong, "good_0");
    place.list("missing", &place.server.url("missing_database"), "good_0");
    place.list("not_migrated", &url, "not_migrated");
    place.list("silent", &format!("postgres://u@127.0.0.1:{silent_port}/db"), "good_0");
    place.list("refused", &format!("postgres://u@127.0.0.1:{refused_port}/db"), "good_0");
    place.list("no_rights", &place.with_user("nobody_knows"), "no_rights");
    place.list("standby", &place.with_user("reader"), "standby");

    let locker = connect(&place.url).await;
    locker.batch_execute("BEGIN; LOCK TABLE locked.aggregation_queue").await.unwrap();
    place.db.execute("ALTER SCHEMA renamed RENAME TO elsewhere").await;

    let file = place.scratch.file("worker.toml", &place.list);
    let mut command = worker_at(&place.url);
    command.arg("--config").arg(file);
    let service = Running::service(
        command,
        &[
            ("WORKER__DATABASE__CONNECT_TIMEOUT_SECONDS", "1"),
            ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "1"),
            ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "2"),
        ],
    );
    for name in &good {
        let queue = format!("SELECT count(*) FROM {name}.aggregation_queue");
        eventually(&place.db, &queue, 0).await;
    }
    service.logs_times("group_failed", 1).await;
    let in_trouble = [
        ("password", "password"),
        ("missing", "missing_database"),
        ("not_migrated", "too old"),
        ("silent", "no answer within"),
        ("refused", "refused"),
        ("no_rights", "42501"),
        ("standby", "25006"),
        ("locked", "lock"),
        ("renamed", "schema"),
    ];
    for (name, cause) in in_trouble {
        says(&service, name, cause).await;
    }
    // New rows arrive beside the broken ones.
    for name in &good {
        insert(&place.db, name, 3).await;
    }
    for name in &good {
        let queue = format!("SELECT count(*) FROM {name}.aggregation_queue");
        eventually(&place.db, &queue, 0).await;
    }
    drop(locker);
    service.signal("-TERM");
    let ran = service.end_amid_faults();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!of_target(&ran, "group_failed", "hanging").is_empty(), "{}", ran.stderr);
    assert!(!ran.stderr.contains("wrong_and_secret"), "no password is in the log");
}

/// Waits until the log gives this cause for a target.
async fn says(service: &Running, name: &str, cause: &str) {
    let mut events = Vec::new();
    for _ in 0..3_000 {
        events = service.events("database_unavailable");
        events.retain(|event| target(event) == name);
        if events.iter().any(|event| event["cause"].to_string().contains(cause)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{name} does not say {cause}: {events:?}");
}
