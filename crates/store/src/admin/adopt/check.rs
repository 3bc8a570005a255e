//! Checks a mapping against the app's table: one message for each mistake.

use super::mapping::{MappedFrom, Mapping, Takes, mappable_columns, required_columns, takes};
use super::text::Checked;
use crate::admin::examine::table_names;
use crate::admin::import::raw_table;

/// Facts about a table of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppTable {
    /// Schema and name, quoted for SQL.
    pub name: String,
    pub(crate) relation_kind: String,
    pub(crate) persistence: String,
    pub(crate) is_owned: bool,
    /// Columns that are unique on their own, the primary key first.
    pub(crate) unique_columns: Vec<String>,
    /// About how many rows it has, as the server estimates.
    pub estimated_rows: u64,
    /// Name, type without a domain, and whether it is a string or an enumeration.
    pub(crate) columns: Vec<(String, String, bool)>,
}

/// Facts about Dayfold's own schema.
pub(crate) struct Own {
    pub(crate) schema: String,
    pub(crate) user_type: String,
    /// Whether the raw table of the kind has rows.
    pub(crate) has_rows: bool,
    /// Whether the server knows the mapping's zone.
    pub(crate) knows_zone: bool,
}

/// Checks a mapping.
///
/// # Errors
/// One message for each mistake.
pub(crate) fn check(
    table: &AppTable,
    mapping: &Mapping,
    own: &Own,
) -> Result<Checked, Vec<String>> {
    let mut problems = table_problems(table, own);
    let mut mapping = mapping.clone();
    problems.extend(list_problems(table, &mapping));
    if mapping.source("id").is_none() {
        match table.unique_columns.first() {
            Some(key) => mapping.columns.insert(0, ("id".to_owned(), MappedFrom::Column(key.clone()))),
            None => problems.push(format!(
                "{} has no primary key of one column; add --map id=COLUMN with a unique integer column",
                table.name
            )),
        }
    }
    let known = mappable_columns(mapping.kind);
    for (target, from) in &mapping.columns {
        if known.contains(&target.as_str()) {
            problems.extend(column_problem(table, &mapping, own, target, from));
        }
    }
    if !own.knows_zone {
        let zone = mapping.time_zone.clone().unwrap_or_default();
        problems.push(format!(
            "--time-zone {zone}: the server knows no such zone; give an IANA name such as Asia/Kolkata"
        ));
    }
    if !mapping.metrics.is_empty()
        && !matches!(mapping.source("metric"), Some(MappedFrom::Column(_)))
    {
        problems.push("--metric needs --map metric=COLUMN, whose words it translates".to_owned());
    }
    if own.has_rows && mapping.add_to_ids.is_none() {
        problems.push(format!(
            "{} has rows already, and ids of {} may meet theirs: give --add-to-ids N with an N that keeps them apart, \
             such as 4000000000000, or 0 if they cannot meet",
            raw_table(mapping.kind),
            table.name
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let types = table.columns.iter().map(|(name, of_type, _)| (name.clone(), of_type.clone()));
    Ok(Checked {
        types: types.collect(),
        table: table.name.clone(),
        schema: own.schema.clone(),
        user_type: own.user_type.clone(),
        mapping,
    })
}

/// Mistakes in the list of mapped columns.
fn list_problems(table: &AppTable, mapping: &Mapping) -> Vec<String> {
    let known = mappable_columns(mapping.kind);
    let mut problems = Vec::new();
    for (position, (target, _)) in mapping.columns.iter().enumerate() {
        if !known.contains(&target.as_str()) {
            problems.push(format!(
                "--map {target}=…: {} has no column {target}; it has {}",
                raw_table(mapping.kind),
                known.join(", ")
            ));
        } else if mapping.columns[..position].iter().any(|(before, _)| before == target) {
            problems.push(format!("--map {target}=… is given twice; give it once"));
        }
    }
    for needed in required_columns(mapping.kind) {
        if mapping.source(needed).is_none() {
            problems.push(format!(
                "--map {needed}=… is missing: {} needs it; name the column of {} that has it",
                raw_table(mapping.kind),
                table.name
            ));
        }
    }
    problems
}

fn table_problems(table: &AppTable, own: &Own) -> Vec<String> {
    let name = &table.name;
    let mut problems = Vec::new();
    if !["r", "p"].contains(&table.relation_kind.as_str()) || table.persistence == "t" {
        problems.push(format!("{name} is no ordinary table, so it has no triggers for statements; name the table behind it"));
    }
    let is_own = table_names().iter().any(|own_name| *name == format!("{}.{own_name}", own.schema));
    if is_own {
        problems.push(format!("{name} is a table of Dayfold; name a table of the app"));
    }
    if !table.is_owned {
        problems.push(format!(
            "{name} belongs to another role; connect as its owner, who must also own Dayfold's tables"
        ));
    }
    problems
}

/// The mistake in one pair of a mapping, if there is one.
fn column_problem(
    table: &AppTable,
    mapping: &Mapping,
    own: &Own,
    target: &str,
    from: &MappedFrom,
) -> Option<String> {
    let takes = takes(target);
    let name = match from {
        MappedFrom::Constant(text) => return constant_problem(takes, target, text),
        MappedFrom::Column(name) => name,
    };
    let Some((_, of_type, is_text)) = table.columns.iter().find(|(column, ..)| column == name)
    else {
        let columns: Vec<&str> = table.columns.iter().map(|(column, ..)| column.as_str()).collect();
        return Some(format!(
            "--map {target}={name}: {} has no column {name}; it has {}. A fixed text is written '{name}'",
            table.name,
            columns.join(", ")
        ));
    };
    if !takes.fits(of_type, *is_text, &own.user_type) {
        return Some(format!(
            "--map {target}={name}: column {name} of {} is of type {of_type}, and {target} needs {}",
            table.name,
            takes.wants(&own.user_type)
        ));
    }
    match takes {
        Takes::Id if !table.unique_columns.contains(name) => Some(format!(
            "--map id={name}: column {name} of {} has no unique index of its own; create one, or name the primary key",
            table.name
        )),
        Takes::Time if of_type != "timestamp with time zone" && mapping.time_zone.is_none() => {
            Some(format!(
                "--map {target}={name}: column {name} of {} is a {of_type}, which is no instant; say its zone by \
                 --time-zone, such as Asia/Kolkata",
                table.name
            ))
        }
        _ => None,
    }
}

fn constant_problem(takes: Takes, target: &str, text: &str) -> Option<String> {
    let fits = match takes {
        Takes::Text => true,
        Takes::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
        Takes::Bool => ["true", "false"].contains(&text),
        Takes::User | Takes::Id | Takes::Time => false,
    };
    (!fits).then(|| format!("--map {target}='…': {target} cannot be a fixed text; name a column"))
}
