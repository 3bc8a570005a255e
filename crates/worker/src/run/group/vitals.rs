//! Vitals: the hours that the group's changes affect, and their days.

use std::collections::{BTreeMap, HashMap};

use aggregation::Reason;
use aggregation::catalogue::AggregationStyle;
use aggregation::text::LONGEST_NAME_BYTES;
use aggregation::vitals::scope::{MetricScope, scope};
use aggregation::vitals::{
    Change, Context, HoursOfStream, Outcome, RawVital, Scope, Snapshot, judge, recompute,
};
use aggregation::zones::Zones;
use store::{GroupTransaction, StoreError, Verdict};

use super::rebuild::Dates;
use super::{Profile, Work, blood_pressure, glucose, guarded, raw_ids, sleep, unknown_metrics};
use crate::settings::Settings;

/// Maximum of rounds. A scope is widened three times at most. The causes are rows of the same sample
/// as a changed one, days that rows with their own zones reach into, and days stored under another
/// profile or catalogue. More rounds are a bug.
const MOST_ROUNDS: u32 = 6;

/// Computes and writes the group's figures, and judges its raw rows.
pub(super) async fn aggregate(
    transaction: &mut GroupTransaction<'_>,
    work: Work<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let catalogue = &work.settings.catalogue;
    let context = Context {
        catalogue,
        base_zone: &work.profile.base_zone,
        source_order: &work.profile.source_order,
    };
    let changes: Vec<Change> = work
        .entries
        .iter()
        .map(|entry| Change {
            metric: entry.metric.unwrap_or_default().to_owned(),
            starts_at: entry.starts_at,
            ends_at: entry.ends_at,
            time_zone: entry.time_zone.map(str::to_owned),
            whole_day: entry.whole_day,
        })
        .collect();

    let wanted = guarded(|| scope(&changes, catalogue, context.base_zone))?;
    let ids: Vec<i64> = raw_ids(work.entries).into_iter().collect();
    if work.profile.is_out_of_reach(work.date) {
        let (snapshots, judged) = (BTreeMap::new(), Judged::new());
        return verdicts(transaction, (&context, work.profile), &ids, &snapshots, &judged).await;
    }
    let is_judged = |id| ids.binary_search(&id).is_ok();
    let Read { mut snapshots, judged } =
        write(transaction, (&context, work.profile), wanted, true, is_judged).await?;
    for (stage, rows) in sleep::aggregate(transaction, &context, &changes).await? {
        snapshots.insert(stage.metric().to_owned(), Snapshot { rows, ..Snapshot::default() });
    }
    blood_pressure::aggregate(transaction, &context, &changes).await?;
    glucose::aggregate(transaction, &context, &changes).await?;
    verdicts(transaction, (&context, work.profile), &ids, &snapshots, &judged).await
}

impl Profile {
    /// The verdict on a row of vitals.
    fn verdict_on(&self, row: &RawVital, judged: Option<Reason>) -> Option<Reason> {
        self.verdict(judged, row.started_at, row.time_zone.as_deref())
    }
}

/// The rows read for the figures.
struct Read {
    snapshots: BTreeMap<String, Snapshot>,
    /// The verdicts on raw rows that were not kept.
    judged: Judged,
}

/// The verdicts on raw rows, by their ids.
type Judged = HashMap<i64, Option<Reason>>;

