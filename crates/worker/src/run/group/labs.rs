//! Labs: the figures of the group's local date, one row for each analyte and unit, and the deltas of the
//! next rows.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use aggregation::Reason;
use aggregation::catalogue::Analytes;
use aggregation::labs::{RawLab, analyte_key, compare, figures, judge};
use aggregation::zones::BaseZone;
use chrono::NaiveDate;
use store::{GroupTransaction, StoreError, Verdict};

use super::{Profile, Work, guarded, raw_ids, undated, verdicts};
use crate::settings::Settings;

/// Results of a date with more text are computed in portions, so that the application's data does not
/// determine the worker's memory. The limit is the text of some thousands of usual results.
const MOST_TEXT_BYTES: usize = 1 << 20;

/// Maximum of outdated rows of figures deleted at once.
const MOST_CLEARED: usize = 1_000;

/// The verdicts on raw rows, by their ids.
type Judged = HashMap<i64, Option<Reason>>;

/// The inputs of a date's figures besides its raw rows, and the raw rows that need a verdict.
struct Date<'d> {
    date: NaiveDate,
    base_zone: &'d BaseZone,
    analytes: &'d Analytes,
    /// `None` means all rows.
    of_group: Option<&'d BTreeSet<i64>>,
}

/// Computes and writes the group's figures, and judges its raw rows.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let base_zone = &work.profile.base_zone;
    let analytes = work.settings.catalogue.analytes();
    let mut dates = vec![work.date];
    dates.extend(transaction.other_dates(work.date, &undated(work.entries)).await?);
    let of_group = raw_ids(work.entries);
    let mut judged = Judged::new();
    for date in dates {
        let date = Date { date, base_zone, analytes, of_group: Some(&of_group) };
        date.write(transaction, &mut judged).await?;
    }
    let missing: Vec<i64> =
        of_group.iter().copied().filter(|id| !judged.contains_key(id)).collect();
    if !missing.is_empty() {
        let by_id = transaction.read_labs_by_id(missing).await?;
        let judge = |row: &RawLab| (row.id, judge(row, base_zone, analytes).err());
        guarded(|| judged.extend(by_id.iter().map(judge)))?;
    }
    guarded(|| verdicts(work.entries, &judged))
}

impl Date<'_> {
    /// Computes and writes the date, and the deltas of later dates.
    async fn write(
        &self,
        transaction: &mut GroupTransaction<'_>,
        judged: &mut Judged,
    ) -> Result<(), StoreError> {
        let Self { date, base_zone, analytes, of_group } = *self;
        let (mut rows, mut places, mut bytes) = (Vec::new(), Vec::new(), 0);
        let visit = |row: RawLab| {
            let verdict = guarded(|| judge(&row, base_zone, analytes))?;
            if of_group.is_none_or(|ids| ids.contains(&row.id)) {
                judged.insert(row.id, verdict.err());
            }
            if verdict.is_err() {
                return Ok(());
            }
            let size = row.text_bytes();
            places.push((analyte_of(&row), row.id, size));
            bytes += size;
            if bytes <= MOST_TEXT_BYTES {
                rows.push(row);
            } else {
                rows = Vec::new();
            }
            Ok(())
        };
        transaction.visit_labs(date, visit).await?;
        if bytes > MOST_TEXT_BYTES {
            return self.write_in_portions(transaction, portions(places)).await;
        }
        let mut days = guarded(|| figures(&rows, date, base_zone, analytes))?;
        let neighbours = transaction.clear_labs(date, &days).await?;
        let following = guarded(|| compare(&mut days, &neighbours))?;
        transaction.write_labs(date, &days).await?;
        transaction.write_deltas(&following).await
    }

    /// Computes and writes a date whose rows are too large to be in memory at once.
    async fn write_in_portions(
        &self,
        transaction: &mut GroupTransaction<'_>,
        portions: Vec<Vec<i64>>,
    ) -> Result<(), StoreError> {
        let Self { date, base_zone, analytes, .. } = *self;
        let mut written = HashSet::new();
        for ids in portions {
            let rows = transaction.read_labs_by_id(ids).await?;
            let mut days = guarded(|| figures(&rows, date, base_zone, analytes))?;
            let neighbours = transaction.lab_neighbours(date, &days).await?;
            let following = guarded(|| compare(&mut days, &neighbours))?;
            written.extend(days.iter().map(|day| hash(&(&day.analyte, &day.unit))));
            transaction.write_labs(date, &days).await?;
            transaction.write_deltas(&following).await?;
        }
        loop {
            let mut gone = Vec::new();
            let visit = |analyte: String, unit: String| {
                if gone.len() < MOST_CLEARED && !written.contains(&hash(&(&analyte, &unit))) {
                    gone.push((analyte, unit));
                }
            };
            transaction.visit_lab_keys(date, visit).await?;
            if gone.is_empty() {
                return Ok(());
            }
            let neighbours = transaction.clear_these_labs(date, gone).await?;
            transaction.write_deltas(&guarded(|| compare(&mut [], &neighbours))?).await?;
        }
    }
}

/// A hash of the analyte: equal for all of its results, and possibly for those of others.
fn analyte_of(row: &RawLab) -> u64 {
    let (code, specimen) = (row.loinc_code.as_deref(), row.specimen.as_deref());
    hash(&analyte_key(code, &row.test_name, specimen).ok())
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Splits rows into portions of ids, with all rows of one analyte in the same portion.
fn portions(mut places: Vec<(u64, i64, usize)>) -> Vec<Vec<i64>> {
    places.sort_unstable();
    let mut portions: Vec<Vec<i64>> = Vec::new();
    let mut room = 0;
    for of_analyte in places.chunk_by(|(a, ..), (b, ..)| a == b) {
        let bytes = of_analyte.iter().map(|(.., bytes)| bytes).sum();
        if bytes > room || portions.is_empty() {
            portions.push(Vec::new());
            room = MOST_TEXT_BYTES;
        }
        room = room.saturating_sub(bytes);
        if let Some(portion) = portions.last_mut() {
            portion.extend(of_analyte.iter().map(|(_, id, _)| id));
        }
    }
    portions
}

/// Computes and writes the figures of whole dates from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    dates: &BTreeSet<NaiveDate>,
) -> Result<Judged, StoreError> {
    let (base_zone, analytes) = (&user.base_zone, settings.catalogue.analytes());
    let mut judged = Judged::new();
    for date in dates {
        let date = Date { date: *date, base_zone, analytes, of_group: None };
        date.write(transaction, &mut judged).await?;
    }
    Ok(judged)
}

/// Judges single raw rows; deleted rows are absent from the result.
pub(super) async fn judge_by_id(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    raw_ids: Vec<i64>,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    let (base_zone, analytes) = (&user.base_zone, settings.catalogue.analytes());
    let rows = transaction.read_labs_by_id(raw_ids).await?;
    let judge = |row: &RawLab| (row.id, judge(row, base_zone, analytes).err());
    guarded(|| rows.iter().map(judge).collect())
}
