//! The checks of `worker doctor` in the database.

use axum::extract::State;
use axum::{Extension, Json};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::access::Visitor;
use super::cached::Known;
use super::database::{in_words, of_page};
use super::layout::{self, Column, View, badge};
use super::{Page, Shared};
use crate::commands::doctor;

impl Page {
    async fn read_doctor(&self) -> Known<Vec<Value>> {
        let ask = async {
            let store = self.store().await?;
            let config = of_page(&self.service.configuration());
            doctor::on_page(&config, &store).await.map_err(|error| in_words(&error))
        };
        self.doctor.get(ask).await
    }
}

const COLUMNS: [Column; 4] = [
    Column::Text("Check"),
    Column::Text("Outcome"),
    Column::Text("Found"),
    Column::Text("What to change"),
];

/// The view.
pub async fn show(State(page): Shared, Extension(visitor): Extension<Visitor>) -> Markup {
    let known = page.read_doctor().await;
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let content = html! {
        h1 { "Doctor" }
        (layout::outage(&page.service.breaker(), &known))
        p.soft {
            "The checks of " code { "worker doctor" } " in the database, asked once a minute at most, on the page's own "
            "connection. The command also tries the way to the server, time-outs and the budget of connections."
        }
        @if let Some(checks) = known.value.as_deref() {
            (layout::table("The checks of the database", &COLUMNS, &html! {
                @for check in checks {
                    @let outcome = text(check, "outcome");
                    tr {
                        th scope="row" { (text(check, "name")) }
                        td { (badge(class(&outcome), &outcome)) }
                        td.long { (text(check, "found")) }
                        td.long { (check["advice"].as_str().unwrap_or("–")) }
                    }
                }
            }))
        }
    };
    layout::page(&page.frame, &visitor, View::Doctor, "Doctor", &content)
}

fn class(outcome: &str) -> &'static str {
    match outcome {
        "ok" => "good",
        "warning" => "warn",
        "error" => "bad",
        _ => "none",
    }
}

/// The view as JSON.
pub async fn json(State(page): Shared) -> Json<Value> {
    let known = page.read_doctor().await;
    Json(json!({
        "error": known.error,
        "known_seconds_ago": known.at.map(|at| at.elapsed().as_secs_f64()),
        "checks": known.value.as_deref(),
    }))
}
