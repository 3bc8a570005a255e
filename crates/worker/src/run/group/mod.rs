//! One group: the claimed rows of one kind, one user and one local date, in one transaction.

mod blood_pressure;
mod glucose;
mod labs;
mod lock_waits;
mod nutrition;
pub mod rebuild;
mod sleep;
mod unknown_metrics;
mod vitals;
mod whole_days;

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aggregation::local_time::Zone;
use aggregation::zones::BaseZone;
use aggregation::{Kind, Reason, Timestamp, UserId};
use chrono::{Days, NaiveDate};
use store::{
    ChangeSet, ChangedRow, Claim, Failed, GroupTransaction, ProfileVersion, RetryPolicy, Store,
    StoreError, Verdict,
};

pub use lock_waits::LockWaits;

use crate::settings::Settings;
use crate::tables::counted;
use crate::user_ids;

/// A user and a local date.
pub type GroupKey = (UserId, NaiveDate);

/// The settings that affect a user's figures besides the raw rows.
#[derive(Debug, PartialEq)]
pub struct Profile {
    /// The zone of rows that have none.
    pub base_zone: BaseZone,
    /// Sources, best first.
    pub source_order: Vec<String>,
    /// Figures of earlier local dates never change; `None` if none are frozen.
    pub frozen_before: Option<NaiveDate>,
    has_row: bool,
    version: ProfileVersion,
}

/// An instant's local dates in two zones differ by two days at most.
const DATES_APART: Days = Days::new(2);

/// A changed row affects no figures of dates that are farther from its own. A night of sleep is read up to 21 days
/// around it, and no other figure has that reach.
const FARTHEST: Days = Days::new(24);

impl Profile {
    /// Parses a stored profile; without one, the defaults apply.
    pub fn parse(stored: store::Profile, settings: &Settings) -> Self {
        let zone = stored.time_zone.as_deref();
        Self {
            has_row: zone.is_some(),
            base_zone: zone.map_or(Ok(settings.default_zone), str::parse),
            source_order: stored.source_priority,
            frozen_before: stored.frozen_before,
            version: stored.version,
        }
    }

    /// The version of the stored profile.
    pub const fn version(&self) -> ProfileVersion {
        self.version
    }

    /// Whether figures of this date may change.
    pub fn is_open(&self, date: NaiveDate) -> bool {
        self.frozen_before.is_none_or(|before| date >= before)
    }

    /// The first date from `from` on whose figures may change.
    pub fn first_open(&self, from: NaiveDate) -> NaiveDate {
        self.frozen_before.map_or(from, |before| before.max(from))
    }

    /// Whether a change of a row that starts on this date affects frozen figures only.
    pub fn is_out_of_reach(&self, date: NaiveDate) -> bool {
        let reach = date.checked_add_days(FARTHEST);
        self.frozen_before.is_some_and(|before| reach.is_some_and(|reach| reach < before))
    }

    /// The verdict on a raw row. A row that starts on a frozen date is refused for that reason before all others.
    pub fn verdict(
        &self,
        judged: Option<Reason>,
        starts_at: Timestamp,
        own_zone: Option<&str>,
    ) -> Option<Reason> {
        let Some(before) = self.frozen_before else { return judged };
        let starts_at = starts_at.clamp(Timestamp::MIN, Timestamp::MAX);
        let in_utc = starts_at.to_utc().date_naive();
        let is_frozen = if in_utc.checked_sub_days(DATES_APART).is_some_and(|date| date >= before) {
            false
        } else if in_utc.checked_add_days(DATES_APART).is_some_and(|date| date < before) {
            true
        } else {
            let zone = own_zone.map_or(self.base_zone, str::parse);
            zone.map_or(in_utc, |zone: Zone| zone.date_of(starts_at)) < before
        };
        if is_frozen { Some(Reason::Frozen) } else { judged }
    }
}

/// The profiles of a batch's users.
#[derive(Debug)]
pub struct Profiles {
    stored: HashMap<UserId, Profile>,
    /// The profile of users that were not asked for.
    default: Profile,
}

