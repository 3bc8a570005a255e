//! Types of configuration values that several crates share, and their serde readers.

pub mod limits;
mod read;
mod secret;

pub use read::{filled, host, integer, number, path, seconds, text};
pub use secret::Secret;
