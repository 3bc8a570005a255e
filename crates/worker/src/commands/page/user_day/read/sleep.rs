//! The night that ended on a day.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::raw::{Context, RawVital};
use aggregation::sleep::{self, SleepDay, SleepScope, Stage};
use aggregation::vitals::explain::Fate;
use chrono::NaiveDate;
use store::{Reading, SleepNight, StoreError, UserDays};

use super::rows::vital_row;
use crate::commands::page::user_day::day::{Figure, Pair, Row, Section};
use crate::commands::page::user_day::words;

/// Sleep is widened seven times at most, as when its figures are computed.
const MAX_ROUNDS: u32 = 8;

/// The rows of a night, and its figures.
pub(super) struct Night {
    scope: SleepScope,
    rows: sleep::Rows,
    day: Option<SleepDay>,
}

impl Night {
    /// Reads the night that ended on a date, with all rows that it depends on; none if it does not settle.
    pub(super) async fn read(
        reading: &mut Reading<'_>,
        context: &Context<'_>,
        date: NaiveDate,
    ) -> Result<Option<Self>, StoreError> {
        let mut scope = SleepScope::of_dates(BTreeSet::from([date]));
        for _ in 0..MAX_ROUNDS {
            let snapshot = reading.read_sleep(&scope).await?;
            match sleep::recompute(context, &scope, &snapshot) {
                sleep::Outcome::Complete(recomputed) => {
                    let day = recomputed.days.get(&date).cloned().flatten();
                    return Ok(Some(Self { scope, rows: snapshot.rows, day }));
                }
                sleep::Outcome::Widen(wider) => scope = wider,
            }
        }
        Ok(None)
    }

    /// The section of the night; none if there is nothing of it.
    pub(super) fn section(
        &self,
        context: &Context<'_>,
        days: &UserDays,
        date: NaiveDate,
    ) -> Option<Section> {
        let Self { scope, rows, day } = self;
        let stored = days.sleep.first();
        let by_id: BTreeMap<i64, (Stage, &RawVital)> = rows
            .iter()
            .flat_map(|(stage, rows)| rows.iter().map(|row| (row.id, (*stage, row))))
            .collect();
        let shown: Vec<Row> = sleep::explain(context, scope, rows, date)
            .into_iter()
            .filter(|(_, fate)| !matches!(fate, sleep::explain::Fate::OtherDate(_)))
            .filter_map(|(id, fate)| {
                let (stage, row) = by_id.get(&id)?;
                let (verdict, why) = words::of_sleep(&fate);
                let shown = vital_row(stage.metric(), row, &Fate::Counts, |_| String::new());
                let counts = fate == sleep::explain::Fate::Counts;
                Some(Row { verdict, why, counts, ..shown })
            })
            .collect();
        if stored.is_none() && shown.is_empty() {
            return None;
        }
        Some(Section {
            figures: figures(&Pair { stored, computed: day.as_ref() }),
            row: stored.map(|stored| stored.day.clone()),
            ..Section::new("sleep_daily", "sleep of the night that ended on the date", "min", shown)
        })
    }
}

fn figures(pair: &Pair<'_, SleepNight, SleepDay>) -> Vec<Figure> {
    vec![
        pair.number("asleep, min", |of| of.asleep, |of| of.asleep_minutes),
        pair.number("core, min", |of| of.core, |of| of.core_minutes),
        pair.number("deep, min", |of| of.deep, |of| of.deep_minutes),
        pair.number("REM, min", |of| of.rem, |of| of.rem_minutes),
        pair.number("awake, min", |of| of.awake, |of| of.awake_minutes),
        pair.number("in bed, min", |of| of.in_bed, |of| of.in_bed_minutes),
        pair.count("naps", |of| Some(of.nap_count), |of| Some(of.nap_count)),
    ]
}
