//! Connects: tries one server after the other, applies the session's settings, and limits the time of
//! the whole handshake.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::{Config, TargetSessionAttrs};
use tokio_postgres::{CancelToken, Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connection::dial::{Connection, Encrypt, Reached, watched};
use crate::connection::libpq::Variables;
use crate::connection::server_budget::{Need, Place, ServerBudgets, Share};
use crate::connection::session::{Pooler, Session, SessionSettings, major_version};
use crate::connection::url::{Address, Endpoint, Server};
use crate::connection::wire::Wire;
use crate::error::{ConnectError, StoreError};
use crate::sql::raw_text::NO_ENCODING;

const NOT_TOLD: &str = "a pooler such as PgBouncer between the worker and PostgreSQL \
     refuses the settings of the session: set database.pooler to \"session\" or \"transaction\", as \
     its pool_mode is";

const VERSION_1: &str = "the server's certificate is of X.509 version 1, which cannot be verified: give \
     the server one of version 3, or use sslmode=require without sslrootcert";

/// Checks a URL as far as possible without connecting. The variables replace missing parts.
///
/// # Errors
/// The reason why the URL cannot be used.
pub fn check_url(
    url: &str,
    session: &SessionSettings,
    variables: Variables<'_>,
) -> Result<(), ConnectError> {
    let target = Target::new(url, Duration::ZERO, "", variables)?;
    target.with_session(session.limited()).map(|_| ())
}

/// The endpoints and TLS requirements of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionPlan {
    /// The endpoints at which a connection is tried, in order.
    pub endpoints: Vec<Endpoint>,
    /// Whether a session without TLS is refused, except on a Unix socket.
    pub insists: bool,
    /// Whether TLS verifies the server's identity.
    pub verifies: bool,
}

/// The plan of a URL, as far as it is known without connecting.
///
/// # Errors
/// As [`check_url`].
pub fn connection_plan(
    url: &str,
    variables: Variables<'_>,
) -> Result<ConnectionPlan, ConnectError> {
    let address = Address::new(url, Duration::ZERO, "", variables)?;
    let (insists, verifies) = address.tls_asked;
    let endpoints = address.servers.into_iter().map(|server| server.endpoint).collect();
    Ok(ConnectionPlan { endpoints, insists, verifies })
}

/// A connection, and the record of the server's messages on it.
pub struct Connected {
    pub(crate) connection: AsyncPgConnection,
    pub(crate) link: Link,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").finish_non_exhaustive()
    }
}

impl Connected {
    /// Connects with the settings of the pool's sessions.
    ///
    /// # Errors
    /// The reason why the connection failed.
    pub async fn establish(url: &str, session: &SessionSettings) -> Result<Self, ConnectError> {
        let target = Target::new(url, session.statement_timeout, "", &|_| None)?;
        target.with_session(session.limited())?.connect().await
    }

    /// Converts a driver's error and adds the server's error fields.
    pub fn error(&self, cause: DieselError) -> StoreError {
        self.link.error(cause)
    }
}

/// The transport of a connection, its driver task, and the record of the server's messages.
pub(crate) struct Link {
    wire: Arc<Wire>,
    reached: Reached,
    server: Server,
    tls: MakeRustlsConnect,
    driver: AbortHandle,
    /// Whether the database has no encoding and stores texts as bytes.
    has_no_encoding: bool,
    /// Time at which opening the connection began.
    pub(crate) opened: std::time::Instant,
    /// Its place in the server's budget, if there is one.
    place: Option<Place>,
}

impl Link {
    /// Converts a driver's error and adds the server's error fields.
    pub(crate) fn error(&self, cause: DieselError) -> StoreError {
        self.wire.error(cause)
    }

    /// The server's process for this connection.
    pub(crate) fn process(&self) -> i32 {
        self.wire.process()
    }

    /// Whether its place in the server's budget is due to another target.
    pub(crate) fn is_due_to_others(&self, need: Need, is_idle: bool) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_due(need, is_idle))
    }

    /// Asks the server, over a separate connection, to cancel the running statement.
    pub(crate) fn cancel(&self, token: CancelToken) -> impl Future<Output = ()> + use<> {
        let (reached, config) = (self.reached.clone(), self.server.config.clone());
        let encrypt = Encrypt::new(&self.tls, &self.server.endpoint);
        async move {
            // If this fails, the statement time-out ends the statement.
            if let Ok(stream) = reached.open_again(&config).await {
                let stream = watched(stream, &config, Wire::new(None));
                token.cancel_query_raw(stream, encrypt).await.unwrap_or_default();
            }
        }
    }
}

