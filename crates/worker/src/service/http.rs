//! Health and metrics over HTTP, if the configuration sets a port.
//!
//! No response contains a health value, a URL or a password. There is no authentication: the server
//! listens on this host only, unless the configuration names another address. A request with a foreign
//! host name is refused, so that a page in a browser cannot read responses by DNS rebinding.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use store::PoolHealth;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};

use super::Service;
use super::database;
use crate::config::Http;
use crate::metrics;
use crate::run::summary::{count_from_zero, milliseconds};

/// Maximum wait of `/health/database` for the database: monitors give up after some seconds.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer of `/health/database` is reused. However often it is requested, the database is
/// queried once a second at most.
const DATABASE_ANSWER_AGE: Duration = Duration::from_secs(1);

/// Interval of the upkeep of histograms, which limits their memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Maximum of open connections. A process may often open only 1,024 files, including those of the
/// database; further clients wait in the operating system's queue.
const MAX_CONNECTIONS: usize = 64;

/// Time limit for the head of a request, and for the next request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Time after which a connection is closed, so that slow clients free their slot.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum size of a request's head, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The pause after the operating system refused a connection, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

const PATHS: &str = "/health/live /health/ready /health/database /health/db-pool /metrics";

struct Served {
    service: Arc<Service>,
    metrics: PrometheusHandle,
    database: Mutex<Option<(Instant, StatusCode, Value)>>,
}

type Shared = State<Arc<Served>>;

/// The address from which a request comes.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Makes the routes of the operator's page, and its work beside them.
pub type MakePage = fn(Arc<Service>, PrometheusHandle, &Http) -> (Router, PageWork);

/// The page's work that the service must carry out, for ever.
pub type PageWork = Pin<Box<dyn Future<Output = Infallible>>>;

/// Listens on this address from now on. Returns the page's work, which the service must carry out.
///
/// # Errors
/// If the address is in use or not one of this host.
pub async fn serve(
    service: Arc<Service>,
    address: SocketAddr,
    settings: &Http,
    page: MakePage,
) -> anyhow::Result<PageWork> {
    let (listener, metrics) = listen(address).await?;
    count_from_zero();
    let (page, page_work) = page(Arc::clone(&service), metrics.clone(), settings);
    let served = Arc::new(Served { service, metrics, database: Mutex::new(None) });
    let router = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/database", get(database_health))
        .route("/health/db-pool", get(pool_health))
        .route("/metrics", get(all_metrics))
        .with_state(served)
        .merge(page)
        .fallback(|| async { (StatusCode::NOT_FOUND, format!("there is only / and {PATHS}\n")) });
    begin(listener, router, settings, address);
    Ok(page_work)
}

/// Binds the address and begins to count metrics.
///
/// # Errors
/// If the address is in use or not one of this host.
pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, PrometheusHandle)> {
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
    Ok((listener, metrics))
}

/// Serves these routes from now on, to allowed host names.
pub(super) fn begin(listener: TcpListener, router: Router, settings: &Http, address: SocketAddr) {
    let hosts: Arc<[String]> = settings.allowed_hosts.iter().cloned().collect();
    let router = router.layer(from_fn_with_state(hosts, refuse_foreign_hosts));
    tracing::info!(
        event = "http_listening",
        address = %address,
        "Health, metrics and the operator's page are served at http://{address}/"
    );
    tokio::spawn(accept(listener, router));
}

/// Accepts connections, at most [`MAX_CONNECTIONS`] at once.
async fn accept(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, from)) => {
                let router = router.clone().layer(Extension(Peer(from.ip())));
                let connection = connection(stream, router);
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves the requests of one connection. Errors are those of the client, so they are not logged.
async fn connection(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

/// Refuses a request whose `Host` is neither an IP address, nor localhost, nor configured.
async fn refuse_foreign_hosts(
    State(allowed): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    if is_allowed_host(request.headers(), &allowed) {
        return next.run(request).await;
    }
    let text = "this host name is not served; add it to http.allowed_hosts or use an IP address\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// Browsers always send `Host`, so a request without it is no attack by rebinding.
fn is_allowed_host(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else { return true };
    let Some(host) = host.to_str().ok().filter(|_| hosts.next().is_none()) else { return false };
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed
            .split_once(']')
            .is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || allowed.iter().any(|host| host.eq_ignore_ascii_case(name))
}

pub(super) fn answer(good: bool, value: Value) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

/// Whether the process makes progress. If not, it should be restarted.
async fn live(State(served): Shared) -> Response {
    let stuck = served.service.is_stuck();
    let silent_seconds = served.service.heartbeat.silent_for().as_secs_f64();
    let status = if stuck { "stuck" } else { "ok" };
    answer(!stuck, json!({ "status": status, "silent_seconds": silent_seconds }))
}

/// Whether rows are being processed.
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
    // Held during the query: concurrent requests wait for the same answer.
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

/// The load of the pool. Only an exhausted or missing pool is a failure.
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

/// All metrics in Prometheus's text format.
async fn all_metrics(State(served): Shared) -> Response {
    served.service.show_gauges();
    rendered(&served.metrics)
}

pub(super) fn rendered(metrics: &PrometheusHandle) -> Response {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], metrics.render()).into_response()
}
