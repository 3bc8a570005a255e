//! The actions of operators: each is counted first, confirmed, carried out in bounded steps, and in the log.

use std::collections::HashMap;
use std::sync::Arc;

use aggregation::{Kind, UserIdType};
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use chrono::NaiveDate;
use maud::{Markup, html};
use serde_json::{Value, json};
use store::{ActionState, FailureFilter, OperatorAction, Store, StoreError};

use super::access::{Role, Visitor};
use super::cached::Known;
use super::database::{in_words, read_user};
use super::jobs::{Range, Work};
use super::layout::{self, View, badge, instant};
use super::{Page, Shared};
use crate::config::MAX_ROWS_PER_SECOND;
use crate::run::group::rebuild::{self, earlier, later};
use crate::tables::thousands;

/// Entries of the log that are shown.
const ENTRIES: u32 = 50;

/// Change sets that are counted before an action.
const MAX_COUNTED_SETS: i64 = 50_000;

/// The longest range of dates of one action.
const MAX_DAYS: i64 = 3_660;

type Fields = HashMap<String, String>;

/// An action as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Pause(Kind),
    Resume(Kind),
    /// Sets the limit on rows each second, or gives each worker its own back.
    Throttle(Option<i32>),
    Work(Work),
}

impl Action {
    /// Reads a form or a query.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    fn parse(fields: &Fields, id_type: UserIdType) -> Result<Self, String> {
        let text =
            |name: &str| fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let kind = || match text("kind").map(str::parse::<Kind>) {
            Some(Ok(kind)) => Ok(kind),
            _ => Err("The kind must be vitals, nutrition or labs.".to_owned()),
        };
        let user = || text("user").map(|user| read_user(id_type, user)).transpose();
        let filter = || {
            Ok::<_, String>(FailureFilter {
                kind: text("kind").map(|_| kind()).transpose()?.map(|kind| kind.name().to_owned()),
                class: text("class").map(str::to_owned),
                // A cause without more is an empty detail, so it is not trimmed away.
                detail: fields.get("detail").filter(|_| text("class").is_some()).cloned(),
                user_id: user()?,
                only_dead: text("dead") == Some("yes"),
            })
        };
        let range = || {
            let date = |name: &str| text(name).and_then(|text| text.parse::<NaiveDate>().ok());
            let (Some(user_id), Some(from), Some(to)) = (user()?, date("from"), date("to")) else {
                return Err("A user and two dates such as 2026-03-29 are needed.".to_owned());
            };
            let days = (to - from).num_days() + 1;
            if !(1..=MAX_DAYS).contains(&days) {
                return Err(format!("The range must have 1 to {MAX_DAYS} days, in order."));
            }
            Ok(Range { user_id, from, to })
        };
        Ok(match text("action") {
            Some("pause") => Self::Pause(kind()?),
            Some("resume") => Self::Resume(kind()?),
            Some("throttle") => Self::Throttle(match text("rows") {
                None => None,
                Some(rows) => match rows.parse::<u32>() {
                    Ok(rows) if rows <= MAX_ROWS_PER_SECOND => i32::try_from(rows).ok(),
                    _ => {
                        return Err(format!(
                            "The limit must be between 0 and {MAX_ROWS_PER_SECOND}."
                        ));
                    }
                },
            }),
            Some("requeue") => Self::Work(Work::Requeue(filter()?)),
            Some("discard") => {
                Self::Work(Work::Discard(FailureFilter { only_dead: true, ..filter()? }))
            }
            Some("backfill") => Self::Work(Work::Backfill(range()?)),
            Some("verify") => Self::Work(Work::Verify(range()?)),
            _ => return Err("There is no such action.".to_owned()),
        })
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Throttle(_) => "throttle",
            Self::Work(Work::Requeue(_)) => "requeue",
            Self::Work(Work::Discard(_)) => "discard",
            Self::Work(Work::Backfill(_)) => "backfill",
            Self::Work(Work::Verify(_)) => "verify",
        }
    }

    /// To what, for the log and for people.
    fn target(&self) -> String {
        match self {
            Self::Pause(kind) | Self::Resume(kind) => kind.name().to_owned(),
            Self::Throttle(None) => "as configured".to_owned(),
            Self::Throttle(Some(0)) => "no limit".to_owned(),
            Self::Throttle(Some(rows)) => format!("{rows} rows/s"),
            Self::Work(Work::Requeue(filter) | Work::Discard(filter)) => filter_in_words(filter),
            Self::Work(Work::Backfill(range) | Work::Verify(range)) => {
                format!("user {}, {} to {}", range.user_id, range.from, range.to)
            }
        }
    }

    /// Its effect, shown before it is confirmed.
    fn means(&self) -> &'static str {
        match self {
            Self::Pause(_) => {
                "No worker claims rows of this kind from its next claim on. Batches that run are finished. \
                 Rows are queued meanwhile."
            }
            Self::Resume(_) => "All workers claim rows of this kind again.",
            Self::Throttle(_) => {
                "Each service obeys this limit in place of its batch.max_rows_per_second: this one at once, \
                 the others within 5 seconds. It lasts until it is changed here."
            }
            Self::Work(Work::Requeue(_)) => {
                "These change sets get all their attempts back and are due at once. Remove the cause first, \
                 or they fail again."
            }
            Self::Work(Work::Discard(_)) => {
                "These dead change sets are deleted and cannot be brought back. Their raw rows and figures \
                 stay as they are, so the figures may differ from the raw rows until a backfill."
            }
            Self::Work(Work::Backfill(_)) => {
                "The figures of these dates are computed again from all their raw rows, beside running \
                 workers. It is harmless at any time."
            }
            Self::Work(Work::Verify(_)) => {
                "The figures of these dates are computed again beside those that are stored, and compared to \
                 the last bit. Nothing is changed."
            }
        }
    }
}

