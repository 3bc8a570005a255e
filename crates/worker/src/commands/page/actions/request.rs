//! An action as it was asked for: read from a form or a query, and in words.

use std::collections::HashMap;

use aggregation::{Kind, UserId, UserIdType};
use chrono::NaiveDate;
use store::FailureFilter;

use crate::commands::page::database::read_user;
use crate::commands::page::jobs::{Range, Work};
use crate::config::MAX_ROWS_PER_SECOND;

/// The longest range of dates of one action.
const MAX_DAYS: i64 = 3_660;

/// The fields of a form or a query.
pub type Fields = HashMap<String, String>;

/// An action as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// No worker claims rows of the kind.
    Pause(Kind),
    /// Workers claim rows of the kind again.
    Resume(Kind),
    /// Sets the limit on rows each second, or gives each worker its own back.
    Throttle(Option<i32>),
    /// Takes its time.
    Work(Work),
}

impl Action {
    /// Reads a form or a query.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(fields: &Fields, id_type: UserIdType) -> Result<Self, String> {
        Ok(match text(fields, "action") {
            Some("pause") => Self::Pause(kind(fields)?),
            Some("resume") => Self::Resume(kind(fields)?),
            Some("throttle") => Self::Throttle(limit(fields)?),
            Some("requeue") => Self::Work(Work::Requeue(filter(fields, id_type)?)),
            Some("discard") => Self::Work(Work::Discard(FailureFilter {
                only_dead: true,
                ..filter(fields, id_type)?
            })),
            Some("backfill") => Self::Work(Work::Backfill(range(fields, id_type)?)),
            Some("verify") => Self::Work(Work::Verify(range(fields, id_type)?)),
            _ => return Err("There is no such action.".to_owned()),
        })
    }

    /// Its name, as in forms and in the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Throttle(_) => "throttle",
            Self::Work(Work::Requeue(_)) => "requeue",
            Self::Work(Work::Discard(_)) => "discard",
            Self::Work(Work::Backfill(_)) => "backfill",
            Self::Work(Work::Verify(_)) => "verify",
        }
    }

    /// The rows, dates or workers that it concerns, for the log and for people.
    pub fn target(&self) -> String {
        match self {
            Self::Pause(kind) | Self::Resume(kind) => kind.name().to_owned(),
            Self::Throttle(None) => "as configured".to_owned(),
            Self::Throttle(Some(0)) => "no limit".to_owned(),
            Self::Throttle(Some(rows)) => format!("{rows} rows/s"),
            Self::Work(Work::Requeue(filter) | Work::Discard(filter)) => filter_in_words(filter),
            Self::Work(Work::Backfill(range) | Work::Verify(range)) => {
                format!("user {}, {} to {}", range.user_id, range.from, range.to)
            }
        }
    }

    /// Its effect, shown before it is confirmed.
    pub const fn means(&self) -> &'static str {
        match self {
            Self::Pause(_) => {
                "No worker claims rows of this kind from its next claim on. Batches that run are finished. \
                 Rows are queued meanwhile."
            }
            Self::Resume(_) => "All workers claim rows of this kind again.",
            Self::Throttle(_) => {
                "Each service obeys this limit in place of its batch.max_rows_per_second: this one at once, \
                 the others within 5 seconds. It lasts until it is changed here."
            }
            Self::Work(Work::Requeue(_)) => {
                "These change sets get all their attempts back and are due at once. Remove the cause first, \
                 or they fail again."
            }
            Self::Work(Work::Discard(_)) => {
                "These dead change sets are deleted and cannot be brought back. Their raw rows and figures \
                 stay as they are, so the figures may differ from the raw rows until a backfill."
            }
            Self::Work(Work::Backfill(_)) => {
                "The figures of these dates are computed again from all their raw rows, beside running \
                 workers. It is harmless at any time."
            }
            Self::Work(Work::Verify(_)) => {
                "The figures of these dates are computed again beside those that are stored, and compared to \
                 the last bit. Nothing is changed."
            }
        }
    }
}

fn text<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn kind(fields: &Fields) -> Result<Kind, String> {
    let kind = text(fields, "kind").and_then(|kind| kind.parse().ok());
    kind.ok_or_else(|| "The kind must be vitals, nutrition or labs.".to_owned())
}

fn user(fields: &Fields, id_type: UserIdType) -> Result<Option<UserId>, String> {
    text(fields, "user").map(|user| read_user(id_type, user)).transpose()
}

fn date(fields: &Fields, name: &str) -> Result<Option<NaiveDate>, String> {
    let date = text(fields, name).map(str::parse).transpose();
    date.map_err(|_| "A date must be one such as 2026-03-29.".to_owned())
}

