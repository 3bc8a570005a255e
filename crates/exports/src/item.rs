//! The items that a reader returns, and how it ends.

use std::collections::HashMap;
use std::io;

use aggregation::Timestamp;
use aggregation::catalogue::Catalogue;
use aggregation::local_time::Zone;
use aggregation::raw::{NewLab, NewVital};
use aggregation::text::{LONGEST_NAME_BYTES, LONGEST_TEXT_BYTES};

/// One thing found in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// A row of `vitals_raw`.
    Vital(NewVital<'a>),
    /// A row of `lab_raw`.
    Lab(NewLab<'a>),
    /// A record of a type that is not imported.
    LeftOut(&'a str),
    /// A workout, handed over before, of a type that the catalogue does not list.
    UnlistedWorkout(&'a str),
    /// A record that cannot be read.
    Bad {
        /// The place, such as `line 7`.
        place: String,
        /// The problem with it, without any value.
        problem: String,
    },
}

/// Takes each item. Its error ends the reading.
pub type Handler<'h> = &'h mut dyn FnMut(Item<'_>) -> Result<(), ReadError>;

/// The facts that a reader needs besides the file.
#[derive(Debug)]
pub struct Context<'c> {
    /// The metrics that exist.
    pub catalogue: &'c Catalogue,
    /// The zone of all rows that name none themselves.
    pub time_zone: Option<Zone>,
    /// The zone of the user's profile, for local times without an offset.
    pub profile_zone: Option<Zone>,
}

impl Context<'_> {
    /// The zone of local times without an offset.
    pub(crate) fn local_zone(&self) -> Result<Zone, ReadError> {
        self.time_zone.or(self.profile_zone).ok_or(ReadError::NoZone)
    }

    /// Metrics by their LOINC code.
    pub(crate) fn metrics_by_loinc(&self) -> HashMap<&str, &str> {
        let metrics = self.catalogue.metrics();
        metrics.filter_map(|(name, metric)| Some((metric.loinc.as_deref()?, name))).collect()
    }
}

/// The reason why a file was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system could not read the file, or its compression is damaged.
    #[error("cannot read on: {0}")]
    Io(#[from] io::Error),
    /// The file ends within a record.
    #[error("{place}: the file ends too early; it was cut off, so export or copy it again")]
    Truncated {
        /// The place.
        place: String,
    },
    /// The file breaks the rules of its format.
    #[error("{place}: {problem}")]
    Malformed {
        /// The place.
        place: String,
        /// The problem.
        problem: String,
    },
    /// The file has local times without an offset, and no zone is known.
    #[error(
        "its times have no offset from UTC, and the user has no profile with a time zone; give \
         --time-zone, such as --time-zone Europe/Berlin"
    )]
    NoZone,
    /// Who receives the items wants no more.
    #[error("stopped")]
    Stopped,
}

/// A text for the database without the character that PostgreSQL's text cannot have, and within the
/// limit of texts.
fn is_storable(text: &str, most: usize) -> bool {
    text.len() <= most && !text.contains('\0')
}

/// Hands over a vital, or the reason why it cannot be stored. The row gets the zone of the context if
/// it has none.
pub(crate) fn hand_over_vital(
    vital: NewVital<'_>,
    place: impl FnOnce() -> String,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let texts = [
        vital.metric,
        vital.unit,
        vital.source,
        vital.time_zone.unwrap_or_default(),
        vital.workout_type.unwrap_or_default(),
    ];
    let problem = if !texts.iter().all(|text| is_storable(text, LONGEST_NAME_BYTES)) {
        "it has a NUL character, or a name that is too long"
    } else if !are_datable(&[vital.started_at, vital.ended_at]) {
        "its time is outside of the years 1 to 9999"
    } else if vital.value.is_infinite() {
        "its value is too large for 64 bits"
    } else {
        return handler(Item::Vital(vital));
    };
    handler(Item::Bad { place: place(), problem: problem.to_owned() })
}

/// Hands over a laboratory result, or the reason why it cannot be stored.
pub(crate) fn hand_over_lab(
    lab: NewLab<'_>,
    place: impl FnOnce() -> String,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let names = [lab.loinc_code, Some(lab.source), Some(lab.status), lab.time_zone, lab.unit];
    let texts =
        [Some(lab.test_name), Some(lab.value_text), lab.reference_range, lab.flag, lab.specimen];
    let are_names = names.iter().flatten().all(|text| is_storable(text, LONGEST_NAME_BYTES));
    let are_texts = texts.iter().flatten().all(|text| is_storable(text, LONGEST_TEXT_BYTES));
    let problem = if !are_names || !are_texts {
        "it has a NUL character, or a text that is too long"
    } else if !are_datable(&[lab.collected_at]) {
        "its time is outside of the years 1 to 9999"
    } else {
        return handler(Item::Lab(lab));
    };
    handler(Item::Bad { place: place(), problem: problem.to_owned() })
}

fn are_datable(instants: &[Timestamp]) -> bool {
    instants.iter().all(|instant| instant.is_datable())
}

/// The name of a type or a code as it may be shown: a name from a file may be any text.
pub(crate) fn type_name(text: &str) -> &str {
    const MOST: usize = 80;
    let is_name =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b));
    if !text.is_empty() && text.len() <= MOST && is_name(text) { text } else { "unnamed type" }
}
