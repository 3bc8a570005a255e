//! Live updates by server-sent events: the live part of a view, whenever it has changed.
//!
//! A stream sends whole pieces of a page that escape every text, as the page itself does. The database is asked
//! as often as for one page, however many streams are open. A stream ends with its connection, after 30 seconds
//! at the latest; the browser opens the next one by itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use maud::Markup;
use tokio::sync::Semaphore;

use super::access::Visitor;
use super::{Page, Shared};
use crate::stop::Stop;
use crate::target;

/// How often a stream looks for changes.
pub const EVERY: Duration = Duration::from_secs(2);

/// The same, while an action runs.
const EVERY_OF_ACTION: Duration = Duration::from_millis(500);

impl Page {
    fn update_interval(&self) -> Duration {
        if self.jobs.running().is_some() { EVERY_OF_ACTION } else { EVERY }
    }

    async fn live(&self, view: &str, visitor: &Visitor) -> Option<Markup> {
        Some(match view {
            "overview" => self.overview_content(visitor).await,
            "failures" => self.failures_content(visitor).await,
            "runs" => self.runs_content().await,
            "actions" => self.actions_content(visitor).await,
            _ => return None,
        })
    }
}

/// The stream of a view.
pub async fn stream(
    State(page): Shared,
    Extension(visitor): Extension<Visitor>,
    Path(view): Path<String>,
) -> Response {
    if page.live(&view, &visitor).await.is_none() {
        return (StatusCode::NOT_FOUND, "there is no such live view\n").into_response();
    }
    let (streams, stop) = (Arc::clone(&page.streams), page.service.stop().clone());
    let of = Arc::clone(&page);
    let every = move || of.update_interval();
    // The stream is polled when the request, and with it the task of the target, has ended.
    let name = target::name();
    events(&streams, stop, every, move || {
        let (page, visitor, view) = (Arc::clone(&page), visitor.clone(), view.clone());
        let shown = async move { page.live(&view, &visitor).await.unwrap_or_default() };
        target::inherited(name.clone(), shown)
    })
}

/// Events with the outcome of `render`, whenever it has changed, until a stop is requested.
pub fn events<F: Future<Output = Markup> + Send + 'static>(
    streams: &Arc<Semaphore>,
    stop: Stop,
    every: impl Fn() -> Duration + Send + 'static,
    render: impl Fn() -> F + Send + 'static,
) -> Response {
    let Ok(place) = Arc::clone(streams).try_acquire_owned() else {
        let text = "too many pages are live; ask again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let begin = (every, render, stop, String::new(), place);
    let events = stream::unfold(begin, |(every, render, stop, last, place)| async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(every()) => {}
                () = stop.requested() => return None,
            }
            let now = render().await.into_string();
            if now != last {
                let event = Ok::<_, Infallible>(Event::default().event("live").data(&now));
                return Some((event, (every, render, stop, now, place)));
            }
        }
    });
    Sse::new(events).into_response()
}
