//! The text of a message. It contains rules, amounts and names of workers only.

use std::time::Duration;

use aggregation::Timestamp;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use store::Alert;
use wording::{age, counted};

use crate::Rule;

/// A message as text and as data.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Identifies the message; equal for all attempts.
    pub key: String,
    /// The subject, one line.
    pub subject: String,
    /// The whole text.
    pub text: String,
    /// The message as JSON for programs.
    pub json: Value,
}

/// An alert that a rule fires or resolves, observed by `worker`.
pub fn new_alert(rule: Rule, fires: bool, worker: &str, amount: f64, threshold: f64) -> Alert {
    let state = state(fires);
    Alert {
        key: format!("{}.{state}.{worker}.{}", rule.name(), own_clock().0),
        rule: rule.name().to_owned(),
        fires,
        worker: worker.to_owned(),
        amount,
        threshold,
        ago: Duration::ZERO,
        lasted: Duration::ZERO,
        dead_rows: 0,
    }
}

/// This host's clock, only for messages to people. The database's clock decides leases and days.
#[allow(clippy::disallowed_methods)]
pub fn own_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |time| time.as_micros() as i64))
}

const fn state(fires: bool) -> &'static str {
    if fires { "fires" } else { "resolved" }
}

/// Formats an amount for people.
fn amount(amount: f64, unit: &str) -> String {
    let whole = amount.round() as i64;
    match unit {
        "percent" if amount.fract() == 0.0 => format!("{amount} %"),
        "percent" => format!("{amount:.1} %"),
        "seconds" => age(amount),
        "rows" => counted(whole, "row", "rows"),
        "dates" => counted(whole, "date", "dates"),
        unit => format!("{amount} {unit}").trim_end().to_owned(),
    }
}

impl Message {
    /// The message for an alert that occurred at `happened_at`, in the database of a target if there are several.
    pub fn from_alert(alert: &Alert, target: Option<&str>, happened_at: Timestamp) -> Self {
        let Alert { key, rule: name, fires, worker, amount: seen, threshold, lasted, .. } = alert;
        let time = |at: Timestamp| at.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true);
        let at = time(happened_at);
        let since = time(happened_at.plus(-i64::try_from(lasted.as_micros()).unwrap_or(0)));
        // A newer worker may write a rule that this worker does not know.
        let rule = Rule::named(name);
        let unit = rule.map_or("", Rule::unit);
        let what = match (rule, fires) {
            (Some(rule), true) => rule.while_it_fires(),
            (Some(rule), false) => rule.when_it_is_over(),
            (None, true) => "a rule of a newer worker fires",
            (None, false) => "a rule of a newer worker is over",
        };
        let state = state(*fires);
        let duration = age(lasted.as_secs_f64());
        let summary = if !fires && rule.is_some_and(Rule::measures_duration) {
            format!("{what}, after {duration}")
        } else {
            format!("{what}: {} (limit {})", amount(*seen, unit), amount(*threshold, unit))
        };
        let place = target.map_or_else(String::new, |target| format!("{target}: "));
        let subject = format!("[dayfold] {place}{name} {state}: {summary}");
        let mut text = format!("{summary}\n\nrule: {name}, {state}\nsince: {since}\n");
        if !fires {
            text.push_str(&format!("over: {at}, after {duration}\n"));
        }
        if let Some(target) = target {
            text.push_str(&format!("target: {target}\n"));
        }
        text.push_str(&format!("worker: {worker}\n"));
        let mut chat = match fires {
            true => format!("{subject}; since {since}, worker {worker}."),
            false => format!("{subject}; from {since} to {at}, worker {worker}."),
        };
        let (advice, runbook) = match rule.filter(|_| *fires) {
            Some(rule) => (rule.advice(), rule.runbook()),
            None => ("", ""),
        };
        if !advice.is_empty() {
            text.push_str(&format!("\n{advice}\nMore: {runbook}\n"));
            text.push_str("\nA second message is sent when the alert resolves.\n");
            chat.push_str(&format!(" {advice} More: {runbook}"));
        }
        let mut json = json!({
            "source": "dayfold",
            "id": key,
            "rule": name,
            "state": state,
            "text": chat,
            "summary": summary,
            "amount": seen,
            "threshold": threshold,
            "unit": unit,
            "worker": worker,
            "since": since,
            "at": at,
            "advice": advice,
            "runbook": runbook,
        });
        name_target(&mut json, target);
        Self { key: key.clone(), subject, text, json }
    }

    /// A test message, which only shows that messages arrive; of a target if one is named.
    pub fn test(worker: &str, target: Option<&str>) -> Self {
        let now = own_clock();
        let key = format!("test.{worker}.{}", now.0);
        let place = target.map_or_else(String::new, |target| format!("{target}: "));
        let subject = format!("[dayfold] {place}test: alerts arrive here");
        let mut text = format!("`worker alerts test` was run.\n\nworker: {worker}\n");
        if let Some(target) = target {
            text.push_str(&format!("target: {target}\n"));
        }
        let at = now.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut json = json!({
            "source": "dayfold",
            "id": key,
            "rule": "test",
            "state": "test",
            "text": format!("{subject} ({worker})"),
            "summary": "alerts arrive here",
            "worker": worker,
            "at": at,
        });
        name_target(&mut json, target);
        Self { key, subject, text, json }
    }
}

