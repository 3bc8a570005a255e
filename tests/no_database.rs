//! Databases that cannot be worked on: each gives one line that says what, where and what to do.

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;

use crate::support::outside::{PASSWORD, Scratch, assert_says, refused};
use crate::support::{Database, server, worker_at};

const HEADER: &str = "user_id,metric,value,started_at\n";

/// Every command that needs a database, for this one.
fn commands(url: &str, scratch: &Scratch) -> Vec<Command> {
    let csv = scratch.file("rows.csv", format!("{HEADER}1,heart_rate,60,2024-05-01T10:00:00Z\n"));
    let csv = csv.to_str().unwrap();
    let commands: [&[&str]; 10] = [
        &["migrate"],
        &["migrate", "--json"],
        &["status"],
        &["status", "--json"],
        &["status", "--watch"],
        &["requeue", "--dead"],
        &["requeue", "--user", "1", "--json"],
        &["run-once"],
        &["run-once", "--json"],
        &["import", "--kind", "vitals", csv],
    ];
    let command = |arguments: &&[&str]| {
        let mut command = worker_at(url);
        command.args(*arguments).env("WORKER__DATABASE__CONNECT_TIMEOUT_SECONDS", "0.3");
        command
    };
    commands.iter().map(command).collect()
}

/// Asserts that every command refuses to work with this URL and says all of this.
#[track_caller]
fn assert_all_refuse(url: &str, says: &[&str]) {
    let scratch = Scratch::new();
    for mut command in commands(url, &scratch) {
        let why = refused(&mut command);
        assert_says(&why, says);
        assert!(url.is_empty() || !why.contains(url), "{why}");
    }
}

/// The URL of a database of the tests' server, for another user with a password.
fn url_for(user: &str, database: &str) -> String {
    server().url(database).replace("postgres@", &format!("{user}:{PASSWORD}@"))
}

#[test]
fn no_url_at_all() {
    assert_all_refuse("", &["no database is configured", "DATABASE_URL"]);
}

#[test]
fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_all_refuse(
        &format!("postgresql://me:{PASSWORD}@{address}/app"),
        &["\"app\"", &address.to_string(), "refused", "start PostgreSQL", "DATABASE_URL"],
    );
}

#[test]
fn no_socket_in_that_directory() {
    assert_all_refuse(
        &format!("postgresql://me:{PASSWORD}@/app?host=/nowhere"),
        &["\"app\"", "socket /nowhere", "No such file", "start PostgreSQL"],
    );
}

#[test]
fn no_host_of_that_name() {
    assert_all_refuse(
        &format!("postgresql://me:{PASSWORD}@db.invalid/app"),
        &["\"app\"", "db.invalid:5432", "correct the host"],
    );
}

#[test]
fn no_database_of_that_name() {
    assert_all_refuse(
        &url_for("postgres", "nowhere"),
        &["database \"nowhere\" does not exist", "socket", "create it"],
    );
}

#[test]
fn no_role_of_that_name() {
    assert_all_refuse(
        &url_for("stranger", "postgres"),
        &["role \"stranger\" does not exist", "correct the user and password"],
    );
}

#[tokio::test]
async fn no_connection_left_for_the_role() {
    let db = Database::new().await;
    let role = format!("crowded_{}", db.name);
    db.execute(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")).await;
    assert_all_refuse(&url_for(&role, &db.name), &["too many connections", "pg_stat_activity"]);
    db.execute(&format!("DROP ROLE {role}")).await;
}

#[test]
fn a_server_that_accepts_and_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_all_refuse(
        &format!("postgresql://me:{PASSWORD}@{address}/app"),
        &["no answer within 0.3 s", "connect_timeout_seconds", &address.to_string(), "firewall"],
    );
}

#[test]
fn a_server_that_is_no_postgresql() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut connection = connection;
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    assert_all_refuse(
        &format!("postgresql://me:{PASSWORD}@{address}/app"),
        &["cannot connect", &address.to_string(), "DATABASE_URL"],
    );
}

