//! The server's package was upgraded, and the server was not started again: its files are newer than it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use local_postgres::{Binaries, LocalPostgres};

use super::proof::{assert_exact_at_no_attempt, insert_rows, remember};
use super::{QUEUED, service};
use crate::support::doctor::assert_check;
use crate::support::outside::{Scratch, assert_says};
use crate::support::running::eventually;
use crate::support::{Database, database, worker_at};

/// A server whose files are a copy, laid out as the installed ones so that it finds them.
async fn server_of_copied_files(copy: &Path) -> LocalPostgres {
    let installed = Database::empty().await;
    for name in ["BINDIR", "PKGLIBDIR", "SHAREDIR"] {
        let of = format!("SELECT setting FROM pg_config WHERE name = '{name}'");
        let from: String = installed.value(&of).await;
        let to = copy.join(from.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg("-rL").args([from.as_ref(), to.as_os_str()]).status();
        assert!(copied.unwrap().success());
    }
    let bin: String = installed.value("SELECT setting FROM pg_config WHERE name = 'BINDIR'").await;
    let binaries = Binaries::in_folder(&copy.join(bin.trim_start_matches('/'))).unwrap();
    LocalPostgres::start(&binaries).unwrap()
}

#[tokio::test]
async fn files_that_are_newer_than_the_server_cost_no_attempt_and_the_doctor_names_them() {
    let scratch = Scratch::new();
    let server = server_of_copied_files(scratch.path()).await;
    let url = server.url("postgres");
    assert!(worker_at(&url).arg("migrate").output().unwrap().status.success());
    let db = database(&url).await;
    // This session has the language of the triggers loaded from now on, as those of the app have.
    remember(&db).await;
    let service = service(&url, &[]);
    service.logs("database_ready").await;

    // Put in place as a package does it, so that sessions keep the file that they have loaded.
    let folder: String = db.value("SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'").await;
    let library = Path::new(&folder).join("plpgsql.so");
    let (former, newer) = (library.with_extension("former"), library.with_extension("newer"));
    fs::copy(&library, &former).unwrap();
    fs::write(&newer, "of a newer server").unwrap();
    fs::rename(&newer, &library).unwrap();
    insert_rows(&db, 0).await;
    service.logs("database_unavailable").await;
    let fails = ["INSERT in vitals_raw fails: could not load library", "plpgsql.so"];
    assert_check(&url, "queueing", 1, "error", &fails);
    fs::rename(&former, &library).unwrap();
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    for event in ran.events("batch_interrupted") {
        assert_eq!(event["class"], "environment", "{event}");
    }
    let cause = ran.events("database_unavailable")[0]["cause"].to_string();
    assert_says(&cause, &["[environment]"]);
    assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
    assert_exact_at_no_attempt(&db, &ran).await;
}