/// Computes and writes the figures of a scope; gives back what was read for them. Whether rows name other
/// zones is asked if it is worth a question.
async fn write(
    transaction: &mut GroupTransaction<'_>,
    (context, user): (&Context<'_>, &Profile),
    mut wanted: Scope,
    ask_for_zones: bool,
    is_judged: impl Fn(i64) -> bool + Send + Sync,
) -> Result<Read, StoreError> {
    for _ in 0..MOST_ROUNDS {
        if ask_for_zones && let Ok(zone) = context.base_zone {
            transaction.narrow_whole_dates(&mut wanted, context.catalogue, *zone).await?;
        }
        let mut read = match transaction.read_vitals(&wanted, context.catalogue).await? {
            Some(snapshots) => Read { snapshots, judged: Judged::new() },
            None => read_in_portions(transaction, (context, user), &wanted, &is_judged).await?,
        };
        let outcome = guarded(|| recompute(context, &wanted, &read.snapshots))?
            .map_err(|_| StoreError::Internal("a stored percentile sketch is damaged"))?;
        match outcome {
            Outcome::Complete(recomputed) => {
                // They may be large, and are as large again on their way to the server.
                read.snapshots.values_mut().for_each(|snapshot| snapshot.hours.clear());
                transaction.write_vitals(recomputed, context.catalogue).await?;
                return Ok(read);
            }
            Outcome::Widen(wider) => wanted = wider,
        }
    }
    Err(StoreError::Internal("the scope of a group does not settle"))
}

/// Reads what a scope needs, metric by metric. Instants are not kept: they become hours, and those of them that
/// `is_judged` are judged.
async fn read_in_portions(
    transaction: &mut GroupTransaction<'_>,
    (context, user): (&Context<'_>, &Profile),
    wanted: &Scope,
    is_judged: impl Fn(i64) -> bool + Send + Sync,
) -> Result<Read, StoreError> {
    let mut snapshots = transaction.read_stored_vitals(wanted).await?;
    let mut judged = Judged::new();
    for (name, of_metric) in wanted {
        let Some(metric) = context.catalogue.metric(name) else { continue };
        let Some(snapshot) = snapshots.get_mut(name) else { continue };
        if metric.aggregation_style != AggregationStyle::Discrete {
            let keep = |row| {
                snapshot.rows.push(row);
                Ok(())
            };
            transaction.visit_vitals(name, of_metric, context.catalogue, keep).await?;
            // An interval may reach into several spans.
            snapshot.rows.sort_unstable_by_key(|row| row.id);
            snapshot.rows.dedup_by_key(|row| row.id);
            continue;
        }
        let mut hours = HoursOfStream::new(context, metric, of_metric);
        let mut zones = Zones::new(context.base_zone);
        let add = |row: RawVital| {
            guarded(|| {
                if is_judged(row.id) {
                    let reason = judge(&row, Some(metric), &mut zones).err();
                    judged.insert(row.id, user.verdict_on(&row, reason));
                }
                hours.add(row);
            })
        };
        transaction.visit_vitals(name, of_metric, context.catalogue, add).await?;
        snapshot.streamed = Some(guarded(|| hours.finish())?);
    }
    Ok(Read { snapshots, judged })
}

/// Computes and writes the figures of whole dates, from all their raw rows.
pub(super) async fn rebuild(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    user: &Profile,
    portion: &Dates,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    let dates = &portion.dates;
    let context = Context {
        catalogue: &settings.catalogue,
        base_zone: &user.base_zone,
        source_order: &user.source_order,
    };
    let whole =
        MetricScope { whole_dates: dates.clone(), dates: dates.clone(), ..Default::default() };
    let names = settings.catalogue.metrics().map(|(name, _)| name.to_owned());
    let wanted = names.map(|name| (name, whole.clone())).collect();
    let Read { snapshots, mut judged } =
        write(transaction, (&context, user), wanted, portion.is_large(), |_| true).await?;
    sleep::rebuild(transaction, &context, dates).await?;
    blood_pressure::rebuild(transaction, &context, dates).await?;
    glucose::rebuild(transaction, &context, dates).await?;
    guarded(|| {
        let mut zones = Zones::new(context.base_zone);
        for (name, snapshot) in &snapshots {
            let metric = context.catalogue.metric(name);
            let mut verdict =
                |row: &RawVital| user.verdict_on(row, judge(row, metric, &mut zones).err());
            judged.extend(snapshot.rows.iter().map(|row| (row.id, verdict(row))));
        }
        judged
    })
}

/// Judges the group's raw rows. Nearly all of them have been read for the figures; those that
/// cannot be dated, or have no known metric, are read by their id. A raw row that is gone is not rejected.
async fn verdicts(
    transaction: &mut GroupTransaction<'_>,
    (context, profile): (&Context<'_>, &Profile),
    ids: &[i64],
    snapshots: &BTreeMap<String, Snapshot>,
    judged: &Judged,
) -> Result<Vec<Verdict>, StoreError> {
    let mut rows: Vec<Option<(&str, &RawVital)>> = vec![None; ids.len()];
    for (metric, snapshot) in snapshots {
        for row in &snapshot.rows {
            if let Ok(place) = ids.binary_search(&row.id) {
                rows[place] = Some((metric, row));
            }
        }
    }
    let of_missing = ids.iter().zip(&rows);
    let of_missing = of_missing.filter(|(id, row)| row.is_none() && !judged.contains_key(id));
    let missing: Vec<i64> = of_missing.map(|(id, _)| *id).collect();
    let by_id = if missing.is_empty() {
        Vec::new()
    } else {
        transaction.read_vitals_by_id(missing).await?
    };
    for (metric, row) in &by_id {
        if metric.len() <= LONGEST_NAME_BYTES && context.catalogue.metric(metric).is_none() {
            unknown_metrics::log(row.id, metric, context.catalogue);
        }
        if let Ok(place) = ids.binary_search(&row.id) {
            rows[place] = Some((metric, row));
        }
    }

    guarded(|| {
        let mut zones = Zones::new(context.base_zone);
        let verdict = |(id, row): (&i64, Option<(&str, &RawVital)>)| Verdict {
            raw_id: *id,
            reason: match row {
                Some(row) => profile.verdict_on(row.1, reason(row, context, &mut zones)),
                None => judged.get(id).copied().flatten(),
            },
        };
        ids.iter().zip(rows).map(verdict).collect()
    })
}

/// The reason why a row is excluded from the figures; `None` if it is included.
fn reason(
    (metric, row): (&str, &RawVital),
    context: &Context<'_>,
    zones: &mut Zones<'_>,
) -> Option<Reason> {
    if metric.len() > LONGEST_NAME_BYTES {
        return Some(Reason::TextTooLong);
    }
    judge(row, context.catalogue.metric(metric), zones).err()
}

/// Judges single raw rows; deleted rows are absent from the result.
pub(super) async fn judge_by_id(
    transaction: &mut GroupTransaction<'_>,
    settings: &Settings,
    profile: &Profile,
    raw_ids: Vec<i64>,
) -> Result<HashMap<i64, Option<Reason>>, StoreError> {
    let context = Context {
        catalogue: &settings.catalogue,
        base_zone: &profile.base_zone,
        source_order: &profile.source_order,
    };
    let rows = transaction.read_vitals_by_id(raw_ids).await?;
    guarded(|| {
        let mut zones = Zones::new(context.base_zone);
        let verdict = |(metric, row): &(String, RawVital)| {
            (row.id, profile.verdict_on(row, reason((metric, row), &context, &mut zones)))
        };
        rows.iter().map(verdict).collect()
    })
}
