//! The columns of a file of each kind, and their valid contents.

use aggregation::UserIdType;
use aggregation::local_time::Zone;
use aggregation::nutrition::NUTRIENTS;
use chrono::{DateTime, SecondsFormat, Utc};

use crate::cli::ImportKind;

/// The type of a column's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Any text.
    Text,
    /// The id of a user.
    User(UserIdType),
    /// A number, including NaN and infinities: judging values is the task of the aggregation.
    Number,
    /// A time with its offset from UTC.
    Time,
    /// true or false.
    Boolean,
    /// An IANA zone or an offset.
    Zone,
}

/// The meaning of an empty field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// An empty field makes the line invalid.
    Refused,
    /// The empty text.
    BlankText,
    /// NULL: the value is unknown.
    Null,
    /// This default value.
    Means(&'static str),
    /// The value of this column.
    SameAs(&'static str),
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// The name of the column in the raw table.
    pub name: &'static str,
    /// The type of its content.
    pub content: Content,
    /// The meaning of an empty field. A column that may be empty may also be missing.
    pub empty: Empty,
}

/// The columns of a kind, in the order of the import statement.
#[derive(Clone, Debug)]
pub struct Columns(pub Vec<Column>);

impl Columns {
    /// The columns of a kind, in a database with user ids of this type.
    pub fn for_kind(kind: ImportKind, user_id: UserIdType) -> Self {
        use Content::{Boolean, Number, Text, Time, User, Zone};
        use Empty::{BlankText, Means, Null, Refused, SameAs};
        let columns: &[(&'static str, Content, Empty)] = match kind {
            ImportKind::Profiles => &[
                ("user_id", User(user_id), Refused),
                ("time_zone", Zone, Refused),
                ("source_priority", Text, BlankText),
            ],
            ImportKind::Vitals => &[
                ("user_id", User(user_id), Refused),
                ("metric", Text, Refused),
                ("value", Number, Refused),
                ("comparator", Text, Null),
                ("unit", Text, BlankText),
                ("source", Text, BlankText),
                ("started_at", Time, Refused),
                ("ended_at", Time, SameAs("started_at")),
                ("time_zone", Text, Null),
                ("is_daily_total", Boolean, Means("false")),
                ("workout_type", Text, Null),
            ],
            ImportKind::Nutrition => &[
                ("user_id", User(user_id), Refused),
                ("food_name", Text, BlankText),
                ("meal_type", Text, Refused),
                ("eaten_at", Time, Refused),
                ("time_zone", Text, Null),
                ("source", Text, BlankText),
            ],
            ImportKind::Labs => &[
                ("user_id", User(user_id), Refused),
                ("test_name", Text, BlankText),
                ("loinc_code", Text, Null),
                ("value_text", Text, Refused),
                ("unit", Text, Null),
                ("reference_range", Text, Null),
                ("flag", Text, Null),
                ("specimen", Text, Null),
                ("status", Text, Refused),
                ("collected_at", Time, Refused),
                ("time_zone", Text, Null),
                ("source", Text, BlankText),
            ],
        };
        let mut columns: Vec<Column> = columns
            .iter()
            .map(|(name, content, empty)| Column { name, content: *content, empty: *empty })
            .collect();
        if kind == ImportKind::Nutrition {
            let nutrient = |name| Column { name, content: Number, empty: Null };
            columns.extend(NUTRIENTS.map(nutrient));
        }
        Self(columns)
    }
}

impl Content {
    /// Converts a field for the database. The error says what the field should be, and never repeats the
    /// field: it may be a health value.
    pub fn check(self, field: &str) -> Result<String, &'static str> {
        match self {
            // PostgreSQL's text cannot contain it.
            _ if field.contains('\0') => Err("must not contain a NUL character"),
            Self::Text => Ok(field.to_owned()),
            Self::User(id_type) => {
                id_type.parse(field).map(|user_id| user_id.to_string()).map_err(|_| match id_type {
                    UserIdType::Bigint => "is not a whole number of 64 bits",
                    UserIdType::Uuid => "is not a UUID",
                    UserIdType::Text => "is not a text of 1 to 1024 bytes without control characters",
                })
            }
            Self::Number => match field.parse::<f64>() {
                Ok(number) if number.is_infinite() && !field.to_ascii_lowercase().contains("inf") => {
                    Err("is a number too large for 64 bits")
                }
                Ok(number) if number.is_infinite() => {
                    Ok(if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned())
                }
                Ok(number) => Ok(number.to_string()),
                Err(_) => Err("is not a number"),
            },
            Self::Time => time(field).ok_or("is not a time with offset, such as 2026-03-29T01:30:00Z"),
            Self::Boolean => match field.to_ascii_lowercase().as_str() {
                "true" | "t" | "1" | "yes" => Ok("true".to_owned()),
                "false" | "f" | "0" | "no" => Ok("false".to_owned()),
                _ => Err("is neither true nor false"),
            },
            Self::Zone => field
                .parse::<Zone>()
                .map(|_| field.to_owned())
                .map_err(|_| "is neither an IANA time zone such as Europe/Berlin nor an offset such as +05:30"),
        }
    }
}

/// Parses a time in RFC 3339, or in PostgreSQL's output format, between the years 1 and 9999.
fn time(field: &str) -> Option<String> {
    let parsed = DateTime::parse_from_rfc3339(field)
        .or_else(|_| DateTime::parse_from_str(field, "%Y-%m-%d %H:%M:%S%.f%#z"))
        .ok()?;
    let utc = parsed.with_timezone(&Utc);
    // Later and earlier years have another notation, which COPY does not accept.
    let four_digits = (1..=9999).contains(&chrono::Datelike::year(&utc));
    four_digits.then(|| utc.to_rfc3339_opts(SecondsFormat::Micros, true))
}
