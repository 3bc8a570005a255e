//! The problems of a configuration, collected.

/// Why there is no configuration: one problem a line, none of which quotes a value that may be a
/// secret.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub(crate) struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    pub(super) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }
}
