//! Opens a stream to the server, with TLS or without, and records the server's messages on it.
//!
//! The driver can open streams itself, but gives no access to their bytes.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use crate::connection::url::{Endpoint, Server};
use crate::connection::wire::{Watched, Wire};

type Stream = Either<TcpStream, UnixStream>;
pub(crate) type Plain = Watched<Stream>;
type Encrypted = Watched<<MakeRustlsConnect as MakeTlsConnect<Stream>>::Stream>;

/// The driver's task that serves a client.
pub(crate) type Connection = tokio_postgres::Connection<Plain, Encrypted>;

/// The address that a stream reached, so that a second stream reaches the same server.
#[derive(Clone, Debug)]
pub(crate) enum Reached {
    Network(SocketAddr),
    Socket(PathBuf),
}

impl Reached {
    /// Opens a stream to the first address of a server that answers.
    ///
    /// # Errors
    /// If no address answers.
    pub(crate) async fn open(server: &Server) -> io::Result<(Self, Stream)> {
        let addresses: Vec<Self> = match (&server.endpoint, server.config.get_hostaddrs()) {
            (Endpoint::Socket(path), _) => vec![Self::Socket(path.clone())],
            (Endpoint::Network(_, port), [address, ..]) => {
                vec![Self::Network(SocketAddr::new(*address, *port))]
            }
            (Endpoint::Network(host, port), []) => {
                lookup_host((host.as_str(), *port)).await?.map(Self::Network).collect()
            }
        };
        let mut failure = io::Error::other("its name has no address");
        for address in addresses {
            match address.open_again(&server.config).await {
                Ok(stream) => return Ok((address, stream)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Opens a stream to the same address.
    ///
    /// # Errors
    /// If the address does not answer.
    pub(crate) async fn open_again(&self, config: &Config) -> io::Result<Stream> {
        Ok(match self {
            Self::Socket(path) => Either::Right(UnixStream::connect(path).await?),
            Self::Network(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                keep_alive(SockRef::from(&stream), config)?;
                Either::Left(stream)
            }
        })
    }
}

fn keep_alive(socket: SockRef<'_>, config: &Config) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Some(timeout) = config.get_tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(*timeout))?;
    }
    if !config.get_keepalives() {
        return Ok(());
    }
    let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
    }
    socket.set_tcp_keepalive(&keepalive)
}

/// Wraps the stream. If TLS is requested, the server first answers with one byte.
pub(crate) fn watched(stream: Stream, config: &Config, wire: std::sync::Arc<Wire>) -> Plain {
    let asks = config.get_ssl_mode() != SslMode::Disable
        && config.get_ssl_negotiation() == SslNegotiation::Postgres;
    Watched::new(stream, usize::from(asks), wire)
}

/// Encrypts a stream, and records messages after decryption instead of before.
pub(crate) struct Encrypt {
    pub(crate) tls: MakeRustlsConnect,
    /// The host name that the server's certificate must have.
    pub(crate) host: String,
}

impl Encrypt {
    pub(crate) fn new(tls: &MakeRustlsConnect, endpoint: &Endpoint) -> Self {
        let host = match endpoint {
            Endpoint::Network(host, _) => host.clone(),
            Endpoint::Socket(_) => String::new(),
        };
        Self { tls: tls.clone(), host }
    }
}

impl TlsConnect<Plain> for Encrypt {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Encrypted>>;

    fn connect(mut self, stream: Plain) -> Self::Future {
        let (stream, wire) = stream.into_parts();
        let connect = MakeTlsConnect::<Stream>::make_tls_connect(&mut self.tls, &self.host);
        let connect = match connect {
            Ok(connect) => connect,
            Err(never) => match never {},
        };
        connect.connect(stream).map_ok(|stream| Watched::new(stream, 0, wire)).boxed()
    }
}
