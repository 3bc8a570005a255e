//! Signing in with a token, and out.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::access::{Visitor, WRONG_TOKEN_PAUSE, safe_path};
use super::frame::Frame;
use super::layout::{self, View};

/// The form.
pub async fn form(
    State(frame): State<Arc<Frame>>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<HashMap<String, String>>,
) -> Markup {
    let to = query.get("to").map_or("/", |to| safe_path(to)).to_owned();
    shown(&frame, &visitor, &to, None)
}

fn shown(frame: &Frame, visitor: &Visitor, to: &str, problem: Option<&str>) -> Markup {
    let content = html! {
        h1 { "Sign in" }
        @if let Some(problem) = problem { p.notice.bad role="alert" { (problem) } }
        @if frame.access.has_token() {
            form.card method="post" action="/sign-in" {
                input type="hidden" name="to" value=(to);
                label for="token" { "Token" }
                input id="token" name="token" type="password" required autocomplete="current-password"
                      autofocus;
                button type="submit" { "Sign in" }
                p.small {
                    "The token is the setting http.token (viewer) or http.operator_token (operator) of this "
                    "worker. A session ends after an hour without a request, and when the worker ends."
                }
            }
        } @else {
            p { "This worker has no token, so there is nothing to sign in to. The page is read-only and shows "
                "no health value. Set http.token or http.operator_token, and start the worker again." }
        }
    };
    layout::page(frame, visitor, View::SignIn, "Sign in", &content)
}

/// Begins a session if the token is right.
pub async fn sign_in(
    State(frame): State<Arc<Frame>>,
    Extension(visitor): Extension<Visitor>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let to = form.get("to").map_or("/", |to| safe_path(to)).to_owned();
    let role = {
        let _one_guess = frame.access.guessing.lock().await;
        let role = frame.access.role_of(form.get("token").map_or("", String::as_str));
        if role.is_none() {
            tokio::time::sleep(WRONG_TOKEN_PAUSE).await;
        }
        role
    };
    let Some(role) = role else {
        tracing::warn!(
            event = "sign_in_refused",
            actor = visitor.actor,
            "Sign-in refused ({}): the token is wrong",
            visitor.actor
        );
        let shown = shown(&frame, &visitor, &to, Some("This token is not one of this worker's."));
        return (StatusCode::FORBIDDEN, shown).into_response();
    };
    let Some(cookie) = frame.access.begin(role) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let from = visitor.actor.rsplit_once(" from ").map_or("unknown", |(_, from)| from);
    tracing::info!(
        event = "signed_in",
        role = role.name(),
        from,
        "Signed in as {} from {from}",
        role.name()
    );
    ([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response()
}

/// Ends the session.
pub async fn sign_out(
    State(frame): State<Arc<Frame>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if !visitor.sent(form.get("csrf").map(String::as_str)) {
        return layout::refused_form().into_response();
    }
    let cookie = frame.access.end(&headers);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response()
}
