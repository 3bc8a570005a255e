//! Checks from this host to the database: name resolution, network, TLS, log-in.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use store::{ConnectError, Endpoint, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::{Check, Checkup, Outcome};
use crate::config::Config;
use crate::{output, setup};

/// The request that asks a server whether it supports TLS: a length of 8 and the code 80877103. Source:
/// PostgreSQL documentation, "Message Formats", SSLRequest.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Tries each endpoint separately; one that answers is enough.
pub async fn is_open(endpoints: &[Endpoint], config: &Config, checkup: &mut Checkup) -> bool {
    let limit = config.database.connect_timeout;
    let mut tried = Vec::new();
    for endpoint in endpoints {
        match endpoint {
            Endpoint::Socket(path) => {
                let connecting = async { Ok(UnixStream::connect(path).await?) };
                let shown = path.display();
                tried.push(match within(limit, connecting).await {
                    Ok(_) => Ok(Check::fine("network", format!("a server listens at {shown}"))),
                    Err(problem) => Err(unreachable(&shown.to_string(), &problem)),
                });
            }
            Endpoint::Network(host, port) => {
                let lookup = async { Ok(lookup_host((host.as_str(), *port)).await?.collect()) };
                let addresses: Vec<SocketAddr> = match within(limit, lookup).await {
                    Ok(addresses) => addresses,
                    Err(problem) => {
                        let url = output::url_origin();
                        let advice =
                            format!("correct the host in {url}, or the host's name service");
                        tried.push(Err(Check::wrong("name", format!("{host}: {problem}"), advice)));
                        continue;
                    }
                };
                if host.parse::<IpAddr>().is_err() {
                    let shown: Vec<String> =
                        addresses.iter().map(|address| address.ip().to_string()).collect();
                    let found = format!("{host} is {}", shown.join(", "));
                    checkup.add(Check::fine("name", found));
                }
                for address in addresses {
                    tried.push(try_network(address, limit).await);
                }
            }
        }
    }
    let open = tried.iter().any(Result::is_ok);
    for check in tried {
        checkup.add(match check {
            Ok(check) => check,
            Err(check) if open => Check { outcome: Outcome::Doubtful, ..check },
            Err(check) => check,
        });
    }
    open
}

async fn try_network(address: SocketAddr, limit: Duration) -> Result<Check, Check> {
    let began = Instant::now();
    let connecting = async { Ok(TcpStream::connect(address).await?) };
    let stream = within(limit, connecting)
        .await
        .map_err(|problem| unreachable(&address.to_string(), &problem))?;
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    let tls = match within(limit, offers_tls(stream)).await {
        Ok(true) => "it offers TLS",
        Ok(false) => "it offers no TLS",
        Err(problem) => {
            let found = format!("{address} accepts connections, but does not answer: {problem}");
            return Err(Check::wrong("network", found, "is it PostgreSQL that listens there?"));
        }
    };
    Ok(Check::fine("network", format!("{address} accepts connections after {ms:.1} ms, {tls}")))
}

fn unreachable(endpoint: &str, problem: &str) -> Check {
    let advice = format!(
        "start PostgreSQL there (listen_addresses, port), correct the host in {}, or open the firewall",
        output::url_origin()
    );
    Check::wrong("network", format!("{endpoint}: {problem}"), advice)
}

async fn offers_tls(mut stream: TcpStream) -> anyhow::Result<bool> {
    stream.write_all(&SSL_REQUEST).await?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    match answer {
        [b'S'] => Ok(true),
        [b'N'] => Ok(false),
        _ => bail!("an answer that is not PostgreSQL's"),
    }
}

async fn within<T>(
    limit: Duration,
    question: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, String> {
    let answer = tokio::time::timeout(limit, question).await;
    let answer = answer.with_context(|| format!("no answer within {:.1} s", limit.as_secs_f64()));
    answer.flatten().map_err(|error| error.to_string())
}

/// Logs in like the worker.
pub async fn log_in(config: &Config, checkup: &mut Checkup) -> Option<Store> {
    let began = Instant::now();
    match setup::connect(config).await {
        Ok(store) => {
            let ms = began.elapsed().as_secs_f64() * 1000.0;
            checkup.add(Check::fine("login", format!("it takes {ms:.0} ms, tests included")));
            Some(store)
        }
        Err(error) => {
            let name = match &error {
                ConnectError::Tls(_) => "TLS",
                ConnectError::Pooler(_) => "pooler",
                _ => "login",
            };
            let advice = output::advice(&error).unwrap_or_else(|| "correct this".to_owned());
            checkup.add(Check::wrong(name, error.to_string(), advice));
            None
        }
    }
}
