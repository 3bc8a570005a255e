//! Health, metrics and a page for all targets.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{DOCTYPE, html};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use super::Targets;
use super::state::{Sums, TargetState};
use crate::config::Http;
use crate::service::http::{answer, begin, listen, rendered};
use crate::tables::{age, thousands};

const PATHS: &str = "/health/live /health/ready /health/targets /metrics";

/// No script, and only the style of the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

const STYLE: &str = "body{font:14px/1.5 sans-serif;margin:2rem}table{border-collapse:collapse}\
    th,td{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:left}\
    td.n,th.n{text-align:right}tr.bad td{background:#fdecea}tfoot td{font-weight:bold}";

struct Served {
    targets: Arc<Targets>,
    metrics: PrometheusHandle,
}

type Shared = State<Arc<Served>>;

/// Listens on this address from now on.
///
/// # Errors
/// If the address is in use or not one of this host.
pub(super) async fn serve(
    targets: Arc<Targets>,
    address: SocketAddr,
    settings: &Http,
) -> anyhow::Result<()> {
    let (listener, metrics) = listen(address).await?;
    let router = Router::new()
        .route("/", get(overview))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/targets", get(list))
        .route("/metrics", get(all_metrics))
        .with_state(Arc::new(Served { targets, metrics }))
        .fallback(|| async {
            let text = format!("with targets there is only / and {PATHS}\n");
            (StatusCode::NOT_FOUND, text)
        });
    begin(listener, router, settings, address);
    Ok(())
}

/// Whether at least one target makes progress.
async fn live(State(served): Shared) -> Response {
    let stuck = served.targets.is_stuck();
    answer(!stuck, json!({ "status": if stuck { "stuck" } else { "ok" } }))
}

/// Whether rows of at least one target are processed, and which targets are in trouble.
async fn ready(State(served): Shared) -> Response {
    let states = served.targets.states();
    let sums = Sums::over(&states);
    let trouble: Vec<Value> = states
        .iter()
        .filter(|state| !state.is_ready())
        .map(|state| json!({ "target": state.name, "status": state.word(), "reason": state.reason() }))
        .collect();
    let is_ready = sums.ready > 0 || sums.targets == 0;
    let status = match trouble.is_empty() {
        _ if served.targets.stop.is_requested() => {
            return answer(false, json!({ "status": "stopping" }));
        }
        true => "ready",
        false => "degraded",
    };
    let value = json!({ "status": status, "targets": sums.targets, "ready": sums.ready, "trouble": trouble });
    answer(is_ready, value)
}

async fn list(State(served): Shared) -> Response {
    let states = served.targets.states();
    let targets: Vec<Value> = states.iter().map(TargetState::to_json).collect();
    answer(true, json!({ "targets": targets }))
}

async fn all_metrics(State(served): Shared) -> Response {
    served.targets.show_gauges();
    rendered(&served.metrics)
}

/// A row for each target, and their sums.
async fn overview(State(served): Shared) -> Response {
    let states = served.targets.states();
    let sums = Sums::over(&states);
    let number = |number: Option<i64>| number.map_or_else(|| "–".to_owned(), thousands);
    let of_age = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), age);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="5";
                title { "Dayfold: targets" }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { "Targets" }
                table {
                    thead { tr {
                        th { "target" } th { "state" } th.n { "queued" } th.n { "oldest" }
                        th.n { "dead" } th.n { "completed" } th.n { "connections" }
                    } }
                    tbody {
                        @for state in &states {
                            tr class=[(!state.is_ready()).then_some("bad")] {
                                td { (state.name) }
                                td { (state.word()) @if let Some(reason) = state.reason() { ": " (reason) } }
                                td.n { (number(state.queued)) }
                                td.n { (of_age(state.oldest_s)) }
                                td.n { (number(state.dead)) }
                                td.n { (thousands(state.completed)) }
                                td.n { (number(state.pool.map(|(_, open, _)| i64::from(open)))) }
                            }
                        }
                    }
                    tfoot { tr {
                        td { (sums.targets) " targets" }
                        td { (sums.ready) " ready" }
                        td.n { (thousands(sums.queued)) }
                        td.n { (of_age(sums.oldest_s)) }
                        td.n { (thousands(sums.dead)) }
                        td.n { (thousands(sums.completed)) }
                        td.n { (sums.open) }
                    } }
                }
            }
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, page.into_string()).into_response()
}
