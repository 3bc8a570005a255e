//! What a message says. Rules, amounts and names of workers are all there is to say.

use aggregation::Timestamp;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use store::Alert;

use super::Rule;
use crate::setup;

/// A message as it is sent, in words and as data.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The same each time that it is sent.
    pub key: String,
    /// One line.
    pub subject: String,
    /// All of it.
    pub text: String,
    /// The same for programs.
    pub json: Value,
}

/// That a rule fires, or that it is over; `worker` saw it.
pub fn new_alert(rule: Rule, fires: bool, worker: &str, amount: f64, threshold: f64) -> Alert {
    let state = state(fires);
    Alert {
        key: format!("{}.{state}.{worker}.{}", rule.name(), setup::own_clock()),
        rule: rule.name().to_owned(),
        fires,
        worker: worker.to_owned(),
        amount,
        threshold,
        ago: std::time::Duration::ZERO,
    }
}

const fn state(fires: bool) -> &'static str {
    if fires { "fires" } else { "resolved" }
}

/// An amount as people read it.
fn amount(amount: f64, unit: &str) -> String {
    let number = if amount.fract() == 0.0 { format!("{amount}") } else { format!("{amount:.1}") };
    match unit {
        "percent" => format!("{number} %"),
        "seconds" => format!("{number} s"),
        unit => format!("{number} {unit}"),
    }
}

impl Message {
    /// The message about this, which happened then.
    pub fn of(alert: &Alert, happened_at: Timestamp) -> Self {
        let Alert { key, rule: name, fires, worker, amount: seen, threshold, .. } = alert;
        let at = happened_at.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true);
        // One of a newer worker may be unknown to this one.
        let rule = Rule::named(name);
        let unit = rule.map_or("", Rule::unit);
        let what = match (rule, fires) {
            (Some(rule), true) => rule.while_it_fires(),
            (Some(rule), false) => rule.when_it_is_over(),
            (None, true) => "a rule of a newer worker fires",
            (None, false) => "a rule of a newer worker is over",
        };
        let state = state(*fires);
        let limit = amount(*threshold, unit);
        let (summary, advice) = if *fires {
            let advice = rule.map_or("", Rule::advice);
            (format!("{what}: {} (from {limit} on)", amount(*seen, unit)), advice)
        } else {
            (what.to_owned(), "")
        };
        let mut text =
            format!("{summary}\n\nrule: {name}, {state}\nsince: {at}\nworker: {worker}\n");
        if !advice.is_empty() {
            text.push_str(&format!("\n{advice}\n\nAnother message tells when it is over.\n"));
        }
        let subject = format!("[dayfold] {name} {state}: {what}");
        let json = json!({
            "source": "dayfold",
            "id": key,
            "rule": name,
            "state": state,
            "text": format!("{subject} ({worker})"),
            "summary": summary,
            "amount": seen,
            "threshold": threshold,
            "unit": unit,
            "worker": worker,
            "at": at,
        });
        Self { key: key.clone(), subject, text, json }
    }

    /// One that only shows that messages arrive.
    pub fn test(worker: &str) -> Self {
        let now = setup::own_clock();
        let key = format!("test.{worker}.{now}");
        let subject = "[dayfold] test: alerts arrive here".to_owned();
        let text = format!("`worker alerts test` was run.\n\nworker: {worker}\n");
        let at = Timestamp(now).to_utc().to_rfc3339_opts(SecondsFormat::Secs, true);
        let json = json!({
            "source": "dayfold",
            "id": key,
            "rule": "test",
            "state": "test",
            "text": format!("{subject} ({worker})"),
            "summary": "alerts arrive here",
            "worker": worker,
            "at": at,
        });
        Self { key, subject, text, json }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_says_what_is_so_and_that_it_is_over() {
        let at = Timestamp(1_700_000_000_000_000);
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.name()), Some(rule));
            let fires = Message::of(&new_alert(rule, true, "w@h:1", 3.0, 2.5), at);
            assert!(fires.subject.contains(rule.while_it_fires()), "{fires:?}");
            assert!(fires.text.contains("from 2.5") && fires.text.contains("2023-11-14T22:13:20Z"));
            assert_eq!(fires.json["state"], "fires");
            let over = Message::of(&new_alert(rule, false, "w@h:1", 0.0, 2.5), at);
            assert!(over.subject.contains(rule.when_it_is_over()), "{over:?}");
            assert_eq!(over.json["state"], "resolved");
            assert!(fires.subject.is_ascii() && fires.text.is_ascii() && over.text.is_ascii());
        }
    }

    #[test]
    fn the_rule_of_a_newer_worker_is_told_by_its_name() {
        let mut alert = new_alert(Rule::DeadRows, true, "w@h:1", 1.0, 1.0);
        alert.rule = "moon_phase".to_owned();
        let message = Message::of(&alert, Timestamp(0));
        assert!(message.subject.contains("moon_phase"), "{message:?}");
    }
}