fn filter_in_words(filter: &FailureFilter) -> String {
    let FailureFilter { kind, class, detail, user_id, only_dead } = filter;
    let mut words = vec![if *only_dead { "dead rows" } else { "failed rows" }.to_owned()];
    words.extend(kind.as_ref().map(|kind| format!("of {kind}")));
    words.extend(class.as_ref().map(|class| format!("with class {class}")));
    words.extend(detail.as_ref().filter(|of| !of.is_empty()).map(|detail| format!("({detail})")));
    words.extend(user_id.as_ref().map(|user| format!("of user {user}")));
    words.join(" ")
}

impl Page {
    async fn parse_action(&self, fields: &Fields) -> Result<Action, String> {
        // Without a user, an action needs no database to be understood.
        let has_user = fields.get("user").is_some_and(|user| !user.trim().is_empty());
        let id_type = if has_user { self.user_id_type().await? } else { UserIdType::default() };
        Action::parse(fields, id_type)
    }

    async fn read_actions(&self) -> Known<Vec<OperatorAction>> {
        let ask = async {
            let store = self.store().await?;
            store.operator_actions(ENTRIES).await.map_err(|error| in_words(&error))
        };
        self.actions.get(ask).await
    }

    /// The live part of the view.
    pub async fn actions_content(&self, visitor: &Visitor) -> Markup {
        let (known, overview) = (self.read_actions().await, self.read_overview().await);
        let running = self.jobs.running();
        html! {
            h1 { "Actions" }
            (layout::outage(&self.service.breaker(), &known))
            @if let Some(job) = &running {
                p.notice role="status" {
                    "Action " (job.id) " runs: " strong { (thousands(job.done())) } " done so far. "
                    @if let (Role::Operator, Some(csrf)) = (visitor.role, &visitor.csrf) {
                        form.inline method="post" action="/actions/stop" {
                            input type="hidden" name="csrf" value=(csrf);
                            button type="submit" { "Stop after this step" }
                        }
                    }
                }
            }
            @if visitor.role == Role::Operator { (forms(overview.value.as_deref())) }
            @else { p.soft { "The token of an operator is needed to act; the log is shown to all." } }
            (log(known.value.as_deref().map_or(&[], Vec::as_slice), running.map(|job| job.id)))
        }
    }

    /// The count before an action, and its unit.
    async fn count(&self, action: Action) -> Result<Option<Counted>, String> {
        let Action::Work(work) = action else { return Ok(None) };
        let store = self.store().await?;
        let counted = self.local.run(move || async move {
            count(&store, &work).await.map_err(|error| in_words(&error))
        });
        counted.await.unwrap_or_else(|| Err("The worker ends.".to_owned())).map(Some)
    }
}

