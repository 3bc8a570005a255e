//! The checks that every request of the page passes: who sent it, whether they may, and in what time it is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::access::{Role, is_same_origin};
use super::frame::Frame;
use crate::service::Peer;

/// The longest that a request may take, with its form.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Nothing of another origin is loaded, sent to or shown in; no page contains a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(header::HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // With no-referrer, a form of ours would name no origin.
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Lets a request through, or says why not.
pub async fn guard(State(frame): State<Arc<Frame>>, mut request: Request, next: Next) -> Response {
    let answer = match refuse(&frame, &mut request) {
        Some(refusal) => refusal,
        None => match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
        },
    };
    with_headers(answer)
}

fn with_headers(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn refuse(frame: &Frame, request: &mut Request) -> Option<Response> {
    if !frame.access.is_served() {
        let text = "The operator's page is not served here: other hosts can reach this address, and the \
                    worker has no token. Set http.token, or the credential http-token; or set \
                    http.address to 127.0.0.1.\n";
        return Some((StatusCode::FORBIDDEN, text).into_response());
    }
    let peer = request.extensions().get::<Peer>().copied();
    let visitor = frame.access.visitor(request.headers(), peer);
    let (path, method) = (request.uri().path(), request.method());
    if *method != Method::GET && *method != Method::HEAD && !is_same_origin(request.headers()) {
        let text = "This form was not sent by a page of this worker.\n";
        return Some((StatusCode::FORBIDDEN, text).into_response());
    }
    let is_open = path == "/sign-in" || path.starts_with("/assets/");
    if frame.access.has_token() && visitor.role == Role::Anonymous && !is_open {
        if path.starts_with("/api/") || path.starts_with("/live/") || *method != Method::GET {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"dayfold\"")];
            let text = "{\"error\":\"a token is needed: Authorization: Bearer TOKEN\"}\n";
            return Some((StatusCode::UNAUTHORIZED, challenge, text).into_response());
        }
        let from = request.uri().path_and_query().map_or("/", |of| of.as_str());
        let from = utf8_percent_encode(from, NON_ALPHANUMERIC);
        return Some(Redirect::to(&format!("/sign-in?to={from}")).into_response());
    }
    request.extensions_mut().insert(visitor);
    None
}
