//! Laboratory results of a day.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Kind;
use aggregation::labs::{self, LabDay, RawLab};
use aggregation::raw::Context;
use chrono::NaiveDate;
use store::{LabResults, ReadMode, Store, StoreError, UserDays};

use crate::commands::page::user_day::day::{Figure, Pair, Row, Section};
use crate::commands::page::user_day::words;

pub(super) async fn sections(
    store: &Store,
    context: &Context<'_>,
    days: &UserDays,
    date: NaiveDate,
) -> Result<Vec<Section>, StoreError> {
    let mut reading = store.reading(Kind::Labs, &days.user_id).await?;
    let mut rows: Vec<RawLab> = Vec::new();
    reading
        .visit_labs(date, ReadMode::InPortions, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
    reading.end().await?;
    let mut fates: BTreeMap<i64, labs::Fate> = BTreeMap::new();
    let computed =
        labs::explain(&rows, date, context.base_zone, context.catalogue.analytes(), |id, fate| {
            fates.insert(id, fate);
        });
    let mut keys: BTreeSet<(String, String)> =
        days.labs.iter().map(|of| (of.analyte.clone(), of.unit.clone())).collect();
    keys.extend(computed.iter().map(|of| (of.analyte.clone(), of.unit.clone())));
    let mut sections: Vec<Section> = keys
        .iter()
        .map(|(analyte, unit)| {
            let stored = days.labs.iter().find(|of| of.analyte == *analyte && of.unit == *unit);
            let day = computed.iter().find(|of| of.analyte == *analyte && of.unit == *unit);
            Section {
                figures: figures(&Pair { stored, computed: day }),
                row: stored.map(|stored| stored.day.clone()),
                ..Section::new("lab_daily", analyte, unit, Vec::new())
            }
        })
        .collect();
    let mut others = Vec::new();
    for row in &rows {
        let Some(fate) = fates.get(&row.id) else { continue };
        if matches!(fate, labs::Fate::OtherDate(_)) {
            continue;
        }
        let (verdict, why) = words::of_lab(fate);
        let shown = Row {
            id: row.id,
            kind: Kind::Labs,
            name: row.test_name.clone(),
            source: row.source.clone(),
            starts_at: row.collected_at,
            ends_at: row.collected_at,
            value: Some(row.value_text.clone()),
            unit: row.unit.clone(),
            verdict,
            counts: matches!(fate, labs::Fate::Counts { .. }),
            why,
            part: None,
        };
        let section = match fate {
            labs::Fate::Counts { analyte, unit } => {
                sections.iter_mut().find(|of| of.name == *analyte && of.unit == *unit)
            }
            _ => None,
        };
        match section {
            Some(section) => section.rows.push(shown),
            None => others.push(shown),
        }
    }
    if !others.is_empty() {
        sections.push(Section::new("lab_daily", "results in no figure", "", others));
    }
    Ok(sections)
}

fn figures(pair: &Pair<'_, LabResults, LabDay>) -> Vec<Figure> {
    vec![
        pair.count("results", |of| Some(of.result_count), |of| Some(of.result_count)),
        pair.number("last", |of| of.last_value, |of| of.last_value),
        pair.text(
            "last, as reported",
            |of| of.reported_value.clone(),
            |of| Some(of.reported_value.clone()),
        ),
        pair.number("minimum", |of| of.min, |of| of.min),
        pair.number("maximum", |of| of.max, |of| of.max),
        pair.number("reference, low", |of| of.reference_low, |of| of.reference_low),
        pair.number("reference, high", |of| of.reference_high, |of| of.reference_high),
    ]
}
