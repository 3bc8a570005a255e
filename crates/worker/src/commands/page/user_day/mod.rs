//! A user's day: each figure, and each raw row with the verdict on it and the reason.
//!
//! The only view with health values. It needs a token, and each view is an entry in the log.

mod day;
mod read;
mod words;

use std::collections::HashMap;

use aggregation::UserId;
use aggregation::local_time::Zone;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use chrono::{NaiveDate, NaiveDateTime};
use maud::{Markup, html};
use serde_json::{Value, json};

use self::day::{Day, Row, Section, rounded};
use super::access::{Role, Visitor};
use super::database::{in_words, read_user};
use super::layout::{self, Column, View, address_of_day, badge, instant, target_field};
use super::{Page, Shared};
use crate::tables::{counted, thousands};
use crate::user_ids;

/// Raw rows that are shown of each figure; a sensor may send 86,400 a day.
const MAX_ROWS: usize = 500;

/// The form, or the day that it asks for.
pub async fn ask(
    State(page): Shared,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if visitor.role < Role::Viewer {
        return layout::needs(&page.frame, &visitor, View::Users, Role::Viewer).into_response();
    }
    if let (Some(user), Some(date)) = (query.get("user"), query.get("date")) {
        return match page.parse(user.trim(), date).await {
            Ok((user, date)) => Redirect::to(&address_of_day(&user, date)).into_response(),
            Err((status, problem)) => refused(&page, &visitor, status, &problem),
        };
    }
    let content = html! {
        h1 { "A user's day" }
        p.soft {
            "Each figure of a local date, and each raw row: whether it counts, and why. Each view is an entry in "
            "the worker's log, with the user and without any value."
        }
        (form(None, None))
    };
    layout::page(&page.frame, &visitor, View::Users, "A user's day", &content).into_response()
}

fn parse_date(date: &str) -> Option<NaiveDate> {
    let years = NaiveDate::from_ymd_opt(1, 1, 1)?..=NaiveDate::from_ymd_opt(9999, 12, 31)?;
    date.parse().ok().filter(|date| years.contains(date))
}

fn form(user: Option<&UserId>, date: Option<NaiveDate>) -> Markup {
    html! {
        form.ask method="get" action="/users" {
            (target_field())
            label for="user" { "User" }
            input id="user" name="user" type="text" required maxlength="1024" value=[user];
            label for="date" { "Local date" }
            input id="date" name="date" type="date" required value=[date];
            button type="submit" { "Show" }
        }
    }
}

impl Page {
    async fn parse(
        &self,
        user: &str,
        date: &str,
    ) -> Result<(UserId, NaiveDate), (StatusCode, String)> {
        let wrong = |problem: String| (StatusCode::BAD_REQUEST, problem);
        let date = parse_date(date)
            .ok_or_else(|| wrong("The date must be one such as 2026-03-29.".to_owned()))?;
        let id_type = self.user_id_type().await;
        let id_type = id_type.map_err(|problem| (StatusCode::SERVICE_UNAVAILABLE, problem))?;
        Ok((read_user(id_type, user).map_err(wrong)?, date))
    }

    async fn read_day(
        &self,
        visitor: &Visitor,
        user: UserId,
        date: NaiveDate,
    ) -> Result<Day, String> {
        tracing::info!(
            event = "user_day_viewed",
            user_id = user_ids::logged(&user),
            date = %date,
            actor = visitor.actor,
            "A day of user {user} was viewed ({}): {date}",
            visitor.actor
        );
        let (store, inputs) = (self.store().await?, self.service.inputs());
        let read = self.local.run(move || async move {
            read::read(&store, &inputs, user, date).await.map_err(|error| in_words(&error))
        });
        read.await.unwrap_or_else(|| Err("The worker ends.".to_owned()))
    }
}

/// The view.
pub async fn show(
    State(page): Shared,
    Extension(visitor): Extension<Visitor>,
    Path((user, date)): Path<(String, String)>,
) -> Response {
    if visitor.role < Role::Viewer {
        return layout::needs(&page.frame, &visitor, View::Users, Role::Viewer).into_response();
    }
    let (user, date) = match page.parse(&user, &date).await {
        Ok(asked) => asked,
        Err((status, problem)) => return refused(&page, &visitor, status, &problem),
    };
    let title = format!("User {user}, {date}");
    match page.read_day(&visitor, user, date).await {
        Ok(day) => {
            layout::page(&page.frame, &visitor, View::Users, &title, &content(&day)).into_response()
        }
        Err(problem) => {
            let content = html! {
                h1 { (title) }
                p.notice.bad role="alert" { strong { "The day cannot be read now: " } (problem) }
            };
            let shown = layout::page(&page.frame, &visitor, View::Users, &title, &content);
            (StatusCode::SERVICE_UNAVAILABLE, shown).into_response()
        }
    }
}

