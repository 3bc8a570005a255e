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

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;

use aggregation::local_time::Zone;
use aggregation::timestamp::HOUR_US;
use aggregation::vitals::scope::Span;
use aggregation::zones::BaseZone;
use aggregation::{Kind, Timestamp};
use chrono::NaiveDate;
use store::{
    Claim, Entry, ErrorClass, Failed, FoundBy, GroupTransaction, Profile, ProfileVersion,
    RetryPolicy, Store, StoreError, Verdict,
};

use lock_waits::LockWaits;

use crate::report::{GroupReport, Holds};
use crate::setup::{Job, Settings};

/// The most rows that a group takes along: an hour with a reading each second. So its transaction stays
/// short, whatever there is.
const MOST_ALONG: u32 = 3600;

/// The same where each batch would compute the whole date: one with 300,000 meals is then done in 15 groups,
/// not in 1,500.
const MOST_ALONG_OF_DATE: u32 = 20_000;

/// A group of fewer rows does not look for more: asking costs more than it could save.
const FEWEST_TO_FILL: usize = 50;

/// Nor does one whose rows fill more than half an hour.
const CLOSE_TOGETHER_US: i64 = HOUR_US / 2;

/// How often a group is tried that met a deadlock or a serialization failure before the
/// attempt counts as failed; a third time in a row is no accident.
const MOST_TRIES: u32 = 3;

/// What decides a user's figures beside the raw rows.
#[derive(Debug, PartialEq)]
pub struct User {
    /// The zone of rows that name none.
    pub base_zone: BaseZone,
    /// Sources, best first.
    pub source_order: Vec<String>,
    /// Which state of the profile says so.
    profile: ProfileVersion,
}

impl User {
    /// What a profile says; without one, the defaults hold.
    pub fn of(profile: Option<Profile>, settings: &Settings) -> Self {
        match profile {
            Some(profile) => Self {
                base_zone: profile.time_zone.parse(),
                source_order: profile.source_priority,
                profile: profile.version,
            },
            None => Self {
                base_zone: Ok(settings.default_zone),
                source_order: Vec::new(),
                profile: ProfileVersion::default(),
            },
        }
    }
}

/// The users of a batch.
#[derive(Debug)]
pub struct Users {
    known: HashMap<i64, User>,
    /// Stands for users without a profile.
    default: User,
}

impl Users {
    /// Reads the profiles of a batch's users, in one statement.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of(claim: &Claim, store: &Store, settings: &Settings) -> Result<Self, StoreError> {
        let ids: BTreeSet<i64> = claim.entries.iter().map(|entry| entry.user_id).collect();
        let profiles = store.profiles(ids.into_iter().collect()).await?;
        let known = profiles
            .into_iter()
            .map(|(id, profile)| (id, User::of(Some(profile), settings)))
            .collect();
        Ok(Self { known, default: User::of(None, settings) })
    }

    /// The user of this id.
    pub fn get(&self, user_id: i64) -> &User {
        self.known.get(&user_id).unwrap_or(&self.default)
    }

    /// Whether the user has a profile.
    pub fn has_profile(&self, user_id: i64) -> bool {
        self.known.contains_key(&user_id)
    }

    /// The local date of a row. One whose zone is unknown has none and is rejected; it is put
    /// to the UTC date, so that somebody does so.
    pub fn date_of(&self, entry: &Entry) -> NaiveDate {
        date_of(entry, &self.get(entry.user_id).base_zone)
    }
}

fn date_of(entry: &Entry, base_zone: &BaseZone) -> NaiveDate {
    let own = entry.time_zone.as_deref().map(str::parse::<Zone>);
    own.unwrap_or(*base_zone).map_or_else(
        |_| entry.starts_at.to_utc().date_naive(),
        |zone| zone.date_of(entry.starts_at),
    )
}

/// The claimed rows of one user and one local date.
#[derive(Clone, Copy, Debug)]
pub struct Group<'g> {
    /// The user.
    pub user_id: i64,
    /// The local date.
    pub date: NaiveDate,
    /// The rows.
    pub entries: &'g [Entry],
    /// In which span it takes rows along that nobody has claimed: see [`hours_to_fill`].
    pub along: Option<Span>,
}

/// What a group needs to be computed.
#[derive(Clone, Copy)]
struct Work<'w> {
    settings: &'w Settings,
    user: &'w User,
    date: NaiveDate,
    entries: &'w [Entry],
}