impl Profiles {
    /// Reads the profiles of a batch's users in one statement.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read(
        claim: &Claim,
        store: &Store,
        settings: &Settings,
    ) -> Result<Self, StoreError> {
        let ids: BTreeSet<UserId> = claim.sets.iter().map(|set| set.user_id.clone()).collect();
        let stored = store.profiles(ids.into_iter().collect()).await?;
        let stored = stored.into_iter();
        let stored = stored.map(|(id, stored)| (id, Profile::parse(stored, settings)));
        let default = Profile::parse(store::Profile::default(), settings);
        Ok(Self { stored: stored.collect(), default })
    }

    /// The profile of a user.
    pub fn get(&self, user_id: &UserId) -> &Profile {
        self.stored.get(user_id).unwrap_or(&self.default)
    }

    /// Whether the user has a profile.
    pub fn has(&self, user_id: &UserId) -> bool {
        self.get(user_id).has_row
    }

    /// The zone of a set's rows; `None` if it is unknown.
    pub fn zone_of(&self, set: &ChangeSet) -> Option<Zone> {
        let own = set.time_zone.as_deref().map(str::parse::<Zone>);
        own.unwrap_or_else(|| self.get(&set.user_id).base_zone).ok()
    }
}

/// The local date of a row in its zone. A row with an unknown zone has no local date and is rejected, in
/// the group of its UTC date.
pub fn date_of(zone: Option<Zone>, row: &ChangedRow) -> NaiveDate {
    match zone {
        Some(zone) => zone.date_of(row.starts_at),
        None => row.starts_at.to_utc().date_naive(),
    }
}

/// A claimed row with the data of its set.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'c> {
    raw_id: i64,
    starts_at: Timestamp,
    ends_at: Timestamp,
    metric: Option<&'c str>,
    time_zone: Option<&'c str>,
    whole_day: bool,
}

impl<'c> Entry<'c> {
    /// Creates the entry of a row.
    pub fn new(set: &'c ChangeSet, row: &ChangedRow) -> Self {
        Self {
            raw_id: row.raw_id,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            metric: set.metric.as_deref(),
            time_zone: set.time_zone.as_deref(),
            whole_day: set.whole_day,
        }
    }
}

/// The inputs of a group's computation.
#[derive(Clone, Copy)]
pub struct Work<'w> {
    /// The settings in force.
    pub settings: &'w Settings,
    /// The user's profile.
    pub profile: &'w Profile,
    /// The local date.
    pub date: NaiveDate,
    /// The claimed rows of the user and date.
    pub entries: &'w [Entry<'w>],
}

/// Computes and writes the figures of a group: the steps between lock and commit. Returns the verdict on
/// each raw row.
///
/// # Errors
/// If the database or the computation fails.
pub async fn compute(
    transaction: &mut GroupTransaction<'_>,
    kind: Kind,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    transaction.freeze_before(work.profile.frozen_before);
    match kind {
        Kind::Vitals => vitals::aggregate(transaction, work).await,
        Kind::Nutrition => nutrition::aggregate(transaction, work).await,
        Kind::Labs => labs::aggregate(transaction, work).await,
    }
}

