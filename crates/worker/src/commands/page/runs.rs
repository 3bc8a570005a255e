//! The last runs.

use axum::extract::State;
use axum::{Extension, Json};
use maud::{Markup, html};
use serde_json::{Value, json};
use store::Run;

use super::access::Visitor;
use super::cached::Known;
use super::database::in_words;
use super::layout::{self, Column, View, instant};
use super::{Page, Shared};
use crate::commands::status::{STILL_RUNNING, run_json};
use crate::tables::{age, thousands};

/// Runs that are shown.
const RUNS: u32 = 50;

impl Page {
    async fn read_runs(&self) -> Known<Vec<Run>> {
        let ask = async {
            let store = self.store().await?;
            store.runs(RUNS).await.map_err(|error| in_words(&error))
        };
        self.runs.get(ask).await
    }

    /// The live part of the view.
    pub async fn runs_content(&self) -> Markup {
        let known = self.read_runs().await;
        html! {
            h1 { "Runs" }
            (layout::outage(&self.service.breaker(), &known))
            @if let Some(runs) = known.value.as_deref() { (table(runs)) }
        }
    }
}

/// The view.
pub async fn show(State(page): Shared, Extension(visitor): Extension<Visitor>) -> Markup {
    let content = page.runs_content().await;
    layout::page(&page.frame, &visitor, View::Runs, "Runs", &content)
}

const COLUMNS: [Column; 12] = [
    Column::Text("Ended"),
    Column::Text("Command"),
    Column::Text("Worker"),
    Column::Number("Took"),
    Column::Number("Batches"),
    Column::Number("Rows claimed"),
    Column::Number("Completed"),
    Column::Number("Rejected"),
    Column::Number("Failed"),
    Column::Number("Released"),
    Column::Number("Groups"),
    Column::Number("Groups failed"),
];

fn table(runs: &[Run]) -> Markup {
    let rows = html! {
        @for run in runs {
            @let counts = &run.counts;
            tr {
                th scope="row" {
                    @if run.is_running && run.finished_seconds_ago < STILL_RUNNING {
                        (layout::badge("good", "running"))
                    } @else { (instant(run.finished_at)) }
                }
                td { (run.command) }
                td.long { (run.worker) }
                td.number { (age(run.seconds)) }
                td.number { (counts.batches) }
                td.number { (thousands(counts.rows_claimed)) }
                td.number { (thousands(counts.rows_completed)) }
                td.number { (thousands(counts.rows_rejected)) }
                td.number { (thousands(counts.rows_failed)) }
                td.number { (thousands(counts.rows_released)) }
                td.number { (thousands(counts.groups_committed)) }
                td.number { (thousands(counts.groups_failed)) }
            }
        }
    };
    html! {
        @if runs.is_empty() { p { "No run has done any work in the last 30 days." } }
        @else { (layout::table("The last runs, the latest first", &COLUMNS, &rows)) }
        p.small {
            "The last " (RUNS) " runs that did work. A service records a run for each summary. "
            "Rows claimed = completed + rejected + failed + released."
        }
    }
}

/// The view as JSON.
pub async fn json(State(page): Shared) -> Json<Value> {
    let known = page.read_runs().await;
    let runs = known.value.as_deref().map(|runs| runs.iter().map(run_json).collect::<Vec<_>>());
    Json(json!({
        "error": known.error,
        "known_seconds_ago": known.at.map(|at| at.elapsed().as_secs_f64()),
        "runs": runs,
    }))
}
