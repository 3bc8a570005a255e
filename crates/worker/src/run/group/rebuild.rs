//! Recomputes whole dates from all their raw rows, without the queue.

use std::collections::{BTreeSet, HashMap};

use aggregation::local_time::Zone;
use aggregation::{Kind, Reason, UserId};
use chrono::{Days, NaiveDate};
use store::{Backoff, GroupTransaction, Inventory, RawDate, Store, StoreError, Verdict};

use super::{Profile, labs, nutrition, vitals};
use crate::failure::{AfterBatch, Policy};
use crate::settings::Settings;

/// Maximum of raw rows that one transaction reads. It takes well under a second, and limits the memory.
const MOST_ROWS: i64 = 5_000;

/// Maximum of dates that one transaction computes.
pub const MOST_DATES: usize = 31;

/// Maximum of raw rows that are judged, or listed as rejected, at once.
pub const MOST_VERDICTS: usize = 1_000;

/// An interval may begin two days before its date, and a date in another zone one day earlier.
const BEFORE: Days = Days::new(3);

/// A local date may be the one before the UTC date.
const AFTER: Days = Days::new(1);

/// The first UTC date whose raw rows may belong to this local date.
pub fn earlier(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(BEFORE).unwrap_or(date)
}

/// The last UTC date whose raw rows may belong to this local date.
pub fn later(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(AFTER).unwrap_or(date)
}

/// Maximum of days between the start and the end of an interval: 48 hours. A longer one is rejected, and
/// counted where it starts, so it affects no other date.
const LONGEST_INTERVAL: Days = Days::new(2);

/// Adjacent dates, and an estimate of their raw rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dates {
    /// The dates.
    pub dates: BTreeSet<NaiveDate>,
    /// The number of raw rows that start on the dates in UTC.
    pub rows: i64,
}

impl Dates {
    /// Whether it has more rows than a portion should, because a single date has.
    pub fn is_large(&self) -> bool {
        self.rows > MOST_ROWS
    }

    /// Those of the dates whose figures may change.
    fn open(&self, user: &Profile) -> Self {
        let dates = self.dates.iter().filter(|date| user.is_open(**date));
        Self { dates: dates.copied().collect(), rows: self.rows }
    }

    /// Whether the next date, with `rows` rows, fits into the same transaction. A date over the limit
    /// also takes neighbours without rows of their own. In some zone, most rows of these neighbours are
    /// those of that date, and would otherwise be read three times.
    fn has_room_for(&self, rows: i64) -> bool {
        let is_neighbour = self.rows == 0 || (rows == 0 && self.dates.len() < 3);
        self.dates.len() < MOST_DATES && (self.rows + rows <= MOST_ROWS || is_neighbour)
    }
}

/// All dates in a range that may have figures, in portions: those that have raw rows in any zone, and
/// those with figures.
pub fn portions(inventory: &Inventory, from: NaiveDate, to: NaiveDate) -> Vec<Dates> {
    let mut candidates: BTreeSet<NaiveDate> = inventory.stored.iter().copied().collect();
    for RawDate { date, last, .. } in &inventory.raw {
        // A local date is the UTC date or one of its neighbours.
        let first = date.pred_opt().unwrap_or(*date);
        let last = date.checked_add_days(LONGEST_INTERVAL).map_or(*last, |most| most.min(*last));
        let last = last.succ_opt().unwrap_or(last);
        candidates.extend(first.iter_days().take_while(|date| *date <= last));
    }
    let rows_on = |date: NaiveDate| {
        let found = inventory.raw.binary_search_by_key(&date, |raw| raw.date);
        found.map_or(0, |index| inventory.raw.get(index).map_or(0, |raw| raw.rows))
    };
    let mut portions: Vec<Dates> = Vec::new();
    for date in candidates.into_iter().filter(|date| (from..=to).contains(date)) {
        let rows = rows_on(date);
        match portions.last_mut() {
            Some(last) if last.has_room_for(rows) => {
                last.dates.insert(date);
                last.rows += rows;
            }
            _ => portions.push(Dates { dates: BTreeSet::from([date]), rows }),
        }
    }
    portions
}

