//! A private server, a database for each test, and the worker as a process.

#![allow(dead_code)]

pub mod bouncer;
pub mod certificates;
pub mod doctor;
pub mod outside;
pub mod receivers;
pub mod rows;
pub mod running;
pub mod samples;
pub mod tables;
pub mod terminal;
pub mod user_ids;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use aggregation::UserIdType;
use local_postgres::{Binaries, LocalPostgres};
use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

/// The program under test.
pub const WORKER: &str = env!("CARGO_BIN_EXE_worker");

static SERVER: OnceLock<LocalPostgres> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);
/// The migrated databases that are copied for each test, by the name of their user ids' type. PostgreSQL refuses
/// concurrent copies of one template.
static TEMPLATES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// The folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The server shared by all tests of this process. It ends with the process.
pub fn server() -> &'static LocalPostgres {
    SERVER.get_or_init(|| {
        let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
        LocalPostgres::start_with(&binaries, &[("max_connections", "200")]).unwrap()
    })
}

/// Creates the migrated database to copy.
fn create_template(template: &str, id_type: UserIdType) {
    psql(server(), "postgres", &format!("CREATE DATABASE {template}"));
    let url = server().url(template);
    let migrate = ["migrate", "--user-id", id_type.name()];
    let migrated = worker_at(&url).args(migrate).output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    psql(server(), template, &user_ids::casts(id_type));
}

fn psql(server: &LocalPostgres, database: &str, sql: &str) {
    let url = server.url(database);
    // A separate thread, because a test may already run inside a runtime.
    let sql = sql.to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let client = connect(&url).await;
            client.batch_execute(&sql).await.unwrap();
        });
    })
    .join()
    .unwrap();
}

/// Connects to any database by its URL.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The worker's command line for a database, without variables of the caller's environment that affect
/// the worker.
pub fn worker_at(url: &str) -> Command {
    let mut command = Command::new(WORKER);
    command.env_clear().env("DATABASE_URL", url).env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null());
    command
}

/// A database for one test, migrated and empty.
pub struct Database {
    pub name: String,
    pub url: String,
    pub client: Client,
    pub id_type: UserIdType,
}

impl Database {
    /// Creates a migrated database.
    pub async fn new() -> Self {
        Self::with_user_ids(user_ids::of_tests()).await
    }

    /// Creates a migrated database with user ids of a type.
    pub async fn with_user_ids(id_type: UserIdType) -> Self {
        Self::copy_of(Some(id_type)).await
    }

    /// Creates a database without Dayfold's schema.
    pub async fn empty() -> Self {
        Self::copy_of(None).await
    }

    async fn copy_of(id_type: Option<UserIdType>) -> Self {
        let name = format!("t{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::SeqCst));
        let url = server().url(&name);
        {
            let mut templates = TEMPLATES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let template = id_type.map_or("template1".to_owned(), |of| format!("dayfold_{of}"));
            if let Some(id_type) = id_type
                && templates.insert(id_type.name())
            {
                create_template(&template, id_type);
            }
            let create = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY");
            psql(server(), "postgres", &create);
        }
        let client = connect(&url).await;
        Self { name, url, client, id_type: id_type.unwrap_or_default() }
    }

    /// Opens another connection, for concurrent actions of the test.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Runs SQL without parameters.
    pub async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The rows of a query.
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.client.query(sql, parameters).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"))
    }

    /// The only column of the only row.
    pub async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.client.query_one(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
    }

    /// The worker's command line for this database.
    pub fn worker(&self) -> Command {
        worker_at(&self.url)
    }

    /// Runs the worker to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let arguments = user_ids::in_arguments(self.id_type, arguments);
        Ran::of(self.worker().args(arguments).output().unwrap())
    }

    /// Starts the worker, which runs while the test continues.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.worker();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Processes all due rows; the run must succeed.
    pub fn run_once(&self) -> Value {
        let ran = self.run(&["run-once", "--json"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.json()
    }
}

/// A server that only one test uses, so that the test can stop it.
pub async fn server_of_its_own() -> (LocalPostgres, String) {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let server = LocalPostgres::start(&binaries).unwrap();
    let url = server.url("postgres");
    assert!(worker_at(&url).arg("migrate").output().unwrap().status.success());
    (server, url)
}

/// The database of a server for one test.
pub async fn database(url: &str) -> Database {
    let (name, url) = ("postgres".to_owned(), url.to_owned());
    Database { client: connect(&url).await, name, url, id_type: UserIdType::Bigint }
}

/// The exit code and the output of the worker.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The JSON object on the last line of stdout.
    pub fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_else(|| panic!("{self:?}"));
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The log's events of one name. Logs are JSON lines if stderr is no terminal.
    pub fn events(&self, name: &str) -> Vec<Value> {
        events(&self.stderr, name)
    }
}

fn events(log: &str, name: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|event| event["event"] == name).collect()
}