impl Drop for Link {
    /// Without the abort, the task would wait for the running statement's answer and keep the session
    /// open.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl std::ops::Deref for Connected {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl std::ops::DerefMut for Connected {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

/// The servers to connect to. Their configurations hold the password, so there is no `Debug`.
#[derive(Clone)]
pub(crate) struct Target {
    address: Address,
    timeout: Duration,
    session: Session,
    /// The server's major version, known since the last log-in.
    version: Arc<AtomicU32>,
    /// The share in the server's budget, if there is one.
    share: Option<Arc<Share>>,
}

impl Target {
    pub(crate) fn new(
        url: &str,
        timeout: Duration,
        application_name: &str,
        variables: Variables<'_>,
    ) -> Result<Self, ConnectError> {
        let address = Address::new(url, timeout, application_name, variables)?;
        let (session, version) = (Session::default(), Arc::default());
        Ok(Self { address, timeout, session, version, share: None })
    }

    /// The same target, whose connections have places in the budget of their server. Each waits at most
    /// `wait` for one.
    pub(crate) fn within(mut self, budgets: &ServerBudgets, wait: Duration) -> Self {
        self.share = Some(budgets.share(&self.endpoints(), wait));
        self
    }

    /// The share in the server's budget, if there is one.
    pub(crate) fn share(&self) -> Option<Arc<Share>> {
        self.share.clone()
    }

    fn endpoints(&self) -> String {
        let endpoints = self.address.servers.iter().map(|server| server.endpoint.to_string());
        endpoints.collect::<Vec<_>>().join(", ")
    }

    /// The same target with settings for each session. In the start-up packet the last setting wins, so
    /// the URL cannot override the limits that the lease relies on.
    ///
    /// # Errors
    /// If the URL has options that a pooler would refuse or not pass on.
    pub(crate) fn with_session(&self, session: Session) -> Result<Self, ConnectError> {
        let mut with = self.clone();
        for server in &mut with.address.servers {
            let own = server.config.get_options().unwrap_or_default();
            if session.pooler == Pooler::None {
                let options = format!("{own} {}", session.options());
                server.config.options(options.trim_start());
            } else if !own.is_empty() {
                return Err(ConnectError::Url(
                    "it has options, or PGOPTIONS is set; these do not pass the pooler that \
                     database.pooler says is there: set them for the role instead, such as \
                     ALTER ROLE … SET search_path = …"
                        .to_owned(),
                ));
            }
        }
        with.session = session;
        Ok(with)
    }

    /// Connects and applies the session's settings.
    pub(crate) async fn connect(&self) -> Result<Connected, ConnectError> {
        let mut connected = self.connect_bare().await?;
        self.settle(&mut connected).await?;
        Ok(connected)
    }

    /// Connects without applying settings: behind a pooler, the owner of the server session is not known
    /// yet.
    pub(crate) async fn connect_bare(&self) -> Result<Connected, ConnectError> {
        let (client, link, until) = self.connect_client().await?;
        let connecting = AsyncPgConnection::try_from(client);
        let connecting = connecting.map(|done| done.map_err(|error| error.to_string()));
        let mut connection = self.by(until, connecting).await?;
        if link.has_no_encoding {
            // diesel asks for UTF-8. With SQL_ASCII the server converts nothing and accepts any bytes.
            self.asks(connection.batch_execute("SET client_encoding TO 'SQL_ASCII'")).await?;
        }
        Ok(Connected { connection, link })
    }

    /// Applies the settings that follow the log-in.
    pub(crate) async fn settle(
        &self,
        connection: &mut AsyncPgConnection,
    ) -> Result<(), ConnectError> {
        let settings = self.session.after_login(self.version());
        if settings.is_empty() {
            return Ok(());
        }
        self.asks(connection.batch_execute(&settings)).await
    }

    /// Connects without diesel, which has no COPY.
    pub(crate) async fn connect_without_diesel(&self) -> Result<(Client, Link), ConnectError> {
        let (client, link, until) = self.connect_client().await?;
        let settings = self.session.after_login(self.version());
        let settling = client.batch_execute(&settings);
        self.by(until, settling.map(|done| done.map_err(|error| cause(&error)))).await?;
        Ok((client, link))
    }

    /// Connects to the first server that accepts, each with its own time-out. Also returns the deadline
    /// for the rest of the handshake.
    async fn connect_client(&self) -> Result<(Client, Link, Instant), ConnectError> {
        let mut place = match &self.share {
            Some(share) => Some(share.take().await.map_err(|cause| self.failure(cause))?),
            None => None,
        };
        let mut failures = Vec::new();
        for server in self.address.in_turn() {
            let until = Instant::now() + self.timeout;
            match timeout_at(until, self.log_in(server)).await {
                Ok(Ok((client, mut link))) => {
                    link.place = place.take();
                    return Ok((client, link, until));
                }
                Ok(Err(cause)) if cause.contains("unsupported startup parameter") => {
                    return Err(ConnectError::Pooler(NOT_TOLD));
                }
                Ok(Err(cause)) => failures.push((&server.endpoint, cause)),
                Err(_) => failures.push((&server.endpoint, self.no_answer())),
            }
        }
        let causes = match failures.as_slice() {
            [(_, cause)] => cause.clone(),
            several => {
                let causes = several.iter().map(|(endpoint, cause)| format!("{endpoint}: {cause}"));
                causes.collect::<Vec<_>>().join("; ")
            }
        };
        Err(self.failure(causes))
    }