/// Those of the dates from `from` to `to` that [`portions`] would have and that are frozen.
pub fn frozen_dates(
    inventory: &Inventory,
    user: &Profile,
    from: NaiveDate,
    to: NaiveDate,
) -> BTreeSet<NaiveDate> {
    let last = user.frozen_before.and_then(|before| before.pred_opt());
    let of = |last: NaiveDate| portions(inventory, from, last.min(to));
    last.map(of).unwrap_or_default().into_iter().flat_map(|of| of.dates).collect()
}

/// Computes and writes the figures of whole dates, but for frozen ones. Returns the verdict on each raw row that was
/// read for them. There is none on a row that starts on a frozen date, because it has not changed.
///
/// # Errors
/// If the database or the computation fails.
pub async fn dates(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    portion: &Dates,
) -> Result<Vec<Verdict>, StoreError> {
    let portion = &portion.open(user);
    transaction.freeze_before(user.frozen_before);
    let judged = match transaction.kind() {
        Kind::Vitals => vitals::rebuild(transaction, settings, user, portion).await?,
        Kind::Nutrition => nutrition::rebuild(transaction, settings, user, &portion.dates).await?,
        Kind::Labs => labs::rebuild(transaction, settings, user, &portion.dates).await?,
    };
    let verdicts = judged.into_iter().map(|(raw_id, reason)| Verdict { raw_id, reason });
    Ok(verdicts.filter(|verdict| verdict.reason != Some(Reason::Frozen)).collect())
}

/// Judges single raw rows; deleted rows are absent from the result. Each row that starts on a frozen date has the
/// reason `frozen`, although its date may have it.
///
/// # Errors
/// If the database or the computation fails.
pub async fn judge(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    raw_ids: Vec<i64>,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    if raw_ids.is_empty() {
        return Ok(HashMap::new());
    }
    match transaction.kind() {
        Kind::Vitals => vitals::judge_by_id(transaction, settings, user, raw_ids).await,
        Kind::Nutrition => nutrition::judge_by_id(transaction, settings, user, raw_ids).await,
        Kind::Labs => labs::judge_by_id(transaction, settings, user, raw_ids).await,
    }
}

/// The profile with another zone, which it may have had before.
pub fn in_zone(profile: &Profile, zone: Zone) -> Profile {
    Profile { base_zone: Ok(zone), source_order: profile.source_order.clone(), ..*profile }
}

/// Corrects the list of rejected rows for single raw rows, in a separate transaction.
///
/// # Errors
/// If the database or the computation fails; then nothing has changed.
pub async fn commit_verdicts(
    store: &Store,
    settings: &Settings,
    kind: Kind,
    user_id: &UserId,
    raw_ids: &[i64],
) -> Result<(), StoreError> {
    let mut transaction = store.begin_group(kind, user_id).await?;
    let done = async {
        let user = Profile::parse(transaction.profile().await?, settings);
        let judged = judge(&mut transaction, settings, &user, raw_ids.to_vec()).await?;
        // A deleted row has no reason.
        let reason = |raw_id: &i64| judged.get(raw_id).copied().flatten();
        let verdicts = raw_ids.iter().map(|id| Verdict { raw_id: *id, reason: reason(id) });
        let verdicts = verdicts.filter(|verdict| verdict.reason != Some(Reason::Frozen));
        transaction.record_verdicts(&verdicts.collect::<Vec<_>>());
        transaction.assert_profile(user.version());
        Ok(())
    };
    match done.await {
        Ok(()) => transaction.commit().await,
        Err(error) => Err(transaction.rolled_back(error).await),
    }
}

/// Computes and writes the figures of whole dates in a separate transaction, with the current profile.
/// Also corrects the list of rejected rows. Tries again after a pause, as long as that may help and no stop is
/// requested.
///
/// # Errors
/// If the database or the computation fails; then nothing has changed.
pub async fn commit(
    store: &Store,
    settings: &Settings,
    (kind, user_id): (Kind, &UserId),
    of: &Dates,
    is_stopped: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    let mut backoff = Backoff::drain();
    loop {
        let Err(error) = commit_once(store, settings, (kind, user_id), of, false).await else {
            return Ok(());
        };
        if Policy::for_class(error.class()).after_batch == AfterBatch::End || is_stopped() {
            return Err(error);
        }
        let Some(pause) = backoff.record_error() else { return Err(error) };
        tokio::time::sleep(pause).await;
    }
}

