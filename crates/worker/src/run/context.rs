//! The state shared by all batches of a process.

use store::Store;

use super::assumed_zone::AssumedZone;
use super::batch_sizer::BatchSizer;
use super::crash_loop::CrashLoopGuard;
use super::current::CurrentBatches;
use super::long_groups::LongGroups;
use crate::heartbeat::Heartbeat;
use crate::settings::SharedSettings;
use crate::stop::Stop;
use crate::throttle::Throttle;

/// The state shared by all batches of a process.
#[derive(Clone, Debug)]
pub struct WorkerContext {
    /// The database.
    pub store: Store,
    /// The settings.
    pub settings: SharedSettings,
    /// The request to stop.
    pub stop: Stop,
    /// The heartbeat, beaten at all progress.
    pub heartbeat: Heartbeat,
    /// Groups whose transactions were interrupted.
    pub crash_loop_guard: CrashLoopGuard,
    /// The batches that run.
    pub batches: CurrentBatches,
    /// Groups that take long.
    pub long_groups: LongGroups,
    /// The size of the next batch.
    pub batch_sizer: BatchSizer,
    /// The limit on rows each second.
    pub throttle: Throttle,
    /// Users for whom the default zone is assumed.
    pub assumed_zone: AssumedZone,
}
