//! A user's catalogue over the built-in one: new metrics and analytes, and other values for
//! existing ones.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::{BUILT_IN, Catalogue, CatalogueError, syntax};

/// The keys that a user's file may have; all are optional. It is only parsed to find keys that do
/// not belong there, with their lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Shape {
    #[serde(default)]
    spellings: BTreeMap<String, String>,
    #[serde(default)]
    metrics: BTreeMap<String, MetricShape>,
    #[serde(default)]
    lab_spellings: BTreeMap<String, String>,
    #[serde(default)]
    analytes: BTreeMap<String, AnalyteShape>,
    #[serde(default)]
    nutrients: BTreeMap<String, LimitsShape>,
    #[serde(default)]
    workout_types: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct LimitsShape {
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct MetricShape {
    aggregation_style: Option<super::AggregationStyle>,
    unit: Option<String>,
    loinc: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    counts_whole: Option<bool>,
    by_workout_type: Option<bool>,
    factors: Option<BTreeMap<String, f64>>,
    synonyms: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct AnalyteShape {
    loinc: Option<Vec<String>>,
    names: Option<Vec<String>>,
    unit: Option<String>,
    units: Option<BTreeMap<String, super::analytes::UnitEntry>>,
}

/// The keys that an entry needs if the built-in catalogue does not have it.
const NEEDED: [(&str, &[&str]); 3] = [
    ("metrics", &["aggregation_style", "unit", "min", "max"]),
    ("analytes", &["unit"]),
    ("nutrients", &["min", "max"]),
];

impl Catalogue {
    /// The built-in catalogue, extended and overridden by a user's TOML. A key of the user's file
    /// wins over the built-in key; keys that it lacks stay.
    ///
    /// # Errors
    /// The error says which line is refused, and why.
    pub fn extended_by(text: &str) -> Result<Self, CatalogueError> {
        let _: Shape = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        let own: Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        let mut merged: Table =
            toml::from_str(BUILT_IN).map_err(|error| syntax(BUILT_IN, &error))?;
        for (section, needed) in NEEDED {
            for (name, entry) in entries(&own, section) {
                let known = entries(&merged, section).any(|(built_in, _)| built_in == name);
                let missing = needed.iter().find(|key| !known && entry.get(**key).is_none());
                if let Some(key) = missing {
                    let problem = format!("{section}.{name} is new and needs {key}");
                    return Err(at(text, section, name, problem));
                }
            }
        }
        let names = NEEDED.map(|(section, _)| {
            entries(&own, section).map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        });
        merge(&mut merged, own);
        let merged = toml::to_string(&merged)
            .map_err(|error| CatalogueError::Syntax { line: 1, message: error.to_string() })?;
        let mut catalogue = Self::parse(&merged).map_err(|error| located(text, &names, &error))?;
        catalogue.own = names.into_iter().flatten().collect();
        Ok(catalogue)
    }
}

fn entries<'t>(table: &'t Table, section: &str) -> impl Iterator<Item = (&'t str, &'t Value)> {
    let entries = table.get(section).and_then(Value::as_table);
    entries.into_iter().flatten().map(|(name, entry)| (name.as_str(), entry))
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Locates an error of the merged catalogue in the user's file, since the built-in catalogue alone
/// has none.
fn located(
    text: &str,
    names: &[Vec<String>; NEEDED.len()],
    error: &CatalogueError,
) -> CatalogueError {
    let said = error.to_string();
    let problem = said.strip_prefix("catalogue: ").unwrap_or(&said).to_owned();
    for ((section, _), names) in NEEDED.iter().zip(names) {
        let mine = |name: &&String| {
            let entry = format!("{section}.{name}");
            let behind = problem.strip_prefix(&entry);
            behind.is_some_and(|behind| {
                !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_')
            })
        };
        if let Some(name) = names.iter().find(mine) {
            return at(text, section, name, problem);
        }
    }
    // The problem may be with a spelling, or with an analyte whose name or code the file lists a
    // second time.
    let start = DeTable::parse(text).ok().and_then(|file| quoted_in(file.get_ref(), &problem));
    CatalogueError::Syntax { line: line_of(text, start.unwrap_or(0)), message: problem }
}

/// An error in an entry. Its line is that of the key or text that the problem names, else the first
/// line of the entry.
fn at(text: &str, section: &str, name: &str, problem: String) -> CatalogueError {
    let start = DeTable::parse(text).ok().and_then(|file| {
        let section = file.get_ref().get(section)?.get_ref().as_table()?;
        let (key, entry) = section.get_key_value(name)?;
        let inside = entry.get_ref().as_table().and_then(|entry| {
            quoted_in(entry, &problem).or_else(|| {
                let words = problem.split(|c: char| !c.is_alphanumeric() && c != '_');
                // Search after the name of the entry.
                let keys = words.skip(2).filter_map(|word| entry.get_key_value(word));
                keys.map(|(key, _)| key.span().start).next()
            })
        });
        Some(inside.unwrap_or(key.span().start))
    });
    CatalogueError::Syntax { line: line_of(text, start.unwrap_or(0)), message: problem }
}

/// The position of the first key or text that the problem quotes.
fn quoted_in(table: &DeTable<'_>, problem: &str) -> Option<usize> {
    let is_quoted = |text: &str| problem.contains(&format!("\"{text}\""));
    fn quoted(value: &Spanned<DeValue<'_>>, is_quoted: &dyn Fn(&str) -> bool) -> Option<usize> {
        match value.get_ref() {
            DeValue::String(text) => is_quoted(text).then(|| value.span().start),
            DeValue::Array(values) => values.iter().find_map(|value| quoted(value, is_quoted)),
            DeValue::Table(table) => table
                .iter()
                .filter_map(|(key, value)| {
                    let of_key = is_quoted(key.get_ref()).then(|| key.span().start);
                    of_key.or_else(|| quoted(value, is_quoted))
                })
                .min(),
            _ => None,
        }
    }
    table
        .iter()
        .filter_map(|(key, value)| {
            let of_key = is_quoted(key.get_ref()).then(|| key.span().start);
            of_key.or_else(|| quoted(value, &is_quoted))
        })
        .min()
}

/// The line of a byte position, from 1.
fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::super::{AggregationStyle, Catalogue};

    #[test]
    fn a_users_file_adds_metrics_and_changes_what_it_names() {
        let catalogue = Catalogue::extended_by(
            "[spellings]\n\"Schläge/min\" = \"/min\"\n\
             [metrics.heart_rate]\nmax = 250\n\
             [metrics.wheelchair_pushes]\naggregation_style = \"cumulative\"\nunit = \"{count}\"\nmin = 0\nmax = 1e5\n\
             [analytes.ferritin]\nnames = [\"ferritin\"]\nunit = \"ng/mL\"\nunits = { \"ug/L\" = { multiply_by = 1 } }\n",
        )
        .unwrap();
        let heart_rate = catalogue.metric("heart_rate").unwrap();
        assert_eq!(
            (heart_rate.max, heart_rate.aggregation_style),
            (250.0, AggregationStyle::Discrete)
        );
        assert!(heart_rate.conversion_from("Schläge/min").is_some());
        assert!(heart_rate.conversion_from("bpm").is_some());
        assert_eq!(
            catalogue.metric("wheelchair_pushes").unwrap().aggregation_style,
            AggregationStyle::Cumulative
        );
        assert!(catalogue.analytes().find(None, "Ferritin").is_some());
        assert!(catalogue.analytes().find(None, "glucose").is_some());
        let own: Vec<&str> = ["heart_rate", "wheelchair_pushes", "ferritin", "steps"]
            .into_iter()
            .filter(|name| catalogue.is_own(name))
            .collect();
        assert_eq!(own, ["heart_rate", "wheelchair_pushes", "ferritin"]);
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        let (built_in, same) =
            (Catalogue::built_in().unwrap(), Catalogue::extended_by("").unwrap());
        for (name, metric) in built_in.metrics() {
            assert_eq!(same.metric(name).unwrap().fingerprint(), metric.fingerprint(), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_line() {
        for (text, line, what) in [
            ("[metrics.steps]\nmean = true\n", 2, "unknown field `mean`"),
            (
                "\n[metrics.pulse]\naggregation_style = \"discrete\"\n",
                2,
                "metrics.pulse is new and needs unit",
            ),
            (
                "[metrics.heart_rate]\nmin = 300\nmax = 20\n",
                2,
                "metrics.heart_rate: min 300 must be below max 20",
            ),
            ("[metrics.heart_rate]\nunit = \"beats\"\n", 2, "\"beats\" is not a UCUM unit"),
            ("[metrics.heart_rate]\nfactors = { \"1\" = -1 }\n", 2, "must be a positive number"),
            (
                "[metrics.heart_rate_variability_sdnn]\nmax = 500\n\n[metrics.heart_rate]\nmin = 300\nmax = 20\n",
                5,
                "metrics.heart_rate: min 300 must be below max 20",
            ),
            (
                "[metrics]\nheart_rate = { min = 20 }\nsteps = { unit = \"no unit\" }\n",
                3,
                "\"no unit\" is not a UCUM unit",
            ),
            (
                "[metrics.vo2_max]\nmax = 100\n[spellings]\n\"x\" = \"no unit\"\n",
                4,
                "is not a UCUM unit",
            ),
            (
                "# pulse\n[metrics.\"pulse\"]\naggregation_style = \"discrete\"\n",
                2,
                "metrics.pulse is new",
            ),
            ("[spellings]\n\"x\" = \"no unit\"\n", 2, "= \"no unit\" is not a UCUM unit"),
            ("[analytes.mine]\nunit = \"mg/dL\"\n", 1, "needs a LOINC code"),
            ("[analytes.mine]\nunit = \"mg/dL\"\nnames = [\"glucose\"]\n", 3, "listed already"),
            (
                "[metrics.nap]\naggregation_style = \"sleep\"\nunit = \"min\"\nmin = 0\nmax = 1\n",
                2,
                "cannot have the aggregation_style",
            ),
            ("[metrics\n", 1, ""),
        ] {
            let error = Catalogue::extended_by(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("catalogue, line {line}: ")), "{error}");
            assert!(error.contains(what), "{error}");
        }
    }
}
