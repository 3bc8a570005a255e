//! Types of configuration values that several crates have in common.

mod secret;

pub use secret::Secret;