/// The times of rows whose zone is that of the profile. If the profile has changed, they may have been
/// counted on another date than the group's.
fn undated(entries: &[Entry<'_>]) -> Vec<Timestamp> {
    let undated = entries.iter().filter(|entry| entry.time_zone.is_none());
    undated.map(|entry| entry.starts_at).collect()
}

/// The ids of the group's raw rows, without repetitions.
fn raw_ids(entries: &[Entry<'_>]) -> BTreeSet<i64> {
    entries.iter().map(|entry| entry.raw_id).collect()
}

/// Verdicts for the judged rows; a deleted raw row is not rejected.
fn verdicts(entries: &[Entry<'_>], judged: &HashMap<i64, Option<Reason>>) -> Vec<Verdict> {
    raw_ids(entries)
        .into_iter()
        .map(|raw_id| Verdict { raw_id, reason: judged.get(&raw_id).copied().flatten() })
        .collect()
}

/// Runs a computation so that a panic in it fails only this group.
fn guarded<T>(compute: impl FnOnce() -> T) -> Result<T, StoreError> {
    std::panic::catch_unwind(AssertUnwindSafe(compute))
        .map_err(|_| StoreError::Internal("the computation of a group panicked"))
}

/// Logs a committed group.
pub fn log_committed(kind: Kind, (user_id, date): &GroupKey, rows: usize, rejected: u32) {
    tracing::debug!(
        event = "group_committed",
        kind = %kind,
        user_id = user_ids::logged(user_id),
        date = %date,
        rows,
        rejected,
        "Group committed (user {user_id}, {date}, {kind})"
    );
}

/// Logs a group that is retried at once.
pub fn log_retried(kind: Kind, (user_id, date): &GroupKey, tries: u32, error: &StoreError) {
    tracing::info!(
        event = "group_retried",
        kind = %kind,
        user_id = user_ids::logged(user_id),
        date = %date,
        class = error.class().name(),
        sqlstate = error.sqlstate(),
        pid = error.process(),
        tries,
        "Group retried at once (user {user_id}, {date}, {kind}): {error}"
    );
}

/// Logs a group that was computed with an outdated profile or outdated settings.
pub fn log_outdated(kind: Kind, (user_id, date): &GroupKey, rows: u32) {
    tracing::info!(
        event = "group_outdated",
        kind = %kind,
        user_id = user_ids::logged(user_id),
        date = %date,
        rows,
        "Group rolled back (user {user_id}, {date}, {kind}): the profile or the settings have changed since \
         the claim; it is computed again at once"
    );
}

/// Logs a group that was interrupted too often.
pub fn log_postponed(kind: Kind, (user_id, date): &GroupKey, rows: u32, pause: Duration) {
    tracing::warn!(
        event = "group_postponed",
        kind = %kind,
        user_id = user_ids::logged(user_id),
        date = %date,
        rows,
        pause_s = pause.as_secs_f64(),
        "Group postponed (user {user_id}, {date}, {kind}): interrupted twice; its rows wait for {:.1} s, the \
         other groups come first",
        pause.as_secs_f64()
    );
}

/// Logs a batch that was interrupted.
pub fn log_interrupted(kind: Kind, left: u32, is_released: bool, error: &StoreError) {
    tracing::warn!(
        event = "batch_interrupted",
        kind = %kind,
        left,
        released = is_released,
        class = error.class().name(),
        sqlstate = error.sqlstate(),
        table = error.table(),
        column = error.column(),
        constraint = error.constraint(),
        pid = error.process(),
        error = %error,
        "Batch interrupted ({kind}): {error}; {}",
        match (left, is_released) {
            (0, _) => "none of its rows is left".to_owned(),
            (1, true) => "its remaining row is released".to_owned(),
            (1, false) => "its remaining row returns when its lease expires".to_owned(),
            (left, true) => format!("its {left} remaining rows are released"),
            (left, false) => format!("its {left} remaining rows return when their lease expires"),
        }
    );
}

/// Logs a failed group with user, date and error class, never with a value.
pub fn log_failure(
    (kind, user_id, date): (Kind, &UserId, NaiveDate),
    rows: u32,
    failed: Failed,
    policy: RetryPolicy,
    error: &StoreError,
) {
    let Failed { dead, attempts } = failed;
    let most = policy.max_attempts;
    let next = if dead > 0 && attempts == 0 {
        format!("gave up after {}", counted(most.into(), "attempt", "attempts"))
    } else if attempts == 0 {
        format!("retry in {:.1} s, no attempt counted", policy.first.as_secs_f64())
    } else {
        let wait = policy.wait_after(attempts).as_secs_f64();
        let given_up =
            if dead == 0 { String::new() } else { format!("; gave up {dead} of {rows} rows") };
        format!("retry {} of {most} in {wait:.1} s{given_up}", attempts + 1)
    };
    tracing::warn!(
        event = "group_failed",
        kind = %kind,
        user_id = user_ids::logged(user_id),
        date = %date,
        rows,
        dead,
        class = error.class().name(),
        sqlstate = error.sqlstate(),
        table = error.table(),
        column = error.column(),
        constraint = error.constraint(),
        pid = error.process(),
        error = %error,
        "Group failed (user {user_id}, {date}, {kind}): {error}; {next}",
    );
}
