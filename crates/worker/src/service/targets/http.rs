//! Health and metrics of all targets, and their pages.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use super::Targets;
use super::state::{Sums, TargetState};
use crate::config::Http;
use crate::service::http::{PageWork, answer, begin, listen, rendered};

const PATHS: &str = "/health/live /health/ready /health/targets /metrics";

/// Makes the routes of the pages of all targets, and their work beside them.
pub type MakePages = fn(Arc<Targets>, PrometheusHandle, &Http) -> (Router, PageWork);

struct Served {
    targets: Arc<Targets>,
    metrics: PrometheusHandle,
}

type Shared = State<Arc<Served>>;

/// Listens on this address from now on. Returns the pages' work, which the process must carry out.
///
/// # Errors
/// If the address is in use or not one of this host.
pub(super) async fn serve(
    targets: Arc<Targets>,
    address: SocketAddr,
    settings: &Http,
    pages: MakePages,
) -> anyhow::Result<PageWork> {
    let (listener, metrics) = listen(address).await?;
    let (pages, page_work) = pages(Arc::clone(&targets), metrics.clone(), settings);
    let router = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/targets", get(list))
        .route("/metrics", get(all_metrics))
        .with_state(Arc::new(Served { targets, metrics }))
        .merge(pages)
        .fallback(|| async { (StatusCode::NOT_FOUND, format!("there is only / and {PATHS}\n")) });
    begin(listener, router, settings, address);
    Ok(page_work)
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
