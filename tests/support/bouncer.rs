//! PgBouncer between the worker and the tests' server.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use local_postgres::LocalPostgres;

use super::outside::{Scratch, eventually, we_are_root};

/// A pooler in front of one server. Dropping it kills the process.
pub struct Bouncer {
    child: Child,
    place: Scratch,
}

impl Bouncer {
    /// Starts PgBouncer with a `pool_mode` and additional lines of its configuration.
    pub fn start(server: &LocalPostgres, pool_mode: &str, more: &str) -> Self {
        let place = Scratch::new();
        let folder = place.path().display();
        // Older versions do not know this setting and refuse to start with it.
        let carry = if carries_statements() { "max_prepared_statements = 100\n" } else { "" };
        let config = place.file(
            "pgbouncer.ini",
            format!(
                "[databases]\n* = host={}\n[pgbouncer]\npool_mode = {pool_mode}\n\
                 unix_socket_dir = {folder}\nlisten_port = 6432\nlisten_addr =\n\
                 auth_type = trust\nauth_file = {folder}/users\n{carry}{more}\n",
                server.socket_directory().display(),
            ),
        );
        place.file("users", "\"postgres\" \"\"\n");
        let mut command = Command::new(program());
        command.arg("-q").arg(config).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // PgBouncer refuses to run as root, and only its owner may use the server's folder.
        let owner = std::fs::metadata(server.socket_directory()).unwrap();
        if we_are_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let bouncer = Self { child: command.spawn().unwrap(), place };
        let socket = bouncer.place.path().join(".s.PGSQL.6432");
        eventually("PgBouncer listens", || socket.exists());
        bouncer
    }

    /// The URL of a database behind the pooler.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgresql:///{database}?host={}&port=6432&user=postgres",
            self.place.path().display()
        )
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the installed version carries prepared statements over, as from 1.21 on.
pub fn carries_statements() -> bool {
    static VERSION: OnceLock<(u32, u32)> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let output = Command::new(program()).arg("--version").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let version = text.lines().next().unwrap().rsplit(' ').next().unwrap();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }) >= (1, 21)
}

/// The program. It is installed first if that needs no confirmation.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| find().or_else(|| install().then(find).flatten()).unwrap_or_else(|| {
        panic!("PgBouncer is needed: install the package `pgbouncer`, or name the program by PGBOUNCER")
    }))
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PGBOUNCER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin", "/usr/local/bin"];
    std::env::split_paths(&path)
        .chain(usual.map(PathBuf::from))
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| {
            program.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
        })
}

/// Installs the package as root on Debian, as for PostgreSQL. Its own service is not started.
fn install() -> bool {
    if !we_are_root() || !Path::new("/usr/bin/apt-get").exists() {
        return false;
    }
    eprintln!("PgBouncer is not installed: installing the package `pgbouncer`");
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("/usr/bin/apt-get");
        command.args(["-qy", "-oDPkg::Lock::Timeout=300"]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        command.output().unwrap().status.success()
    };
    let package = ["install", "--no-install-recommends", "pgbouncer"];
    apt_get(&package) || (apt_get(&["update"]) && apt_get(&package))
}
