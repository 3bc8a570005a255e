//! Compares one user's figures of one kind at one moment.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::local_time::Zone;
use aggregation::sleep::FARTHEST_STORED_DAY;
use aggregation::{Kind, Reason, UserId};
use chrono::NaiveDate;
use store::{Difference, RowKey, StoreError, VerifySession};

use super::{FIRST, Finding, Found, LAST, Verification};
use crate::progress;
use crate::run::group::Profile;
use crate::run::group::rebuild::{self, Dates, earlier, later};

/// The differences.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Dates with figures that differ.
    pub(super) dates: BTreeSet<NaiveDate>,
    /// How many of these dates are not merely outdated.
    pub(super) drifted: i64,
    /// Raw rows whose entry in `rejected_rows` differs.
    pub(super) raw_ids: Vec<i64>,
}

/// Rows of figures that differ.
type Rows = BTreeMap<RowKey, Difference>;

impl Verification<'_> {
    /// Compares, and counts the differences.
    pub(super) async fn compare(
        &self,
        session: &mut VerifySession<'_>,
        kind: Kind,
        user_id: &UserId,
        found: &mut Found,
    ) -> Result<Compared, StoreError> {
        session.look_at(kind, user_id).await?;
        // A delta of labs depends on an earlier date, however long ago.
        let from = if kind == Kind::Labs { FIRST } else { self.from };
        let transaction = session.transaction();
        let inventory = transaction.inventory(earlier(from), later(self.to)).await?;
        let user = Profile::parse(transaction.profile().await?, self.settings);
        let pending = Pending::new(kind, &transaction.pending().await?);
        let frozen = rebuild::frozen_dates(&inventory, &user, self.from, self.to).len() as i64;
        found.frozen += frozen;
        (self.compared)(frozen);
        let portions = rebuild::portions(&inventory, user.first_open(from), self.to);
        session.keep_frozen_labs(user.frozen_before).await?;
        let (mut rows, mut unlisted) = (Rows::new(), Vec::new());
        for portion in &portions {
            if (self.is_stopped)() {
                break;
            }
            let _large = self.users.alone_if_large(portion).await;
            let transaction = session.next_portion();
            let verdicts = rebuild::dates(transaction, self.settings, &user, portion).await?;
            let (dates, left_out) = self.asked(portion, &pending);
            rows.extend(session.compare(&dates).await?);
            unlisted.extend(session.unlisted(&verdicts).await?);
            let dead = left_out.iter().filter(|date| pending.dead.contains(date)).count();
            found.dates += dates.len() as i64;
            found.dead += dead as i64;
            found.pending += (left_out.len() - dead) as i64;
            found.raw_rows += portion.rows;
            (self.compared)((dates.len() + left_out.len()) as i64);
            progress::advance(self.bar, portion.rows as u64);
        }
        self.explain_by_zones(session, kind, &user, &portions, &pending, &mut rows).await?;
        let verdicts = self.wrong_verdicts(session, &user, unlisted, !pending.is_empty()).await?;
        let mut compared = Compared::default();
        for (raw_id, difference) in call_outdated(&mut rows, verdicts) {
            compared.raw_ids.push(raw_id);
            let table = "rejected_rows";
            found.list(Finding {
                kind,
                user_id: user_id.clone(),
                date: None,
                table,
                difference,
                rows: 1,
            });
        }
        let mut drifted = BTreeSet::new();
        let mut of_dates: BTreeMap<(RowKey, Difference), i64> = BTreeMap::new();
        for (key, difference) in rows {
            *of_dates.entry((key.of_date(), difference)).or_default() += 1;
        }
        for ((key, difference), rows) in of_dates {
            let (date, table) = (key.date, key.table());
            compared.dates.insert(date);
            if difference != Difference::Outdated {
                drifted.insert(date);
            }
            found.list(Finding {
                kind,
                user_id: user_id.clone(),
                date: Some(date),
                table,
                difference,
                rows,
            });
        }
        compared.drifted = drifted.len() as i64;
        Ok(compared)
    }

    /// The dates of a portion that are compared, and those that are left out.
    fn asked(&self, portion: &Dates, pending: &Pending) -> (Vec<NaiveDate>, Vec<NaiveDate>) {
        let asked = portion.dates.iter().filter(|date| **date >= self.from);
        asked.partition(|date| !pending.waiting.contains(date) && !pending.dead.contains(date))
    }

    /// Recomputes the differing dates in each other zone of the user's figures. A row that is correct in
    /// one of them is outdated: the profile had that zone when the row was computed. Any other row
    /// differs in more than the zone.
    async fn explain_by_zones(
        &self,
        session: &mut VerifySession<'_>,
        kind: Kind,
        user: &Profile,
        portions: &[Dates],
        pending: &Pending,
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        let others: Vec<Zone> = if rows.is_empty() {
            Vec::new()
        } else {
            let stored = session.stored_zones().await?;
            let zones = stored.iter().filter_map(|zone| zone.parse::<Zone>().ok());
            zones.filter(|zone| user.base_zone.as_ref() != Ok(zone)).collect()
        };
        let mut open: BTreeSet<RowKey> = rows.keys().copied().collect();
        for zone in others {
            let user = rebuild::in_zone(user, zone);
            let dates: BTreeSet<NaiveDate> = open.iter().map(|key| key.date).collect();
            let mut in_zone = Rows::new();
            session.start_over();
            session.keep_frozen_labs(user.frozen_before).await?;
            for portion in portions {
                // A delta of labs depends on earlier dates.
                if kind != Kind::Labs && portion.dates.is_disjoint(&dates) {
                    continue;
                }
                if (self.is_stopped)() {
                    return Ok(());
                }
                let _large = self.users.alone_if_large(portion).await;
                rebuild::dates(session.next_portion(), self.settings, &user, portion).await?;
                let (asked, _) = self.asked(portion, pending);
                in_zone.extend(session.compare(&asked).await?);
            }
            open.retain(|key| {
                let Some(difference) = rows.get_mut(key) else { return false };
                let found = in_zone.get(key).copied();
                *difference = match (*difference, found) {
                    (_, None) => Difference::Outdated,
                    (Difference::Surplus, Some(Difference::Outdated)) => Difference::Outdated,
                    (
                        Difference::Outdated | Difference::Rezoned | Difference::Surplus,
                        Some(Difference::Different),
                    ) => Difference::Different,
                    (difference, _) => difference,
                };
                found.is_some()
            });
        }
        for difference in rows.values_mut().filter(|of| **of == Difference::Rezoned) {
            *difference = Difference::Different;
        }
        Ok(())
    }

    /// Raw rows whose entry in `rejected_rows` is wrong.
    async fn wrong_verdicts(
        &self,
        session: &mut VerifySession<'_>,
        user: &Profile,
        unlisted: Vec<i64>,
        is_pending: bool,
    ) -> Result<Vec<Wrong>, StoreError> {
        let metrics = self.settings.catalogue.metrics().map(|(name, _)| name.to_owned());
        let mut listed = session.listed(unlisted, metrics.collect()).await?;
        let is_everything = self.from == FIRST && self.to == LAST;
        listed.retain(|row| match row.date {
            Some(date) => (earlier(self.from)..=later(self.to)).contains(&date),
            // The change that deleted the row may wait in the queue.
            None => is_everything && (row.is_there || !is_pending),
        });
        let mut wrong = Vec::new();
        for rows in listed.chunks(rebuild::MOST_VERDICTS) {
            let raw_ids = rows.iter().map(|row| row.raw_id).collect();
            let judged =
                rebuild::judge(session.transaction(), self.settings, user, raw_ids).await?;
            for row in rows {
                let reason = judged.get(&row.raw_id).copied().flatten();
                if reason == Some(Reason::Frozen) {
                    continue;
                }
                let difference = match (&row.reason, reason) {
                    (None, Some(_)) => Difference::Missing,
                    (Some(_), None) => Difference::Surplus,
                    (Some(is), Some(should)) if is != should.code() => Difference::Different,
                    _ => continue,
                };
                wrong.push(Wrong { raw_id: row.raw_id, date: row.date, difference });
            }
        }
        Ok(wrong)
    }
}