    async fn log_in(&self, server: &Server) -> Result<(Client, Link), String> {
        let mut config = Cow::Borrowed(&server.config);
        let mut trouble = None;
        if let Some(passfile) = &self.address.passfile {
            match passfile.password(&config) {
                Ok(Some(password)) => {
                    config.to_mut().password(password);
                }
                Ok(None) => {}
                Err(problem) => trouble = Some(problem),
            }
        }
        let opened = std::time::Instant::now();
        let (reached, stream) = Reached::open(server).await.map_err(|error| error.to_string())?;
        let wire = Wire::new(self.session.statement_timeout_duration());
        let stream = watched(stream, &config, Arc::clone(&wire));
        let tls = self.address.tls.clone();
        let connecting = config.connect_raw(stream, Encrypt::new(&tls, &server.endpoint));
        let (client, connection): (_, Connection) = connecting.await.map_err(|error| {
            let cause = cause(&error);
            match trouble {
                // A server that asks for no password needs no password file.
                Some(trouble) if cause.contains("password") => format!("{cause}, and {trouble}"),
                _ => cause,
            }
        })?;
        let version = connection.parameter("server_version").map_or(0, major_version);
        self.version.store(version, Ordering::Relaxed);
        let has_no_encoding = connection.parameter("server_encoding") == Some(NO_ENCODING);
        // The client reports a broken connection with the statement that meets it.
        let driver = tokio::spawn(connection.map(drop)).abort_handle();
        let link = Link {
            wire,
            reached,
            server: server.clone(),
            tls,
            driver,
            has_no_encoding,
            opened,
            place: None,
        };
        require_target(&client, &server.config).await?;
        Ok((client, link))
    }

    fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// The SQL of the settings at the beginning of a transaction.
    pub(crate) fn in_transaction(&self) -> String {
        self.session.in_transaction(self.version())
    }

    pub(crate) fn pooler(&self) -> Pooler {
        self.session.pooler
    }

    /// The time limit of a connection attempt.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The required `statement_timeout` of each session in milliseconds, if it is limited.
    pub(crate) fn statement_timeout(&self) -> Option<&str> {
        self.session.statement_timeout()
    }

    /// Runs a first query on a new connection.
    ///
    /// # Errors
    /// As connecting: a connection without an answer counts as failed.
    pub(crate) async fn asks<T>(
        &self,
        question: impl Future<Output = QueryResult<T>>,
    ) -> Result<T, ConnectError> {
        let until = Instant::now() + self.timeout;
        self.by(until, question.map(|answer| answer.map_err(|error| error.to_string()))).await
    }

    /// Limits the time of the whole handshake. The library's own limit covers TCP only: a server that
    /// accepts and never answers would block the attempt, and its slot in the pool, for ever.
    async fn by<T>(
        &self,
        until: Instant,
        question: impl Future<Output = Result<T, String>>,
    ) -> Result<T, ConnectError> {
        match timeout_at(until, question).await {
            Ok(answer) => answer.map_err(|cause| self.failure(cause)),
            Err(_) => Err(self.failure(self.no_answer())),
        }
    }

    fn no_answer(&self) -> String {
        let limit = self.timeout.as_secs_f64();
        format!("no answer within {limit:.1} s (database.connect_timeout_seconds)")
    }

    fn failure(&self, cause: String) -> ConnectError {
        let config = self.address.servers.first().map(|server| &server.config);
        let named = config.and_then(|config| config.get_dbname().or(config.get_user()));
        let database = format!("{:?}", named.unwrap_or_default());
        ConnectError::Connect { host: self.endpoints(), database, cause }
    }
}

/// The error of the server or the network, without the library's prefix.
fn cause(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => {
            let cause = std::error::Error::source(error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            if cause.contains("UnsupportedCertVersion") { VERSION_1.to_owned() } else { cause }
        }
    }
}

/// Refuses a server that does not match `target_session_attrs`.
async fn require_target(client: &Client, config: &Config) -> Result<(), String> {
    let wanted = match config.get_target_session_attrs() {
        TargetSessionAttrs::ReadWrite => "off",
        TargetSessionAttrs::ReadOnly => "on",
        _ => return Ok(()),
    };
    let asked = client.simple_query("SHOW transaction_read_only").await;
    let messages = asked.map_err(|error| cause(&error))?;
    let is_wanted = messages.iter().any(
        |message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some(wanted)),
    );
    match (is_wanted, wanted) {
        (true, _) => Ok(()),
        (false, "off") => Err("the server is read-only".to_owned()),
        (false, _) => Err("the server is not read-only".to_owned()),
    }
}
