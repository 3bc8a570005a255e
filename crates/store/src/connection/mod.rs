//! One connection: from a URL to a session, with TLS, time-outs and the limits of poolers.

pub(crate) mod connect;
pub(crate) mod dial;
pub(crate) mod libpq;
pub(crate) mod probe;
pub(crate) mod server_budget;
pub(crate) mod session;
pub(crate) mod tls;
pub(crate) mod url;
pub(crate) mod wire;
