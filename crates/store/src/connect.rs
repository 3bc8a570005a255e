//! Connecting: the URL, what each session sets, and a limit on the whole handshake.

use std::str::FromStr;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::ConnectError;
use crate::tls::TlsSettings;

/// The task behind a client, which the caller drives.
pub(crate) type Connection =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// A host that is gone without a word is found out within a minute, instead of two hours by the
/// operating system's own settings. The worker waits for no answer longer than that in silence.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

fn url_says_nothing_of_keepalives(url: &str) -> bool {
    !url.contains("keepalives") && !url.contains("tcp_user_timeout")
}

/// What each session sets at the server.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The server ends statements that run for longer.
    pub statement_timeout: Duration,
    /// The server ends statements that wait for a lock for longer.
    pub lock_timeout: Duration,
    /// The server ends sessions that stay in a transaction without a statement for longer.
    pub idle_in_transaction_timeout: Duration,
    /// Just-in-time compilation; it costs more than it saves on short statements.
    pub jit: bool,
    /// Whether a commit waits until it is on the server's disk. The worker's own need not: a
    /// crash of the server undoes marks and figures together.
    pub synchronous_commit: bool,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
}

impl SessionSettings {
    /// As options of the start-up packet.
    ///
    /// The planner must not trust its statistics: after a bulk import they still say that the
    /// queue is empty, until autovacuum comes by. Hence a plan for each execution, at about a tenth
    /// of the throughput: one that was kept from an empty queue made a claim of 3 ms take 10 s. And
    /// hence no sorts where an index has the order: what looks like one row to sort may be a
    /// million. The price that stands for "no sort" would set off the JIT compiler, 0.4 s a claim.
    pub(crate) fn options(&self) -> String {
        let on = |on| if on { "on" } else { "off" };
        format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
             -c jit={} -c synchronous_commit={} \
             -c plan_cache_mode=force_custom_plan -c enable_sort=off",
            self.statement_timeout.as_millis(),
            self.lock_timeout.as_millis(),
            self.idle_in_transaction_timeout.as_millis(),
            on(self.jit),
            on(self.synchronous_commit),
        )
    }
}

/// Whether a URL can be used at all, as far as it shows without connecting; `tls` is what holds where
/// the URL says nothing.
///
/// # Errors
/// Why not.
pub fn check_url(url: &str, tls: &TlsSettings) -> Result<(), ConnectError> {
    Target::new(url, Duration::ZERO, "", tls).map(|_| ())
}

/// Where to connect to. Its parts hold the password, so it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Target {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    timeout: Duration,
}

impl Target {
    pub(crate) fn new(
        url: &str,
        timeout: Duration,
        application_name: &str,
        tls: &TlsSettings,
    ) -> Result<Self, ConnectError> {
        if url.is_empty() {
            return Err(ConnectError::NotConfigured);
        }
        refuse_bare_at(url)?;
        let mut tls = tls.clone();
        let url = tls.take_from(url)?;
        let mut config = tokio_postgres::Config::from_str(&url)
            .map_err(|error| ConnectError::Url(what_is_wrong(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(ConnectError::Url("it names no host".to_owned()));
        }
        let (mode, tls) = tls.connector()?;
        // As in libpq, a socket of this host needs no TLS, whatever the mode.
        let sockets_only = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(if sockets_only { SslMode::Disable } else { mode });
        config.connect_timeout(timeout);
        if url_says_nothing_of_keepalives(&url) {
            config.keepalives_idle(KEEPALIVE_IDLE);
            config.keepalives_interval(KEEPALIVE_INTERVAL);
            config.keepalives_retries(KEEPALIVE_RETRIES);
            config.tcp_user_timeout(KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES);
        }
        if config.get_application_name().is_none() {
            config.application_name(application_name);
        }
        Ok(Self { config, tls, timeout })
    }

    /// The same target with settings for each session. They are in the start-up packet, so that
    /// they cost no round trip and always hold; the last one wins, so the limits that the lease
    /// relies on are not the URL's.
    pub(crate) fn with_session(&self, settings: &str) -> Self {
        let mut with = self.clone();
        let own = self.config.get_options().unwrap_or_default();
        with.config.options(format!("{own} {settings}").trim_start());
        with
    }

    pub(crate) async fn connect(&self) -> Result<AsyncPgConnection, ConnectError> {
        self.within_timeout(async {
            let (client, connection) = self.connect_client().await?;
            AsyncPgConnection::try_from_client_and_connection(client, connection)
                .await
                .map_err(|error| error.to_string())
        })
        .await
    }

    /// Connects without diesel, which has no COPY. The caller drives the connection.
    pub(crate) async fn connect_without_diesel(
        &self,
    ) -> Result<(Client, Connection), ConnectError> {
        self.within_timeout(self.connect_client()).await
    }

    async fn connect_client(&self) -> Result<(Client, Connection), String> {
        self.config.connect(self.tls.clone()).await.map_err(|error| cause(&error))
    }

    /// What a second connection, to cancel a statement, connects with.
    pub(crate) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// The library's own limit covers TCP only; a server that accepts and never answers would
    /// hold the attempt, and the pool's place for it, for ever.
    async fn within_timeout<T>(
        &self,
        connecting: impl Future<Output = Result<T, String>>,
    ) -> Result<T, ConnectError> {
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(cause)) => Err(self.failure(cause)),
            Err(_) => Err(self.failure(format!(
                "no answer within {:.1} s (database.connect_timeout_seconds)",
                self.timeout.as_secs_f64()
            ))),
        }
    }

    fn failure(&self, cause: String) -> ConnectError {
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => format!("{name}:{port}"),
            Some(Host::Unix(directory)) => format!("socket {}", directory.display()),
            None => "an unnamed host".to_owned(),
        };
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or(user);
        ConnectError::Connect { host, database: format!("{database:?}"), cause }
    }
}

/// What the server or the network said, without the library's preamble.
fn cause(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => {
            std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
        }
    }
}

/// What the parser says about a URL, in words that quote nothing but the names of options that
/// exist: in a password that was not escaped, anything may look like an option.
fn what_is_wrong(error: &tokio_postgres::Error) -> String {
    const OPTIONS_OF_OTHERS: [&str; 12] = [
        "channel_binding",
        "charset",
        "connection_limit",
        "gssencmode",
        "krbsrvname",
        "passfile",
        "pgbouncer",
        "pool_timeout",
        "requirepeer",
        "schema",
        "search_path",
        "service",
    ];
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let option = said.split('`').nth(1).unwrap_or_default();
    if said.starts_with("invalid value for option") {
        said
    } else if !said.starts_with("unknown option") {
        "it is not of the form of a URL".to_owned()
    } else if OPTIONS_OF_OTHERS.contains(&option) {
        format!("it has the option {option}, which the worker does not know")
    } else {
        "it has an option that the worker does not know".to_owned()
    }
}

/// The driver ends the password at the first @. What is left of a password with an @ of its own
/// would then be taken for the host, or the database, and be shown as that.
fn refuse_bare_at(url: &str) -> Result<(), ConnectError> {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if is_url && url.matches('@').count() > 1 {
        return Err(ConnectError::Url(
            "an @ in the user's name or password is written %40".to_owned(),
        ));
    }
    Ok(())
}
