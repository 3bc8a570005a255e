//! Owners in separate processes.

use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use local_postgres::{Binaries, LocalPostgres, LocalPostgresError};

use crate::support::{Place, binaries, query, runs, server_in, signal, we_are_root};

/// This variable is set in a process that acts as an owner.
const ROLE: &str = "LOCAL_POSTGRES_TEST_OWNER";

/// The test that acts as the owner in such a process.
const OWNER_TEST: &str = "owner::an_owner_serves_until_its_input_ends";

/// The user and group without rights, by their usual id.
const NOBODY: u32 = 65_534;

/// A process that owns a server, with another child beside it.
pub(crate) struct Owner {
    pub(crate) process: Child,
    pub(crate) url: String,
    /// The server's folder.
    pub(crate) folder: PathBuf,
    /// The server's process id.
    pub(crate) server: u32,
    /// The other child's process id.
    pub(crate) bystander: u32,
    output: BufReader<ChildStdout>,
}

impl Owner {
    /// Starts an owner whose server's folder is in `place`, without waiting for the server.
    fn spawn(program: &Path, place: &Path, change: impl FnOnce(&mut Command)) -> Child {
        let mut command = Command::new(program);
        command
            .args(["--exact", OWNER_TEST, "--nocapture"])
            .env(ROLE, "1")
            .env("TMPDIR", place)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        change(&mut command);
        command.spawn().unwrap()
    }

    /// Starts an owner, without waiting for its server.
    pub(crate) fn begin(place: &Path) -> Child {
        Owner::spawn(&env::current_exe().unwrap(), place, |_| {})
    }

    /// Waits until its server is ready.
    fn ready(mut process: Child) -> Owner {
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut next = |name: &str| loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the owner ended without {name}");
            if let Some(value) = line.trim().strip_prefix(name) {
                return value.trim().to_owned();
            }
        };
        let url = next("url:");
        let folder = PathBuf::from(next("folder:"));
        let bystander = next("bystander:").parse().unwrap();
        let server = server_in(&folder);
        Owner { process, url, folder, server, bystander, output }
    }

    /// Starts an owner, and waits for its server.
    pub(crate) fn start(place: &Path) -> Owner {
        Owner::ready(Owner::begin(place))
    }

    /// Lets the owner end in order.
    pub(crate) fn end(mut self) {
        drop(self.process.stdin.take());
        self.output.read_to_end(&mut Vec::new()).unwrap();
        assert!(self.process.wait().unwrap().success());
    }

    /// Kills the owner; its other child lives on.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        assert!(runs(self.bystander));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        signal("KILL", self.bystander);
    }
}

/// The body of an owner's process.
fn serve() -> Result<(), LocalPostgresError> {
    let server = LocalPostgres::start(&Binaries::find_or_install(|line| println!("{line}"))?)?;
    // Started after the server, so it inherits every handle that std passes to a child.
    let mut bystander = Command::new("sleep").arg("300").stdout(Stdio::null()).spawn().unwrap();
    println!("url: {}", server.url("postgres"));
    println!("folder: {}", server.socket_directory().display());
    println!("bystander: {}", bystander.id());
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    Ok(())
}

#[test]
fn an_owner_serves_until_its_input_ends() {
    if env::var_os(ROLE).is_some() {
        if let Err(error) = serve() {
            println!("error: {error}");
        }
        return;
    }
    let place = Place::new("serves");
    let owner = Owner::start(place.path());
    assert_eq!(query(&owner.url, "SELECT 1").unwrap(), "1");
    let server = owner.server;
    owner.end();
    assert!(!runs(server));
    assert!(place.is_empty());
}

#[test]
fn processes_that_start_at_once_get_a_server_each() {
    let place = Place::new("at-once");
    let starting: Vec<_> = (0..4).map(|_| Owner::begin(place.path())).collect();
    let owners: Vec<_> = starting.into_iter().map(Owner::ready).collect();
    let mut folders: Vec<_> = owners.iter().map(|owner| owner.folder.clone()).collect();
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), owners.len());
    for owner in owners {
        assert_eq!(query(&owner.url, "SELECT 1").unwrap(), "1");
        owner.end();
    }
    assert!(place.is_empty());
}

#[test]
fn an_ordinary_user_runs_the_server_as_himself() {
    let place = Place::new("ordinary");
    let servers = Place::new("ordinary-servers");
    // The user may have no access to the folder of this program.
    let program = place.path().join("owner");
    let copied = Command::new("cp").arg(env::current_exe().unwrap()).arg(&program).status();
    assert!(copied.unwrap().success());
    let owner = Owner::ready(Owner::spawn(&program, servers.path(), |command| {
        if we_are_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
    }));
    let himself = if we_are_root() { NOBODY } else { place.path().metadata().unwrap().uid() };
    assert_eq!(owner.folder.metadata().unwrap().uid(), himself);
    assert_eq!(query(&owner.url, "SELECT 1").unwrap(), "1");
    owner.end();
    assert!(servers.is_empty());
}

#[test]
fn a_temporary_folder_that_is_closed_or_too_long_is_not_used() {
    let place = Place::new("unfit");
    let long = place.path().join("long".repeat(20));
    std::fs::create_dir(&long).unwrap();
    let owner = Owner::start(&long);
    assert_eq!(owner.folder.parent(), Some(Path::new("/tmp")));
    assert_eq!(query(&owner.url, "SELECT 1").unwrap(), "1");
    owner.end();
}

#[test]
fn a_wrong_pg_bin_dir_is_an_error_that_names_it() {
    let place = Place::new("no-programs");
    let program = env::current_exe().unwrap();
    let owner = Owner::spawn(&program, place.path(), |command| {
        command.env("PG_BIN_DIR", place.path());
    });
    let output = String::from_utf8(owner.wait_with_output().unwrap().stdout).unwrap();
    let expected = format!("error: PG_BIN_DIR is {}, but", place.path().display());
    assert!(output.contains(&expected), "{output}");

    let owner = Owner::spawn(&program, place.path(), |command| {
        command.env("PG_BIN_DIR", binaries().directory());
    });
    Owner::ready(owner).end();
}
