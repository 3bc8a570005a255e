//! `worker demo --data`: files of the user's own.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{assert_nothing_left, demo};
use crate::support::outside::{
    NOBODY, Scratch, assert_says, eventually, refused, signal, we_are_root, worker_for_everybody,
};
use crate::support::{Ran, WORKER, connect, root};

fn sample(name: &str) -> PathBuf {
    root().join("tests/import/samples").join(name)
}

/// The demo of a file, in Berlin.
fn own(place: &Scratch, file: &Path) -> Command {
    let mut command = demo(Path::new(WORKER), place);
    command.arg("--data").arg(file).args(["--time-zone", "Europe/Berlin"]);
    command
}

fn run(command: &mut Command) -> Ran {
    Ran::of(command.output().unwrap())
}

/// Reads stdout until a line has this text. The rest of it is read, and dropped.
#[track_caller]
fn wait_for(child: &mut Child, text: &str) -> String {
    let mut stdout: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains(text) {
        assert_ne!(
            stdout.read_line(&mut seen).unwrap(),
            0,
            "the demo ended without {text}: {seen}"
        );
    }
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    seen
}

#[test]
fn an_export_becomes_a_page_of_its_last_days_and_nothing_else_is_left() {
    let (place, pages) = (Scratch::new(), Scratch::new());
    let mut command = own(&place, &sample("export.xml"));
    // The folder in which the user is.
    let ran = run(command.current_dir(pages.path()));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_nothing_left(&place);
    let page = pages.path().join("dayfold-report.html");
    assert_says(
        &ran.stdout,
        &[
            "3. Your data become raw rows of user 1. Their days are those of\n   Europe/Berlin.",
            "Apple Health: 25 rows imported",
            "2 HKQuantityTypeIdentifierDietaryProtein",
            "5. 25 rows",
            "0 failed",
            "2024-05-01 to 2024-05-02",
            page.to_str().unwrap(),
            "its folder removed",
        ],
    );
    let drawn = fs::read_to_string(&page).unwrap();
    assert_says(&drawn, &["User 1", "2 May 2024", "5,200"]);
    assert_eq!(fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(pages.path()).unwrap().count(), 1);
}

#[test]
fn several_files_of_a_user_with_any_id_are_one_page() {
    let (place, pages) = (Scratch::new(), Scratch::new());
    let page = pages.path().join("page.html");
    let csv = pages.file(
        "vitals.csv",
        "user_id,metric,value,unit,source,started_at\nanna,heart_rate,61,bpm,watch,2024-05-01T10:00:00Z\n\
         anna,heart_rate,x,bpm,watch,2024-05-01T10:00:00Z\n",
    );
    let mut command = own(&place, &sample("clarity.csv"));
    command.arg("--data").arg(csv).args(["--user", "anna", "--html"]).arg(&page);
    let ran = run(&mut command);
    // A line of the file is bad.
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_says(&ran.stderr, &["vitals.csv, line 3: value is not a number"]);
    assert_says(
        &ran.stdout,
        &["of user anna", "Dexcom Clarity: 4 rows imported", "1 row imported"],
    );
    assert_says(&fs::read_to_string(&page).unwrap(), &["User anna"]);
    assert_nothing_left(&place);
}

