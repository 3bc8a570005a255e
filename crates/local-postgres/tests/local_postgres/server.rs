//! One process, its servers, and the files that they leave.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use local_postgres::{LocalPostgres, LocalPostgresError, Shutdown};

use crate::support::{Place, binaries, crash, query, runs, server_in, shell};

#[test]
fn a_server_answers_and_is_gone_when_dropped() {
    let server = LocalPostgres::start(binaries()).unwrap();
    let (folder, pid) =
        (server.socket_directory().to_owned(), server_in(server.socket_directory()));
    let version = query(&server.url("postgres"), "SHOW server_version").unwrap();
    assert!(version.starts_with(binaries().version()), "{version}");
    assert_eq!(query(&server.url("postgres"), "SHOW server_encoding").unwrap(), "UTF8");
    assert_eq!(query(&server.url("postgres"), "SHOW listen_addresses").unwrap(), "");
    drop(server);
    assert!(!folder.exists());
    assert!(!runs(pid));
}

#[test]
fn a_url_names_a_database_with_any_name() {
    let server = LocalPostgres::start(binaries()).unwrap();
    query(&server.url("postgres"), "CREATE DATABASE \"ä b/c?d\"").unwrap();
    let name = query(&server.url("ä b/c?d"), "SELECT current_database()").unwrap();
    assert_eq!(name, "ä b/c?d");
}

#[test]
fn two_servers_run_side_by_side() {
    let one = LocalPostgres::start(binaries()).unwrap();
    let two = LocalPostgres::start(binaries()).unwrap();
    assert_ne!(one.url("postgres"), two.url("postgres"));
    query(&one.url("postgres"), "CREATE TABLE only_here ()").unwrap();
    let error = query(&two.url("postgres"), "TABLE only_here").unwrap_err();
    assert!(error.contains("does not exist"), "{error}");
    drop(one);
    assert_eq!(query(&two.url("postgres"), "SELECT 1").unwrap(), "1");
}

#[test]
fn a_restart_keeps_the_data_and_the_address() {
    let mut server = LocalPostgres::start(binaries()).unwrap();
    let url = server.url("postgres");
    query(&url, "CREATE TABLE kept AS SELECT 1 AS n").unwrap();
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        server.stop(how).unwrap();
        query(&url, "TABLE kept").unwrap_err();
        server.stop(how).unwrap(); // It may be stopped already.
        server.start_again().unwrap();
        server.start_again().unwrap(); // It may run already.
        assert_eq!(server.url("postgres"), url);
        assert_eq!(query(&url, "TABLE kept").unwrap(), "1");
    }
}

#[test]
fn a_stopped_server_leaves_nothing_behind_when_dropped() {
    let mut server = LocalPostgres::start(binaries()).unwrap();
    let folder = server.socket_directory().to_owned();
    server.stop(Shutdown::Fast).unwrap();
    assert!(folder.exists());
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn settings_take_effect_and_the_log_can_be_read() {
    let settings = [("work_mem", "7MB"), ("log_statement", "all"), ("cluster_name", "it's one")];
    let server = LocalPostgres::start_with(binaries(), &settings).unwrap();
    assert_eq!(query(&server.url("postgres"), "SHOW work_mem").unwrap(), "7MB");
    assert_eq!(query(&server.url("postgres"), "SHOW cluster_name").unwrap(), "it's one");
    let log = fs::read_to_string(server.log_path()).unwrap();
    assert!(log.contains("statement: SHOW work_mem"), "{log}");
}

#[test]
fn a_server_that_does_not_start_quotes_its_log_and_leaves_nothing_behind() {
    let error = LocalPostgres::start_with(binaries(), &[("no_such_setting", "1")]).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("FATAL") && message.contains("no_such_setting"), "{message}");
    assert!(!message.contains('\n') && !message.contains("Success"), "{message}");
    let LocalPostgresError::Failed { directory, .. } = error else { panic!("{message}") };
    assert!(!directory.exists());
}

#[test]
fn a_panic_of_the_owner_stops_the_server() {
    let mut seen = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let server = LocalPostgres::start(binaries()).unwrap();
        let folder = server.socket_directory();
        seen = Some((folder.to_owned(), server_in(folder)));
        panic!("a panic that this test is about");
    }));
    assert!(panicked.is_err());
    let (folder, pid) = seen.unwrap();
    assert!(!folder.exists());
    assert!(!runs(pid));
}

#[test]
fn a_server_that_crashed_is_cleared_away_all_the_same() {
    let server = LocalPostgres::start(binaries()).unwrap();
    let folder = server.socket_directory().to_owned();
    crash(&folder);
    query(&server.url("postgres"), "SELECT 1").unwrap_err();
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn a_server_that_is_kept_can_be_started_again_and_has_its_rows() {
    let place = Place::new("kept");
    let within = place.path().join("it's mine");
    let server = LocalPostgres::start_at(binaries(), &within).unwrap();
    let pid = server_in(server.socket_directory());
    query(&server.url("postgres"), "CREATE TABLE kept AS SELECT 1 AS n").unwrap();
    let kept = server.keep().unwrap();
    assert!(!runs(pid) && within.join("postgresql/data").exists());

    assert!(shell(&kept.start()), "{}", kept.start());
    assert_eq!(query(kept.url(), "TABLE kept").unwrap(), "1");
    assert_eq!(query(kept.url(), "SHOW listen_addresses").unwrap(), "");
    assert_eq!(query(kept.url(), "SHOW fsync").unwrap(), "on");
    assert!(shell(&kept.stop()), "{}", kept.stop());
    query(kept.url(), "TABLE kept").unwrap_err();
}

#[test]
fn a_server_that_is_not_kept_leaves_a_named_folder_as_it_was() {
    let place = Place::new("unkept");
    let (new, there) = (place.path().join("new"), place.path());
    drop(LocalPostgres::start_at(binaries(), &new).unwrap());
    assert!(!new.exists());
    drop(LocalPostgres::start_at(binaries(), there).unwrap());
    assert!(place.is_empty());
}

#[test]
fn a_named_folder_that_the_server_cannot_use_is_refused_and_not_left_behind() {
    let place = Place::new("refused");
    let long = place.path().join("x".repeat(90));
    let closed = place.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
    for (folder, why) in
        [(long.clone(), "is too long for a socket's path"), (closed, "is closed to it")]
    {
        let error = LocalPostgres::start_at(binaries(), &folder).unwrap_err().to_string();
        assert!(error.contains("no place for the server") && error.contains(why), "{error}");
    }
    assert!(!long.exists());
    let missing = place.path().join("missing/folder");
    let error = LocalPostgres::start_at(binaries(), &missing).unwrap_err().to_string();
    assert!(error.contains("cannot prepare") && error.contains("missing"), "{error}");
}
