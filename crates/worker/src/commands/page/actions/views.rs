//! The view of actions: the one that runs, forms, the question before an action, and the log.

use aggregation::Kind;
use maud::{Markup, html};
use store::OperatorAction;

use super::request::{Action, Fields};
use super::{Counted, ENTRIES};
use crate::commands::page::jobs::Job;
use crate::commands::page::layout::{
    self, Column, address, badge, instant, progress, target_field,
};
use crate::config::MAX_ROWS_PER_SECOND;
use crate::tables::{age, thousands};
use crate::target;

/// The action that runs, with the form that stops it for a visitor who may act.
pub fn running(job: &Job, csrf: Option<&str>) -> Markup {
    let done = job.done();
    html! {
        section.notice role="status" aria-labelledby="running" {
            h2 id="running" { "Action " (job.id) " runs: " (job.name) " " (job.target) }
            p {
                (progress(done, job.total, &format!("Progress of action {}", job.id)))
                " " strong { (thousands(done)) }
                @if let Some(total) = job.total {
                    " of " (thousands(total)) " (" (percent(done, total)) " %)"
                }
                " " (job.unit) " in " (age(job.seconds()))
            }
            @if let Some(csrf) = csrf {
                form.inline method="post" action=(address("/actions/stop")) {
                    input type="hidden" name="csrf" value=(csrf);
                    button type="submit" { "Stop after this step" }
                }
            }
        }
    }
}

/// How much of the total is done, in whole percent.
fn percent(done: i64, total: i64) -> i64 {
    (done.saturating_mul(100) / total.max(1)).clamp(0, 100)
}

fn kinds() -> Markup {
    html! {
        option value="" { "all kinds" }
        @for kind in Kind::ALL { option value=(kind.name()) { (kind.name()) } }
    }
}

/// The forms, with the kinds that are paused.
pub fn forms(paused: &[Kind]) -> Markup {
    html! {
        div.cards {
            section.card aria-labelledby="pause" {
                h2 id="pause" { "Pause and resume" }
                ul.plain {
                    @for kind in Kind::ALL {
                        @let (class, word, action) = if paused.contains(&kind) {
                            ("warn", "paused", "resume")
                        } else {
                            ("good", "claimed", "pause")
                        };
                        li {
                            (kind.name()) ": " (badge(class, word)) " "
                            a href=(address(&format!("/actions/confirm?action={action}&kind={}", kind.name()))) {
                                (action) span.hidden { " " (kind.name()) }
                            }
                        }
                    }
                }
                p.small { "Also " code { "worker pause KIND" } " and " code { "worker resume KIND" } "." }
            }
            form.card method="get" action="/actions/confirm" aria-labelledby="throttle" {
                (target_field())
                h2 id="throttle" { "Throttle" }
                input type="hidden" name="action" value="throttle";
                label for="rows" { "Rows each second for each worker" }
                input id="rows" name="rows" type="number" min="0" max=(MAX_ROWS_PER_SECOND) inputmode="numeric"
                      aria-describedby="rows-help";
                p.small id="rows-help" { "0 is no limit; empty gives each worker its configured one back." }
                button type="submit" { "Continue" }
            }
            form.card method="get" action="/actions/confirm" aria-labelledby="requeue" {
                (target_field())
                h2 id="requeue" { "Failed rows" }
                label for="requeue-kind" { "Kind" }
                select id="requeue-kind" name="kind" { (kinds()) }
                label for="class" { "Class of the error (empty: any)" }
                input id="class" name="class" type="text" maxlength="40";
                (limits(&Fields::new()))
                div.buttons {
                    button type="submit" name="action" value="requeue" { "Requeue" }
                    button type="submit" name="action" value="discard" { "Discard the dead" }
                }
            }
            form.card method="get" action="/actions/confirm" aria-labelledby="dates" {
                (target_field())
                h2 id="dates" { "A user's dates" }
                label for="user" { "User" }
                input id="user" name="user" type="text" required maxlength="1024";
                label for="from" { "First date" }
                input id="from" name="from" type="date" required;
                label for="to" { "Last date" }
                input id="to" name="to" type="date" required;
                div.buttons {
                    button type="submit" name="action" value="verify" { "Verify" }
                    button type="submit" name="action" value="backfill" { "Backfill" }
                }
            }
        }
    }
}

