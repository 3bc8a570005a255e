//! The overview: matters that need attention, backlog, rates, pool, circuit breaker, workers, and the database's server.

mod attention;
mod facts;
mod sections;

use std::sync::Arc;

use aggregation::Kind;
use axum::extract::State;
use axum::{Extension, Json};
use maud::{Markup, html};
use serde_json::Value;
use store::{
    Backlog, Batches, FiringAlert, KindStatus, OldTransaction, PausedKind, PoolStats, Server,
    Throttled, Worker,
};

use super::access::{Role, Visitor};
use super::cached::Known;
use super::database::in_words;
use super::jobs::Job;
use super::layout::{self, View};
use super::measured::{self, Quantiles, Rate};
use super::{Page, Shared};
use crate::service::{Breaker, FiringRule};
use crate::tables::age;

/// Change sets that are counted of each kind: about 20 ms of the server's time. A longer queue is said to be
/// longer.
const MAX_COUNTED_SETS: i64 = 10_000;

/// Facts from the database.
#[derive(Debug)]
pub struct Overview {
    kinds: Vec<KindStatus>,
    workers: Vec<Worker>,
    paused: Vec<PausedKind>,
    throttle: Option<Throttled>,
    server: Server,
    old_transactions: Vec<OldTransaction>,
    firing: Vec<FiringAlert>,
}

/// Facts that this worker knows without a query.
struct Own {
    breaker: Breaker,
    pool: Option<PoolStats>,
    waits: Quantiles,
    holds: Quantiles,
    rates: Vec<(Kind, Rate)>,
    backlog: Option<(Vec<Backlog>, f64)>,
    /// The freshness goal, in seconds.
    goal: f64,
    /// The rules that fire, as this worker sees it.
    firing: Vec<FiringRule>,
    /// Whether messages about them are sent.
    is_sent: bool,
    silent_seconds: f64,
    is_stuck: bool,
    name: String,
    batches: Batches,
    /// The action that runs.
    job: Option<Arc<Job>>,
}

impl Overview {
    /// The kinds that are paused.
    pub fn paused_kinds(&self) -> Vec<Kind> {
        self.paused.iter().map(|paused| paused.kind).collect()
    }
}

impl Page {
    /// Facts from the database, read once a second at most.
    pub async fn read_overview(&self) -> Known<Overview> {
        let ask = async {
            let store = self.store().await?;
            let than = self.service.configuration().log.old_transaction;
            let read = async {
                Ok(Overview {
                    server: store.server().await?,
                    kinds: store.count_kinds(MAX_COUNTED_SETS).await?,
                    workers: store.workers().await?,
                    paused: store.paused().await?,
                    throttle: store.throttle().await?,
                    old_transactions: store.old_transactions(than).await?,
                    firing: store.firing_alerts().await?,
                })
            };
            read.await.map_err(|error| in_words(&error))
        };
        self.overview.get(ask).await
    }

    fn own(&self) -> Own {
        let config = self.service.configuration();
        let metrics = self.metrics.render();
        let rates = self.rates();
        let (silent, is_stuck) = self.service.silence();
        let backlog = self.service.last_backlog();
        let (firing, is_sent) = self.service.firing_rules();
        Own {
            breaker: self.service.breaker(),
            pool: self.service.pool(),
            waits: measured::quantiles(&metrics, "dayfold_pool_wait_seconds"),
            holds: measured::quantiles(&metrics, "dayfold_pool_hold_seconds"),
            rates: Kind::ALL.into_iter().map(|kind| (kind, rates.of(kind))).collect(),
            backlog: backlog.map(|(backlog, age)| (backlog, age.as_secs_f64())),
            goal: config.alerts.oldest_pending,
            firing,
            is_sent,
            silent_seconds: silent.as_secs_f64(),
            is_stuck,
            name: self.service.name(),
            batches: self.service.batches(),
            job: self.jobs.running(),
        }
    }

    /// The live part of the view.
    pub async fn overview_content(&self, visitor: &Visitor) -> Markup {
        let known = self.read_overview().await;
        content(&self.own(), &known, visitor.role)
    }
}

/// The view.
pub async fn show(State(page): Shared, Extension(visitor): Extension<Visitor>) -> Markup {
    let content = page.overview_content(&visitor).await;
    layout::page(&page.frame, &visitor, View::Overview, "Overview", &content)
}

fn content(own: &Own, known: &Known<Overview>, role: Role) -> Markup {
    let overview = known.value.as_deref();
    html! {
        h1 { "Overview" }
        (layout::outage(&own.breaker, known))
        @if own.is_stuck {
            p.notice.bad role="alert" {
                strong { "The work makes no progress" } " for " (age(own.silent_seconds))
                ". See the log (stuck), and the database's locks."
            }
        }
        (attention::list(own, overview, role))
        section aria-labelledby="queue" {
            h2 id="queue" { "Queue" }
            @match overview {
                Some(overview) => (sections::queue(own, overview, role)),
                None => p.soft { "Not known: the database was not asked yet." },
            }
        }
        section aria-labelledby="rates" {
            h2 id="rates" { "Rates of this worker" }
            (sections::rates(own))
        }
        div.columns {
            section aria-labelledby="pool" { h2 id="pool" { "Connections" } (sections::pool(own)) }
            section aria-labelledby="database" {
                h2 id="database" { "Database" }
                (sections::database(own, overview))
            }
        }
        @if let Some(overview) = overview {
            section aria-labelledby="workers" {
                h2 id="workers" { "Workers" }
                (sections::workers(own, overview))
            }
        }
    }
}

/// The view as JSON.
pub async fn json(State(page): Shared) -> Json<Value> {
    let known = page.read_overview().await;
    Json(facts::to_json(&page.own(), &known))
}