/// Computes one group and commits it, or rolls it back.
///
/// # Errors
/// Why it was rolled back.
pub async fn run(
    job: &Job,
    settings: &Settings,
    claim: &Claim,
    users: &Users,
    mut group: Group<'_>,
    found_by: &mut FoundBy,
    holds: &mut Holds,
) -> Result<GroupReport, StoreError> {
    let Group { user_id, date, entries, .. } = group;
    let work = Work { settings, user: users.get(user_id), date, entries };
    let mut tries = 1;
    loop {
        match attempt(job, claim, work, &group, *found_by, holds).await {
            // That is nobody's fault, and so it will be for the rest of the batch.
            Err(StoreError::Moved) if *found_by == FoundBy::Place => *found_by = FoundBy::Key,
            // It may be because of what it took along, for which its own rows must not be given up.
            Err(error)
                if group.along.is_some()
                    && !error.class().is_interruption()
                    && !matches!(error.class(), ErrorClass::Conflict | ErrorClass::Locked) =>
            {
                group.along = None;
            }
            // The same again would be outdated again.
            Err(StoreError::Outdated) => return Err(StoreError::Outdated),
            // A session that does not fit the schema any more is replaced by then.
            Err(error)
                if matches!(error.class(), ErrorClass::Conflict | ErrorClass::StaleSession)
                    && tries < MOST_TRIES =>
            {
                tries += 1;
                tracing::info!(
                    event = "group_retried",
                    kind = %claim.kind,
                    user_id,
                    date = %date,
                    class = error.class().name(),
                    sqlstate = error.sqlstate(),
                    pid = error.process(),
                    tries,
                    "Group retried at once (user {user_id}, {date}, {}): {error}",
                    claim.kind
                );
            }
            outcome => return outcome,
        }
    }
}

/// One transaction: lock the user, read, compute, write, take the rows off the queue, commit.
async fn attempt(
    job: &Job,
    claim: &Claim,
    work: Work<'_>,
    group: &Group<'_>,
    found_by: FoundBy,
    holds: &mut Holds,
) -> Result<GroupReport, StoreError> {
    let user_id = group.user_id;
    let transaction = job.store.open_group(claim.kind, user_id).await?;
    let _hold = holds.begin();
    let mut waits = LockWaits::new(&job.store, transaction.process());
    let done = tokio::select! {
        biased;
        done = transact(job, claim, work, group, found_by, transaction) => done,
        never = waits.watch((claim.kind, user_id, work.date), job.store.lock_timeout()) => match never {},
    };
    match done {
        Err(error) => {
            Err(job.store.explain_group(error, (claim.kind, user_id), waits.holders).await)
        }
        done => done,
    }
}

async fn transact(
    job: &Job,
    claim: &Claim,
    work: Work<'_>,
    group: &Group<'_>,
    found_by: FoundBy,
    mut transaction: GroupTransaction<'_>,
) -> Result<GroupReport, StoreError> {
    let (user_id, entries) = (group.user_id, group.entries);
    let along = match find_along(&mut transaction, claim.kind, work, group.along).await {
        Ok(along) => along,
        Err(error) => return Err(transaction.rolled_back(error).await),
    };
    let all = if along.is_empty() { Cow::from(entries) } else { [entries, &along].concat().into() };
    let work = Work { entries: &all, ..work };
    let verdicts = match figures(&mut transaction, claim, work).await {
        Ok(verdicts) => verdicts,
        Err(error) => return Err(transaction.rolled_back(error).await),
    };
    // Asked under the lock, and so is the profile with what is written: whoever changed one of them and then
    // queued rows, finds no figures of before written after those of his rows.
    if !job.settings.decide_as(work.settings) {
        return Err(transaction.rolled_back(StoreError::Outdated).await);
    }
    let profile = work.user.profile;
    let held =
        transaction.finish(claim.token, entries, &along, &verdicts, profile, found_by).await?;
    let rejected = rejected_rows(work.entries, &verdicts);
    tracing::debug!(
        event = "group_committed",
        kind = %claim.kind,
        user_id,
        date = %work.date,
        rows = work.entries.len(),
        along = along.len(),
        rejected,
        held_ms = crate::report::milliseconds(held),
        "in the figures"
    );
    let (rows, along) = (work.entries.len() as u32, along.len() as u32);
    Ok(GroupReport { completed: rows - rejected, rejected, along })
}

