//! The server and its data.

use anyhow::Context;
use local_postgres::{Binaries, LocalPostgres};
use tokio_postgres::{Client, NoTls};

use crate::worker;

/// A private server with the worker's schema.
pub struct Server {
    /// Dropped, it ends.
    _postgres: LocalPostgres,
    /// Where the database is.
    pub url: String,
    /// A session of our own.
    pub client: Client,
}

impl Server {
    /// Starts one and migrates it.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with more settings of the server.
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

    /// Waits until the queue is empty.
    pub async fn drained(&self) -> anyhow::Result<()> {
        let queued = "SELECT EXISTS (SELECT FROM aggregation_queue)";
        while self.client.query_one(queued, &[]).await?.get(0) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Another session.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("no connection to the private server")?;
    tokio::spawn(connection);
    Ok(client)
}
