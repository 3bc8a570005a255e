//! libpq's defaults for parts that the URL lacks: environment variables, a service file and a password
//! file.
//!
//! Source: PostgreSQL documentation, "Environment Variables", "The Connection Service File" and
//! "The Password File" of libpq.

mod passfile;
mod service;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};

use crate::connection::tls::TlsSettings;
use crate::error::ConnectError;

pub(crate) use passfile::PassFile;

/// Returns the value of an environment variable, if it is set.
pub type Variables<'v> = &'v (dyn Fn(&str) -> Option<String> + Sync);

/// Keys that the driver does not know, and their variables. They are removed from the URL.
const TAKEN: [(&str, &str); 6] = [
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
];

/// Keys that the driver knows, and their variables. They fill in parts that the URL lacks.
const FILLED: [(&str, &str); 9] = [
    ("channel_binding", "PGCHANNELBINDING"),
    ("dbname", "PGDATABASE"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("options", "PGOPTIONS"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("user", "PGUSER"),
];

/// Settings of a connection beyond those of the URL that the driver reads.
pub(crate) struct LibpqDefaults {
    values: BTreeMap<&'static str, String>,
    home: Option<PathBuf>,
    /// The operating system's user, the default of the database user.
    user: String,
}

impl LibpqDefaults {
    /// Whether the variables name a server, so that no URL is needed.
    pub(crate) fn name_a_server(variables: Variables<'_>) -> bool {
        ["PGSERVICE", "PGHOST", "PGHOSTADDR"].into_iter().any(|name| variables(name).is_some())
    }

    /// Removes keys that the driver does not know from a URL, or from words such as `sslmode=require`.
    /// The URL overrides the service file, which overrides the variables. Returns the rest of the URL.
    ///
    /// # Errors
    /// If the named service cannot be read.
    pub(crate) fn read(
        url: &str,
        variables: Variables<'_>,
    ) -> Result<(String, Self), ConnectError> {
        let mut taken = BTreeMap::new();
        let rest = take_from(url, &mut taken);
        let mut values = BTreeMap::new();
        for (key, variable) in TAKEN.into_iter().chain(FILLED) {
            if let Some(value) = variables(variable) {
                values.insert(key, value);
            }
        }
        let home = variables("HOME").map(PathBuf::from);
        if let Some(service) = taken.get("service").or_else(|| values.get("service")).cloned() {
            values.extend(service::read(&service, &service::files(variables, home.as_deref()))?);
        }
        values.extend(taken);
        let user = variables("USER").or_else(|| variables("LOGNAME")).unwrap_or_default();
        Ok((rest, Self { values, home, user }))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The TLS settings.
    pub(crate) fn tls(&self) -> TlsSettings {
        let value = |key| self.get(key).map(str::to_owned);
        TlsSettings {
            mode: value("sslmode"),
            root_cert: value("sslrootcert"),
            cert: value("sslcert"),
            key: value("sslkey"),
        }
    }

    /// Fills in the parts that the URL, `said`, lacks.
    ///
    /// # Errors
    /// If a value is invalid.
    pub(crate) fn fill(&self, said: &str, config: &mut Config) -> Result<(), ConnectError> {
        let no_host = config.get_hosts().is_empty() && config.get_hostaddrs().is_empty();
        if no_host {
            for host in self.get("host").into_iter().flat_map(|hosts| hosts.split(',')) {
                config.host(host);
            }
            for address in self.get("hostaddr").into_iter().flat_map(|all| all.split(',')) {
                config
                    .hostaddr(address.parse().map_err(|_| unusable("hostaddr", "an IP address"))?);
            }
        }
        if config.get_ports().is_empty() {
            for port in self.get("port").into_iter().flat_map(|ports| ports.split(',')) {
                config.port(port.parse().map_err(|_| unusable("port", "a number"))?);
            }
        }
        macro_rules! fill {
            ($key:literal, $get:ident, $set:ident) => {
                if let Some(value) = self.get($key).filter(|_| config.$get().is_none()) {
                    config.$set(value);
                }
            };
        }
        fill!("user", get_user, user);
        fill!("password", get_password, password);
        fill!("dbname", get_dbname, dbname);
        fill!("options", get_options, options);
        if let Some(wanted) =
            self.get("target_session_attrs").filter(|_| !said.contains("session_attrs"))
        {
            config.target_session_attrs(match wanted {
                "any" => TargetSessionAttrs::Any,
                "read-write" => TargetSessionAttrs::ReadWrite,
                "read-only" => TargetSessionAttrs::ReadOnly,
                _ => {
                    let expected = "any, read-write or read-only";
                    return Err(unusable("target_session_attrs", expected));
                }
            });
        }
        if let Some(wanted) =
            self.get("channel_binding").filter(|_| !said.contains("channel_binding"))
        {
            config.channel_binding(match wanted {
                "disable" => ChannelBinding::Disable,
                "prefer" => ChannelBinding::Prefer,
                "require" => ChannelBinding::Require,
                _ => return Err(unusable("channel_binding", "disable, prefer or require")),
            });
        }
        Ok(())
    }

    /// The port for a URL that names a host without a port. The driver would use 5432.
    ///
    /// # Errors
    /// If the port is not a number.
    pub(crate) fn port_unless_named(&self, said: &str) -> Result<Option<u16>, ConnectError> {
        let authority = said.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
        let ports = |host: &str| {
            let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
            behind.contains(':')
        };
        if said.contains("port=") || hosts.is_empty() || hosts.split(',').any(ports) {
            return Ok(None);
        }
        let Some(port) = self.get("port") else { return Ok(None) };
        port.parse().map(Some).map_err(|_| unusable("port", "a number"))
    }

    /// The password file to read if no other source has the password.
    pub(crate) fn passfile(&self) -> Option<PassFile> {
        if let Some(path) = self.get("passfile") {
            return Some(PassFile { path: path.into(), asked_for: true, user: self.user.clone() });
        }
        let path = self.home.as_ref()?.join(".pgpass");
        Some(PassFile { path, asked_for: false, user: self.user.clone() })
    }
}

fn unusable(key: &str, expected: &str) -> ConnectError {
    // The message omits the value: it may be a misplaced password.
    let variable = TAKEN.iter().chain(&FILLED).find(|(known, _)| *known == key);
    let variable = variable.map_or("", |(_, variable)| variable);
    ConnectError::LibpqDefaults(format!(
        "{key} ({variable}, or the service file) must be {expected}"
    ))
}

/// The known key of this name.
fn known(name: &str) -> Option<&'static str> {
    TAKEN.iter().chain(&FILLED).map(|(key, _)| *key).find(|key| *key == name)
}

fn take_from(url: &str, taken: &mut BTreeMap<&'static str, String>) -> String {
    let mut take = |option: &str, encoded: bool| {
        let Some((name, value)) = option.split_once('=') else { return false };
        let Some((key, _)) = TAKEN.iter().find(|(key, _)| *key == name) else { return false };
        let decoded = || percent_encoding::percent_decode_str(value).decode_utf8_lossy().into();
        taken.insert(key, if encoded { decoded() } else { value.to_owned() });
        true
    };
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !is_url {
        let others: Vec<&str> = words(url).into_iter().filter(|word| !take(word, false)).collect();
        return others.join(" ");
    }
    let Some((address, options)) = url.split_once('?') else { return url.to_owned() };
    let others: Vec<&str> = options.split('&').filter(|option| !take(option, true)).collect();
    if others.is_empty() { address.to_owned() } else { format!("{address}?{}", others.join("&")) }
}

/// Splits `key=value` and `key='a value'` into words. A backslash makes the next character literal.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start) = (Vec::new(), None);
    let (mut quoted, mut escaped) = (false, false);
    for (index, character) in text.char_indices() {
        if character.is_whitespace() && !quoted && !escaped {
            words.extend(start.take().and_then(|start| text.get(start..index)));
            continue;
        }
        start.get_or_insert(index);
        quoted ^= character == '\'' && !escaped;
        escaped = character == '\\' && !escaped;
    }
    words.extend(start.and_then(|start| text.get(start..)));
    words
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use tokio_postgres::Config;
    use tokio_postgres::config::Host;

    use super::LibpqDefaults;
    use crate::error::ConnectError;

    fn filled(url: &str, variables: &[(&str, &str)]) -> Result<Config, ConnectError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let (rest, defaults) = LibpqDefaults::read(url, &variable)?;
        let mut config = Config::from_str(&rest).unwrap();
        defaults.fill(url, &mut config)?;
        Ok(config)
    }

    #[test]
    fn variables_fill_in_what_the_url_lacks_and_nothing_else() {
        let variables = [
            ("PGHOST", "from-variable"),
            ("PGPORT", "6543"),
            ("PGUSER", "somebody"),
            ("PGDATABASE", "other"),
        ];
        let config = filled("postgresql://me@db/app", &variables).unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("db".to_owned())]);
        assert_eq!((config.get_user(), config.get_dbname()), (Some("me"), Some("app")));
        let config = filled("", &variables).unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("from-variable".to_owned())]);
        assert_eq!(config.get_ports(), [6543]);
        assert_eq!((config.get_user(), config.get_dbname()), (Some("somebody"), Some("other")));
    }

    #[test]
    fn a_value_that_is_none_is_refused_without_being_shown() {
        for (variable, must) in [
            ("PGPORT", "PGPORT, or the service file) must be a number"),
            ("PGTARGETSESSIONATTRS", "must be any, read-write or read-only"),
            ("PGCHANNELBINDING", "must be disable, prefer or require"),
        ] {
            let variables = [("PGHOST", "db"), (variable, "hunter2")];
            let error = filled("", &variables).unwrap_err();
            assert!(error.to_string().contains(must), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_value_in_quotes_keeps_its_spaces() {
        let said = r"host=db password='a  b\' c'  sslmode=disable user=me";
        let (rest, _) = LibpqDefaults::read(said, &|_| None).unwrap();
        assert_eq!(rest, r"host=db password='a  b\' c' user=me");
    }

    #[test]
    fn a_port_counts_where_the_url_names_a_host_without_one() {
        let port = |url: &str| {
            let variables = |name: &str| (name == "PGPORT").then(|| "6543".to_owned());
            let (rest, defaults) = LibpqDefaults::read(url, &variables).unwrap();
            defaults.port_unless_named(&rest).unwrap()
        };
        assert_eq!(port("postgresql://me:pw@db/app"), Some(6543));
        assert_eq!(port("postgresql://[::1]/app"), Some(6543));
        for named in ["postgresql://db:1/app", "postgresql://[::1]:1/app", "host=db port=1"] {
            assert_eq!(port(named), None, "{named}");
        }
    }

    #[test]
    fn what_the_driver_does_not_know_is_taken_out_of_the_url() {
        let url = "postgresql://me@db/app?sslmode=require&connect_timeout=3&sslrootcert=%2Fca%20s";
        let (rest, defaults) = LibpqDefaults::read(url, &|_| None).unwrap();
        assert_eq!(rest, "postgresql://me@db/app?connect_timeout=3");
        assert_eq!(defaults.tls().root_cert.as_deref(), Some("/ca s"));
        let (rest, defaults) =
            LibpqDefaults::read("host=db sslmode=disable user=me", &|_| None).unwrap();
        assert_eq!(rest, "host=db user=me");
        assert_eq!(defaults.tls().mode.as_deref(), Some("disable"));
    }
}
