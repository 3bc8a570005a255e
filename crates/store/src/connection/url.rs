//! Reads a URL and libpq's defaults into the list of servers to try.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connection::libpq::{LibpqDefaults, PassFile, Variables};
use crate::error::ConnectError;

/// PostgreSQL's default port.
pub(crate) const DEFAULT_PORT: u16 = 5432;

/// Keep-alive settings that detect a vanished host within a minute; the operating system's defaults take
/// two hours. The worker waits no longer than that for an answer on a silent connection.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

fn url_says_nothing_of_keepalives(url: &str) -> bool {
    !url.contains("keepalives") && !url.contains("tcp_user_timeout")
}

/// The address at which a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or IP address, and a port.
    Network(String, u16),
    /// A Unix socket.
    Socket(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Network(host, port) => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "socket {}", path.display()),
        }
    }
}

/// One server of an address list.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    /// The driver's configuration with this server as the only host. With several hosts, the driver
    /// applies one time-out to all, so a server that accepts and never answers would keep the others
    /// from being tried.
    pub(crate) config: Config,
}

/// The content of a URL and of libpq's defaults. It holds the password, so there is no `Debug`.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) servers: Vec<Server>,
    pub(crate) tls: MakeRustlsConnect,
    /// Whether the order of servers is random.
    in_any_order: bool,
    /// The password file, if the URL has no password.
    pub(crate) passfile: Option<PassFile>,
    /// Whether TLS is required, and whether it verifies the server's identity.
    pub(crate) tls_asked: (bool, bool),
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// The reason why the URL cannot be used.
    pub(crate) fn new(
        url: &str,
        timeout: Duration,
        application_name: &str,
        variables: Variables<'_>,
    ) -> Result<Self, ConnectError> {
        if url.is_empty() && !LibpqDefaults::name_a_server(variables) {
            return Err(ConnectError::NotConfigured);
        }
        refuse_bare_at(url)?;
        let (url, defaults) = LibpqDefaults::read(url, variables)?;
        let mut config =
            Config::from_str(&url).map_err(|error| ConnectError::Url(what_is_wrong(&error)))?;
        defaults.fill(&url, &mut config)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(ConnectError::Url("it names no host".to_owned()));
        }
        let tls_settings = defaults.tls();
        let (mode, tls) = tls_settings.connector()?;
        config.ssl_mode(mode);
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
        let port = defaults.port_unless_named(&url)?;
        Ok(Self {
            servers: servers(&config, port),
            tls,
            in_any_order: config.get_load_balance_hosts() == LoadBalanceHosts::Random,
            passfile: defaults.passfile().filter(|_| config.get_password().is_none()),
            tls_asked: (mode == SslMode::Require, tls_settings.verifies()),
        })
    }

    /// The servers in the order of attempts.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &Server> {
        let count = self.servers.len();
        let first = if self.in_any_order { fastrand::usize(..count.max(1)) } else { 0 };
        self.servers.iter().cycle().skip(first).take(count)
    }
}

/// Splits the configuration into one per server. `instead` is the port for hosts that the URL gives
/// none.
fn servers(all: &Config, instead: Option<u16>) -> Vec<Server> {
    let ports = all.get_ports();
    let port = |index: usize| {
        let said = ports.get(index).or(ports.first()).copied();
        instead.or(said).unwrap_or(DEFAULT_PORT)
    };
    let (hosts, addresses) = (all.get_hosts(), all.get_hostaddrs());
    (0..hosts.len().max(addresses.len()))
        .map(|index| {
            let (host, address, port) = (hosts.get(index), addresses.get(index), port(index));
            let endpoint = match (host, address) {
                (Some(Host::Unix(folder)), None) => {
                    Endpoint::Socket(folder.join(format!(".s.PGSQL.{port}")))
                }
                (Some(Host::Tcp(name)), _) => Endpoint::Network(name.clone(), port),
                (_, Some(address)) => Endpoint::Network(address.to_string(), port),
                (None, None) => Endpoint::Network(String::new(), port),
            };
            Server { config: with_one_host(all, host, address.copied(), port), endpoint }
        })
        .collect()
}

fn with_one_host(all: &Config, host: Option<&Host>, address: Option<IpAddr>, port: u16) -> Config {
    let mut one = Config::new();
    macro_rules! copy {
        ($($get:ident => $set:ident),*) => {
            $(if let Some(value) = all.$get() { one.$set(value); })*
        };
    }
    copy!(get_user => user, get_password => password, get_dbname => dbname,
          get_options => options, get_application_name => application_name);
    copy!(get_keepalives_interval => keepalives_interval,
          get_keepalives_retries => keepalives_retries);
    if let Some(timeout) = all.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    one.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
    one.ssl_mode(all.get_ssl_mode()).ssl_negotiation(all.get_ssl_negotiation());
    one.channel_binding(all.get_channel_binding());
    one.target_session_attrs(all.get_target_session_attrs());
    one.port(port);
    match host {
        // As in libpq, a Unix socket uses no TLS in any mode.
        Some(Host::Unix(folder)) => one.host_path(folder).ssl_mode(SslMode::Disable),
        Some(Host::Tcp(name)) => one.host(name),
        None => &mut one,
    };
    if let Some(address) = address {
        one.hostaddr(address);
    }
    one
}

/// The parser's complaint about a URL, quoting only names of existing options. Text of an unescaped
/// password may look like an option.
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

/// Refuses an unescaped @ in a password. The driver ends the password at the first @, so the rest would
/// be taken for host or database, and be shown in messages.
fn refuse_bare_at(url: &str) -> Result<(), ConnectError> {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if is_url && url.matches('@').count() > 1 {
        return Err(ConnectError::Url(
            "an @ in the user's name or password, or in an option, is written %40".to_owned(),
        ));
    }
    Ok(())
}
