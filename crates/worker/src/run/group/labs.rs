//! Labs: the figures of the group's local date, one row for each analyte and unit, and the deltas of the
//! next rows.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use aggregation::Reason;
use aggregation::catalogue::Analytes;
use aggregation::labs::{Days, RawLab, Seen, compare, counting, figures, judge, see};
use chrono::NaiveDate;
use store::{GroupTransaction, ReadMode, StoreError, Verdict};

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
    user: &'d Profile,
    analytes: &'d Analytes,
    /// `None` means all rows.
    of_group: Option<&'d BTreeSet<i64>>,
}

/// Computes and writes the group's figures, and judges its raw rows.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let (user, analytes) = (work.profile, work.settings.catalogue.analytes());
    let mut dates = vec![work.date];
    dates.extend(transaction.other_dates(work.date, &undated(work.entries)).await?);
    dates.retain(|date| user.is_open(*date));
    let of_group = raw_ids(work.entries);
    let mut judged = Judged::new();
    for date in dates {
        let date = Date { date, user, analytes, of_group: Some(&of_group) };
        date.write(transaction, &mut judged).await?;
    }
    let missing: Vec<i64> =
        of_group.iter().copied().filter(|id| !judged.contains_key(id)).collect();
    if !missing.is_empty() {
        let by_id = transaction.read_labs_by_id(missing).await?;
        let verdict = |row: &RawLab| (row.id, verdict(row, user, analytes));
        guarded(|| judged.extend(by_id.iter().map(verdict)))?;
    }
    guarded(|| verdicts(work.entries, &judged))
}

/// The verdict on a row.
fn verdict(row: &RawLab, user: &Profile, analytes: &Analytes) -> Option<Reason> {
    let judged = judge(row, &user.base_zone, analytes).err();
    user.verdict(judged, row.collected_at, row.time_zone.as_deref())
}

impl Date<'_> {
    /// Computes and writes the date, and the deltas of later dates.
    async fn write(
        &self,
        transaction: &mut GroupTransaction<'_>,
        judged: &mut Judged,
    ) -> Result<(), StoreError> {
        let Self { date, user, analytes, of_group } = *self;
        let base_zone = &user.base_zone;
        let (mut rows, mut seen, mut bytes) = (Vec::new(), Vec::new(), 0);
        for reading in [ReadMode::AtOnce, ReadMode::InPortions] {
            (rows, seen, bytes) = (Vec::new(), Vec::new(), 0);
            let visit = |row: RawLab| {
                let seen_row = guarded(|| see(&row, date, base_zone, analytes))?;
                if of_group.is_none_or(|ids| ids.contains(&row.id)) {
                    let reason = seen_row.as_ref().err().copied();
                    let zone = row.time_zone.as_deref();
                    judged.insert(row.id, user.verdict(reason, row.collected_at, zone));
                }
                let Ok(Some(of_row)) = seen_row else { return Ok(()) };
                bytes += of_row.text_bytes;
                seen.push(of_row);
                if bytes <= MOST_TEXT_BYTES {
                    rows.push(row);
                } else {
                    rows = Vec::new();
                }
                Ok(())
            };
            if transaction.visit_labs(date, reading, visit).await? {
                break;
            }
        }
        if bytes > MOST_TEXT_BYTES {
            return self.write_in_portions(transaction, portions(counting(seen))).await;
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
        portions: Vec<Portion>,
    ) -> Result<(), StoreError> {
        let Self { date, user: Profile { base_zone, .. }, analytes, .. } = *self;
        let mut written = HashSet::new();
        let mut of_portion = Days::default();
        for Portion { ids, ends_key, .. } in portions {
            let rows = transaction.read_labs_by_id(ids).await?;
            guarded(|| of_portion.add_rows(&rows, date, base_zone, analytes))?;
            if !ends_key {
                continue;
            }
            let days = std::mem::take(&mut of_portion);
            let mut days = guarded(|| days.finish(date, base_zone))?;
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

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Rows that are read at once.
#[derive(Default)]
struct Portion {
    ids: Vec<i64>,
    text_bytes: usize,
    /// Whether the next portion has none of the analyte and unit of the last row.
    ends_key: bool,
}

impl Portion {
    const fn has_room_for(&self, text_bytes: usize) -> bool {
        self.text_bytes == 0 || self.text_bytes + text_bytes <= MOST_TEXT_BYTES
    }
}

/// The rows in portions, those of one analyte and unit one behind the other.
fn portions(seen: Vec<Seen>) -> Vec<Portion> {
    let mut portions: Vec<Portion> = vec![Portion::default()];
    for of_key in seen.chunk_by(|a, b| a.key == b.key) {
        let of_key_bytes = of_key.iter().map(|of| of.text_bytes).sum();
        if portions.last().is_some_and(|last| !last.has_room_for(of_key_bytes)) {
            portions.push(Portion::default());
        }
        for Seen { id, text_bytes, .. } in of_key {
            if portions.last().is_some_and(|last| !last.has_room_for(*text_bytes)) {
                portions.push(Portion::default());
            }
            if let Some(portion) = portions.last_mut() {
                portion.ids.push(*id);
                portion.text_bytes += text_bytes;
                portion.ends_key = false;
            }
        }
        if let Some(portion) = portions.last_mut() {
            portion.ends_key = true;
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
    let analytes = settings.catalogue.analytes();
    let mut judged = Judged::new();
    for date in dates {
        let date = Date { date: *date, user, analytes, of_group: None };
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
    let analytes = settings.catalogue.analytes();
    let rows = transaction.read_labs_by_id(raw_ids).await?;
    guarded(|| rows.iter().map(|row| (row.id, verdict(row, user, analytes))).collect())
}
