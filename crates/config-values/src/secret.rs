//! Text that must not appear in a log.

use std::fmt;

use serde::Deserialize;

/// Text that prints as `***`, so that types that contain it may derive `Debug`.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`, so that it is not printed.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the code that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}