#[test]
fn a_url_that_is_none() {
    let urls = [
        format!("garbage {PASSWORD}"),
        format!("mysql://me:{PASSWORD}@db/app"),
        format!("postgresql://me:{PASSWORD}@db:port/app"),
        format!("postgresql://me:{PASSWORD}@db/app?frobnicate={PASSWORD}"),
        format!("postgresql://me:{PASSWORD}@db/app?connect_timeout={PASSWORD}"),
        format!("postgresql://me:{PASSWORD}@/app"),
        format!("host=db password=a {PASSWORD}=b"),
        format!("host=db password=a {PASSWORD}"),
        format!("host=db password=a {PASSWORD} user=b"),
    ];
    for url in urls {
        assert_all_refuse(
            &url,
            &["the database URL cannot be used", "postgresql://user@host:port/database"],
        );
    }
}

#[test]
fn an_option_of_other_programs_is_named() {
    for option in ["schema", "requirepeer", "pgbouncer"] {
        assert_all_refuse(
            &format!("postgresql://me:{PASSWORD}@db/app?{option}=x"),
            &[&format!("the option {option}, which the worker does not know")],
        );
    }
}

#[test]
fn a_password_with_an_at_sign_is_not_taken_for_a_host_and_shown() {
    for url in [
        format!("postgresql://me:pass@{PASSWORD}@db/app"),
        format!("postgres://me:p@ss/{PASSWORD}@db/app"),
        format!("postgresql://me:p@ss?{PASSWORD}@db/app"),
    ] {
        assert_all_refuse(&url, &["the database URL cannot be used", "%40"]);
    }
}

#[test]
fn a_url_that_asks_for_tls_in_a_way_that_cannot_be() {
    let scratch = Scratch::new();
    let no_pem = scratch.file("no.pem", "no certificate");
    let no_pem = no_pem.to_str().unwrap();
    let wrong: [(&str, &[&str]); 6] = [
        ("sslmode=frobnicate", &["sslmode must be disable", "verify-full"]),
        ("sslmode=verify-ca&sslrootcert=/nowhere", &["sslrootcert=/nowhere cannot be read"]),
        (&format!("sslmode=require&sslrootcert={no_pem}"), &["sslrootcert=", "no PEM certificate"]),
        ("sslcert=/nowhere", &["sslcert needs sslkey"]),
        ("sslkey=/nowhere", &["sslkey needs sslcert"]),
        ("sslcert=/nowhere&sslkey=/nowhere", &["sslcert=/nowhere cannot be read"]),
    ];
    for (options, says) in wrong {
        let says = [&["TLS to the database cannot be set up"], says].concat();
        assert_all_refuse(&format!("postgresql://me:{PASSWORD}@db/app?{options}"), &says);
    }
}

#[tokio::test]
async fn a_schema_that_is_too_old_asks_for_worker_migrate() {
    let empty = Database::empty().await;
    let partly = Database::new().await;
    partly.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261121000005'").await;
    let scratch = Scratch::new();
    for db in [&empty, &partly] {
        for mut command in commands(&db.url, &scratch).into_iter().skip(2) {
            let why = refused(&mut command);
            assert_says(&why, &["too old", "aggregation_runs", "run `worker migrate`"]);
        }
    }
    assert_says(&refused(partly.worker().arg("status")), &["1 migration not applied"]);
    assert_eq!(
        empty.value::<i64>("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await,
        0
    );
}

#[tokio::test]
async fn a_schema_that_is_too_new_asks_for_the_newer_worker_and_is_left_alone() {
    let db = Database::new().await;
    db.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')").await;
    let scratch = Scratch::new();
    for mut command in commands(&db.url, &scratch) {
        let why = refused(&mut command);
        assert_says(
            &why,
            &["newer than this worker", "29990101000000", "install the newer worker"],
        );
    }
}
