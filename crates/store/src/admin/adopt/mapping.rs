//! The columns that a mapping fills, and which types of an app's columns fit.

use aggregation::Kind;
use serde_json::{Value, json};

use crate::admin::import::raw_columns;

/// Where the values of a column of a raw table come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappedFrom {
    /// A column of the app's table.
    Column(String),
    /// A text that all rows have.
    Constant(String),
}

/// How an app's table is mirrored into a raw table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The kind of its rows.
    pub kind: Kind,
    /// Columns of the raw table, and where their values come from, in the order of the raw table.
    pub columns: Vec<(String, MappedFrom)>,
    /// The app's words for metrics, and the metrics. Without any, the column has metrics; with some, rows with other
    /// words are left out.
    pub metrics: Vec<(String, String)>,
    /// The zone of times without a zone, and of rows if no column has one.
    pub time_zone: Option<String>,
    /// Added to each id of the app, so that several tables of a kind do not share ids.
    pub add_to_ids: Option<i64>,
}

impl Mapping {
    /// The mapping as it is stored. Two adoptions are the same if their texts are.
    pub(crate) fn to_text(&self) -> String {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|(column, from)| match from {
                MappedFrom::Column(name) => json!([column, "column", name]),
                MappedFrom::Constant(text) => json!([column, "constant", text]),
            })
            .collect();
        json!({
            "columns": columns,
            "metrics": self.metrics,
            "time_zone": self.time_zone,
            "add_to_ids": self.add_to_ids,
        })
        .to_string()
    }

    /// Reads what [`Mapping::to_text`] wrote; `None` if it is something else.
    pub(crate) fn from_text(kind: Kind, text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text_at = |value: &Value, place: usize| Some(value.get(place)?.as_str()?.to_owned());
        let columns = value["columns"].as_array()?.iter().map(|column| {
            let name = text_at(column, 2)?;
            let from = match column.get(1)?.as_str()? {
                "column" => MappedFrom::Column(name),
                _ => MappedFrom::Constant(name),
            };
            Some((text_at(column, 0)?, from))
        });
        let metrics = value["metrics"].as_array()?.iter();
        Some(Self {
            kind,
            columns: columns.collect::<Option<_>>()?,
            metrics: metrics
                .map(|pair| Some((text_at(pair, 0)?, text_at(pair, 1)?)))
                .collect::<Option<_>>()?,
            time_zone: value["time_zone"].as_str().map(str::to_owned),
            add_to_ids: value["add_to_ids"].as_i64(),
        })
    }

    /// Where a column's values come from.
    pub fn source(&self, target: &str) -> Option<&MappedFrom> {
        self.columns.iter().find(|(column, _)| column == target).map(|(_, from)| from)
    }
}

/// The columns of a kind that a mapping may fill, the id first.
pub fn mappable_columns(kind: Kind) -> Vec<&'static str> {
    let mut columns = vec!["id"];
    columns.extend(raw_columns(kind));
    columns
}

/// The columns of a kind that a mapping must fill. The id is the table's primary key if it is not mapped.
pub fn required_columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Vitals => &["user_id", "metric", "value", "unit", "source", "started_at"],
        Kind::Nutrition => &["user_id", "food_name", "meal_type", "eaten_at", "source"],
        Kind::Labs => &["user_id", "test_name", "value_text", "status", "collected_at", "source"],
    }
}

/// The values that a column of a raw table takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    User,
    Id,
    Number,
    Time,
    Text,
    Bool,
}

/// The values that a column of a kind takes.
pub(crate) fn takes(column: &str) -> Takes {
    match column {
        "user_id" => Takes::User,
        "id" => Takes::Id,
        "started_at" | "ended_at" | "eaten_at" | "collected_at" => Takes::Time,
        "is_daily_total" => Takes::Bool,
        "value" => Takes::Number,
        name if aggregation::nutrition::NUTRIENTS.contains(&name) => Takes::Number,
        _ => Takes::Text,
    }
}

const INTEGERS: [&str; 3] = ["smallint", "integer", "bigint"];
const FLOATS: [&str; 3] = ["real", "double precision", "numeric"];
impl Takes {
    /// Whether a column of a type fits. `is_text` says that the type is a string or an enumeration, and `user_type` is
    /// the type of Dayfold's user ids.
    pub(crate) fn fits(self, of_type: &str, is_text: bool, user_type: &str) -> bool {
        let number = || INTEGERS.contains(&of_type) || FLOATS.contains(&of_type);
        match self {
            Self::User if user_type == "bigint" => INTEGERS.contains(&of_type),
            Self::User if user_type == "uuid" => of_type == "uuid",
            Self::User => is_text || INTEGERS.contains(&of_type) || of_type == "uuid",
            Self::Id => INTEGERS.contains(&of_type),
            Self::Number => number(),
            Self::Time => ["timestamp with time zone", "timestamp without time zone", "date"]
                .contains(&of_type),
            Self::Text => is_text || number(),
            Self::Bool => of_type == "boolean",
        }
    }

    /// The types that fit, in words.
    pub(crate) fn wants(self, user_type: &str) -> String {
        match self {
            Self::User if user_type == "bigint" => "an integer".to_owned(),
            Self::User => format!("a user id of type {user_type}"),
            Self::Id => "an integer; give the table a bigint column of its own numbers".to_owned(),
            Self::Number => "a number (an integer, real, double precision or numeric)".to_owned(),
            Self::Time => "a time (timestamp with or without time zone, or date)".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Bool => "a boolean".to_owned(),
        }
    }
}
