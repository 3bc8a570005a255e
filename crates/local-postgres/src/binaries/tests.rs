use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// The root folder of a machine that only has the files of a test.
struct Machine(PathBuf);

impl Machine {
    fn new() -> Machine {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("local-postgres-machine-{}-{count}", std::process::id());
        let root = env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        Machine(root)
    }

    fn with(self, directory: &str, programs: &[&str]) -> Machine {
        let directory = self.0.join(directory);
        fs::create_dir_all(&directory).unwrap();
        for program in programs {
            let file = directory.join(program);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self
    }

    fn places(&self) -> Places {
        Places { named: None, root: self.0.clone(), path: None }
    }

    fn candidates(&self) -> Vec<String> {
        self.relative(candidates(&self.places()))
    }

    fn relative(&self, found: Vec<PathBuf>) -> Vec<String> {
        let relative = |path: &PathBuf| path.strip_prefix(&self.0).unwrap().display().to_string();
        found.iter().map(relative).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const BOTH: [&str; 2] = ["initdb", "postgres"];

#[test]
fn the_newest_version_comes_first_by_number() {
    let machine = Machine::new()
        .with("usr/lib/postgresql/9.6/bin", &BOTH)
        .with("usr/lib/postgresql/10/bin", &BOTH)
        .with("usr/lib/postgresql/16/bin", &BOTH)
        .with("usr/lib/postgresql/17/bin", &["psql"]);
    assert_eq!(
        machine.candidates(),
        ["usr/lib/postgresql/16/bin", "usr/lib/postgresql/10/bin", "usr/lib/postgresql/9.6/bin"]
    );
}

#[test]
fn every_systems_own_place_is_looked_at() {
    for place in [
        "usr/lib/postgresql/15/bin",
        "usr/pgsql-16/bin",
        "usr/lib/postgresql16/bin",
        "opt/homebrew/opt/postgresql@17/bin",
        "opt/homebrew/bin",
        "usr/local/opt/postgresql@17/bin",
        "usr/local/bin",
        "usr/local/pgsql/bin",
    ] {
        let machine = Machine::new().with(place, &BOTH).with("usr/lib/postgresql/common", &[]);
        assert_eq!(machine.candidates(), [place]);
    }
}

#[test]
fn the_path_comes_last_and_without_its_relative_entries() {
    let machine = Machine::new()
        .with("home/me/bin", &BOTH)
        .with("home/me/other", &["postgres"])
        .with("usr/pgsql-16/bin", &BOTH);
    let path = env::join_paths([
        Path::new("src"),
        &machine.0.join("home/me/other"),
        &machine.0.join("home/me/bin"),
    ]);
    let places = Places { path: Some(path.unwrap()), ..machine.places() };
    assert_eq!(machine.relative(candidates(&places)), ["usr/pgsql-16/bin", "home/me/bin"]);
}

#[test]
fn a_program_that_may_not_be_executed_does_not_count() {
    let machine = Machine::new().with("usr/pgsql-16/bin", &BOTH);
    let initdb = machine.0.join("usr/pgsql-16/bin/initdb");
    fs::set_permissions(&initdb, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(machine.candidates(), [""; 0]);
}

#[test]
fn a_machine_without_postgresql_has_none() {
    assert_eq!(find_in(&Machine::new().places()).unwrap(), None);
}

#[test]
fn a_candidate_that_does_not_run_is_passed_over() {
    // The files are empty, so they are executable by their mode only.
    let machine = Machine::new().with("usr/pgsql-16/bin", &BOTH);
    assert_eq!(find_in(&machine.places()).unwrap(), None);
}

#[test]
fn a_named_folder_without_the_programs_is_an_error_that_names_it() {
    let machine = Machine::new().with("empty", &[]);
    let named = machine.0.join("empty");
    let places = Places { named: Some(named.clone()), ..Places::of_this_machine() };
    let message = find_in(&places).unwrap_err().to_string();
    assert!(message.starts_with(&format!("PG_BIN_DIR is {}, but", named.display())), "{message}");
    assert!(message.contains("no executable initdb"), "{message}");
}

#[test]
fn a_named_folder_is_taken_before_all_others() {
    let found = Binaries::find_or_install(|_| {}).unwrap();
    let machine = Machine::new().with("usr/pgsql-99/bin", &BOTH);
    let places = Places { named: Some(found.directory().to_owned()), ..machine.places() };
    assert_eq!(find_in(&places).unwrap(), Some(found));
}

#[test]
fn the_version_is_read_from_what_the_server_prints() {
    let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
    assert_eq!(version_in(debian), Some("15.14"));
    assert_eq!(version_in("postgres (PostgreSQL) 18beta1\n"), Some("18beta1"));
    assert_eq!(version_in("postgres (PostgreSQL)\n"), None);
    assert_eq!(version_in("postgres: not found\n"), None);
}
