//! Whole dates, computed anew from all their raw rows, without the queue.

use std::collections::{BTreeSet, HashMap};

use aggregation::local_time::Zone;
use aggregation::{Kind, Reason};
use chrono::{Days, NaiveDate};
use store::{GroupTransaction, Inventory, RawDate, Store, StoreError, Verdict};

use super::{Profile, labs, nutrition, vitals};
use crate::settings::Settings;

/// The most raw rows that one transaction reads: it lasts well under a second, and what it needs of
/// memory is bounded.
const MOST_ROWS: i64 = 5_000;

/// The most dates that one transaction computes.
pub const MOST_DATES: usize = 31;

/// The raw rows that are judged, or put on the list of rejected rows, at once.
pub const MOST_VERDICTS: usize = 1_000;

/// An interval that belongs to a date may begin two days before it, and a date in another zone one.
const BEFORE: Days = Days::new(3);

/// A local date may be the one before that in UTC.
const AFTER: Days = Days::new(1);

/// The date from which raw rows may belong to this one.
pub fn earlier(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(BEFORE).unwrap_or(date)
}

/// The date up to which raw rows may belong to this one.
pub fn later(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(AFTER).unwrap_or(date)
}

/// How far after the date on which it starts an interval may end: 48 hours. A longer one is rejected,
/// and counted where it starts; one from the first year to the last touches no other date.
const LONGEST_INTERVAL: Days = Days::new(2);

/// Dates next to each other, and about how many raw rows they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dates {
    /// The dates.
    pub dates: BTreeSet<NaiveDate>,
    /// The raw rows that start on them in UTC.
    pub rows: i64,
}

impl Dates {
    /// Whether it has more rows than a portion should, because one of its dates has.
    pub fn is_large(&self) -> bool {
        self.rows > MOST_ROWS
    }

    /// Whether the next date, with so many rows, is computed in the same transaction. That of a date with
    /// too many takes its neighbours, too, where they have none: most of the rows that may belong to them,
    /// in some zone, are those of that date, and would else be read three times.
    fn has_room_for(&self, rows: i64) -> bool {
        let is_neighbour = self.rows == 0 || (rows == 0 && self.dates.len() < 3);
        self.dates.len() < MOST_DATES && (self.rows + rows <= MOST_ROWS || is_neighbour)
    }
}

/// All dates between two that may have figures, in portions: those with raw rows, in whatever zone,
/// and those with figures.
pub fn portions(inventory: &Inventory, from: NaiveDate, to: NaiveDate) -> Vec<Dates> {
    let mut candidates: BTreeSet<NaiveDate> = inventory.stored.iter().copied().collect();
    for RawDate { date, last, .. } in &inventory.raw {
        // A local date is the one in UTC or one of its neighbours.
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

/// Computes and writes the figures of whole dates, and says what became of each raw row that was
/// read for them.
///
/// # Errors
/// If the database fails, or the computation does.
pub async fn dates(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    portion: &Dates,
) -> Result<Vec<Verdict>, StoreError> {
    let judged = match transaction.kind() {
        Kind::Vitals => vitals::rebuild(transaction, settings, user, portion).await?,
        Kind::Nutrition => nutrition::rebuild(transaction, settings, user, &portion.dates).await?,
        Kind::Labs => labs::rebuild(transaction, settings, user, &portion.dates).await?,
    };
    Ok(judged.into_iter().map(|(raw_id, reason)| Verdict { raw_id, reason }).collect())
}

/// Judges single raw rows; those that are deleted are missing.
///
/// # Errors
/// If the database fails, or the computation does.
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

/// The user with another zone, as the profile may have had it before.
pub fn in_zone(profile: &Profile, zone: Zone) -> Profile {
    Profile {
        base_zone: Ok(zone),
        source_order: profile.source_order.clone(),
        version: profile.version,
    }
}

/// Puts the list of rejected rows right for single raw rows, in a transaction of its own.
///
/// # Errors
/// If the database fails, or the computation does; then nothing has changed.
pub async fn commit_verdicts(
    store: &Store,
    settings: &Settings,
    kind: Kind,
    user_id: i64,
    raw_ids: &[i64],
) -> Result<(), StoreError> {
    let mut transaction = store.begin_group(kind, user_id).await?;
    let done = async {
        let user = Profile::parse(transaction.profile().await?, settings);
        let judged = judge(&mut transaction, settings, &user, raw_ids.to_vec()).await?;
        // A row that is deleted has no reason.
        let verdict = |raw_id: &i64| Verdict {
            raw_id: *raw_id,
            reason: judged.get(raw_id).copied().flatten(),
        };
        transaction.record_verdicts(&raw_ids.iter().map(verdict).collect::<Vec<_>>());
        Ok(())
    };
    match done.await {
        Ok(()) => transaction.commit().await,
        Err(error) => Err(transaction.rolled_back(error).await),
    }
}

/// Computes and writes the figures of whole dates in a transaction of its own, with the profile as it is
/// now, and puts the list of rejected rows right, too.
///
/// # Errors
/// If the database fails, or the computation does; then nothing has changed.
pub async fn commit(
    store: &Store,
    settings: &Settings,
    kind: Kind,
    user_id: i64,
    of: &Dates,
) -> Result<(), StoreError> {
    let transaction = store.begin_group(kind, user_id).await?;
    finish(transaction, settings, of).await
}

/// The same for figures that are damaged. Those of vitals are taken away first, because what is damaged
/// there may look unchanged to a computation that writes only what it finds changed; the others are
/// written whole.
///
/// # Errors
/// As [`commit`].
pub async fn commit_from_nothing(
    store: &Store,
    settings: &Settings,
    kind: Kind,
    user_id: i64,
    of: &Dates,
) -> Result<(), StoreError> {
    let mut transaction = store.begin_group(kind, user_id).await?;
    if kind != Kind::Vitals {
        return finish(transaction, settings, of).await;
    }
    let of_dates: Vec<NaiveDate> = of.dates.iter().copied().collect();
    match transaction.clear(&of_dates).await {
        Ok(()) => finish(transaction, settings, of).await,
        Err(error) => Err(transaction.rolled_back(error).await),
    }
}

async fn finish(
    mut transaction: GroupTransaction<'_>,
    settings: &Settings,
    of: &Dates,
) -> Result<(), StoreError> {
    let done = async {
        let user = Profile::parse(transaction.profile().await?, settings);
        let verdicts = dates(&mut transaction, settings, &user, of).await?;
        transaction.record_verdicts(&verdicts);
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