fn refused(page: &Page, visitor: &Visitor, status: StatusCode, problem: &str) -> Response {
    let (_, shown) = layout::wrong(&page.frame, visitor, View::Users, problem);
    (status, shown).into_response()
}

fn content(day: &Day) -> Markup {
    let neighbour = |date: Option<NaiveDate>, label: &str| {
        html! {
            @if let Some(date) = date {
                a href=(address_of_day(&day.user_id, date)) { (label) " " (date) }
            }
        }
    };
    html! {
        h1 { "User " (day.user_id) ", " (day.date.format("%a %-d %B %Y")) }
        p { (neighbour(day.date.pred_opt(), "←")) " · " (neighbour(day.date.succ_opt(), "→")) }
        dl.pairs {
            div { dt { "Time zone" } dd {
                (day.time_zone)
                @if day.has_profile { " (the profile's)" } @else { " (the default: the user has no profile)" }
            } }
            div { dt { "Sources, best first" } dd {
                @if day.source_order.is_empty() { "none listed; by name" } @else { (day.source_order.join(", ")) }
            } }
            div { dt { "Waiting" } dd {
                @if day.waiting == 0 { (badge("good", "nothing waits near this date")) }
                @else {
                    (badge("warn", "not up to date")) " "
                    (counted(day.waiting, "changed raw row waits", "changed raw rows wait")) " in the queue"
                }
                @if day.dead > 0 {
                    " " (badge("bad", "dead")) " " (counted(day.dead, "row of the user was", "rows of the user were"))
                    " given up"
                }
            } }
        }
        details { summary { "Another user or date" } (form(Some(&day.user_id), Some(day.date))) }
        @if day.is_frozen {
            p.notice role="note" {
                strong { "The figures of this date are frozen. " }
                "They stay as they are stored: raw rows of it may be gone, and new or changed ones are refused with "
                "the reason frozen."
            }
        }
        @if day.sections.is_empty() { p { "There are neither figures nor raw rows of this date." } }
        @for (index, section) in day.sections.iter().enumerate() { (self::section(day, index, section)) }
        p.small {
            "The functions that compute the figures judge and fold the raw rows again. The result is compared with the "
            "stored figures to the last bit. A difference means that rows wait, or that the figure was computed under "
            "another profile, catalogue or version; a backfill computes it again."
        }
    }
}

fn section(day: &Day, index: usize, section: &Section) -> Markup {
    let id = format!("section-{index}");
    let figures = section.figures.iter().filter(|figure| figure.is_there());
    let counting = section.rows.iter().filter(|row| row.counts).count();
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) {
                (section.name)
                @if !section.unit.is_empty() {
                    // An annotation in braces is a word of its own, as in {steps}.
                    " " span.soft { "(" (section.unit.replace(['{', '}'], "")) ")" }
                }
            }
            p.small {
                (section.table)
                @if let Some(row) = &section.row {
                    ", computed " (instant(row.computed_at)) ", " (read::circumstances(row))
                } @else if !section.figures.is_empty() { ": nothing is stored" }
            }
            @if !section.figures.is_empty() {
                @if section.agrees() { p { (badge("good", "The raw rows give these figures, to the last bit")) } }
                @else if day.is_frozen {
                    p { (badge("none", "Frozen: the raw rows that are left give other figures")) }
                } @else if day.waiting > 0 {
                    p { (badge("warn", "The raw rows give other figures now: some of them wait in the queue")) }
                } @else { p { (badge("bad", "The raw rows give other figures now")) } }
                div.figures {
                    (layout::table(&format!("Figures of {}", section.name), &FIGURES, &html! {
                        @for figure in figures {
                            tr {
                                th scope="row" { (figure.name) @if !figure.agree && !day.is_frozen { " " (badge("bad", "differs")) } }
                                td.number { (figure.stored.as_deref().unwrap_or("–")) }
                                td.number { (figure.computed.as_deref().unwrap_or("–")) }
                            }
                        }
                    }))
                }
            }
            details open[section.rows.len() <= 50] {
                summary {
                    (counted(section.rows.len() as i64, "raw row", "raw rows")) ", "
                    (thousands(counting as i64)) " of them count"
                }
                (rows(section, day.time_zone.parse().ok()))
            }
        }
    }
}

const FIGURES: [Column; 3] =
    [Column::Text("Figure"), Column::Number("Stored"), Column::Number("From the raw rows now")];

const COUNTS: Column = Column::Number("Counts");

const ROWS: [Column; 7] = [
    Column::Number("Row"),
    Column::Text("What"),
    Column::Text("Source"),
    Column::Text("Time in UTC, and the user's"),
    Column::Number("Value"),
    Column::Text("Verdict"),
    Column::Text("Why"),
];

