//! `worker catalogue`

use std::path::Path;

use aggregation::catalogue::{AggregationStyle, Catalogue};
use serde_json::{Value, json};

use crate::exit::{self, Exit};
use crate::tables::table;
use crate::{output, settings, setup};

/// Prints the catalogue in force.
///
/// # Errors
/// If the configuration, or the file that extends the catalogue, is invalid.
pub fn execute(config: Option<&Path>, as_json: bool) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let catalogue = settings::catalogue(&loaded.config)?;
    if as_json {
        output::print_json(&to_json(&catalogue));
    } else {
        output::print(&to_text(&catalogue));
    }
    Ok(exit::DONE)
}

const fn style(style: AggregationStyle) -> &'static str {
    match style {
        AggregationStyle::Cumulative => "cumulative",
        AggregationStyle::Discrete => "discrete",
        AggregationStyle::Sleep => "sleep",
    }
}

fn origin(catalogue: &Catalogue, name: &str) -> &'static str {
    if catalogue.is_own(name) { "your file" } else { "built in" }
}

fn to_json(catalogue: &Catalogue) -> Value {
    let metrics: Vec<Value> = catalogue
        .metrics()
        .map(|(name, metric)| {
            json!({
                "name": name,
                "aggregation_style": style(metric.aggregation_style),
                "unit": metric.unit,
                "min": metric.min,
                "max": metric.max,
                "loinc": metric.loinc,
                "own": catalogue.is_own(name),
            })
        })
        .collect();
    let analytes: Vec<Value> = catalogue
        .analytes()
        .iter()
        .map(|(name, analyte)| {
            let units: Vec<&str> = analyte.units().collect();
            let own = catalogue.is_own(name);
            json!({ "name": name, "unit": analyte.unit(), "units": units, "own": own })
        })
        .collect();
    let nutrients: Vec<Value> = catalogue
        .nutrients()
        .iter()
        .map(|(name, limits)| {
            let own = catalogue.is_own(name);
            json!({ "name": name, "min": limits.min, "max": limits.max, "own": own })
        })
        .collect();
    let workout_types: Vec<Value> = catalogue
        .workout_types()
        .iter()
        .map(|(name, names)| json!({ "name": name, "names": names }))
        .collect();
    json!({
        "metrics": metrics,
        "analytes": analytes,
        "nutrients": nutrients,
        "workout_types": workout_types,
    })
}

fn to_text(catalogue: &Catalogue) -> String {
    let metrics = catalogue.metrics().map(|(name, metric)| {
        vec![
            name.to_owned(),
            style(metric.aggregation_style).to_owned(),
            metric.unit.clone(),
            metric.min.to_string(),
            metric.max.to_string(),
            metric.loinc.clone().unwrap_or_else(|| "-".to_owned()),
            origin(catalogue, name).to_owned(),
        ]
    });
    let metrics = table(&["metric", "aggregation", "unit", "min", "max", "LOINC", "from"], metrics);
    let analytes = catalogue.analytes().iter().map(|(name, analyte)| {
        let units: Vec<&str> = analyte.units().collect();
        let units = if units.is_empty() { "-".to_owned() } else { units.join(", ") };
        let origin = origin(catalogue, name).to_owned();
        vec![name.to_owned(), analyte.unit().to_owned(), units, origin]
    });
    let analytes = table(&["analyte", "unit", "converted from", "from"], analytes);
    let nutrients = catalogue.nutrients().iter().map(|(name, limits)| {
        let (min, max) = (limits.min.to_string(), limits.max.to_string());
        vec![name.to_owned(), min, max, origin(catalogue, name).to_owned()]
    });
    let nutrients = table(&["nutrient", "min", "max", "from"], nutrients);
    let workout_types = catalogue.workout_types().iter();
    let workout_types = workout_types.map(|(name, names)| vec![name.to_owned(), names.join(", ")]);
    let workout_types =
        table(&["type of workout", "names of sources, in any spelling"], workout_types);
    format!("{metrics}\n\n{analytes}\n\n{nutrients}\n\n{workout_types}")
}
