//! The page of several targets: a row for each and their sums, and the views of the target that a request names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use maud::{Markup, html};
use metrics_exporter_prometheus::PrometheusHandle;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower_service::Service as _;

use super::access::Visitor;
use super::frame::Frame;
use super::layout::{self, Column, View, badge, percent_encode};
use super::local::Local;
use super::{MAX_STREAMS, Page, live};
use crate::service::{Sums, TargetState, Targets};
use crate::tables::{age, thousands};
use crate::target;

/// The page of a target is kept for so long after its last request.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The pages of all targets.
struct Pages {
    targets: Arc<Targets>,
    metrics: PrometheusHandle,
    frame: Arc<Frame>,
    local: Local,
    streams: Arc<Semaphore>,
    open: Mutex<BTreeMap<String, OpenPage>>,
}

/// The page of a target that was asked for.
struct OpenPage {
    page: Arc<Page>,
    router: Router,
    used: Instant,
}

type Shared = State<Arc<Pages>>;

/// The routes. A request without a target gets all of them.
pub fn router(
    targets: Arc<Targets>,
    metrics: PrometheusHandle,
    frame: &Arc<Frame>,
    local: Local,
) -> Router {
    let pages = Pages {
        targets,
        metrics,
        frame: Arc::clone(frame),
        local,
        streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        open: Mutex::default(),
    };
    let views = ["/", "/failures", "/users", "/users/{user}/days/{date}", "/runs", "/settings"];
    let more = ["/doctor", "/actions", "/actions/confirm", "/actions/stop", "/live/{view}"];
    let api = ["overview", "failures", "users/{user}/days/{date}", "runs", "settings", "doctor"];
    let api = api.into_iter().chain(["actions"]).map(|path| format!("/api/{path}"));
    let paths = views.into_iter().chain(more).map(str::to_owned).chain(api);
    let routes = paths.fold(Router::new(), |routes, path| routes.route(&path, any(show)));
    routes.route("/api/targets", get(list)).with_state(Arc::new(pages))
}

/// The states and their sums as JSON.
pub fn to_json(states: &[TargetState]) -> Value {
    let Sums { targets, ready, queued, oldest_s, dead, completed, open } = Sums::over(states);
    let states: Vec<Value> = states.iter().map(TargetState::to_json).collect();
    json!({
        "targets": states,
        "sums": {
            "targets": targets,
            "ready": ready,
            "queued": queued,
            "oldest_seconds": oldest_s,
            "dead": dead,
            "completed": completed,
            "connections": open,
        },
    })
}

async fn list(State(pages): Shared) -> Json<Value> {
    Json(to_json(&pages.targets.states()))
}

/// Hands a request over to the page of the target that it names. Without one, it answers with all targets.
async fn show(State(pages): Shared, request: Request) -> Response {
    let visitor = request.extensions().get::<Visitor>().cloned();
    let Some(visitor) = visitor else { return StatusCode::FORBIDDEN.into_response() };
    let path = request.uri().path().to_owned();
    let Some(name) = named(request.uri()) else { return pages.all(&path, visitor) };
    let Some(router) = pages.of(&name) else {
        let problem = format!("There is no target {name}, or it has just ended.");
        return pages.missing(&path, &visitor, StatusCode::NOT_FOUND, &problem);
    };
    let request = without_path_arguments(request, visitor);
    target::within(name.as_str().into(), async move {
        let mut router = router;
        match router.call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    })
    .await
}

/// The request as it came. The routes here have taken arguments out of its path, which the routes of the target's page
/// would find beside their own.
fn without_path_arguments(request: Request, visitor: Visitor) -> Request {
    let (parts, body) = request.into_parts();
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = parts.headers;
    request.extensions_mut().insert(visitor);
    request
}