/// As [`commit`], for damaged figures. Figures of vitals are deleted first: the computation writes only
/// changed ones, and damaged ones may look unchanged. The other figures are always written.
///
/// # Errors
/// As [`commit`].
pub async fn commit_from_nothing(
    store: &Store,
    settings: &Settings,
    kind: Kind,
    user_id: &UserId,
    of: &Dates,
) -> Result<(), StoreError> {
    commit_once(store, settings, (kind, user_id), of, kind == Kind::Vitals).await
}

async fn commit_once(
    store: &Store,
    settings: &Settings,
    (kind, user_id): (Kind, &UserId),
    of: &Dates,
    from_nothing: bool,
) -> Result<(), StoreError> {
    let mut transaction = store.begin_group(kind, user_id).await?;
    let done = async {
        let user = Profile::parse(transaction.profile().await?, settings);
        if from_nothing {
            let open: Vec<NaiveDate> = of.open(&user).dates.into_iter().collect();
            transaction.clear(&open).await?;
        }
        let verdicts = dates(&mut transaction, settings, &user, of).await?;
        transaction.record_verdicts(&verdicts);
        // Raw rows of a date that was frozen meanwhile may have gone before they were read.
        transaction.assert_profile(user.version());
        Ok(())
    };
    match done.await {
        Ok(()) => transaction.commit().await,
        Err(error) => Err(transaction.rolled_back(error).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn raw(from: &str, last: &str, rows: i64) -> RawDate {
        RawDate { date: date(from), last: date(last), rows }
    }

    #[test]
    fn dates_with_rows_their_neighbours_and_dates_with_figures_are_computed() {
        let inventory = Inventory {
            raw: vec![raw("2024-05-01", "2024-05-02", 3)],
            stored: vec![date("2024-01-01"), date("2024-05-01")],
        };
        let found = portions(&inventory, date("2023-01-01"), date("2025-01-01"));
        let dates: Vec<String> =
            found.iter().flat_map(|of| &of.dates).map(ToString::to_string).collect();
        let expected = ["2024-01-01", "2024-04-30", "2024-05-01", "2024-05-02", "2024-05-03"];
        assert_eq!(dates, expected);
        let within = portions(&inventory, date("2024-05-01"), date("2024-05-01"));
        assert_eq!(within, [Dates { dates: BTreeSet::from([date("2024-05-01")]), rows: 3 }]);
    }

    #[test]
    fn an_interval_of_ten_thousand_years_concerns_the_days_around_its_start() {
        let inventory =
            Inventory { raw: vec![raw("0001-01-01", "9999-12-30", 1)], stored: Vec::new() };
        let found = portions(&inventory, NaiveDate::MIN, NaiveDate::MAX);
        assert_eq!(found.iter().map(|of| of.dates.len()).sum::<usize>(), 5);
    }

    #[test]
    fn a_portion_has_few_rows_unless_one_date_has_more() {
        let days = date("2024-05-01").iter_days().take(40);
        let raw = days.enumerate().map(|(n, date)| RawDate {
            date,
            last: date,
            rows: if n == 20 { 86_400 } else { 400 },
        });
        let inventory = Inventory { raw: raw.collect(), stored: Vec::new() };
        let found = portions(&inventory, NaiveDate::MIN, NaiveDate::MAX);
        assert!(found.iter().all(|of| !of.is_large() || of.dates.len() == 1), "{found:?}");
        assert_eq!(found.iter().map(|of| of.rows).sum::<i64>(), 39 * 400 + 86_400);
        assert_eq!(found.iter().map(|of| of.dates.len()).sum::<usize>(), 42);
    }

    #[test]
    fn neighbours_without_rows_are_computed_with_the_date_whose_rows_they_would_read() {
        let raw = vec![raw("2024-05-01", "2024-05-01", 86_400)];
        let found =
            portions(&Inventory { raw, stored: Vec::new() }, NaiveDate::MIN, NaiveDate::MAX);
        let dates = ["2024-04-30", "2024-05-01", "2024-05-02"].map(date);
        assert_eq!(found, [Dates { dates: BTreeSet::from(dates), rows: 86_400 }]);
    }
}
