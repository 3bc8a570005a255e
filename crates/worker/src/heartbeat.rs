//! The heartbeat of the work: only the work itself beats it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Records that the work makes progress. A timer must never beat it, because stuck work would look
/// alive.
#[derive(Clone)]
pub struct Heartbeat {
    inner: Arc<Inner>,
}

struct Inner {
    began: Instant,
    last_ms: AtomicU64,
    listener: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heartbeat").field("silent_for", &self.silent_for()).finish_non_exhaustive()
    }
}

impl Heartbeat {
    /// A heartbeat without a listener.
    pub fn unheard() -> Self {
        Self::heard_by(|| {})
    }

    /// A heartbeat that calls `listener` at each beat.
    pub fn heard_by(listener: impl Fn() + Send + Sync + 'static) -> Self {
        let began = Instant::now();
        let listener = Box::new(listener);
        Self { inner: Arc::new(Inner { began, last_ms: AtomicU64::new(0), listener }) }
    }

    /// Records progress, or a deliberate pause.
    pub fn beat(&self) {
        let now_ms = self.inner.began.elapsed().as_millis() as u64;
        self.inner.last_ms.store(now_ms, Ordering::Relaxed);
        (self.inner.listener)();
    }

    /// The time since the last beat.
    pub fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.inner.last_ms.load(Ordering::Relaxed));
        self.inner.began.elapsed().saturating_sub(last)
    }
}
