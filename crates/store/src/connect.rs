//! Connecting: the URL, what each session sets, and a limit on the whole handshake.

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::ConnectError;
use crate::session::{Pooler, Session, SessionSettings, major_version};
use crate::surroundings::{PassFile, Surroundings, Variables};

/// The task behind a client, which somebody must drive.
type Connection =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

const NOT_TOLD: &str = "a pooler such as PgBouncer stands between the worker and PostgreSQL, and \
     refuses the settings of the session: set database.pooler to \"session\" or \"transaction\", as \
     its pool_mode is";

/// Where PostgreSQL listens if nobody says otherwise.
const DEFAULT_PORT: u16 = 5432;

/// A host that is gone without a word is found out within a minute, instead of two hours by the
/// operating system's own settings. The worker waits for no answer longer than that in silence.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

fn url_says_nothing_of_keepalives(url: &str) -> bool {
    !url.contains("keepalives") && !url.contains("tcp_user_timeout")
}

/// Whether a URL can be used at all, as far as it shows without connecting; the variables hold where
/// it says nothing.
///
/// # Errors
/// Why not.
pub fn check_url(
    url: &str,
    session: &SessionSettings,
    variables: Variables<'_>,
) -> Result<(), ConnectError> {
    let target = Target::new(url, Duration::ZERO, "", variables)?;
    target.with_session(session.limited()).map(|_| ())
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a name, or an address, and a port.
    Network(String, u16),
    /// At a socket of this host.
    Socket(PathBuf),
}

/// The way to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The places at which a connection is tried, in order.
    pub places: Vec<Place>,
    /// Whether TLS checks who the server is.
    pub verifies: bool,
}

/// The way that a URL says, as far as it shows without connecting.
///
/// # Errors
/// As [`check_url`].
pub fn way(url: &str, variables: Variables<'_>) -> Result<Way, ConnectError> {
    let (_, surroundings) = Surroundings::of(url, variables)?;
    let verifies = surroundings.tls().verifies();
    let config = Target::new(url, Duration::ZERO, "", variables)?.config;
    Ok(Way { places: places(&config), verifies })
}

fn places(config: &tokio_postgres::Config) -> Vec<Place> {
    let ports = config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
    if !config.get_hostaddrs().is_empty() {
        let addresses = config.get_hostaddrs().iter().enumerate();
        return addresses.map(|(i, ip)| Place::Network(ip.to_string(), port(i))).collect();
    }
    let hosts = config.get_hosts().iter().enumerate();
    hosts
        .map(|(index, host)| match host {
            Host::Tcp(name) => Place::Network(name.clone(), port(index)),
            Host::Unix(folder) => Place::Socket(folder.join(format!(".s.PGSQL.{}", port(index)))),
        })
        .collect()
}

/// Where to connect to. Its parts hold the password, so it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Target {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    timeout: Duration,
    /// Where the password is, if not in the URL.
    passfile: Option<PassFile>,
    session: Session,
    /// The server's major version, as the last log-in showed it.
    version: Arc<AtomicU32>,
}

