//! One connection: from a URL to a session, with TLS, time-outs and what a pooler allows.

pub(crate) mod connect;
pub(crate) mod dial;
pub(crate) mod libpq;
pub(crate) mod probe;
pub(crate) mod session;
pub(crate) mod tls;
pub(crate) mod url;
pub(crate) mod wire;
