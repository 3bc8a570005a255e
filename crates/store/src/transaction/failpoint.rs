//! Aborts the process at a chosen message to the server, for tests. Release builds contain none of this.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A test sets this variable to the number of a message, counted over all connections. Instead of
/// sending it, the process aborts, as by `kill -9`. The server processes the earlier messages.
pub const CRASH_VARIABLE: &str = "DAYFOLD_CRASH_AT_MESSAGE";

static ASKED: LazyLock<Option<u32>> = LazyLock::new(|| {
    let asked = if cfg!(debug_assertions) { std::env::var(CRASH_VARIABLE).ok()? } else { None? };
    asked.parse().ok()
});
static SENT: AtomicU32 = AtomicU32::new(0);

/// Follows the messages sent on one connection.
#[derive(Debug)]
pub(crate) struct Crash {
    /// Whether the first message, which has no type byte, has begun.
    has_begun: bool,
    /// Bytes of the current message still to be sent.
    left: usize,
}

impl Crash {
    pub(crate) const fn new() -> Self {
        Self { has_begun: false, left: 0 }
    }

    /// Aborts if the message that begins with these bytes is the chosen one. Otherwise returns the
    /// number of bytes to send before the next message begins.
    pub(crate) fn limit(&mut self, bytes: &[u8]) -> usize {
        let Some(asked) = *ASKED else { return bytes.len() };
        if self.left == 0 {
            // A type of one byte, which the first message lacks, and a length that includes itself.
            let head = if self.has_begun { 1 } else { 0 };
            let length = bytes.get(head..).and_then(<[u8]>::first_chunk);
            let Some(length) = length else { return bytes.len() };
            if SENT.fetch_add(1, Ordering::SeqCst) + 1 == asked {
                std::process::abort();
            }
            self.has_begun = true;
            self.left = head + u32::from_be_bytes(*length) as usize;
        }
        self.left.min(bytes.len())
    }

    /// Records that `bytes` bytes were sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}
