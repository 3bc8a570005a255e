//! The roles of `packaging/sql`: their grants are enough for every command, and none is
//! superfluous. And what others write into text columns and arguments is never SQL.

mod grants;
mod injection;
mod least;
mod planted;
mod settings;
mod sources;
mod work;

use std::path::Path;
use std::process::Command;

use local_postgres::Binaries;
use tokio_postgres::Client;

use crate::support::{Database, Ran, connect, worker_at};

/// Not the default one, and a name that SQL must quote.
const SCHEMA: &str = "Health of all";

/// A database with the three roles, migrated by the owner.
struct Roles {
    db: Database,
    owner: String,
    worker: String,
    app: String,
}

impl Roles {
    /// In a database whose administrators took away what everybody may do by default.
    async fn new() -> Self {
        let roles = Self::unmigrated().await;
        roles.migrate();
        roles.db.execute(&format!("SET search_path = \"{SCHEMA}\"")).await;
        roles
    }

    /// The same without the tables.
    async fn unmigrated() -> Self {
        let db = Database::empty().await;
        let [owner, worker, app] = ["Owner", "Worker", "App"].map(|of| format!("{of}-{}", db.name));
        let roles = Self { db, owner, worker, app };
        let name = &roles.db.name;
        roles.db.execute(&format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await;
        roles.db.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC").await;
        roles.script("postgres", "roles.sql");
        let no_functions = format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE \"{}\" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
            roles.owner
        );
        roles.db.execute(&no_functions).await;
        roles
    }

    fn migrate(&self) {
        let migrated = Ran::of(worker_at(&self.url(&self.owner)).arg("migrate").output().unwrap());
        assert_eq!(migrated.code, 0, "{}", migrated.stderr);
        self.script(&self.owner, "grants.sql");
    }

    fn url(&self, role: &str) -> String {
        self.db.url.replace("postgres@", &format!("{role}@"))
    }

    /// Runs one of the scripts by psql as a role.
    fn script(&self, role: &str, script: &str) {
        let psql = Binaries::find().unwrap().directory().join("psql");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut command = Command::new(psql);
        command.args(["-X", "-q", "-d", &self.url(role)]);
        let names = [
            ("schema", SCHEMA),
            ("owner", &self.owner),
            ("worker", &self.worker),
            ("app", &self.app),
        ];
        for (variable, name) in names {
            command.args(["-v", &format!("{variable}={name}")]);
        }
        let ran = Ran::of(
            command.arg("-f").arg(root.join("packaging/sql").join(script)).output().unwrap(),
        );
        assert_eq!(ran.code, 0, "{script}: {}", ran.stderr);
    }

    /// A session of the app, which has a search_path of its own making.
    async fn app(&self) -> Client {
        let client = connect(&self.url(&self.app)).await;
        client.batch_execute(&format!("SET search_path = \"{SCHEMA}\"")).await.unwrap();
        client
    }

    /// The worker's command line, as its role.
    fn worker(&self) -> Command {
        worker_at(&self.url(&self.worker))
    }
}

/// The class of the error with which the server refuses a statement.
async fn refusal(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.code().unwrap_or_else(|| panic!("{sql}: {error}")).code().to_owned()
}

/// Missing rights.
const DENIED: &str = "42501";