fn limit(fields: &Fields) -> Result<Option<i32>, String> {
    let Some(rows) = text(fields, "rows") else { return Ok(None) };
    let rows = rows.parse::<u32>().ok().filter(|rows| *rows <= MAX_ROWS_PER_SECOND);
    let rows = rows.and_then(|rows| i32::try_from(rows).ok());
    rows.map(Some).ok_or_else(|| format!("The limit must be between 0 and {MAX_ROWS_PER_SECOND}."))
}

fn filter(fields: &Fields, id_type: UserIdType) -> Result<FailureFilter, String> {
    let of_kind = text(fields, "kind").map(|_| kind(fields)).transpose()?;
    let (from, to) = (date(fields, "from")?, date(fields, "to")?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err("The first date must not be after the last one.".to_owned());
    }
    Ok(FailureFilter {
        kind: of_kind.map(|kind| kind.name().to_owned()),
        class: text(fields, "class").map(str::to_owned),
        // A cause without more is an empty detail, so it is not trimmed away.
        detail: fields.get("detail").filter(|_| text(fields, "class").is_some()).cloned(),
        user_id: user(fields, id_type)?,
        from,
        to,
        only_dead: text(fields, "dead") == Some("yes"),
    })
}

fn range(fields: &Fields, id_type: UserIdType) -> Result<Range, String> {
    let (from, to) = (date(fields, "from")?, date(fields, "to")?);
    let (Some(user_id), Some(from), Some(to)) = (user(fields, id_type)?, from, to) else {
        return Err("A user and two dates such as 2026-03-29 are needed.".to_owned());
    };
    if !(1..=MAX_DAYS).contains(&((to - from).num_days() + 1)) {
        return Err(format!("The range must have 1 to {MAX_DAYS} days, in order."));
    }
    Ok(Range { user_id, from, to })
}

fn filter_in_words(filter: &FailureFilter) -> String {
    let FailureFilter { kind, class, detail, user_id, from, to, only_dead } = filter;
    let mut words = vec![if *only_dead { "dead rows" } else { "failed rows" }.to_owned()];
    words.extend(kind.as_ref().map(|kind| format!("of {kind}")));
    words.extend(class.as_ref().map(|class| format!("with class {class}")));
    words.extend(detail.as_ref().filter(|of| !of.is_empty()).map(|detail| format!("({detail})")));
    words.extend(user_id.as_ref().map(|user| format!("of user {user}")));
    words.extend(match (from, to) {
        (None, None) => None,
        (Some(from), None) => Some(format!("dated {from} or later (UTC)")),
        (None, Some(to)) => Some(format!("dated {to} or earlier (UTC)")),
        (Some(from), Some(to)) => Some(format!("dated {from} to {to} (UTC)")),
    });
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &[(&str, &str)]) -> Result<Action, String> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Action::parse(&fields.iter().map(pair).collect(), UserIdType::default())
    }

    #[test]
    fn a_filter_is_read_whole_and_said_in_words() {
        let fields = [
            ("action", "discard"),
            ("kind", "labs"),
            ("class", "refused"),
            ("detail", "23514 lab_daily"),
            ("user", " 7 "),
            ("from", "2026-03-01"),
            ("to", "2026-03-02"),
        ];
        let said = "dead rows of labs with class refused (23514 lab_daily) of user 7 \
                    dated 2026-03-01 to 2026-03-02 (UTC)";
        assert_eq!(parse(&fields).unwrap().target(), said);
        let since = parse(&[("action", "requeue"), ("from", "2026-03-01")]).unwrap();
        assert_eq!(since.target(), "failed rows dated 2026-03-01 or later (UTC)");
        let until = parse(&[("action", "requeue"), ("dead", "yes"), ("to", "2026-03-01")]).unwrap();
        assert_eq!(until.target(), "dead rows dated 2026-03-01 or earlier (UTC)");
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (fields, says) in [
            (&[("action", "format")][..], "no such action"),
            (&[("action", "pause"), ("kind", "all")], "kind must be"),
            (&[("action", "requeue"), ("user", "x")], "whole number"),
            (&[("action", "requeue"), ("from", "yesterday")], "such as 2026-03-29"),
            (
                &[("action", "requeue"), ("from", "2026-03-02"), ("to", "2026-03-01")],
                "not be after",
            ),
            (&[("action", "verify"), ("user", "1")], "two dates"),
            (
                &[
                    ("action", "verify"),
                    ("user", "1"),
                    ("from", "2026-03-02"),
                    ("to", "2026-03-01"),
                ],
                "in order",
            ),
            (&[("action", "throttle"), ("rows", "-1")], "between 0 and"),
        ] {
            let problem = parse(fields).unwrap_err();
            assert!(problem.contains(says), "{fields:?}: {problem}");
        }
    }
}
