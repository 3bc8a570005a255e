use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A folder for one test, open to every user like /tmp.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = PathBuf::from(format!("/tmp/lp-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o1777)).unwrap();
        Place(path)
    }

    /// A folder as left behind by a killed owner and guardian.
    fn leftover(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.join("data/base/1")).unwrap();
        fs::write(path.join("data/postmaster.pid"), "1\n").unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn account() -> Account {
    Account::for_server().unwrap()
}

#[test]
fn a_folder_is_closed_to_others_and_belongs_to_the_servers_user() {
    let place = Place::new("private");
    let folder = Folder::create_in(&place.0, &account()).unwrap();
    let found = fs::metadata(folder.path()).unwrap();
    assert_eq!(found.mode() & 0o7777, 0o700);
    if let Some((uid, gid)) = account().gives_files_to() {
        assert_eq!((found.uid(), found.gid()), (uid, gid));
    }
}

#[test]
fn a_dropped_folder_is_gone() {
    let place = Place::new("dropped");
    let folder = Folder::create_in(&place.0, &account()).unwrap();
    let path = folder.path().to_owned();
    drop(folder);
    assert!(!path.exists());
}

#[test]
fn a_folder_without_an_owner_is_swept() {
    let place = Place::new("ownerless");
    let leftover = place.leftover("dayfold-postgres-1-1");
    sweep(&place.0, &account());
    assert!(!leftover.exists());
}

#[test]
fn a_folder_with_an_owner_is_not_swept() {
    let place = Place::new("owned");
    let folder = Folder::create_in(&place.0, &account()).unwrap();
    sweep(&place.0, &account());
    assert!(folder.log_path().exists());
}

#[test]
fn a_damaged_process_id_is_not_signalled() {
    for damaged in ["0\n", "-1\n", "1\n", "postgres\n", ""] {
        let place = Place::new("damaged");
        let leftover = place.leftover("dayfold-postgres-1-1");
        fs::write(pid_file_of(&leftover), damaged).unwrap();
        let _answers = std::os::unix::net::UnixListener::bind(leftover.join(SOCKET)).unwrap();
        sweep(&place.0, &account());
        assert!(!leftover.exists());
    }
}

#[test]
fn a_folder_of_another_name_or_kind_is_not_swept() {
    let place = Place::new("others");
    let other_name = place.leftover("somebody-elses-postgres");
    let file = place.0.join("dayfold-postgres-file");
    fs::write(&file, "").unwrap();
    let link = place.0.join("dayfold-postgres-link");
    std::os::unix::fs::symlink(&other_name, &link).unwrap();
    sweep(&place.0, &account());
    assert!(other_name.join("data/base/1").exists() && file.exists() && link.exists());
}

#[test]
fn a_folder_of_another_user_is_not_swept() {
    if account().gives_files_to().is_none() {
        return; // Only root can make a folder that belongs to somebody else.
    }
    let place = Place::new("foreign");
    let foreign = place.leftover("dayfold-postgres-1-1");
    chown(&foreign, Some(54_321), Some(54_321)).unwrap();
    sweep(&place.0, &account());
    assert!(foreign.exists());
}

#[test]
fn a_maker_who_loses_his_folder_to_a_sweep_notices() {
    let place = Place::new("lost");
    let path = place.0.join("dayfold-postgres-1-1");
    fs::create_dir(&path).unwrap();
    // Another process removes the opened folder before the lock.
    let lost = File::open(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    lost.try_lock().unwrap();
    assert!(lock(&path).unwrap().is_none());

    // A sweep holds the lock.
    fs::create_dir(&path).unwrap();
    let _sweeper = lock(&path).unwrap().unwrap();
    assert!(lock(&path).unwrap().is_none());
    assert!(make_and_lock(&path).unwrap().is_none());
}

#[test]
fn makers_and_sweeps_at_once_leave_every_maker_his_folder() {
    let place = Place::new("race");
    let account = account();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    sweep(&place.0, &account);
                    let folder = Folder::create_in(&place.0, &account).unwrap();
                    sweep(&place.0, &account);
                    assert!(folder.log_path().exists());
                }
            });
        }
    });
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0);
}

#[test]
fn a_place_that_does_not_do_is_passed_over() {
    let fit = Place::new("fit");
    let long = Place::new(&"long".repeat(20));
    let comma = Place::new("comma,comma");
    let closed = Place::new("closed");
    fs::set_permissions(&closed.0, Permissions::from_mode(0o500)).unwrap();
    let below = closed.0.join("below");
    for unfit in [&long.0, &comma.0, &closed.0, &below, &PathBuf::from("relative")] {
        let chosen = place(&[unfit.clone(), fit.0.clone()], &account()).unwrap();
        assert_eq!(chosen, fit.0, "rather than {}", unfit.display());
    }
}

#[test]
fn without_any_place_each_objection_is_said() {
    let long = Place::new(&"long".repeat(20));
    let candidates = [long.0.clone(), PathBuf::from("/nowhere")];
    let message = place(&candidates, &account()).unwrap_err().to_string();
    for part in ["is too long for a socket's path", "/nowhere is closed", "TMPDIR"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains('\n'));
}

#[test]
fn a_socket_in_the_longest_place_is_not_too_long() {
    let longest = SOCKET_PATH_BYTES - SOCKET.len() - 1 - NAME_BYTES - 1;
    // The largest process id of Linux, and a count that no process reaches.
    let name = format!("{PREFIX}{}-{}", 4_194_304, 999_999);
    assert!(name.len() <= NAME_BYTES);
    assert!("x".repeat(longest).len() + 1 + name.len() + 1 + SOCKET.len() < 104);
}

#[test]
fn the_file_of_a_crashed_server_does_not_count_as_ready() {
    let place = Place::new("ready");
    let folder = Folder::create_in(&place.0, &account()).unwrap();
    fs::create_dir(folder.data()).unwrap();
    assert!(!folder.has_ready_server(42));
    let file = pid_file_of(folder.path());
    fs::write(&file, "42\n/d\n1\n5432\n/s\n\n  1 2\nstarting\n").unwrap();
    assert!(!folder.has_ready_server(42));
    fs::write(&file, "42\n/d\n1\n5432\n/s\n\n  1 2\nready   \n").unwrap();
    assert!(folder.has_ready_server(42));
    assert!(!folder.has_ready_server(43));
}