/// The fields that limit failed rows to a user, to dates and to dead ones.
fn limits(fields: &Fields) -> Markup {
    let value = |name: &str| fields.get(name).map(|text| text.trim());
    html! {
        label for="limit-user" { "User (empty: any)" }
        input id="limit-user" name="user" type="text" maxlength="1024" value=[value("user")];
        div.pair {
            div {
                label for="limit-from" { "Raw rows from (UTC)" }
                input id="limit-from" name="from" type="date" value=[value("from")];
            }
            div {
                label for="limit-to" { "to (UTC)" }
                input id="limit-to" name="to" type="date" value=[value("to")];
            }
        }
        label.check {
            input type="checkbox" name="dead" value="yes" checked[value("dead") == Some("yes")];
            " dead rows only"
        }
    }
}

/// The question before an action.
pub fn question(
    action: &Action,
    counted: Option<&Counted>,
    fields: &Fields,
    csrf: Option<&str>,
) -> Markup {
    let is_nothing = counted.is_some_and(|counted| counted.count == 0);
    let is_filter = matches!(action.name(), "requeue" | "discard");
    html! {
        h1 { "Confirm: " (action.name()) }
        dl.pairs {
            div { dt { "Action" } dd { strong { (action.name()) } } }
            @if let Some(name) = target::name() { div { dt { "Target" } dd { strong { (name) } } } }
            div { dt { "To what" } dd { (action.target()) } }
            @if let Some(Counted { count, is_capped, unit }) = counted {
                div { dt { "Counted" } dd id="counted" {
                    @if *is_capped { "at least " } (thousands(*count)) " " (unit)
                    @if *unit == "dates" { ", each kind on its own" }
                } }
            }
        }
        p { (action.means()) }
        @if is_nothing { p.notice { "There is nothing to do." } }
        form method="post" action=(address("/actions")) {
            @if let Some(csrf) = csrf { input type="hidden" name="csrf" value=(csrf); }
            (hidden(fields, &["csrf", "target"]))
            div.buttons {
                @if !is_nothing { button.danger type="submit" { "Yes, " (action.name()) } }
                a.button href=(address("/actions")) { "No, go back" }
            }
        }
        @if is_filter {
            details {
                summary { "Limit it to a user or to dates" }
                form.ask method="get" action="/actions/confirm" {
                    (target_field())
                    (hidden(fields, &["csrf", "target", "user", "from", "to", "dead"]))
                    (limits(fields))
                    button type="submit" { "Count again" }
                }
            }
        }
    }
}

/// The fields of a form without some of them, in the order of their names.
fn hidden(fields: &Fields, without: &[&str]) -> Markup {
    let mut fields: Vec<_> =
        fields.iter().filter(|(name, _)| !without.contains(&name.as_str())).collect();
    fields.sort();
    html! {
        @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
    }
}

const COLUMNS: [Column; 9] = [
    Column::Number("No."),
    Column::Text("Begun"),
    Column::Text("Who"),
    Column::Text("Action"),
    Column::Text("To what"),
    Column::Number("Counted"),
    Column::Number("Done"),
    Column::Text("State"),
    Column::Text("Outcome"),
];

/// The action log, and the number of the action that runs here.
pub fn log(entries: &[OperatorAction], running: Option<&Job>) -> Markup {
    let rows = html! {
        @for entry in entries {
            @let job = running.filter(|job| job.id == entry.id);
            @let done = job.map_or(entry.done, Job::done);
            tr id={ "action-" (entry.id) } {
                td.number { (entry.id) }
                td { (instant(entry.begun_at)) }
                td.nowrap { (entry.actor) }
                th scope="row" { (entry.action) }
                td.long { (entry.target) }
                td.number { (entry.expected.map_or_else(|| "–".to_owned(), thousands)) }
                td.number { (thousands(done)) }
                td { (state(entry, job)) }
                td.long { (entry.outcome.as_deref().unwrap_or("–")) }
            }
        }
    };
    html! {
        section aria-labelledby="log" {
            h2 id="log" { "Action log" }
            @if entries.is_empty() { p { "No operator has acted yet." } }
            @else { (layout::table("Actions of operators, the last one first", &COLUMNS, &rows)) }
            p.small { "The last " (ENTRIES) " entries of the table operator_actions, which keeps a year." }
        }
    }
}

fn state(entry: &OperatorAction, running: Option<&Job>) -> Markup {
    match entry.state.as_str() {
        "done" => badge("good", "done"),
        "failed" => badge("bad", "failed"),
        "stopped" => badge("warn", "stopped"),
        _ if running.is_some() => badge("none", "running"),
        _ => badge("none", "running at another worker, or its worker ended"),
    }
}
