//! The operator's page: the state of the work, failures, a user's day, and actions, in a browser.
//!
//! Pages are whole without a script; the script only replaces what is live. All open pages share what was read
//! last, so that ten cost what one costs. The page has one connection to the database beside the pool, whose
//! statements end after two seconds.

mod access;
mod actions;
mod cached;
mod database;
mod doctor;
mod failures;
mod frame;
mod guard;
mod jobs;
mod layout;
mod live;
mod local;
mod measured;
mod overview;
mod runs;
mod settings;
mod sign_in;
mod sparkline;
mod targets;
mod user_day;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::config::Http;
use crate::service::{PageWork, Service, Targets};
use crate::target;
use cached::Cached;
use database::Database;
use frame::Frame;
use jobs::Jobs;
use local::Local;
use measured::Rates;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
const OPENAPI: &str = include_str!("openapi.json");

/// A form may have this many bytes.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// Streams of live updates at once. One more page asks again every few seconds instead.
const MAX_STREAMS: usize = 16;

/// The state that all requests for one database share.
pub struct Page {
    frame: Arc<Frame>,
    service: Arc<Service>,
    metrics: PrometheusHandle,
    database: Database,
    rates: Mutex<Rates>,
    overview: Cached<overview::Overview>,
    failures: Cached<failures::Failures>,
    runs: Cached<Vec<store::Run>>,
    doctor: Cached<Vec<serde_json::Value>>,
    actions: Cached<Vec<store::OperatorAction>>,
    jobs: Jobs,
    local: Local,
    streams: Arc<Semaphore>,
}

/// The page, as handlers get it.
type Shared = State<Arc<Page>>;

/// The routes of the page of the only database, and its work that the service must carry out.
pub fn router(service: Arc<Service>, metrics: PrometheusHandle, http: &Http) -> (Router, PageWork) {
    let (local, tasks) = Local::new();
    let frame = Arc::new(Frame::new(http, service.name(), false));
    let streams = Arc::new(Semaphore::new(MAX_STREAMS));
    let page = Page::new(service, metrics, Arc::clone(&frame), (local, streams));
    let none = || async { axum::Json(targets::to_json(&[])) };
    let router = page.routes().merge(common(&frame)).route("/api/targets", get(none));
    (guarded(router, frame), Box::pin(tasks.carry_out()))
}

/// The routes of several targets' pages, and their work that the process must carry out.
pub fn router_of_targets(
    of: Arc<Targets>,
    metrics: PrometheusHandle,
    http: &Http,
) -> (Router, PageWork) {
    let (local, tasks) = Local::new();
    let frame = Arc::new(Frame::new(http, of.worker(), true));
    let router = targets::router(of, metrics, &frame, local).merge(common(&frame));
    (guarded(router, frame), Box::pin(tasks.carry_out()))
}

/// The routes that need no database.
fn common(frame: &Arc<Frame>) -> Router {
    Router::new()
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/assets/page.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/assets/page.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/api/openapi.json", get(|| asset("application/json", OPENAPI)))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .with_state(Arc::clone(frame))
}

/// Routes behind the checks that every request passes.
fn guarded(router: Router, frame: Arc<Frame>) -> Router {
    router.layer(from_fn_with_state(frame, guard::guard))
}

impl Page {
    /// The page of a database, for the target of the calling task.
    fn new(
        service: Arc<Service>,
        metrics: PrometheusHandle,
        frame: Arc<Frame>,
        (local, streams): (Local, Arc<Semaphore>),
    ) -> Arc<Self> {
        let page = Arc::new(Self {
            frame,
            database: Database::default(),
            rates: Mutex::new(Rates::new(Instant::now())),
            overview: Cached::new(Duration::from_secs(1)),
            failures: Cached::new(Duration::from_secs(3)),
            runs: Cached::new(Duration::from_secs(2)),
            doctor: Cached::new(Duration::from_secs(60)),
            actions: Cached::new(Duration::from_secs(1)),
            jobs: Jobs::default(),
            local,
            streams,
            service,
            metrics,
        });
        tokio::spawn(target::inherited(target::name(), count(Arc::downgrade(&page))));
        page
    }

    /// The routes of its views.
    fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/", get(overview::show))
            .route("/failures", get(failures::show))
            .route("/users", get(user_day::ask))
            .route("/users/{user}/days/{date}", get(user_day::show))
            .route("/runs", get(runs::show))
            .route("/settings", get(settings::show))
            .route("/doctor", get(doctor::show))
            .route("/actions", get(actions::show).post(actions::act))
            .route("/actions/confirm", get(actions::confirm))
            .route("/actions/stop", post(actions::stop))
            .route("/live/{view}", get(live::stream))
            .route("/api/overview", get(overview::json))
            .route("/api/failures", get(failures::json))
            .route("/api/users/{user}/days/{date}", get(user_day::json))
            .route("/api/runs", get(runs::json))
            .route("/api/settings", get(settings::json))
            .route("/api/doctor", get(doctor::json))
            .route("/api/actions", get(actions::json))
            .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
            .with_state(self)
    }
}

async fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], text)
}

/// Reads the counters of this worker now and then, as long as there is the page.
async fn count(page: Weak<Page>) {
    while let Some(page) = page.upgrade() {
        let counters = measured::counters(&page.metrics.render());
        page.rates().add(Instant::now(), counters);
        drop(page);
        tokio::time::sleep(measured::SAMPLE_EVERY).await;
    }
}

impl Page {
    fn rates(&self) -> std::sync::MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
