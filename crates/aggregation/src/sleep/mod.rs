//! Sleep: how long, how deep and when a person slept who woke on a local day.
//!
//! A row of `vitals_raw` with one of six metrics is a segment: the time from its start to its end
//! was spent in one [`Stage`]. What the rows become:
//!
//! 1. **Segments.** Rows with the same metric, source, start and end are one sample, the newest.
//!    A row without length is accepted and counts nothing; it links nothing either.
//! 2. **Sessions.** The segments of one source are joined over gaps of at most [`LONGEST_GAP_US`]:
//!    what another source fills does not join them. A chain of them (a newborn's naps, a sensor
//!    that never lets go of the bed) is cut at each noon of the base zone from which it goes on for
//!    two days at least ([`CUT_MARGIN_US`]) to both sides, as the nights of actigraphy go from noon
//!    to noon (GGIR). So one of less than four days is never cut, and no figure depends on rows
//!    that lie farther away than [`FARTHEST_US`].
//! 3. **The best source.** Sessions of two sources that overlap, or are at most [`LONGEST_GAP_US`]
//!    apart, are rivals, and the better one counts alone. So a watch that was worn for an
//!    afternoon's nap only has no say in the night.
//!    - A session *represents* its night if it has rows of sleep and covers at least half as much time
//!      as each of its rivals. So a watch whose battery ran out leaves the night to the ring. A rival
//!      that only knows of the bed is such a measure up to 12 hours: one that never lets go of the bed
//!      must not hide the watch.
//!    - Of sessions that represent their nights the profile's order decides. Of sources that it does not
//!      list, one that tells stages is best, then the longer time asleep, the longer time covered, and
//!      the name: facts of the session, where the id of the newest row would depend on who wrote last.
//!    - All others come after them, by the time covered: a phone that knows when its owner lay down
//!      counts where no source knows of sleep, even if an app wrote an awakening into that time.
//!    - A session is beaten only by one that counts, so the best is decided first. Where all sources
//!      together go on for four days or longer, any better rival beats it: else whether it counts could
//!      depend on sessions weeks away.
//! 4. **Days.** A session belongs to the local date of its end, in the zone of the row that ends
//!    it (of several, the one that began last). Of a day's sessions the one with the longest sleep
//!    is the main one, others with sleep are naps ([`SleepDay`]). Without sleep none is.
//!
//! An instant of a session has one state: awake, else deep, REM, core, asleep without a stage, in bed.
//! So a short awakening inside a stage, as Fitbit writes it, is no sleep, and the minutes of the stages
//! add up to the time asleep. HealthKit wants them not to overlap ("they don't overlap each other",
//! `HKCategoryValueSleepAnalysis`); Health Connect takes awake stages off a session that was given as a
//! whole (AOSP, `SessionDurationAggregationData`).
//!
//! All lengths are whole microseconds of unions of intervals until a day's figure is made, so the
//! order of rows leaves no trace. A late row, a correction and a deletion are one code path:
//! [`fn@scope`] says what must be read, [`fn@recompute`] computes whole days or asks for more.

mod day;
pub mod explain;
mod period;
mod recompute;
mod scope;
mod segment;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::NaiveDate;

pub use self::day::SleepDay;
pub use self::explain::explain;
pub use self::recompute::{Outcome, Recomputed, Snapshot, StoredDay, fingerprint, recompute};
pub use self::scope::{FARTHEST_STORED_DAY, FARTHEST_US, SleepScope, scope};
use crate::Timestamp;
use crate::catalogue::{Catalogue, Style};
use crate::timestamp::{DAY_US, MINUTE_US};
use crate::vitals::{Context, RawVital};

/// The longest gap over which segments are joined; a gap of exactly this length joins.
pub const LONGEST_GAP_US: i64 = 120 * MINUTE_US;

/// How far a source's chain of segments must go on to both sides of a noon to be cut there.
///
/// Without a bound, one row could move the end of a session months away, and with it its date.
/// Nobody is in bed for four days without a break of two hours but who is ill or a sensor that is
/// never switched off; both find their nights on their own dates.
pub const CUT_MARGIN_US: i64 = 2 * DAY_US;

/// What a row of sleep says of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// `sleep_in_bed`: in bed, asleep or not.
    InBed,
    /// `sleep_asleep`: asleep, in which stage is not known.
    Asleep,
    /// `sleep_awake`: awake between two times of sleep, or in bed.
    Awake,
    /// `sleep_core`: N1 and N2; Health Connect calls it light.
    Core,
    /// `sleep_deep`: N3.
    Deep,
    /// `sleep_rem`: REM sleep.
    Rem,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 6] =
        [Self::InBed, Self::Asleep, Self::Awake, Self::Core, Self::Deep, Self::Rem];

    /// The metric in raw rows and in the catalogue.
    pub const fn metric(self) -> &'static str {
        match self {
            Self::InBed => "sleep_in_bed",
            Self::Asleep => "sleep_asleep",
            Self::Awake => "sleep_awake",
            Self::Core => "sleep_core",
            Self::Deep => "sleep_deep",
            Self::Rem => "sleep_rem",
        }
    }

    /// The stage that a metric stands for, whatever a catalogue says of it.
    pub fn from_metric(metric: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.metric() == metric)
    }

    /// The stage that a metric stands for; `None` if the catalogue does not have it as one of
    /// sleep.
    pub fn of(metric: &str, catalogue: &Catalogue) -> Option<Self> {
        let is_sleep = catalogue.metric(metric)?.style == Style::Sleep;
        Self::from_metric(metric).filter(|_| is_sleep)
    }

    const fn is_sleep(self) -> bool {
        matches!(self, Self::Asleep) || self.is_staged()
    }

    const fn is_staged(self) -> bool {
        matches!(self, Self::Core | Self::Deep | Self::Rem)
    }
}

/// Raw rows by stage, in any order.
pub type Rows = BTreeMap<Stage, Vec<RawVital>>;

/// The figures of every day, from scratch; `rows` are all that one user has.
pub fn figures(context: &Context<'_>, rows: &Rows) -> BTreeMap<NaiveDate, SleepDay> {
    let judged = segment::judge_all(context, rows);
    let all = (Timestamp::MIN, Timestamp::MAX);
    let parts = day::parts(session::sessions(context, &judged.segments, all), judged.rejected);
    let figures = parts.into_iter().map(|(date, parts)| (date, parts.figures(date, context)));
    figures.filter_map(|(date, figures)| Some((date, figures?))).collect()
}