/// Adds the name of the target, if there is one.
fn name_target(json: &mut Value, target: Option<&str>) {
    if let (Some(fields), Some(target)) = (json.as_object_mut(), target) {
        fields.insert("target".to_owned(), target.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_says_how_much_since_when_and_what_to_do() {
        let at = Timestamp(1_700_000_000_000_000);
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.name()), Some(rule));
            let lasted = Duration::from_secs(600);
            let fires = Alert { lasted, ..new_alert(rule, true, "w@h:1", 3.0, 2.0) };
            let fires = Message::from_alert(&fires, None, at);
            assert!(fires.subject.contains(rule.while_it_fires()), "{fires:?}");
            let chat = fires.json["text"].as_str().unwrap();
            for text in [fires.text.as_str(), chat] {
                for part in ["3", "limit 2", "2023-11-14T22:03:20Z", rule.advice(), rule.runbook()]
                {
                    assert!(text.contains(part), "{part}: {text}");
                }
            }
            assert_eq!(fires.json["state"], "fires");
            let over = Alert { lasted, ..new_alert(rule, false, "w@h:1", 1.0, 2.0) };
            let over = Message::from_alert(&over, None, at);
            assert!(over.subject.contains(rule.when_it_is_over()), "{over:?}");
            assert!(over.text.contains("over: 2023-11-14T22:13:20Z, after 10 min"), "{over:?}");
            assert_eq!(over.json["state"], "resolved");
            assert!(fires.subject.is_ascii() && fires.text.is_ascii() && over.text.is_ascii());
        }
    }

    #[test]
    fn a_message_of_a_target_names_it_in_subject_text_and_json() {
        let alert = new_alert(Rule::DeadRows, true, "w@h:1", 1.0, 1.0);
        let message = Message::from_alert(&alert, Some("eu_1"), Timestamp(0));
        assert!(message.subject.starts_with("[dayfold] eu_1: dead_rows fires: "), "{message:?}");
        assert!(message.text.contains("target: eu_1\n"), "{message:?}");
        assert_eq!(message.json["target"], "eu_1");
        assert!(message.json["text"].as_str().unwrap().contains("eu_1"), "{message:?}");
        assert!(Message::from_alert(&alert, None, Timestamp(0)).json.get("target").is_none());
    }

    #[test]
    fn one_of_something_is_not_told_as_several() {
        for (seen, unit, expected) in [
            (1.0, "rows", "1 row"),
            (2_000.0, "rows", "2,000 rows"),
            (1.0, "dates", "1 date"),
            (12.34, "percent", "12.3 %"),
            (300.0, "seconds", "5 min"),
        ] {
            assert_eq!(amount(seen, unit), expected);
        }
    }

    #[test]
    fn the_rule_of_a_newer_worker_is_told_by_its_name() {
        let mut alert = new_alert(Rule::DeadRows, true, "w@h:1", 1.0, 1.0);
        alert.rule = "moon_phase".to_owned();
        let message = Message::from_alert(&alert, None, Timestamp(0));
        assert!(message.subject.contains("moon_phase"), "{message:?}");
    }
}
