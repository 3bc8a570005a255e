//! The holders of connections, and the warning about long holds.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::{Duration, Instant};

use super::{Shared, lock};

/// The minimum interval of the check for connections held for long.
const LEAST_LOOK: Duration = Duration::from_millis(50);
const MOST_LOOK: Duration = Duration::from_secs(1);

/// The holders of connections, with the start of each hold.
#[derive(Default)]
pub(super) struct Holds {
    pub(super) last: u64,
    pub(super) now: BTreeMap<u64, Hold>,
}

pub(super) struct Hold {
    pub(super) purpose: &'static str,
    pub(super) since: Instant,
    pub(super) warned: bool,
}

pub(super) fn warn_of_slow_hold(purpose: &'static str, held: Duration, still_held: bool) {
    tracing::warn!(
        event = "slow_hold",
        purpose,
        held_ms = held.as_millis() as u64,
        still_held,
        "a database connection {} for {:.1} s by {purpose}",
        if still_held { "has been held" } else { "is free, after it was held" },
        held.as_secs_f64(),
    );
}

/// Logs a warning while a connection is held for long. Otherwise a wait for an unresponsive server would
/// be reported only at its end. The task ends with the pool.
pub(super) async fn warn_of_slow_holds(shared: Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let slow = shared.settings.slow_hold;
        for hold in lock(&shared.holds).now.values_mut() {
            let held = hold.since.elapsed();
            if held > slow && !hold.warned {
                hold.warned = true;
                warn_of_slow_hold(hold.purpose, held, true);
            }
        }
        drop(shared);
        tokio::time::sleep(slow.clamp(LEAST_LOOK, MOST_LOOK)).await;
    }
}