#[test]
fn wrong_files_and_folders_are_refused_before_a_server_is_started() {
    let (place, files) = (Scratch::new(), Scratch::new());
    let other = files.file("other.txt", "nothing of health\n");
    let csv = files
        .file("vitals.csv", "user_id,metric,value,started_at\n1,steps,1,2024-05-01T10:00:00Z\n");
    let utf16 = files.file("utf16.xml", [0xff, 0xfe, 0x3c, 0]);
    for (file, says) in [
        (files.path().join("missing.xml"), "cannot open"),
        (files.path().to_owned(), "cannot read"),
        (other.clone(), "none that can be imported"),
        (utf16, "UTF-16 or binary"),
        (csv, "CSV names the user of each row; give --user ID"),
    ] {
        let why = refused(&mut own(&place, &file));
        assert_says(&why, &[file.to_str().unwrap(), says]);
    }
    let export = sample("export.xml");
    for (keep, says) in [(files.path(), "is not empty"), (other.as_path(), "is no folder")] {
        let why = refused(own(&place, &export).arg("--keep").arg(keep));
        assert_says(&why, &["--keep", keep.to_str().unwrap(), says, "name a new folder"]);
    }
    let page = files.path().join("no/such/folder/page.html");
    let why = refused(own(&place, &export).arg("--html").arg(&page));
    assert_says(&why, &[page.to_str().unwrap(), "cannot be written"]);
    assert!(place.is_empty());
    assert_eq!(files.path().read_dir().unwrap().count(), 3, "the check of the page leaves nothing");
    for wrong in [&["--keep", "x"][..], &["--user", "1"], &["--time-zone", "UTC"]] {
        let ran = run(demo(Path::new(WORKER), &place).args(wrong));
        assert_eq!(ran.code, 2, "{ran:?}");
        assert_says(&ran.stderr, &["--data"]);
    }
}

#[test]
fn a_file_without_anything_to_import_says_so_and_keeps_nothing() {
    let (place, files) = (Scratch::new(), Scratch::new());
    let record = "<Record type=\"HKQuantityTypeIdentifierDietaryProtein\" value=\"1\"/>";
    let file = files.file("food.xml", format!("<HealthData locale=\"x\">{record}</HealthData>"));
    let keep = files.path().join("kept");
    let ran = run(own(&place, &file).arg("--keep").arg(&keep));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_says(&ran.stdout, &["1 HKQuantityTypeIdentifierDietaryProtein"]);
    assert_says(&ran.stderr, &["food.xml: nothing in it can be imported, so there are no figures"]);
    assert!(!keep.exists());
    assert_nothing_left(&place);
}

#[tokio::test]
async fn a_server_that_is_kept_is_described_and_starts_again_with_its_figures() {
    let (place, files) = (Scratch::new(), Scratch::new());
    let keep = files.path().join("my data");
    let ran = run(own(&place, &sample("nightscout.json")).arg("--keep").arg(&keep));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(place.is_empty());
    let text = fs::read_to_string(keep.join("README.txt")).unwrap();
    assert!(ran.stdout.ends_with(&format!("{text}\n")), "{ran:?}");
    assert_says(&fs::read_to_string(keep.join("report.html")).unwrap(), &["User 1"]);
    let after = |heading: &str| {
        let (_, after) = text.split_once(heading).unwrap();
        after.lines().nth(1).unwrap().trim().to_owned()
    };
    let shell = |line: &str| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        assert!(shell.status().unwrap().success(), "{line}");
    };
    shell(&after("Start the server:"));
    let (_, url) = text.split_once("DATABASE_URL='").unwrap();
    let client = connect(url.split('\'').next().unwrap()).await;
    let rows = client.query_one("SELECT count(*) FROM glucose_daily", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1);
    drop(client);
    shell(&after("Stop it:"));
    shell(&after("Remove everything"));
    assert!(!keep.exists());
}

#[test]
fn ctrl_c_while_the_file_is_read_removes_everything() {
    let (place, files) = (Scratch::new(), Scratch::new());
    let keep = files.path().join("kept");
    let mut command = own(&place, Path::new("-"));
    command.arg("--keep").arg(&keep).stdin(Stdio::piped());
    let mut running = command.process_group(0).spawn().unwrap();
    // The pipe stays open, so the demo waits for more of the file.
    let mut stdin = running.stdin.take().unwrap();
    // Longer than the beginning that shows the format.
    stdin.write_all("<HealthData locale=\"x\">\n".as_bytes()).unwrap();
    stdin.write_all(&b" ".repeat(100_000)).unwrap();
    wait_for(&mut running, "3. Your data");
    assert!(keep.join("postgresql/data").exists());

    signal("INT", -i64::from(running.id()));

    assert_eq!(running.wait().unwrap().code(), Some(130));
    drop(stdin);
    assert!(!keep.exists());
    assert_nothing_left(&place);
}

