//! Owners that cannot clean up, because they are killed.

use crate::owner::Owner;
use crate::support::{Place, eventually, query, runs};

#[test]
fn a_killed_owner_takes_the_server_and_its_folder_along() {
    let place = Place::new("killed");
    let mut owner = Owner::start(place.path());
    assert!(runs(owner.server));
    owner.kill();
    eventually("the server is gone", || !runs(owner.server));
    eventually("the folder is gone", || place.is_empty());
}

#[test]
fn an_owner_killed_in_the_middle_of_a_start_leaves_nothing_behind() {
    for seen in ["data/PG_VERSION", "data/global/pg_control", "data/postmaster.pid"] {
        let place = Place::new("starting");
        kill_once(&place, seen);
        eventually(&format!("after {seen} everything is gone"), || place.is_empty());
    }
}

#[test]
fn an_owner_killed_before_there_is_a_guardian_leaves_what_the_next_start_clears() {
    for seen in ["", "server.log"] {
        let place = Place::new("beginning");
        kill_once(&place, seen);
        Owner::start(place.path()).end();
        eventually("everything is gone", || place.is_empty());
    }
}

/// Kills an owner as soon as the server's folder holds a file.
fn kill_once(place: &Place, seen: &str) {
    let mut owner = Owner::begin(place.path());
    eventually("the start has come as far as this", || place.holds(seen));
    owner.kill().unwrap();
    owner.wait().unwrap();
}

/// Finding a guardian requires reading every process of the machine.
#[cfg(target_os = "linux")]
mod with_its_guardian {
    use std::fs;

    use local_postgres::LocalPostgres;

    use super::*;
    use crate::support::{binaries, crash, server_in, signal};

    /// The guardian of a server: the shell in its process group.
    fn guardian(server: u32) -> u32 {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let in_group = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let Some((name, rest)) = stat.rsplit_once(')') else {
                return false;
            };
            // After the name come the state, the parent and the group.
            name.ends_with("(sh") && rest.split_whitespace().nth(2) == Some(&server.to_string())
        };
        let found: Vec<u32> = ids.filter(in_group).collect();
        let [guardian] = found[..] else { panic!("not one guardian: {found:?}") };
        guardian
    }

    fn kill_guardian(server: u32) {
        let guardian = guardian(server);
        assert!(signal("KILL", guardian));
        eventually("the guardian is gone", || !runs(guardian));
    }

    #[test]
    fn ctrl_c_at_the_terminal_reaches_the_owner_only() {
        let server = LocalPostgres::start(binaries()).unwrap();
        let pid = server_in(server.socket_directory());
        // The terminal signals the owner's group. The server leads a group of its own, which
        // contains the guardian.
        assert_ne!(guardian(pid), 0);
    }

    #[test]
    fn an_owner_without_a_guardian_stops_the_server_himself() {
        let server = LocalPostgres::start(binaries()).unwrap();
        let folder = server.socket_directory().to_owned();
        let pid = server_in(&folder);
        kill_guardian(pid);
        drop(server);
        assert!(!runs(pid));
        assert!(!folder.exists());
    }

    #[test]
    fn the_next_start_stops_a_server_that_lost_both() {
        let place = Place::new("both");
        let mut owner = Owner::start(place.path());
        kill_guardian(owner.server);
        owner.kill();
        assert_eq!(query(&owner.url, "SELECT 1").unwrap(), "1");

        let next = Owner::start(place.path());
        eventually("the server is gone", || !runs(owner.server));
        assert!(!owner.folder.exists());
        assert_eq!(query(&next.url, "SELECT 1").unwrap(), "1");
        next.end();
        assert!(place.is_empty());
    }

    #[test]
    fn the_next_start_clears_the_folder_of_a_server_that_was_killed_as_well() {
        let place = Place::new("all-three");
        let mut owner = Owner::start(place.path());
        kill_guardian(owner.server);
        owner.kill();
        crash(&owner.folder);
        assert!(owner.folder.exists());

        Owner::start(place.path()).end();
        assert!(place.is_empty());
    }

    #[test]
    fn the_next_start_leaves_a_server_alone_whose_owner_lives() {
        let place = Place::new("lives");
        let owner = Owner::start(place.path());
        kill_guardian(owner.server);
        Owner::start(place.path()).end();
        assert_eq!(query(&owner.url, "SELECT 1").unwrap(), "1");
        owner.end();
        assert!(place.is_empty());
    }
}