impl Target {
    pub(crate) fn new(
        url: &str,
        timeout: Duration,
        application_name: &str,
        variables: Variables<'_>,
    ) -> Result<Self, ConnectError> {
        if url.is_empty() && !Surroundings::name_a_server(variables) {
            return Err(ConnectError::NotConfigured);
        }
        refuse_bare_at(url)?;
        let (url, surroundings) = Surroundings::of(url, variables)?;
        let mut config = tokio_postgres::Config::from_str(&url)
            .map_err(|error| ConnectError::Url(what_is_wrong(&error)))?;
        surroundings.fill(&url, &mut config)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(ConnectError::Url("it names no host".to_owned()));
        }
        let (mode, tls) = surroundings.tls().connector()?;
        // As in libpq, a socket of this host needs no TLS, whatever the mode.
        let socket = |host: &Host| matches!(host, Host::Unix(_));
        let sockets_only =
            config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(socket);
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
        let passfile = surroundings.passfile().filter(|_| config.get_password().is_none());
        let (session, version) = (Session::default(), Arc::default());
        Ok(Self { config, tls, timeout, passfile, session, version })
    }

    /// The same target with settings for each session. In the start-up packet the last one wins, so
    /// the limits that the lease relies on are not the URL's.
    ///
    /// # Errors
    /// If the URL has options that a pooler would refuse, or keep for itself.
    pub(crate) fn with_session(&self, session: Session) -> Result<Self, ConnectError> {
        let mut with = self.clone();
        let own = self.config.get_options().unwrap_or_default();
        if session.pooler == Pooler::None {
            let options = format!("{own} {}", session.options());
            with.config.options(options.trim_start());
        } else if !own.is_empty() {
            return Err(ConnectError::Url(
                "it has options, which do not pass the pooler that database.pooler says is there; \
                 set them for the role instead, such as ALTER ROLE … SET search_path = …"
                    .to_owned(),
            ));
        }
        with.session = session;
        Ok(with)
    }

    pub(crate) async fn connect(&self) -> Result<AsyncPgConnection, ConnectError> {
        self.within_timeout(async {
            let (client, connection) = self.connect_client().await?;
            let mut connection =
                AsyncPgConnection::try_from_client_and_connection(client, connection)
                    .await
                    .map_err(|error| error.to_string())?;
            let settings = self.session.after_login(self.version());
            if !settings.is_empty() {
                connection.batch_execute(&settings).await.map_err(|error| error.to_string())?;
            }
            Ok(connection)
        })
        .await
    }

    /// Connects without diesel, which has no COPY.
    pub(crate) async fn connect_without_diesel(&self) -> Result<Client, ConnectError> {
        self.within_timeout(async {
            let (client, connection) = self.connect_client().await?;
            // The client reports a broken connection with the statement that meets it.
            tokio::spawn(connection.map(drop));
            let settings = self.session.after_login(self.version());
            client.batch_execute(&settings).await.map_err(|error| cause(&error))?;
            Ok(client)
        })
        .await
    }

    async fn connect_client(&self) -> Result<(Client, Connection), String> {
        let mut config = Cow::Borrowed(&self.config);
        if let Some(passfile) = &self.passfile
            && let Some(password) = passfile.password(&config)?
        {
            config.to_mut().password(password);
        }
        let (client, connection) =
            config.connect(self.tls.clone()).await.map_err(|error| cause(&error))?;
        let version = connection.parameter("server_version").map_or(0, major_version);
        self.version.store(version, Ordering::Relaxed);
        Ok((client, connection))
    }

    fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// What is said at the beginning of a transaction.
    pub(crate) fn in_transaction(&self) -> String {
        self.session.in_transaction(self.version())
    }

    pub(crate) fn pooler(&self) -> Pooler {
        self.session.pooler
    }

    /// What each session must be limited to, in milliseconds, if it is limited at all.
    pub(crate) fn statement_timeout(&self) -> Option<&str> {
        self.session.statement_timeout()
    }

    /// What a second connection, to cancel a statement, connects with.
    pub(crate) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// Asks a fresh connection something.
    ///
    /// # Errors
    /// As connecting: a connection that answers nothing is none.
    pub(crate) async fn asks<T>(
        &self,
        question: impl Future<Output = QueryResult<T>>,
    ) -> Result<T, ConnectError> {
        self.within_timeout(question.map(|answer| answer.map_err(|error| error.to_string()))).await
    }

    /// The library's own limit covers TCP only; a server that accepts and never answers would
    /// hold the attempt, and the pool's place for it, for ever.
    async fn within_timeout<T>(
        &self,
        connecting: impl Future<Output = Result<T, String>>,
    ) -> Result<T, ConnectError> {
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(cause)) if cause.contains("unsupported startup parameter") => {
                Err(ConnectError::Pooler(NOT_TOLD))
            }
            Ok(Err(cause)) => Err(self.failure(cause)),
            Err(_) => Err(self.failure(format!(
                "no answer within {:.1} s (database.connect_timeout_seconds)",
                self.timeout.as_secs_f64()
            ))),
        }
    }

    fn failure(&self, cause: String) -> ConnectError {
        let port = self.config.get_ports().first().copied().unwrap_or(DEFAULT_PORT);
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => format!("{name}:{port}"),
            Some(Host::Unix(directory)) => format!("socket {}", directory.display()),
            None => match self.config.get_hostaddrs().first() {
                Some(address) => format!("{address}:{port}"),
                None => "an unnamed host".to_owned(),
            },
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
    const OPTIONS_OF_OTHERS: [&str; 9] = [
        "charset",
        "connection_limit",
        "gssencmode",
        "krbsrvname",
        "pgbouncer",
        "pool_timeout",
        "requirepeer",
        "schema",
        "search_path",
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