#[test]
fn ctrl_c_while_the_server_is_made_removes_a_folder_that_was_to_be_kept() {
    let (place, files) = (Scratch::new(), Scratch::new());
    let keep = files.path().join("kept");
    let mut command = own(&place, &sample("export.xml"));
    let mut running = command.arg("--keep").arg(&keep).process_group(0).spawn().unwrap();
    eventually("the folder is there", || keep.join("postgresql").exists());

    signal("INT", -i64::from(running.id()));

    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert!(!keep.exists());
}

#[test]
fn the_operators_page_of_own_data_is_served_until_ctrl_c() {
    let (place, files) = (Scratch::new(), Scratch::new());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let page = files.path().join("page.html");
    let mut command = own(&place, &sample("export.xml"));
    command.arg("--serve").arg("--html").arg(&page).env("WORKER__HTTP__PORT", port.to_string());
    let mut running = command.spawn().unwrap();
    let said = wait_for(&mut running, "End it with Ctrl-C");
    assert_says(&said, &[&format!("http://127.0.0.1:{port}/users/1/days/2024-05-02")]);
    assert!(!said.contains("a heart rate arrives"), "{said}");
    let mut answer = String::new();
    eventually("the page answers", || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        answer.clear();
        stream.read_to_string(&mut answer).is_ok()
    });
    assert_says(&answer, &["location: /sign-in"]);

    signal("INT", i64::from(running.id()));

    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert!(page.exists());
    assert_nothing_left(&place);
}

#[test]
fn an_ordinary_user_loads_own_data_and_keeps_them() {
    if !we_are_root() {
        return; // All other tests here run as an ordinary user.
    }
    let (place, program, files) = (Scratch::new(), Scratch::new(), Scratch::new());
    let export = files.file("export.xml", fs::read(sample("export.xml")).unwrap());
    let keep = files.path().join("kept");
    let mut command = demo(&worker_for_everybody(&program), &place);
    command.arg("--data").arg(&export).arg("--keep").arg(&keep).uid(NOBODY).gid(NOBODY);
    let ran = run(&mut command);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_says(&ran.stdout, &["the zone of this machine; --time-zone names another"]);
    assert!(!ran.stdout.contains("runuser"), "{}", ran.stdout);
    assert!(keep.join("report.html").exists() && keep.join("postgresql/data").exists());

    fs::set_permissions(&export, Permissions::from_mode(0o600)).unwrap();
    let mut command = demo(&program.path().join("worker"), &place);
    command.arg("--data").arg(&export).uid(NOBODY).gid(NOBODY);
    assert_says(&refused(&mut command), &["cannot open", "export.xml", "ermission denied"]);
}

#[test]
fn a_full_disk_is_named_and_everything_is_removed() {
    let (place, files) = (Scratch::new(), Scratch::new());
    // The cluster fits, a write-ahead log that grows does not.
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=100m,mode=1777", "tmpfs"]).arg(place.path());
    if !mount.output().is_ok_and(|ran| ran.status.success()) {
        return; // This user may not mount a small disk.
    }
    let mut text = "<HealthData locale=\"x\">\n".to_owned();
    for second in 0..200_000 {
        let (day, hour) = (1 + second / 86_400, second / 3_600 % 24);
        let at =
            format!("2023-01-{day:02} {hour:02}:{:02}:{:02} +0000", second / 60 % 60, second % 60);
        text.push_str(&format!(
            "<Record type=\"HKQuantityTypeIdentifierHeartRate\" unit=\"count/min\" value=\"60\" \
             sourceName=\"Watch\" startDate=\"{at}\" endDate=\"{at}\"/>\n"
        ));
    }
    let file = files.file("export.xml", text + "</HealthData>");
    let ran = run(own(&place, &file).arg("--html").arg(files.path().join("page.html")));
    let is_empty = place.is_empty();
    assert!(Command::new("umount").arg(place.path()).status().unwrap().success());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_says(
        &ran.stderr,
        &["the disk with", place.path().to_str().unwrap(), "is full", "TMPDIR", "--keep"],
    );
    assert!(is_empty, "{ran:?}");
}