/// A raw row whose entry in `rejected_rows` is wrong.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    raw_id: i64,
    /// The UTC date of its start.
    date: Option<NaiveDate>,
    difference: Difference,
}

/// Marks differences as outdated if a change of the catalogue explains them. These are entries of
/// `rejected_rows` near outdated days. They are also entries near days that are missing because the
/// catalogue lacked their metric at the time, and those days themselves. The UTC date of a raw row and
/// its local date differ by at most one day.
fn call_outdated(rows: &mut Rows, wrong: Vec<Wrong>) -> Vec<(i64, Difference)> {
    let near = |date: NaiveDate| (date.pred_opt().unwrap_or(date), date.succ_opt().unwrap_or(date));
    let dates_that_are = |difference: Difference, rows: &Rows| -> BTreeSet<NaiveDate> {
        rows.iter().filter(|(_, of)| **of == difference).map(|(key, _)| key.date).collect()
    };
    let outdated = dates_that_are(Difference::Outdated, rows);
    let missing = dates_that_are(Difference::Missing, rows);
    let is_near = |dates: &BTreeSet<NaiveDate>, date: Option<NaiveDate>| {
        let range = date.map(near);
        range.is_some_and(|(first, last)| dates.range(first..=last).next().is_some())
    };
    // Rows that are included by now.
    let counting: BTreeSet<NaiveDate> = wrong
        .iter()
        .filter(|of| of.difference != Difference::Missing)
        .filter_map(|of| of.date)
        .collect();
    for (key, difference) in rows.iter_mut() {
        if *difference == Difference::Missing && is_near(&counting, Some(key.date)) {
            *difference = Difference::Outdated;
        }
    }
    let explained = |of: &Wrong| {
        is_near(&outdated, of.date)
            || (of.difference != Difference::Missing && is_near(&missing, of.date))
    };
    let called = |of: Wrong| {
        let difference = if explained(&of) { Difference::Outdated } else { of.difference };
        (of.raw_id, difference)
    };
    wrong.into_iter().map(called).collect()
}

