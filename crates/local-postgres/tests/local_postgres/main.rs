//! The behaviour of the crate for its callers, on real servers.
#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod owner;
mod owner_killed;
mod server;
mod support;