/// The target that a request names in its query.
fn named(uri: &Uri) -> Option<String> {
    let query = uri.query()?.split('&').find_map(|part| part.strip_prefix("target="))?;
    let name = query.replace('+', " ");
    let name = percent_decode_str(&name).decode_utf8().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

impl Pages {
    /// The page of a target; `None` if it is not served.
    fn of(&self, name: &str) -> Option<Router> {
        let service = self.targets.service_of(name)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        open.retain(|_, of| {
            now.duration_since(of.used) < KEPT_FOR || of.page.jobs.running().is_some()
        });
        // The target may have begun again with another service.
        if let Some(of) = open.get_mut(name).filter(|of| Arc::ptr_eq(&of.page.service, &service)) {
            of.used = now;
            return Some(of.router.clone());
        }
        let begin = || {
            let shared = (self.local.clone(), Arc::clone(&self.streams));
            Page::new(service, self.metrics.clone(), Arc::clone(&self.frame), shared)
        };
        let page = target::within_sync(name.into(), begin);
        let router = Arc::clone(&page).routes();
        open.insert(name.to_owned(), OpenPage { page, router: router.clone(), used: now });
        Some(router)
    }

    /// The answer to a request without a target.
    fn all(self: &Arc<Self>, path: &str, visitor: Visitor) -> Response {
        match path {
            "/" => {
                let content = overview(&self.targets.states());
                layout::page(&self.frame, &visitor, View::Overview, "Targets", &content)
                    .into_response()
            }
            "/live/overview" => {
                let (of, stop) = (Arc::clone(self), self.targets.stop().clone());
                let render = move || std::future::ready(overview(&of.targets.states()));
                live::events(&self.streams, stop, || live::EVERY, render)
            }
            _ => {
                let problem =
                    "Each target has this view. Choose one, or add target=NAME to the address.";
                self.missing(path, &visitor, StatusCode::BAD_REQUEST, problem)
            }
        }
    }

    /// Says that a request names no target, with those that there are.
    fn missing(
        &self,
        path: &str,
        visitor: &Visitor,
        status: StatusCode,
        problem: &str,
    ) -> Response {
        if path.starts_with("/api/") || path.starts_with("/live/") {
            let error = format!("{problem} /api/targets lists them.");
            return (status, Json(json!({ "error": error }))).into_response();
        }
        let names: Vec<String> =
            self.targets.states().into_iter().map(|state| state.name).collect();
        let content = html! {
            h1 { "Choose a target" }
            p.notice { (problem) }
            ul { @for name in &names { li { a href=(of_target(path, name)) { (name) } } } }
        };
        let shown = layout::page(&self.frame, visitor, View::Overview, "Choose a target", &content);
        (status, shown).into_response()
    }
}

/// The address of a view of a target.
fn of_target(path: &str, name: &str) -> String {
    format!("{path}?target={}", percent_encode(name))
}

const COLUMNS: [Column; 7] = [
    Column::Text("Target"),
    Column::Text("State"),
    Column::Number("Queued"),
    Column::Number("Oldest"),
    Column::Number("Dead"),
    Column::Number("Completed"),
    Column::Number("Connections"),
];

/// A row for each target, and their sums.
fn overview(states: &[TargetState]) -> Markup {
    let sums = Sums::over(states);
    let number = |number: Option<i64>| number.map_or_else(|| "–".to_owned(), thousands);
    let of_age = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), age);
    let in_trouble = sums.targets - sums.ready;
    let rows = html! {
        tr {
            th scope="row" { "All: " (sums.targets) " targets" }
            td { (sums.ready) " ready" }
            td.number { (thousands(sums.queued)) }
            td.number { (of_age(sums.oldest_s)) }
            td.number { (thousands(sums.dead)) }
            td.number { (thousands(sums.completed)) }
            td.number { (sums.open) }
        }
        @for state in states {
            tr {
                th scope="row" { a href=(of_target("/", &state.name)) { (state.name) } }
                td.long {
                    (badge(if state.is_ready() { "good" } else { "bad" }, state.word()))
                    @if let Some(reason) = state.reason() { " " (reason) }
                }
                td.number { (number(state.queued)) }
                td.number { (of_age(state.oldest_s)) }
                td.number {
                    @match state.dead {
                        Some(dead) if dead > 0 => a href=(of_target("/failures", &state.name)) { (thousands(dead)) },
                        dead => (number(dead)),
                    }
                }
                td.number { (thousands(state.completed)) }
                td.number { (number(state.pool.map(|(_, open, _)| i64::from(open)))) }
            }
        }
    };
    html! {
        h1 { "Targets" }
        @if in_trouble > 0 {
            p.notice.bad role="alert" data-attention=(in_trouble) {
                strong { (in_trouble) " of " (sums.targets) " targets" } " cannot be used now. The others continue."
            }
        }
        (layout::table("The targets of this worker, and their sums", &COLUMNS, &rows))
        p.small {
            "Queued and oldest are as each service counted them last. A target without work for long is counted "
            "every minute."
        }
    }
}
