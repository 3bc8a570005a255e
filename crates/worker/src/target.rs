//! The target for which a task works: a field of its log lines and a label of its metrics.

use std::sync::Arc;

use tracing::Instrument;

tokio::task_local! {
    static NAME: Arc<str>;
}

/// The name of the span whose fields each log line shows.
pub const SPAN: &str = "target";

/// The name of the target for which the running task works; `None` if there is only one database.
pub fn name() -> Option<Arc<str>> {
    NAME.try_with(Arc::clone).ok()
}

/// Runs `work` for a target.
pub async fn within<T>(name: Arc<str>, work: impl Future<Output = T>) -> T {
    let span = span(&name);
    NAME.scope(name, work.instrument(span)).await
}

/// Runs `work`, which does not wait, for a target.
pub fn within_sync<T>(name: Arc<str>, work: impl FnOnce() -> T) -> T {
    let span = span(&name);
    span.in_scope(|| NAME.sync_scope(name, work))
}

/// Continues to work for the target of the calling task, in a task of its own.
pub async fn inherited<T>(target: Option<Arc<str>>, work: impl Future<Output = T>) -> T {
    match target {
        Some(name) => within(name, work).await,
        None => work.await,
    }
}

/// A span of the highest level, which no filter of levels removes.
fn span(name: &str) -> tracing::Span {
    tracing::error_span!("target", target.name = name)
}
