//! The parts that all pages share.

use aggregation::{Timestamp, UserId};
use axum::http::StatusCode;
use chrono::NaiveDate;
use maud::{DOCTYPE, Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::access::{Role, Visitor};
use super::cached::Known;
use super::frame::Frame;
use crate::service::Breaker;
use crate::tables::age;
use crate::target;

/// The views, in the order of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Overview,
    Failures,
    Users,
    Runs,
    Settings,
    Doctor,
    Actions,
    SignIn,
}

impl View {
    const LISTED: [(Self, &'static str, &'static str); 7] = [
        (Self::Overview, "/", "Overview"),
        (Self::Failures, "/failures", "Failures"),
        (Self::Users, "/users", "User's day"),
        (Self::Runs, "/runs", "Runs"),
        (Self::Settings, "/settings", "Settings"),
        (Self::Doctor, "/doctor", "Doctor"),
        (Self::Actions, "/actions", "Actions"),
    ];

    /// The name by which its live part is asked for, if it has one.
    const fn live(self) -> Option<&'static str> {
        match self {
            Self::Overview => Some("overview"),
            Self::Failures => Some("failures"),
            Self::Runs => Some("runs"),
            Self::Actions => Some("actions"),
            Self::Users | Self::Settings | Self::Doctor | Self::SignIn => None,
        }
    }
}

/// The address of a path of the page. The page of a target leads to pages of the same target.
pub fn address(path: &str) -> String {
    let Some(name) = target::name() else { return path.to_owned() };
    let (path, fragment) = path.find('#').map_or((path, ""), |place| path.split_at(place));
    let joined = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joined}target={}{fragment}", percent_encode(&name))
}

/// The address of a user's day.
pub fn address_of_day(user: &UserId, date: NaiveDate) -> String {
    address(&format!("/users/{}/days/{date}", percent_encode(&user.to_string())))
}

/// The field by which a form that is sent by GET leads to the same target.
pub fn target_field() -> Markup {
    html! { @if let Some(name) = target::name() { input type="hidden" name="target" value=(name); } }
}

/// A whole page.
pub fn page(frame: &Frame, visitor: &Visitor, view: View, title: &str, content: &Markup) -> Markup {
    let target = target::name();
    // Other views than the overview are those of a target.
    let is_of_all = frame.has_targets && target.is_none();
    let views = View::LISTED.into_iter().filter(|(of, ..)| !is_of_all || *of == View::Overview);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex, nofollow";
                meta name="color-scheme" content="light dark";
                title { (title) @if let Some(name) = &target { " · " (name) } " · Dayfold" }
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/page.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    p.brand {
                        a href="/" { "Dayfold" } " " span.soft { (frame.worker) }
                        @if let Some(name) = &target {
                            " " span { "Target " strong { (name) } " (" a href="/" { "all targets" } ")" }
                        }
                    }
                    nav aria-label="Views" {
                        ul {
                            @for (of, path, label) in views {
                                li {
                                    @if of == view { a href=(address(path)) aria-current="page" { (label) } }
                                    @else { a href=(address(path)) { (label) } }
                                }
                            }
                        }
                    }
                    (session(frame, visitor))
                }
                main id="main" tabindex="-1" {
                    @if let Some(live) = view.live() {
                        div id="live" data-live=(address(live)) { (content) }
                    } @else {
                        (content)
                    }
                }
                footer {
                    p { "Dayfold worker " (env!("CARGO_PKG_VERSION")) ". Nothing here is loaded from another host." }
                    p.soft id="live-state" hidden {}
                }
            }
        }
    }
}

fn session(frame: &Frame, visitor: &Visitor) -> Markup {
    html! {
        div.session {
            @if let Some(csrf) = &visitor.csrf {
                form method="post" action="/sign-out" {
                    input type="hidden" name="csrf" value=(csrf);
                    span { "Signed in: " (visitor.role.name()) " " }
                    button.plain type="submit" { "Sign out" }
                }
            } @else if frame.access.has_token() {
                a href="/sign-in" { "Sign in" }
            } @else {
                span.soft { "Read-only, without health values: no token is set" }
            }
        }
    }
}

