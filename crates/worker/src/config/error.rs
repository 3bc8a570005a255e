//! The collected problems of a configuration.

/// The reason why a configuration is refused: one problem per line. No problem quotes a value that may
/// be a secret.
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
