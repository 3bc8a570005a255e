//! The parts that the pages of all targets share.

use super::access::Access;
use crate::config::Http;

/// Who may see the page, and of which worker it is.
#[derive(Debug)]
pub struct Frame {
    /// Tokens and sessions.
    pub access: Access,
    /// The name of this worker.
    pub worker: String,
    /// Whether the worker serves several targets.
    pub has_targets: bool,
}

impl Frame {
    /// The parts as the configuration has them.
    pub fn new(http: &Http, worker: String, has_targets: bool) -> Self {
        let access = Access::new(http);
        if !access.is_served() {
            tracing::warn!(
                event = "page_refused",
                "The operator's page is not served: other hosts can reach http.address, and there is no \
                 http.token; /health and /metrics are served"
            );
        }
        Self { access, worker, has_targets }
    }
}
