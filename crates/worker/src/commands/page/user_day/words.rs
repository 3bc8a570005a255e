//! The fate of a raw row, in words.

use aggregation::vitals::explain::Fate;
use aggregation::{Reason, labs, sleep};

use super::day::rounded;

/// Of vitals; `source_of` names the source of a row.
pub fn of_vital(fate: &Fate, source_of: impl Fn(i64) -> String) -> (&'static str, String) {
    let better = |rows: &[i64]| {
        let each: Vec<String> =
            rows.iter().map(|id| format!("row {id} of {}", source_of(*id))).collect();
        each.join(", ")
    };
    match fate {
        Fate::Counts => ("counts", "It is a sample of this date.".to_owned()),
        Fate::Censored => (
            "counts in ranges",
            "The sensor was out of its range: it is in counts and ranges, not in mean, extremes or percentiles."
                .to_owned(),
        ),
        Fate::Contributes { part, whole, is_cut: true, lost_to }
            if *part == 0.0 && *whole != 0.0 && lost_to.is_empty() =>
        {
            let why = "It counts whole, on the date of its middle, which is another one.";
            ("other date", why.to_owned())
        }
        Fate::Contributes { part, whole, lost_to, .. } if *part == 0.0 && *whole != 0.0 => (
            "lower priority",
            format!("Nothing of it counts: for its time {} is better.", better(lost_to)),
        ),
        Fate::Contributes { part, whole, lost_to, .. } if part == whole => {
            let why = match lost_to.is_empty() {
                true => "All of it counts.".to_owned(),
                false => "All of it counts.".to_owned() + " Other rows touch its time.",
            };
            ("counts", why)
        }
        Fate::Contributes { part, whole, is_cut, lost_to } => {
            let mut why = format!("{} of {} counts here.", rounded(*part), rounded(*whole));
            if *is_cut {
                why.push_str(" It is cut at midnight; the rest belongs to the other date.");
            }
            if !lost_to.is_empty() {
                why.push_str(&format!(" For some of its time {} is better.", better(lost_to)));
            }
            (if lost_to.is_empty() { "cut at midnight" } else { "counts in part" }, why)
        }
        Fate::Replaced { by } => (
            "replaced",
            format!("Its source gave a total for the whole date, row {by}, which stands for all its rows of the date."),
        ),
        Fate::SentAgain { newest } => (
            "duplicate",
            format!("The same sample (source, start and end) was sent again as row {newest}; the newest one counts."),
        ),
        Fate::Rejected(reason) => ("rejected", of_reason(*reason)),
        Fate::OtherDate(date) => {
            ("other date", format!("Its own time zone puts it on {date}."))
        }
    }
}

/// Of sleep.
pub fn of_sleep(fate: &sleep::explain::Fate) -> (&'static str, String) {
    use sleep::explain::Fate;
    match fate {
        Fate::Counts => ("counts", "Its session counts and ends on this date.".to_owned()),
        Fate::Beaten { by } => (
            "lower priority",
            format!(
                "The session of {by} counts for this time: of several sources one counts at a time."
            ),
        ),
        Fate::NoLength => ("no length", "It has no length, so it counts nothing.".to_owned()),
        Fate::SentAgain { newest } => (
            "duplicate",
            format!("The same row was sent again as row {newest}; the newest one counts."),
        ),
        Fate::Rejected(reason) => ("rejected", of_reason(*reason)),
        Fate::OtherDate(date) => ("other date", format!("Its session ends on {date}.")),
    }
}

/// Of laboratory results.
pub fn of_lab(fate: &labs::Fate) -> (&'static str, String) {
    match fate {
        labs::Fate::Counts { .. } => ("counts", "It is a result of this date.".to_owned()),
        labs::Fate::Uncounted => (
            "status",
            "Its status (preliminary, cancelled, entered in error) does not count.".to_owned(),
        ),
        labs::Fate::Superseded => (
            "superseded",
            "The laboratory amended or corrected it later; the newest version counts.".to_owned(),
        ),
        labs::Fate::SentAgain => {
            ("duplicate", "The same result was sent again later; the newest one counts.".to_owned())
        }
        labs::Fate::Rejected(reason) => ("rejected", of_reason(*reason)),
        labs::Fate::OtherDate(date) => ("other date", format!("It belongs to {date}.")),
    }
}

/// Why a row is rejected.
pub fn of_reason(reason: Reason) -> String {
    let why = match reason {
        Reason::NonFiniteValue => "a number is NaN or infinite",
        Reason::ImplausibleValue => "a number lies outside the limits of the catalogue",
        Reason::TextTooLong => "a text is too long",
        Reason::UnknownMetric => "the catalogue has no such metric",
        Reason::UnknownUnit => "the unit is not known, or does not convert to the metric's own",
        Reason::UnknownComparator => "the comparator is neither < nor >",
        Reason::UnknownTimeZone => "the time zone is neither an IANA name nor an offset",
        Reason::TimeOutOfRange => "a time is infinite or outside the years 1 to 9999",
        Reason::EndBeforeStart => "it ends before it starts",
        Reason::IntervalTooLong => "it is longer than 48 hours",
        Reason::UnknownStatus => "the laboratory's status is none that is known",
        Reason::EmptyResult => "the result is blank",
        Reason::ResultTooLong => "the result is too long",
        Reason::UnnamedTest => "neither a LOINC code nor a name says what was measured",
        Reason::KeyTooLong => "the analyte or its unit is too long",
        Reason::Frozen => "the figures of its date are frozen",
    };
    format!("Rejected ({}): {why}.", reason.code())
}
