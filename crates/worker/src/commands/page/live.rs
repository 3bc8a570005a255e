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

use super::access::Visitor;
use super::{Page, Shared};

/// How often a stream looks for changes.
const EVERY: Duration = Duration::from_secs(2);

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
    let Ok(place) = Arc::clone(&page.streams).try_acquire_owned() else {
        let text = "too many pages are live; ask again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let begin = (page, visitor, view, String::new(), place);
    let events = stream::unfold(begin, |(page, visitor, view, last, place)| async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(page.update_interval()) => {}
                () = page.service.stop().requested() => return None,
            }
            let now = page.live(&view, &visitor).await?.into_string();
            if now != last {
                let event = Ok::<_, Infallible>(Event::default().event("live").data(&now));
                return Some((event, (page, visitor, view, now, place)));
            }
        }
    });
    Sse::new(events).into_response()
}