/// The rows that a group takes along.
async fn find_along(
    transaction: &mut GroupTransaction<'_>,
    kind: Kind,
    work: Work<'_>,
    span: Option<Span>,
) -> Result<Vec<Entry>, StoreError> {
    let base_zone = &work.user.base_zone;
    match (span, kind, base_zone) {
        (None, ..) => Ok(Vec::new()),
        (Some(span), Kind::Vitals, _) => transaction.find_along(span, MOST_ALONG).await,
        (Some(_), _, Err(_)) => Ok(Vec::new()),
        (Some(_), _, Ok(zone)) => {
            let span = (zone.day_start(work.date), zone.day_end(work.date));
            let mut along = transaction.find_along(span, MOST_ALONG_OF_DATE).await?;
            along.retain(|entry| date_of(entry, base_zone) == work.date);
            Ok(along)
        }
    }
}

/// The hours of a group of vitals whose rows lie so close together that at least as many others of the
/// queue most likely lie there, too.
///
/// An hour is computed from all its raw rows. One user's day with a reading each second would have each
/// of its hours computed anew for every batch; taken along, what is computed already is done. Of the other
/// kinds, of which a date is computed whole, the date's rows go along.
pub fn hours_to_fill(kind: Kind, entries: &[Entry]) -> Option<Span> {
    if entries.len() < FEWEST_TO_FILL {
        return None;
    }
    let starts = || entries.iter().map(|entry| entry.starts_at);
    let (first, last) = (starts().min()?, starts().max()?);
    if kind != Kind::Vitals {
        return Some((first, last));
    }
    let from = first.plus(-first.0.rem_euclid(HOUR_US));
    let to = last.plus(HOUR_US - last.0.rem_euclid(HOUR_US));
    (last < first.plus(CLOSE_TOGETHER_US)).then_some((from, to))
}

/// Everything between the lock and the commit: what became of each raw row.
async fn figures(
    transaction: &mut GroupTransaction<'_>,
    claim: &Claim,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    match claim.kind {
        Kind::Vitals => vitals::aggregate(transaction, work).await,
        Kind::Nutrition => nutrition::aggregate(transaction, work).await,
        Kind::Labs => labs::aggregate(transaction, work).await,
    }
}

/// How many rows of the queue stand for a rejected raw row.
fn rejected_rows(entries: &[Entry], verdicts: &[Verdict]) -> u32 {
    let rejected = verdicts.iter().filter(|verdict| verdict.reason.is_some());
    let rejected: BTreeSet<i64> = rejected.map(|verdict| verdict.raw_id).collect();
    entries.iter().filter(|entry| rejected.contains(&entry.raw_id)).count() as u32
}

/// The times of rows that take their date from the profile. If that has changed, they may have
/// been counted on another date than the group's.
fn undated(entries: &[Entry]) -> Vec<Timestamp> {
    let undated = entries.iter().filter(|entry| entry.time_zone.is_none());
    undated.map(|entry| entry.starts_at).collect()
}

/// Each raw row of the group once.
fn raw_ids(entries: &[Entry]) -> BTreeSet<i64> {
    entries.iter().map(|entry| entry.raw_id).collect()
}

/// Verdicts from the rows that were judged; a raw row that is gone is not rejected.
fn verdicts(entries: &[Entry], judged: &HashMap<i64, Option<aggregation::Reason>>) -> Vec<Verdict> {
    raw_ids(entries)
        .into_iter()
        .map(|raw_id| Verdict { raw_id, reason: judged.get(&raw_id).copied().flatten() })
        .collect()
}

/// Runs a computation so that a bug in it fails this group and no other.
fn guarded<T>(compute: impl FnOnce() -> T) -> Result<T, StoreError> {
    std::panic::catch_unwind(AssertUnwindSafe(compute))
        .map_err(|_| StoreError::Internal("the computation of a group panicked"))
}

/// Logs a group that was computed with what no longer holds.
pub fn log_outdated(kind: Kind, user_id: i64, date: NaiveDate, rows: usize) {
    tracing::info!(
        event = "group_outdated",
        kind = %kind,
        user_id,
        date = %date,
        rows,
        "Group rolled back (user {user_id}, {date}, {kind}): the profile or the settings have changed since \
         the claim; it is computed again at once"
    );
}

/// Logs a failed group: who, when and what class, never a value.
pub fn log_failure(
    (kind, user_id, date): (Kind, i64, NaiveDate),
    rows: usize,
    failed: Failed,
    policy: RetryPolicy,
    error: &StoreError,
) {
    let Failed { dead, attempts } = failed;
    let most = policy.max_attempts;
    let next = if dead as usize == rows {
        format!("gave up after {most} attempts")
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
        user_id,
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