/// Dates that changes in the queue may affect: the surrounding dates in any zone.
struct Pending {
    waiting: Spans,
    /// Dates of dead changes.
    dead: Spans,
}

struct Spans(Vec<(NaiveDate, NaiveDate)>);

impl Spans {
    fn contains(&self, date: &NaiveDate) -> bool {
        self.0.iter().any(|(first, last)| (first..=last).contains(&date))
    }
}

impl Pending {
    fn new(kind: Kind, changes: &[store::Pending]) -> Self {
        let around = |change: &store::Pending| match kind {
            // A result affects the comparison of the next one, however much later that is.
            Kind::Labs => (earlier(change.first), LAST),
            _ if change.is_sleep => (
                change.first.checked_sub_days(FARTHEST_STORED_DAY).unwrap_or(FIRST),
                change.last.checked_add_days(FARTHEST_STORED_DAY).unwrap_or(LAST),
            ),
            _ => (earlier(change.first), later(later(change.last))),
        };
        let spans = |is_dead: bool| {
            let changes = changes.iter().filter(|change| change.is_dead == is_dead);
            Spans(changes.map(around).collect())
        };
        Self { waiting: spans(false), dead: spans(true) }
    }

    fn is_empty(&self) -> bool {
        self.waiting.0.is_empty() && self.dead.0.is_empty()
    }
}
