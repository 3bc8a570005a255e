//! The settings in force with their origins, as `worker config show` has them.

use axum::extract::State;
use axum::{Extension, Json};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::Shared;
use super::access::Visitor;
use super::layout::{self, Column, View};
use crate::commands::config;
use crate::config::Entry;

const COLUMNS: [Column; 3] = [Column::Text("Key"), Column::Text("Value"), Column::Text("From")];

/// The view.
pub async fn show(State(page): Shared, Extension(visitor): Extension<Visitor>) -> Markup {
    let entries = page.service.entries();
    let sections: Vec<&[Entry]> = entries.chunk_by(|a, b| section(a) == section(b)).collect();
    let content = html! {
        h1 { "Settings" }
        p.soft {
            "The values in force and where each comes from. Secrets are shown as (set) or (not set). "
            "config/default.toml says what each means. After a change: " code { "systemctl reload dayfold" } ", or a restart."
        }
        @for entries in sections {
            @let name = entries.first().map_or("", |entry| section(entry));
            section aria-labelledby=(name) {
                h2 id=(name) { "[" (name) "]" }
                (layout::table(&format!("Settings of {name}"), &COLUMNS, &html! {
                    @for entry in entries {
                        tr.changed[entry.origin != "default"] {
                            th scope="row" { code { (entry.key) } }
                            td.long { (entry.value) }
                            td.long { (entry.origin) @if let Some(line) = entry.line { ":" (line) } }
                        }
                    }
                }))
            }
        }
    };
    layout::page(&page.frame, &visitor, View::Settings, "Settings", &content)
}

fn section(entry: &Entry) -> &str {
    entry.key.split_once('.').map_or("", |(section, _)| section)
}

/// The view as JSON.
pub async fn json(State(page): Shared) -> Json<Value> {
    let entries = page.service.entries();
    let entries: Vec<&Entry> = entries.iter().collect();
    Json(json!({ "entries": config::to_json(&entries) }))
}
