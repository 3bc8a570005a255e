//! Failures by cause, dead rows, and rejected rows by reason.

use axum::extract::State;
use axum::{Extension, Json};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use store::{Failure, MAX_FAILED_SETS, MAX_GROUPS, MAX_REJECTED_READ, Rejected};

use super::access::{Role, Visitor};
use super::cached::Known;
use super::database::in_words;
use super::layout::{self, Column, View, address, address_of_day};
use super::{Page, Shared};
use crate::commands::status::{failure_json, group_rejected};
use crate::tables::{age, thousands};

/// The last one is for operators alone.
const FAILED: [Column; 10] = [
    Column::Text("Kind"),
    Column::Text("Class"),
    Column::Text("What failed"),
    Column::Number("Raw rows"),
    Column::Number("Dead"),
    Column::Number("First queued"),
    Column::Number("Last queued"),
    Column::Text("Next retry"),
    Column::Text("For example"),
    Column::Text("Actions"),
];

const REJECTED: [Column; 4] =
    [Column::Text("Reason"), Column::Text("Kind"), Column::Text("Metric"), Column::Number("Rows")];

/// Facts from the database.
#[derive(Debug)]
pub struct Failures {
    failures: Vec<Failure>,
    rejected: Vec<Rejected>,
}

impl Page {
    async fn read_failures(&self) -> Known<Failures> {
        let ask = async {
            let store = self.store().await?;
            let read = async {
                Ok(Failures {
                    failures: store.failures().await?,
                    rejected: store.rejected().await?,
                })
            };
            read.await.map_err(|error| in_words(&error))
        };
        self.failures.get(ask).await
    }

    /// The live part of the view.
    pub async fn failures_content(&self, visitor: &Visitor) -> Markup {
        let known = self.read_failures().await;
        html! {
            h1 { "Failures" }
            (layout::outage(&self.service.breaker(), &known))
            @if let Some(of) = known.value.as_deref() {
                (failed(&of.failures, visitor.role))
                (rejected(self, &of.rejected))
            }
        }
    }
}

/// The view.
pub async fn show(State(page): Shared, Extension(visitor): Extension<Visitor>) -> Markup {
    let content = page.failures_content(&visitor).await;
    layout::page(&page.frame, &visitor, View::Failures, "Failures", &content)
}

fn failed(failures: &[Failure], role: Role) -> Markup {
    let sum = |of: fn(&Failure) -> i64| failures.iter().map(of).sum::<i64>();
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let query = |of: &Failure| {
        let detail = of
            .detail
            .as_deref()
            .map_or_else(String::new, |detail| format!("&detail={}", encoded(detail)));
        format!("kind={}&class={}{detail}", encoded(&of.kind), encoded(&of.class))
    };
    let rows = html! {
        @for of in failures {
            tr id=[first_of_kind(failures, of).then_some(&of.kind)] {
                td { (of.kind) }
                th scope="row" { (of.class) }
                td.long { (of.detail.as_deref().unwrap_or("–")) }
                td.number { (thousands(of.rows)) }
                td.number { (thousands(of.dead)) }
                td.number { (age(of.first_queued_seconds)) " ago" }
                td.number { (age(of.last_queued_seconds)) " ago" }
                td { (next_retry(of.next_retry_seconds)) }
                td.nowrap { (example(of, role)) }
                @if role == Role::Operator {
                    td {
                        a href=(address(&format!("/actions/confirm?action=requeue&{}", query(of)))) { "requeue" }
                        @if of.dead > 0 {
                            " · " a href=(address(&format!("/actions/confirm?action=discard&{}", query(of)))) { "discard the dead" }
                        }
                    }
                }
            }
        }
    };
    let columns = if role == Role::Operator { &FAILED[..] } else { &FAILED[..FAILED.len() - 1] };
    html! {
        section aria-labelledby="failed" {
            h2 id="failed" { "Changes whose group failed" }
            @if failures.is_empty() {
                p { (layout::badge("good", "none")) }
            } @else {
                p {
                    (thousands(sum(|of| of.rows))) " raw rows, of which " strong { (thousands(sum(|of| of.dead))) " are dead" }
                    ": their attempts are spent, and they wait for an operator."
                }
                (layout::table("Failures by cause, the most frequent first", columns, &rows))
            }
            p.small {
                "Causes are the class of the error, and the names that the server gives: SQLSTATE, table and "
                "constraint. The first " (thousands(MAX_FAILED_SETS)) " change sets of each kind that failed are "
                "grouped, into " (MAX_GROUPS) " causes at most. The log names each group (group_failed)."
            }
        }
    }
}

/// The user and the date of one of the changes, for a visitor who may see the day with a link to it.
fn example(of: &Failure, role: Role) -> Markup {
    let date = of.example_at.to_utc().date_naive();
    html! {
        @if role >= Role::Viewer {
            a href=(address_of_day(&of.example_user, date)) { "user " (of.example_user) ", " (date) }
        } @else { "user " (of.example_user) ", " (date) }
    }
}

fn first_of_kind(failures: &[Failure], failure: &Failure) -> bool {
    failures
        .iter()
        .find(|of| of.kind == failure.kind)
        .is_some_and(|first| std::ptr::eq(first, failure))
}

fn next_retry(seconds: Option<i64>) -> String {
    match seconds {
        None => "never by itself".to_owned(),
        Some(0) => "due now".to_owned(),
        Some(seconds) => format!("in {}", age(seconds as f64)),
    }
}

fn rejected(page: &Page, rejected: &[Rejected]) -> Markup {
    let (_, catalogue) = page.service.inputs();
    let groups = group_rejected(rejected, Some(&catalogue));
    let read: i64 = rejected.iter().map(|of| of.rows).sum();
    html! {
        section aria-labelledby="rejected" {
            h2 id="rejected" { "Rejected raw rows" }
            p.soft { "They take no part in the figures. A corrected raw row is judged again." }
            @if groups.is_empty() {
                p { (layout::badge("good", "none")) }
            } @else {
                (layout::table("Rejected raw rows by reason, the most frequent first", &REJECTED, &html! {
                    @for group in &groups {
                        @let [reason, kind, metric, rows] = group.cells();
                        tr {
                            th scope="row" { (reason) }
                            td { (kind) }
                            td { (metric) }
                            td.number { (rows) }
                        }
                    }
                }))
                @if read >= MAX_REJECTED_READ {
                    p.small { "These are " (thousands(MAX_REJECTED_READ)) " of them; the table rejected_rows has the others." }
                }
            }
        }
    }
}

/// The view as JSON.
pub async fn json(State(page): Shared) -> Json<Value> {
    let known = page.read_failures().await;
    let (_, catalogue) = page.service.inputs();
    let of = known.value.as_deref();
    let failures: Option<Vec<Value>> = of.map(|of| of.failures.iter().map(failure_json).collect());
    let rejected: Option<Vec<Value>> = of.map(|of| {
        group_rejected(&of.rejected, Some(&catalogue)).iter().map(|group| group.to_json()).collect()
    });
    Json(json!({
        "error": known.error,
        "known_seconds_ago": known.at.map(|at| at.elapsed().as_secs_f64()),
        "failures": failures,
        "rejected": rejected,
    }))
}
