//! The list at the top of the overview: all that an operator should look at, and nothing else.

use alerts::Rule;
use maud::{Markup, html};
use store::{FiringAlert, KindStatus, PausedKind, Throttled, Worker};

use super::{Overview, Own};
use crate::commands::page::access::Role;
use crate::commands::page::layout::{address, badge, instant};
use crate::service::FiringRule;
use crate::tables::{age, counted, thousands};

/// An entry: whether it is bad, and its text.
type Entry = (bool, Markup);

/// The list, or a sentence that nothing is on it.
pub(super) fn list(own: &Own, overview: Option<&Overview>, role: Role) -> Markup {
    let mut entries: Vec<Entry> = own.firing.iter().map(|of| (true, fires(of))).collect();
    if let Some(overview) = overview {
        entries.extend(of_database(own, overview, role));
    }
    let running = own.job.as_ref().map(|job| {
        html! {
            a href=(address("/actions")) { "Action " (job.id) } " runs: " (job.name) " " (job.target) ", "
            (thousands(job.done())) @if let Some(total) = job.total { " of " (thousands(total)) } " " (job.unit)
        }
    });
    let is_bad = entries.iter().any(|(is_bad, _)| *is_bad);
    html! {
        @if entries.is_empty() {
            p { (badge("good", "Nothing needs attention")) }
        } @else {
            section.notice.bad[is_bad] data-attention=(entries.len()) aria-labelledby="attention" {
                h2 id="attention" { "Needs attention" }
                ul.plain {
                    @for (is_bad, text) in &entries {
                        li {
                            (badge(if *is_bad { "bad" } else { "warn" }, if *is_bad { "problem" } else { "note" }))
                            " " (text)
                        }
                    }
                }
            }
        }
        @if let Some(running) = running { p { (running) } }
        @if !own.is_sent {
            p.small { "No message is sent when an alert fires: neither mail.host nor webhook.url is set." }
        }
    }
}

fn of_database(own: &Own, overview: &Overview, role: Role) -> Vec<Entry> {
    let is_new = |of: &&FiringAlert| own.firing.iter().all(|own| own.rule.name() != of.rule);
    let mut entries: Vec<Entry> =
        overview.firing.iter().filter(is_new).map(|of| (true, fires_in_database(of))).collect();
    let is_firing = |rule: Rule| own.firing.iter().any(|of| of.rule == rule);
    if !is_firing(Rule::OldestPending) {
        entries.extend(
            overview.kinds.iter().filter_map(|kind| Some((true, is_late(kind, own.goal)?))),
        );
    }
    let dead: i64 = overview.kinds.iter().map(|kind| kind.dead).sum();
    if dead > 0 && !is_firing(Rule::DeadRows) {
        let rows = counted(dead, "raw row is", "raw rows are");
        entries.push((false, html! { strong { (rows) " dead" } ". " (advice(Rule::DeadRows)) }));
    }
    let gone = overview.workers.iter().filter(|worker| !worker.is_alive);
    entries.extend(gone.map(|worker| (true, not_seen(worker))));
    if overview.server.in_recovery {
        entries
            .push((true, html! { "The database's server is a standby, which takes no changes." }));
    }
    let expired: i64 = overview.kinds.iter().map(|kind| kind.expired).sum();
    if expired > 0 {
        let rows = counted(expired, "raw row is", "raw rows are");
        let text = html! { (rows) " claimed by a worker whose lease has expired; another one takes over." };
        entries.push((false, text));
    }
    if let Some(old) = overview.old_transactions.first() {
        let more = overview.old_transactions.len() - 1;
        let text = html! {
            "A transaction is open for long: " (old) @if more > 0 { ", and " (more) " more" } ". "
            a href="#database" { "Database" }
        };
        entries.push((false, text));
    }
    entries.extend(overview.paused.iter().map(|paused| (false, is_paused(paused, role))));
    let throttled = overview.throttle.as_ref().filter(|of| of.max_rows_per_second > 0);
    entries.extend(throttled.map(|throttle| (false, is_throttled(throttle))));
    entries
}

fn fires(of: &FiringRule) -> Markup {
    let amount = |amount: f64| match of.rule.unit() {
        "seconds" => age(amount),
        "percent" => format!("{amount:.0} %"),
        unit => format!("{} {unit}", thousands(amount as i64)),
    };
    html! {
        strong { (sentence(of.rule)) } " for " (age(of.lasted.as_secs_f64())) ": " (amount(of.amount))
        ", the limit is " (amount(of.threshold)) ". " (advice(of.rule))
    }
}

fn fires_in_database(of: &FiringAlert) -> Markup {
    html! {
        @match Rule::named(&of.rule) {
            Some(rule) => { strong { (sentence(rule)) } " for " (age(of.seconds)) ". " (advice(rule)) }
            None => { strong { (of.rule) } " for " (age(of.seconds)) "." }
        }
    }
}

/// The state while the rule fires, as a sentence with its name.
fn sentence(rule: Rule) -> String {
    let text = rule.while_it_fires();
    let mut letters = text.chars();
    let first = letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string());
    format!("{first}{} ({})", letters.as_str(), rule.name())
}

/// The recommended action, and the view that helps.
fn advice(rule: Rule) -> Markup {
    let text = rule.advice().replace('`', "");
    html! {
        span.soft { (text) }
        @if matches!(rule, Rule::DeadRows | Rule::FailedGroups) { " " a href=(address("/failures")) { "Failures" } }
    }
}

/// The service looks at the queue now and then, and the page may see sooner that a kind is late.
fn is_late(kind: &KindStatus, goal: f64) -> Option<Markup> {
    let oldest = kind.oldest_pending_seconds.filter(|oldest| *oldest >= goal)?;
    Some(html! {
        strong { (kind.kind.name()) " is late" } ": the oldest change has waited for " (age(oldest))
        ", the goal is " (age(goal)) ". " (advice(Rule::OldestPending))
    })
}

fn not_seen(worker: &Worker) -> Markup {
    html! {
        strong { "Worker " (worker.worker) } " was not seen for " (age(worker.seen_seconds_ago))
        ". Another one claims its rows when their lease expires. " a href="#workers" { "Workers" }
    }
}

fn is_paused(paused: &PausedKind, role: Role) -> Markup {
    html! {
        strong { (paused.kind.name()) " is paused" } " since " (instant(paused.paused_at)) " by " (paused.paused_by)
        ": no worker claims rows of it."
        @if role == Role::Operator {
            " " a href=(address(&format!("/actions/confirm?action=resume&kind={}", paused.kind.name()))) { "Resume" }
        }
    }
}

fn is_throttled(throttle: &Throttled) -> Markup {
    html! {
        strong { "Throttled to " (thousands(throttle.max_rows_per_second.into())) " rows/s for each worker" }
        " since " (instant(throttle.changed_at)) " by " (throttle.changed_by) "."
    }
}