fn rows(section: &Section, zone: Option<Zone>) -> Markup {
    let rows = &section.rows;
    let has_parts = rows.iter().any(|row| row.part.is_some());
    let mut columns = ROWS.to_vec();
    if has_parts {
        columns.insert(5, COUNTS);
    }
    let shown = html! {
        @for row in rows.iter().take(MAX_ROWS) {
            tr.uncounted[!row.counts] {
                td.number { (row.id) }
                td.long { (row.name) }
                td.long { (row.source) }
                td { (times(row, zone)) }
                td.number { (row.value.as_deref().unwrap_or("–")) " " span.soft { (row.unit.as_deref().unwrap_or("")) } }
                @if has_parts { td.number { (row.part.map_or_else(|| "–".to_owned(), rounded)) } }
                th scope="row" { (badge(if row.counts { "good" } else { "none" }, row.verdict)) }
                td.long { (row.why) }
            }
        }
    };
    html! {
        (layout::table(&format!("Raw rows of {}", section.name), &columns, &shown))
        @if rows.len() > MAX_ROWS {
            p.small { "The first " (MAX_ROWS) " of " (thousands(rows.len() as i64)) " rows by time." }
        }
    }
}

/// The times of a row in UTC, and by the user's clocks, which say to which date it belongs.
fn times(row: &Row, zone: Option<Zone>) -> Markup {
    let (from, to) = (row.starts_at.to_utc().naive_utc(), row.ends_at.to_utc().naive_utc());
    let local = zone.map(|zone| (zone.clock(row.starts_at), zone.clock(row.ends_at)));
    html! {
        time datetime=(row.starts_at.to_utc().to_rfc3339()) data-local { (span(from, to)) }
        @if let Some((from, to)) = local.filter(|local| local.0 != from || local.1 != to) {
            br;
            span.local { (span(from, to)) }
        }
    }
}

/// From one time to another; of the same date, the date is written once.
fn span(from: NaiveDateTime, to: NaiveDateTime) -> String {
    let text = from.format("%Y-%m-%d %H:%M:%S").to_string();
    if from == to {
        text
    } else if from.date() == to.date() {
        format!("{text} – {}", to.format("%H:%M:%S"))
    } else {
        format!("{text} – {}", to.format("%Y-%m-%d %H:%M:%S"))
    }
}

/// The view as JSON.
pub async fn json(
    State(page): Shared,
    Extension(visitor): Extension<Visitor>,
    Path((user, date)): Path<(String, String)>,
) -> Response {
    let answer = |status: StatusCode, value: Value| (status, Json(value)).into_response();
    if visitor.role < Role::Viewer {
        let error = "health values are shown only with a token: set http.token";
        return answer(StatusCode::FORBIDDEN, json!({ "error": error }));
    }
    let (user, date) = match page.parse(&user, &date).await {
        Ok(asked) => asked,
        Err((status, problem)) => return answer(status, json!({ "error": problem })),
    };
    match page.read_day(&visitor, user, date).await {
        Ok(day) => answer(StatusCode::OK, to_json(&day)),
        Err(problem) => answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": problem })),
    }
}

fn to_json(day: &Day) -> Value {
    let figures = day.sections.iter().flat_map(|section| {
        let there = section.figures.iter().filter(|figure| figure.is_there());
        there.map(move |figure| {
            json!({
                "table": section.table,
                "name": section.name,
                "unit": section.unit,
                "figure": figure.name,
                "stored": figure.stored,
                "computed": figure.computed,
                "agree": figure.agree,
                "algorithm_version": section.row.as_ref().map(|row| row.algorithm_version),
                "computed_at": section.row.as_ref().map(|row| row.computed_at.to_utc().to_rfc3339()),
            })
        })
    });
    let rows = day.sections.iter().flat_map(|section| {
        section.rows.iter().take(MAX_ROWS).map(move |row| {
            json!({
                "id": row.id,
                "table": section.table,
                "kind": row.kind.name(),
                "name": row.name,
                "source": row.source,
                "starts_at": row.starts_at.to_utc().to_rfc3339(),
                "ends_at": row.ends_at.to_utc().to_rfc3339(),
                "value": row.value,
                "unit": row.unit,
                "verdict": row.verdict,
                "counts": row.counts,
                "why": row.why,
                "part": row.part,
            })
        })
    });
    json!({
        "user_id": day.user_id,
        "date": day.date.to_string(),
        "time_zone": day.time_zone,
        "is_frozen": day.is_frozen,
        "waiting": day.waiting,
        "dead": day.dead,
        "figures": figures.collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
        "is_complete": day.sections.iter().all(|section| section.rows.len() <= MAX_ROWS),
    })
}
