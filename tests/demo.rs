//! `worker demo`: it shows the main job and leaves nothing behind.

mod own;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::outside::{
    NOBODY, Scratch, assert_says, eventually, processes_with, signal, we_are_root,
    worker_for_everybody,
};
use crate::support::{Ran, WORKER};

/// The demo, with its server's folder in `place` and nothing of it on a terminal.
fn demo(program: &Path, place: &Scratch) -> Command {
    let mut command = Command::new(program);
    command.arg("demo").env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", place.path());
    if let Some(directory) = std::env::var_os("PG_BIN_DIR") {
        command.env("PG_BIN_DIR", directory);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.current_dir("/");
    command
}

/// Waits until the demo has done a batch.
fn wait_for_a_batch(demo: &mut Child) {
    let mut stderr = BufReader::new(demo.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("batch_done") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the demo ended without a batch");
    }
    // The test must read on, or the demo would wait to write its next line.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
}

/// Asserts that neither a folder nor a process of the demo is there soon after its end.
#[track_caller]
fn assert_nothing_left(place: &Scratch) {
    eventually("the folder is gone", || place.is_empty());
    let path = place.path().to_str().unwrap();
    eventually("the processes are gone", || processes_with(path) == 0);
}

#[test]
fn the_demo_shows_its_figures_and_leaves_nothing_behind() {
    let place = Scratch::new();

    let ran = Ran::of(demo(Path::new(WORKER), &place).output().unwrap());

    assert!(place.is_empty());
    assert_nothing_left(&place);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_says(
        &ran.stdout,
        &[
            "1. A private PostgreSQL",
            "2. The schema is migrated",
            "16,867 vitals",
            "5. 18,425 rows",
            "0 failed",
            "0 rows rejected",
            "A week of user 900001's meals",
            "User 900002's heart rate",
            "User 93806's examination",
            "worker run-once",
            "its folder removed",
        ],
    );
    assert!(ran.stderr.lines().any(|line| line.starts_with("batch_done")), "{}", ran.stderr);
    assert!(!format!("{ran:?}").contains('\u{1b}'), "it writes for a terminal where there is none");
    // The full path of the program, for users who have no `worker` to call yet.
    let alias = format!("   alias worker={WORKER}");
    assert!(ran.stdout.lines().any(|line| line == alias), "{}", ran.stdout);
    for line in ran.stdout.lines().chain(ran.stderr.lines()).filter(|line| **line != *alias) {
        assert!(line.chars().count() <= 80, "wider than 80 columns: {line}");
    }
}

#[test]
fn the_demo_draws_a_week_for_a_browser_where_it_is_asked_to() {
    let (place, pages) = (Scratch::new(), Scratch::new());
    let page = pages.path().join("week.html");

    let mut command = demo(Path::new(WORKER), &place);
    let ran = Ran::of(command.arg("--html").arg(&page).output().unwrap());

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(page.to_str().unwrap()), "{}", ran.stdout);
    let drawn = std::fs::read_to_string(&page).unwrap();
    for part in ["User 900001", "Energy by meal", "Tue 26 Jul 2022"] {
        assert!(drawn.contains(part), "no {part}");
    }
}

#[test]
fn ctrl_c_ends_the_demo_and_leaves_nothing_behind() {
    let place = Scratch::new();
    // As a terminal does: everything in the foreground's process group gets the signal.
    let mut running = demo(Path::new(WORKER), &place).process_group(0).spawn().unwrap();
    wait_for_a_batch(&mut running);
    assert_ne!(processes_with(place.path().to_str().unwrap()), 0);

    signal("INT", -i64::from(running.id()));

    let ran = Ran::of(running.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(!ran.stdout.contains("5. "), "{}", ran.stdout);
    assert_nothing_left(&place);
}

#[test]
fn ctrl_c_while_the_server_is_being_made_leaves_nothing_behind() {
    let place = Scratch::new();
    let running = demo(Path::new(WORKER), &place).process_group(0).spawn().unwrap();
    eventually("the folder is there", || !place.is_empty());

    signal("INT", -i64::from(running.id()));

    let ran = Ran::of(running.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert_nothing_left(&place);
}

#[test]
fn an_ordinary_user_can_run_the_demo_and_end_it() {
    let (place, program) = (Scratch::new(), Scratch::new());
    let mut command = if we_are_root() {
        let mut command = demo(&worker_for_everybody(&program), &place);
        command.uid(NOBODY).gid(NOBODY);
        command
    } else {
        demo(Path::new(WORKER), &place)
    };
    let mut running = command.spawn().unwrap();
    wait_for_a_batch(&mut running);
    let folder = std::fs::read_dir(place.path()).unwrap().flatten().next().unwrap();
    if we_are_root() {
        assert_eq!(folder.metadata().unwrap().uid(), NOBODY);
    }

    signal("TERM", i64::from(running.id()));

    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(130));
    assert_nothing_left(&place);
}
