//! The server and its data.

use std::process::Command;

use anyhow::{Context, ensure};
use local_postgres::{Binaries, LocalPostgres};
use tokio_postgres::{Client, NoTls};

use crate::worker;

/// The migrated schema of which the others are copies.
const FIRST: &str = "target_0";

/// A private server with the worker's schema.
pub struct Server {
    /// The server; it stops when dropped.
    _postgres: LocalPostgres,
    /// The URL of the database.
    pub url: String,
    /// A session of this program.
    pub client: Client,
}

/// The resources that a server has used since its start.
pub struct Used {
    /// Committed transactions.
    pub transactions: f64,
    /// Bytes of its write-ahead log.
    pub wal_bytes: f64,
    /// Dead row versions that no vacuum has removed.
    pub dead_tuples: i64,
    /// Processor time of all its processes, in seconds.
    pub cpu: f64,
}

impl Server {
    /// Starts a server and migrates it.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a server with additional settings and migrates it.
    pub async fn start_with(more: &[(&str, &str)]) -> anyhow::Result<Self> {
        #[allow(clippy::print_stderr)]
        let binaries = Binaries::find_or_install(|line| eprintln!("{line}"))?;
        let settings = [("shared_buffers", "512MB"), ("max_wal_size", "4GB"), ("fsync", "on")];
        let settings = [settings.as_slice(), more].concat();
        let postgres = LocalPostgres::start_with(&binaries, &settings)?;
        let url = postgres.url("postgres");
        worker::migrate(&url)?;
        let client = connect(&url).await?;
        Ok(Self { _postgres: postgres, url, client })
    }

    /// Makes the schemas `target_0` to `target_N` for targets. It migrates the first one and copies it by the text of
    /// a dump, because all migrations for each schema would take far longer.
    pub async fn make_schemas(&self, schemas: usize) -> anyhow::Result<()> {
        self.client.batch_execute(&format!("CREATE SCHEMA {FIRST}")).await?;
        let file = worker::tempfile_of("first").with_extension("toml");
        std::fs::write(&file, format!("[[targets]]\nname = \"first\"\nschema = \"{FIRST}\"\n"))?;
        let migrated = worker::migrate_with(&self.url, &file);
        let _ = std::fs::remove_file(&file);
        migrated?;
        let text = dump(&self.url)?;
        // A dump changes settings of its session.
        let copying = connect(&self.url).await?;
        copying.batch_execute("SET synchronous_commit = off").await?;
        for schema in 1..schemas {
            let copy = text.replace(FIRST, &format!("target_{schema}"));
            copying.batch_execute(&copy).await.context("the copy of a schema")?;
        }
        for end in ["VACUUM ANALYZE", "CHECKPOINT"] {
            self.client.batch_execute(end).await?;
        }
        Ok(())
    }

    /// Reads the resources that the server has used so far.
    pub async fn used(&self) -> anyhow::Result<Used> {
        let asked =
            "SELECT d.xact_commit::float8, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8,
                            (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables),
                            pg_backend_pid()
                     FROM pg_stat_database AS d WHERE d.datname = current_database()";
        let row = self.client.query_one(asked, &[]).await?;
        let session: i32 = row.get(3);
        let postmaster = worker::cpu_of(session as u32)?.parent;
        let of_postmaster = worker::cpu_of(postmaster)?;
        let mut cpu = of_postmaster.own + of_postmaster.ended_children;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if let Ok(used) = worker::cpu_of(process)
                && used.parent == postmaster
            {
                cpu += used.own;
            }
        }
        let (transactions, wal_bytes, dead_tuples) = (row.get(0), row.get(1), row.get(2));
        Ok(Used { transactions, wal_bytes, dead_tuples, cpu })
    }

    /// Waits until the queue is empty.
    pub async fn drained(&self) -> anyhow::Result<()> {
        let queued = "SELECT EXISTS (SELECT FROM aggregation_queue)";
        while self.client.query_one(queued, &[]).await?.get(0) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Opens another session.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("no connection to the private server")?;
    tokio::spawn(connection);
    Ok(client)
}

/// The SQL that makes the first schema.
fn dump(url: &str) -> anyhow::Result<String> {
    let binaries = Binaries::find().context("PostgreSQL is not installed")?;
    let program = binaries.directory().join("pg_dump");
    let output = Command::new(&program)
        .args(["--inserts", "--no-owner", "--no-privileges", "-n", FIRST, url])
        .output()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    ensure!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    // Lines such as \restrict are commands of psql.
    Ok(text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n"))
}
