//! Where the database is, and the password, as every tool of PostgreSQL is told: by variables, a
//! service file and a password file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use local_postgres::LocalPostgres;

use crate::support::outside::{PASSWORD, Scratch, assert_says, refused};
use crate::support::running::{Running, UserLock, eventually, waiting};
use crate::support::samples::{assert_all_done, insert_minute, insert_samples};
use crate::support::{Database, Ran, database, server, server_of_its_own, worker_at};

const QUEUED: &str = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue";

fn private(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_service_file_says_where_the_database_is() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let scratch = Scratch::new();
    let folder = server().socket_directory().display();
    let file = scratch.file(
        "services",
        format!(
            "[other]\nhost=/nowhere\n\n[app]\nhost={folder}\nuser=postgres\ndbname={}\n",
            db.name
        ),
    );

    let mut by_variable = worker_at("");
    by_variable.env("PGSERVICE", "app").env("PGSERVICEFILE", &file);
    let ran = Ran::of(by_variable.args(["run-once", "--json"]).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.json()["rows_completed"], 10);

    let by_url = Ran::of(
        worker_at("postgresql://?service=app")
            .env("PGSERVICEFILE", &file)
            .arg("status")
            .output()
            .unwrap(),
    );
    assert_eq!(by_url.code, 0, "{}", by_url.stderr);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_service_that_cannot_be_read_is_named_with_its_place() {
    let scratch = Scratch::new();
    let file = scratch.file("services", format!("[app]\nhost=db\n{PASSWORD}=1\n"));
    let with = |service: &str| {
        let mut command = worker_at("");
        command.env("PGSERVICE", service).env("PGSERVICEFILE", &file).arg("run-once");
        command
    };
    assert_says(
        &refused(&mut with("missing")),
        &["the service \"missing\" is in none of", "services"],
    );
    assert_says(
        &refused(&mut with("app")),
        &["services, line 3: the worker does not know this key"],
    );
}

#[tokio::test]
async fn variables_alone_name_the_server() {
    let db = Database::new().await;
    let mut command = worker_at("");
    command.env("PGHOST", server().socket_directory()).env("PGUSER", "postgres");
    command.env("PGDATABASE", &db.name);
    let ran = Ran::of(command.args(["doctor", "--json"]).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert_says(&ran.stdout, &[&db.name]);
}

#[tokio::test]
async fn a_host_that_accepts_and_is_silent_does_not_keep_the_next_one_from_being_tried() {
    let db = Database::new().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let folder = server().socket_directory().display();
    // The socket has no TLS, which is asked of the network only.
    let url = format!(
        "host=127.0.0.1,{folder} port={port},5432 user=postgres dbname={} sslmode=require",
        db.name
    );
    let mut command = worker_at(&url);
    command.env("WORKER__DATABASE__CONNECT_TIMEOUT_SECONDS", "0.3");
    let ran = Ran::of(command.args(["run-once", "--json"]).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    let nobody =
        format!("host=127.0.0.1,/nowhere port={port},5432 user=postgres dbname={}", db.name);
    let mut command = worker_at(&nobody);
    command.env("WORKER__DATABASE__CONNECT_TIMEOUT_SECONDS", "0.3");
    let why = refused(command.arg("run-once"));
    let silent_one = format!("127.0.0.1:{port}: no answer within 0.3 s");
    assert_says(&why, &[&silent_one, "socket /nowhere/.s.PGSQL.5432: No such file"]);
}

/// Lets the role `app` in by its password only.
async fn asks_for_a_password(url: &str, password: &str) {
    let db = database(url).await;
    db.execute(&format!("CREATE ROLE app LOGIN SUPERUSER PASSWORD '{password}'")).await;
    let hba: String = db.value("SHOW hba_file").await;
    let rest = fs::read_to_string(&hba).unwrap();
    fs::write(&hba, format!("local all app scram-sha-256\n{rest}")).unwrap();
    db.execute("SELECT pg_reload_conf()").await;
    eventually(
        &db,
        "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256'",
        1,
    )
    .await;
}

fn app_at(server: &LocalPostgres) -> String {
    server.url("postgres").replace("postgres@", "app@")
}

#[tokio::test]
async fn a_password_comes_from_its_file_and_a_new_one_counts_without_a_restart() {
    let (server, url) = server_of_its_own().await;
    asks_for_a_password(&url, PASSWORD).await;
    let scratch = Scratch::new();
    let folder = server.socket_directory().display().to_string();
    let line = |password: &str| format!("# ours\n{folder}:*:*:app:{password}\n");
    let file = scratch.file("pgpass", line(PASSWORD));

    let with = |file: &Path| {
        let mut command = worker_at(&app_at(&server));
        command.env("PGPASSFILE", file);
        command
    };
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_says(&refused(with(&file).arg("run-once")), &["may be read by others: chmod 0600"]);
    let missing = scratch.path().join("missing");
    let why = refused(with(&missing).arg("run-once"));
    assert_says(&why, &["password missing", "missing cannot be read"]);
    private(&file);

    let service = Running::service(with(&file), &[]);
    service.logs("database_ready").await;
    let db = database(&url).await;
    insert_samples(&db, 2, 5).await;
    eventually(&db, QUEUED, 0).await;

    // The password is another one now, and the file does not know it yet.
    db.execute(
        "ALTER ROLE app PASSWORD 'rotated';
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
    )
    .await;
    service.logs("database_unavailable").await;
    crate::support::outside::eventually("the cause is the password", || {
        let told = service.events("database_unavailable");
        told.last().unwrap()["cause"].to_string().contains("password authentication failed")
    });
    insert_minute(&db, 2, 9).await;
    scratch.file("pgpass", line("rotated"));
    private(&file);

    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;
    let ran = service.stops();
    assert!(!ran.stderr.contains(PASSWORD) && !ran.stderr.contains("rotated"), "{}", ran.stderr);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_never_shown() {
    let (server, url) = server_of_its_own().await;
    asks_for_a_password(&url, "right").await;
    let wrong = app_at(&server).replace("app@", &format!("app:{PASSWORD}@"));
    let why = refused(worker_at(&wrong).arg("run-once"));
    assert_says(&why, &["password authentication failed", "correct the user and password"]);
    let none = refused(worker_at(&app_at(&server)).arg("run-once"));
    assert_says(&none, &["password missing"]);
}

#[tokio::test]
async fn another_database_is_taken_over_by_a_reload() {
    let (first, second) = (Database::new().await, Database::new().await);
    insert_samples(&first, 1, 5).await;
    let scratch = Scratch::new();
    let file = scratch.file("worker.toml", format!("[database]\nurl = {:?}\n", first.url));
    let mut command = worker_at("");
    command.arg("--config").arg(&file);
    let service = Running::service(command, &[]);
    eventually(&first, QUEUED, 0).await;
    insert_samples(&second, 2, 5).await;

    scratch.file("worker.toml", "[database]\nurl = \"postgresql//oops\"\n");
    service.signal("-HUP");
    service.logs("reload_refused").await;
    let problem = service.events("reload_refused")[0]["problem"].to_string();
    assert_says(&problem, &["the database URL cannot be used"]);

    // The first one is left in the middle of its work.
    let lock = UserLock::hold(&first.url, 1).await;
    insert_minute(&first, 1, 9).await;
    waiting(&first, 1).await;
    scratch.file("worker.toml", format!("[database]\nurl = {:?}\n", second.url));
    service.signal("-HUP");
    service.logs("reloaded").await;
    lock.release().await;

    eventually(&second, QUEUED, 0).await;
    assert_eq!(service.events("reloaded")[0]["changed"], "database.url");
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'";
    eventually(&first, sessions, 0).await;
    let ran = service.stops();
    assert!(ran.events("database_unavailable").is_empty(), "{}", ran.stderr);
    assert_all_done(&second).await;
    // The first database keeps a record of the runs in it.
    let rows = |db: &Database| {
        db.run(&["status", "--json"]).json()["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["rows_completed"].as_i64().unwrap())
            .sum::<i64>()
    };
    assert_eq!((rows(&first), rows(&second)), (6, 10));
}