/// A count, whether it ended at its limit, and of what.
type Counted = (i64, bool, &'static str);

async fn count(store: &Store, work: &Work) -> Result<Counted, StoreError> {
    Ok(match work {
        Work::Requeue(filter) | Work::Discard(filter) => {
            let (rows, is_capped) = store.count_failures(filter, MAX_COUNTED_SETS).await?;
            (rows, is_capped, "raw rows")
        }
        Work::Backfill(range) | Work::Verify(range) => {
            let mut dates = 0;
            for kind in Kind::ALL {
                let (from, to) = (earlier(range.from), later(range.to));
                let inventory = store.inventory(kind, &range.user_id, from, to).await?;
                let portions = rebuild::portions(&inventory, range.from, range.to);
                dates += portions.iter().map(|of| of.dates.len() as i64).sum::<i64>();
            }
            (dates, false, "dates, each kind on its own")
        }
    })
}

/// The view.
pub async fn show(State(page): Shared, Extension(visitor): Extension<Visitor>) -> Markup {
    let content = page.actions_content(&visitor).await;
    layout::page(&page, &visitor, View::Actions, "Actions", &content)
}

fn kinds(any: bool) -> Markup {
    html! {
        @if any { option value="" { "all kinds" } }
        @for kind in Kind::ALL { option value=(kind.name()) { (kind.name()) } }
    }
}

fn forms(overview: Option<&super::overview::Overview>) -> Markup {
    let paused = overview.map_or_else(Vec::new, |of| of.paused_kinds());
    html! {
        div.cards {
            section.card aria-labelledby="pause" {
                h2 id="pause" { "Pause and resume" }
                ul.plain {
                    @for kind in Kind::ALL {
                        li {
                            (kind.name()) ": "
                            @if paused.contains(&kind) {
                                (badge("warn", "paused")) " "
                                a href={ "/actions/confirm?action=resume&kind=" (kind.name()) } { "resume" }
                            } @else {
                                (badge("good", "claimed")) " "
                                a href={ "/actions/confirm?action=pause&kind=" (kind.name()) } { "pause" }
                            }
                        }
                    }
                }
                p.small { "Also " code { "worker pause KIND" } " and " code { "worker resume KIND" } "." }
            }
            form.card method="get" action="/actions/confirm" aria-labelledby="throttle" {
                h2 id="throttle" { "Throttle" }
                input type="hidden" name="action" value="throttle";
                label for="rows" { "Rows each second for each worker" }
                input id="rows" name="rows" type="number" min="0" max=(MAX_ROWS_PER_SECOND) inputmode="numeric"
                      aria-describedby="rows-help";
                p.small id="rows-help" { "0 is no limit; empty gives each worker its configured one back." }
                button type="submit" { "Continue" }
            }
            form.card method="get" action="/actions/confirm" aria-labelledby="requeue" {
                h2 id="requeue" { "Failed rows" }
                label for="requeue-kind" { "Kind" }
                select id="requeue-kind" name="kind" { (kinds(true)) }
                label for="class" { "Class of the error (empty: any)" }
                input id="class" name="class" type="text" maxlength="40";
                label for="requeue-user" { "User (empty: any)" }
                input id="requeue-user" name="user" type="text" maxlength="1024";
                label.check { input type="checkbox" name="dead" value="yes"; " dead rows only" }
                div.buttons {
                    button type="submit" name="action" value="requeue" { "Requeue" }
                    button type="submit" name="action" value="discard" { "Discard the dead" }
                }
            }
            form.card method="get" action="/actions/confirm" aria-labelledby="dates" {
                h2 id="dates" { "A user's dates" }
                label for="user" { "User" }
                input id="user" name="user" type="text" required maxlength="1024";
                label for="from" { "First date" }
                input id="from" name="from" type="date" required;
                label for="to" { "Last date" }
                input id="to" name="to" type="date" required;
                div.buttons {
                    button type="submit" name="action" value="verify" { "Verify" }
                    button type="submit" name="action" value="backfill" { "Backfill" }
                }
            }
        }
    }
}

fn log(entries: &[OperatorAction], running: Option<i64>) -> Markup {
    html! {
        section aria-labelledby="log" {
            h2 id="log" { "Action log" }
            @if entries.is_empty() { p { "No operator has acted yet." } }
            @else {
                div.wide {
                    table {
                        thead {
                            tr {
                                th.number scope="col" { "No." }
                                th scope="col" { "Begun" }
                                th scope="col" { "Who" }
                                th scope="col" { "Action" }
                                th scope="col" { "To what" }
                                th.number scope="col" { "Counted" }
                                th.number scope="col" { "Done" }
                                th scope="col" { "State" }
                                th scope="col" { "Outcome" }
                            }
                        }
                        tbody {
                            @for entry in entries {
                                tr id={ "action-" (entry.id) } {
                                    td.number { (entry.id) }
                                    td { (instant(entry.begun_at)) }
                                    td { (entry.actor) }
                                    th scope="row" { (entry.action) }
                                    td.long { (entry.target) }
                                    td.number { (entry.expected.map_or_else(|| "–".to_owned(), thousands)) }
                                    td.number { (thousands(entry.done)) }
                                    td { (state(entry, running)) }
                                    td.long { (entry.outcome.as_deref().unwrap_or("–")) }
                                }
                            }
                        }
                    }
                }
            }
            p.small { "The last " (ENTRIES) " entries of the table operator_actions, which keeps a year." }
        }
    }
}

fn state(entry: &OperatorAction, running: Option<i64>) -> Markup {
    match entry.state.as_str() {
        "done" => badge("good", "done"),
        "failed" => badge("bad", "failed"),
        "stopped" => badge("warn", "stopped"),
        _ if running == Some(entry.id) => badge("none", "running"),
        _ => badge("none", "running at another worker, or its worker ended"),
    }
}

/// Counts, and asks whether to go on.
pub async fn confirm(
    State(page): Shared,
    Extension(visitor): Extension<Visitor>,
    Query(fields): Query<Fields>,
) -> Response {
    if visitor.role != Role::Operator {
        return layout::needs(&page, &visitor, View::Actions, Role::Operator).into_response();
    }
    let action = match page.parse_action(&fields).await {
        Ok(action) => action,
        Err(problem) => {
            return layout::wrong(&page, &visitor, View::Actions, &problem).into_response();
        }
    };
    let counted = match page.count(action.clone()).await {
        Ok(counted) => counted,
        Err(problem) => {
            return layout::wrong(&page, &visitor, View::Actions, &problem).into_response();
        }
    };
    let is_nothing = matches!(counted, Some((0, ..)));
    let content = html! {
        h1 { "Confirm: " (action.name()) }
        dl.pairs {
            div { dt { "Action" } dd { strong { (action.name()) } } }
            div { dt { "To what" } dd { (action.target()) } }
            @if let Some((count, is_capped, what)) = counted {
                div { dt { "Counted" } dd id="counted" {
                    @if is_capped { "at least " } (thousands(count)) " " (what)
                } }
            }
        }
        p { (action.means()) }
        @if is_nothing { p.notice { "There is nothing to do." } }
        form method="post" action="/actions" {
            @if let Some(csrf) = &visitor.csrf { input type="hidden" name="csrf" value=(csrf); }
            @for (name, value) in &fields {
                @if name != "csrf" && name != "expected" { input type="hidden" name=(name) value=(value); }
            }
            @if let Some((count, ..)) = counted { input type="hidden" name="expected" value=(count); }
            div.buttons {
                @if !is_nothing { button.danger type="submit" { "Yes, " (action.name()) } }
                a.button href="/actions" { "No, go back" }
            }
        }
    };
    layout::page(&page, &visitor, View::Actions, "Confirm", &content).into_response()
}

/// The answer to a form that may not act: its sender is no operator, or another site sent it.
fn refusal(page: &Page, visitor: &Visitor, fields: &Fields) -> Option<Response> {
    if visitor.role != Role::Operator {
        let needs = layout::needs(page, visitor, View::Actions, Role::Operator);
        return Some(needs.into_response());
    }
    let sent = visitor.sent(fields.get("csrf").map(String::as_str));
    (!sent).then(|| layout::refused_form().into_response())
}

/// Begins a confirmed action.
pub async fn act(
    State(page): Shared,
    Extension(visitor): Extension<Visitor>,
    Form(fields): Form<Fields>,
) -> Response {
    if let Some(refusal) = refusal(&page, &visitor, &fields) {
        return refusal;
    }
    let wrong =
        |problem: &str| layout::wrong(&page, &visitor, View::Actions, problem).into_response();
    let action = match page.parse_action(&fields).await {
        Ok(action) => action,
        Err(problem) => return wrong(&problem),
    };
    let expected = fields.get("expected").and_then(|count| count.parse().ok());
    // The work's own pool: steps are bounded, and a busy page does not delay them.
    let Some(store) = page.service.work_store() else {
        return wrong("The database cannot be used at the moment. Nothing was done.");
    };
    let _one_at_a_time = page.jobs.beginning.lock().await;
    if page.jobs.running().is_some() && matches!(action, Action::Work(_)) {
        return wrong("Another action runs. Wait for its end, or stop it.");
    }
    let (of, actor) = (Arc::clone(&page), visitor.actor.clone());
    let begun =
        page.local.run(move || async move { begin(&of, &store, &actor, action, expected).await });
    match begun.await.unwrap_or(Err(StoreError::Internal("the worker ends"))) {
        Ok(id) => {
            page.actions.forget().await;
            page.overview.forget().await;
            Redirect::to(&format!("/actions#action-{id}")).into_response()
        }
        Err(error) => wrong(&in_words(&error)),
    }
}

/// Writes the log, then acts; nothing is done that is not in the log.
async fn begin(
    page: &Arc<Page>,
    store: &Store,
    actor: &str,
    action: Action,
    expected: Option<i64>,
) -> Result<i64, StoreError> {
    let (name, target) = (action.name(), action.target());
    let id = store.begin_action(actor, name, &target, expected).await?;
    tracing::info!(
        event = "action_begun",
        action = id,
        actor,
        name,
        target,
        expected,
        "Action {id} begun ({actor}): {name} {target}"
    );
    let done = match &action {
        Action::Pause(kind) => store
            .pause(*kind, actor)
            .await
            .map(|is_new| if is_new { "Paused." } else { "It was paused already." }),
        Action::Resume(kind) => {
            store.resume(*kind).await.map(|was| if was { "Resumed." } else { "It was not paused." })
        }
        Action::Throttle(limit) => store.set_throttle(*limit, actor).await.map(|()| {
            page.service.obey_limit(*limit);
            "Set."
        }),
        Action::Work(work) => {
            page.begin_job(id, work.clone(), store.clone());
            return Ok(id);
        }
    };
    match done {
        Ok(outcome) => store.update_action(id, 1, ActionState::Done, Some(outcome)).await?,
        Err(error) => {
            let outcome = in_words(&error);
            store.update_action(id, 0, ActionState::Failed, Some(&outcome)).await?;
            return Err(error);
        }
    }
    Ok(id)
}

/// Asks the action that runs to stop.
pub async fn stop(
    State(page): Shared,
    Extension(visitor): Extension<Visitor>,
    Form(fields): Form<Fields>,
) -> Response {
    if let Some(refusal) = refusal(&page, &visitor, &fields) {
        return refusal;
    }
    if let Some(job) = page.jobs.running() {
        job.stop();
    }
    Redirect::to("/actions").into_response()
}

/// The log as JSON.
pub async fn json(State(page): Shared) -> (StatusCode, Json<Value>) {
    let known = page.read_actions().await;
    let entry = |entry: &OperatorAction| {
        json!({
            "id": entry.id,
            "begun_at": entry.begun_at.to_utc().to_rfc3339(),
            "ended_at": entry.ended_at.map(|at| at.to_utc().to_rfc3339()),
            "actor": entry.actor,
            "action": entry.action,
            "target": entry.target,
            "expected": entry.expected,
            "done": entry.done,
            "state": entry.state,
            "outcome": entry.outcome,
        })
    };
    let actions = known.value.as_deref().map(|of| of.iter().map(entry).collect::<Vec<_>>());
    let answer = json!({
        "error": known.error,
        "known_seconds_ago": known.at.map(|at| at.elapsed().as_secs_f64()),
        "actions": actions,
    });
    (StatusCode::OK, Json(answer))
}
