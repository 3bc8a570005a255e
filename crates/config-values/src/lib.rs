//! Types of configuration values that several crates have in common, and how serde reads them.

pub mod limits;
mod read;
mod secret;

pub use read::{filled, host, integer, number, path, seconds, text};
pub use secret::Secret;