/// The page that says that something needs another role.
pub fn needs(frame: &Frame, visitor: &Visitor, view: View, role: Role) -> (StatusCode, Markup) {
    let exists = match role {
        Role::Operator => frame.access.has_operator(),
        Role::Viewer | Role::Anonymous => frame.access.has_token(),
    };
    let setting = if role == Role::Operator { "http.operator_token" } else { "http.token" };
    let content = html! {
        h1 { "Not allowed" }
        p.notice {
            @if exists { "This needs the token of the role " strong { (role.name()) } ". Sign out, and sign in with it." }
            @else { "This needs a token. Set " code { (setting) }
                    " or give the worker the credential, and start it again." }
        }
    };
    (StatusCode::FORBIDDEN, page(frame, visitor, view, "Not allowed", &content))
}

/// The answer to a form whose session has ended, or that another site made up.
pub const fn refused_form() -> (StatusCode, &'static str) {
    (
        StatusCode::FORBIDDEN,
        "This form is of a session that has ended. Go back, reload the page, and send it again.\n",
    )
}

/// The text of a page for wrong input.
pub fn wrong(frame: &Frame, visitor: &Visitor, view: View, problem: &str) -> (StatusCode, Markup) {
    let content = html! { h1 { "Not understood" } p.notice.bad role="alert" { (problem) } };
    (StatusCode::BAD_REQUEST, page(frame, visitor, view, "Not understood", &content))
}

/// Says that the database is away and what was last known, or that what is shown is old.
pub fn outage<T>(breaker: &Breaker, known: &Known<T>) -> Markup {
    let old = known.at.map(|at| age(at.elapsed().as_secs_f64()));
    html! {
        @match (breaker, &known.error) {
            (Breaker::Open { cause, since, next }, _) => {
                p.notice.bad role="alert" {
                    strong { "The database cannot be used" } " for " (age(since.as_secs_f64())) ": "
                    (cause.trim_end_matches('.')) ". Rows stay queued. The worker tries again in " (age(next.as_secs_f64())) ". "
                    @match &old {
                        Some(old) => { "This page shows what was known " (old) " ago." }
                        None => { "Nothing was known before." }
                    }
                }
            }
            (Breaker::Starting, _) => {
                p.notice role="status" { "The worker has not connected to the database yet." }
            }
            (Breaker::Closed, Some(error)) => {
                p.notice.bad role="alert" {
                    strong { "The database did not answer the page" } ": " (error) " "
                    @if let Some(old) = &old { "This page shows what was known " (old) " ago." }
                }
            }
            (Breaker::Closed, None) => {}
        }
    }
}

/// A word with a sign and a colour, so that it is told without either.
pub fn badge(class: &str, text: &str) -> Markup {
    let sign = match class {
        "good" => "●",
        "warn" => "▲",
        "bad" => "✖",
        _ => "○",
    };
    html! { span class={ "badge " (class) } { span aria-hidden="true" { (sign) " " } (text) } }
}

/// A time for people.
pub fn instant(at: Timestamp) -> Markup {
    let at = at.to_utc();
    html! { time datetime=(at.to_rfc3339()) { (at.format("%Y-%m-%d %H:%M:%S UTC").to_string()) } }
}

/// A share as a bar, and in words beside it.
pub fn meter(percent: f64, label: &str) -> Markup {
    let percent = percent.clamp(0.0, 100.0);
    html! {
        svg.meter viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.meter-ground x="0" y="0" width="100" height="8" {}
            rect.meter-value x="0" y="0" width=(format!("{percent:.1}")) height="8" {}
        }
    }
}

/// Escapes a user's id for the path of an address.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, &IN_PATH).to_string()
}

/// Of ASCII, a path has letters, digits and these as they are.
const IN_PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A column of a table, by its heading.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Of words.
    Text(&'static str),
    /// Of numbers, which are aligned to the right.
    Number(&'static str),
}

/// A table, which scrolls by itself on a narrow screen. The caption is for screen readers; for others the heading
/// above says it.
pub fn table(caption: &str, columns: &[Column], rows: &Markup) -> Markup {
    html! {
        div.wide {
            table {
                caption { span.hidden { (caption) } }
                thead {
                    tr {
                        @for column in columns {
                            @match column {
                                Column::Text(heading) => th scope="col" { (heading) },
                                Column::Number(heading) => th.number scope="col" { (heading) },
                            }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

/// The progress of an action; without a total a bar that tells no share.
pub fn progress(done: i64, total: Option<i64>, label: &str) -> Markup {
    let total = total.map(|total| total.max(1));
    let value = total.map(|total| done.clamp(0, total));
    html! { progress aria-label=(label) max=[total] value=[value] {} }
}
