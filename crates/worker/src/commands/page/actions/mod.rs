//! The actions of operators: each is counted first, confirmed, carried out in bounded steps, and in the log.

mod request;
mod views;

use std::sync::Arc;

use aggregation::{Kind, UserIdType};
use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use maud::{Markup, html};
use serde_json::{Value, json};
use store::{ActionState, OperatorAction, Store, StoreError};

use self::request::{Action, Fields};
use super::access::{Role, Visitor};
use super::cached::Known;
use super::database::in_words;
use super::jobs::{Job, Work};
use super::layout::{self, View, address};
use super::{Page, Shared};
use crate::run::group::rebuild::{self, earlier, later};

/// Entries of the log that are shown.
const ENTRIES: u32 = 50;

/// Change sets that are counted before an action.
const MAX_COUNTED_SETS: i64 = 50_000;

/// A count before an action.
#[derive(Debug)]
pub struct Counted {
    count: i64,
    /// Whether counting ended at its limit, so that there may be more.
    is_capped: bool,
    /// Of what.
    unit: &'static str,
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
        let csrf = visitor.csrf.as_deref().filter(|_| visitor.role == Role::Operator);
        let paused = overview.value.map_or_else(Vec::new, |overview| overview.paused_kinds());
        html! {
            h1 { "Actions" }
            (layout::outage(&self.service.breaker(), &known))
            @if let Some(job) = &running { (views::running(job, csrf)) }
            @if visitor.role == Role::Operator { (views::forms(&paused)) }
            @else { p.soft { "The token of an operator is needed to act; the log is shown to all." } }
            (views::log(known.value.as_deref().map_or(&[], Vec::as_slice), running.as_deref()))
        }
    }

    /// The count before an action; none for an action that concerns no rows.
    async fn count(&self, action: Action) -> Result<Option<Counted>, String> {
        let Action::Work(work) = action else { return Ok(None) };
        let store = self.store().await?;
        let counted = self.local.run(move || async move {
            count(&store, &work).await.map_err(|error| in_words(&error))
        });
        counted.await.unwrap_or_else(|| Err("The worker ends.".to_owned())).map(Some)
    }
}

async fn count(store: &Store, work: &Work) -> Result<Counted, StoreError> {
    Ok(match work {
        Work::Requeue(filter) | Work::Discard(filter) => {
            let (count, is_capped) = store.count_failures(filter, MAX_COUNTED_SETS).await?;
            Counted { count, is_capped, unit: "raw rows" }
        }
        Work::Backfill(range) | Work::Verify(range) => {
            let mut count = 0;
            for kind in Kind::ALL {
                let (from, to) = (earlier(range.from), later(range.to));
                let inventory = store.inventory(kind, &range.user_id, from, to).await?;
                let portions = rebuild::portions(&inventory, range.from, range.to);
                count += portions.iter().map(|of| of.dates.len() as i64).sum::<i64>();
            }
            Counted { count, is_capped: false, unit: "dates" }
        }
    })
}

/// The view.
pub async fn show(State(page): Shared, Extension(visitor): Extension<Visitor>) -> Markup {
    let content = page.actions_content(&visitor).await;
    layout::page(&page.frame, &visitor, View::Actions, "Actions", &content)
}

/// Counts, and asks whether to go on.
pub async fn confirm(
    State(page): Shared,
    Extension(visitor): Extension<Visitor>,
    Query(fields): Query<Fields>,
) -> Response {
    if visitor.role != Role::Operator {
        return layout::needs(&page.frame, &visitor, View::Actions, Role::Operator).into_response();
    }
    let action = match page.parse_action(&fields).await {
        Ok(action) => action,
        Err(problem) => {
            return layout::wrong(&page.frame, &visitor, View::Actions, &problem).into_response();
        }
    };
    let counted = match page.count(action.clone()).await {
        Ok(counted) => counted,
        Err(problem) => {
            return layout::wrong(&page.frame, &visitor, View::Actions, &problem).into_response();
        }
    };
    let csrf = visitor.csrf.as_deref();
    let content = views::question(&action, counted.as_ref(), &fields, csrf);
    layout::page(&page.frame, &visitor, View::Actions, "Confirm", &content).into_response()
}

/// The answer to a form that may not act: its sender is no operator, or another site sent it.
fn refusal(page: &Page, visitor: &Visitor, fields: &Fields) -> Option<Response> {
    if visitor.role != Role::Operator {
        let needs = layout::needs(&page.frame, visitor, View::Actions, Role::Operator);
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
    let wrong = |problem: &str| {
        layout::wrong(&page.frame, &visitor, View::Actions, problem).into_response()
    };
    let action = match page.parse_action(&fields).await {
        Ok(action) => action,
        Err(problem) => return wrong(&problem),
    };
    // Counted again: others may have acted since the question.
    let counted = match page.count(action.clone()).await {
        Ok(counted) => counted,
        Err(problem) => return wrong(&problem),
    };
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
        page.local.run(move || async move { begin(&of, &store, &actor, action, counted).await });
    match begun.await.unwrap_or(Err(StoreError::Internal("the worker ends"))) {
        Ok(id) => {
            page.actions.forget().await;
            page.overview.forget().await;
            Redirect::to(&address(&format!("/actions#action-{id}"))).into_response()
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
    counted: Option<Counted>,
) -> Result<i64, StoreError> {
    let (name, target) = (action.name(), action.target());
    let expected = counted.as_ref().map(|counted| counted.count);
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
            let total = counted.as_ref().filter(|of| !of.is_capped).map(|of| of.count);
            let unit = counted.map_or("", |of| of.unit);
            page.begin_job(Job::new(id, name, target, (total, unit)), work.clone(), store.clone());
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
    Redirect::to(&address("/actions")).into_response()
}

/// The log as JSON.
pub async fn json(State(page): Shared) -> Json<Value> {
    let known = page.read_actions().await;
    let running = page.jobs.running();
    let entry = |entry: &OperatorAction| {
        let job = running.as_ref().filter(|job| job.id == entry.id);
        json!({
            "id": entry.id,
            "begun_at": entry.begun_at.to_utc().to_rfc3339(),
            "ended_at": entry.ended_at.map(|at| at.to_utc().to_rfc3339()),
            "actor": entry.actor,
            "action": entry.action,
            "target": entry.target,
            "expected": entry.expected,
            "done": job.map_or(entry.done, |job| job.done()),
            "state": entry.state,
            "outcome": entry.outcome,
        })
    };
    let actions = known.value.as_deref().map(|of| of.iter().map(entry).collect::<Vec<_>>());
    Json(json!({
        "error": known.error,
        "known_seconds_ago": known.at.map(|at| at.elapsed().as_secs_f64()),
        "actions": actions,
    }))
}
