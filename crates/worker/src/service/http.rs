//! Health and metrics over HTTP, for whoever asked for it in the configuration.
//!
//! No answer holds a health value, a URL or a password. There is no log-in: it listens on this
//! host only, unless it is told otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use store::PoolHealth;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::Service;
use super::database;
use crate::metrics;
use crate::report::milliseconds;

/// The longest that an answer of `/health/database` waits for the database: monitors give up after
/// some seconds themselves.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// For so long an answer of `/health/database` is good: however often it is asked, the database is
/// asked once a second at most.
const DATABASE_ANSWER_AGE: Duration = Duration::from_secs(1);

/// What prometheus-style histograms need now and then, so that their memory stays bounded.
const UPKEEP: Duration = Duration::from_secs(5);

const PATHS: &str = "/health/live /health/ready /health/database /health/db-pool /metrics";

struct Served {
    service: Arc<Service>,
    metrics: PrometheusHandle,
    database: Mutex<Option<(Instant, StatusCode, Value)>>,
}

type Shared = State<Arc<Served>>;

/// Listens at this address from now on.
///
/// # Errors
/// If it is taken or not of this host.
pub async fn serve(service: Arc<Service>, address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} (http.address and http.port); choose another port")
    })?;
    let metrics = metrics::install()?;
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    let served = Arc::new(Served { service, metrics, database: Mutex::new(None) });
    let router = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/database", get(database_health))
        .route("/health/db-pool", get(pool_health))
        .route("/metrics", get(all_metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, format!("there is only {PATHS}\n")) })
        .with_state(served);
    tracing::info!(event = "http_listening", address = %address, "health and metrics are served");
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

fn answer(good: bool, value: Value) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

/// Whether the process makes progress; if not, it should be restarted.
async fn live(State(served): Shared) -> Response {
    let stuck = served.service.is_stuck();
    let silent_seconds = served.service.heartbeat.silent_for().as_secs_f64();
    let status = if stuck { "stuck" } else { "ok" };
    answer(!stuck, json!({ "status": status, "silent_seconds": silent_seconds }))
}

/// Whether rows are being worked on.
async fn ready(State(served): Shared) -> Response {
    let service = &served.service;
    match service.database.state() {
        _ if service.stop.is_requested() => answer(false, json!({ "status": "stopping" })),
        database::State::Ready(_) => answer(true, json!({ "status": "ready" })),
        database::State::Unknown => answer(false, json!({ "status": "starting" })),
        database::State::Unavailable(reason) => {
            answer(false, json!({ "status": "degraded", "reason": reason }))
        }
    }
}

/// Whether the database answers now.
async fn database_health(State(served): Shared) -> Response {
    // Held while it is asked: who comes meanwhile waits for the same answer.
    let mut last = served.database.lock().await;
    let (good, value) = match &*last {
        Some((at, status, value)) if at.elapsed() < DATABASE_ANSWER_AGE => {
            (*status == StatusCode::OK, value.clone())
        }
        _ => {
            let (good, value) = ask(&served.service).await;
            let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            *last = Some((Instant::now(), status, value.clone()));
            (good, value)
        }
    };
    answer(good, value)
}

async fn ask(service: &Service) -> (bool, Value) {
    let Some(store) = service.database.store() else {
        let reason = match service.database.state() {
            database::State::Unavailable(reason) => reason,
            _ => "not connected yet".to_owned(),
        };
        return (false, json!({ "status": "unavailable", "reason": reason }));
    };
    let began = Instant::now();
    let reason = match tokio::time::timeout(DATABASE_TIMEOUT, store.clock()).await {
        Ok(Ok(_)) => {
            let latency_ms = milliseconds(began.elapsed());
            return (true, json!({ "status": "ok", "latency_ms": latency_ms }));
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", DATABASE_TIMEOUT.as_secs()),
    };
    (false, json!({ "status": "unavailable", "reason": reason }))
}

/// How full the pool is. Only an exhausted one, or none, is a failure.
async fn pool_health(State(served): Shared) -> Response {
    let Some(store) = served.service.database.store() else {
        return answer(false, json!({ "status": "unavailable" }));
    };
    let pool = store.stats();
    let value = json!({
        "status": pool.health.to_string(),
        "usage_percent": pool.utilisation,
        "in_use": pool.in_use,
        "idle": pool.idle,
        "open": pool.open,
        "max": pool.max,
        "waiting": pool.waiting,
    });
    answer(pool.health != PoolHealth::Exhausted, value)
}

/// Everything that is counted, as Prometheus reads it.
async fn all_metrics(State(served): Shared) -> Response {
    served.service.show_gauges();
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], served.metrics.render()).into_response()
}
