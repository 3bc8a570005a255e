//! The overview: backlog, rates, pool, circuit breaker, workers, alerts, and the database's server.

use aggregation::Kind;
use axum::extract::State;
use axum::{Extension, Json};
use maud::{Markup, html};
use serde_json::{Value, json};
use store::{
    Backlog, FiringAlert, KindStatus, OldTransaction, PausedKind, PoolHealth, PoolStats, Server,
    Throttled, Worker,
};

use super::access::{Role, Visitor};
use super::cached::Known;
use super::database::in_words;
use super::layout::{self, View, badge, instant, meter};
use super::measured::{self, Quantiles, Rate};
use super::sparkline::sparkline;
use super::{Page, Shared};
use crate::service::Breaker;
use crate::tables::{age, counted, thousands};

/// Change sets that are counted of each kind: about 20 ms of the server's time. A longer queue is said to be
/// longer.
const MAX_COUNTED_SETS: i64 = 10_000;

/// An hour of samples.
const FULL_HISTORY: usize = 240;

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
    rules: Vec<String>,
    is_watched: bool,
    silent_seconds: f64,
    is_stuck: bool,
    name: String,
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
        Own {
            breaker: self.service.breaker(),
            pool: self.service.pool(),
            waits: measured::quantiles(&metrics, "dayfold_pool_wait_seconds"),
            holds: measured::quantiles(&metrics, "dayfold_pool_hold_seconds"),
            rates: Kind::ALL.into_iter().map(|kind| (kind, rates.of(kind))).collect(),
            backlog: backlog.map(|(backlog, age)| (backlog, age.as_secs_f64())),
            goal: config.alerts.oldest_pending,
            rules: measured::firing_rules(&metrics),
            is_watched: !config.mail.host.is_empty() || config.webhook.url.is_some(),
            silent_seconds: silent.as_secs_f64(),
            is_stuck,
            name: self.service.name(),
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
    layout::page(&page, &visitor, View::Overview, "Overview", &content)
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
        @if let Some(overview) = overview { (alerts(own, overview)) }
        section aria-labelledby="queue" {
            h2 id="queue" { "Queue" }
            @match overview {
                Some(overview) => (queue(own, overview, role)),
                None => p.soft { "Not known: the database was not asked yet." },
            }
        }
        section aria-labelledby="rates" {
            h2 id="rates" { "Rates of this worker" }
            (rates(own))
        }
        div.columns {
            section aria-labelledby="pool" { h2 id="pool" { "Connections" } (pool(own)) }
            section aria-labelledby="database" {
                h2 id="database" { "Database" }
                (database(own, overview))
            }
        }
        @if let Some(overview) = overview {
            section aria-labelledby="workers" {
                h2 id="workers" { "Workers" }
                (workers(own, overview))
            }
        }
    }
}

/// The state of a kind against the goal: a class, and a word.
fn freshness(kind: &KindStatus, goal: f64) -> (&'static str, &'static str) {
    match kind.oldest_pending_seconds {
        None => ("good", "up to date"),
        Some(oldest) if oldest >= goal => ("bad", "late"),
        Some(oldest) if oldest >= goal / 2.0 => ("warn", "half of the goal"),
        Some(_) => ("good", "in time"),
    }
}

/// A count, which may have ended at its limit.
fn number(count: i64, is_capped: bool) -> Markup {
    html! { @if is_capped && count > 0 { "≥ " } (thousands(count)) }
}

fn queue(own: &Own, overview: &Overview, role: Role) -> Markup {
    let capped = overview.kinds.iter().any(|kind| kind.is_capped);
    let is_paused = |kind: Kind| overview.paused.iter().find(|of| of.kind == kind);
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th scope="col" { "Kind" }
                        th scope="col" { "State" }
                        th.number scope="col" { "Raw rows pending" }
                        th.number scope="col" { "Oldest" }
                        th.number scope="col" { "In back-off" }
                        th.number scope="col" { "Processing" }
                        th.number scope="col" { "Lease expired" }
                        th.number scope="col" { "Dead" }
                        th.number scope="col" { "Rejected" }
                        th scope="col" { "Claims" }
                    }
                }
                tbody {
                    @for kind in &overview.kinds {
                        @let (class, word) = freshness(kind, own.goal);
                        @let capped = kind.is_capped;
                        tr {
                            th scope="row" { (kind.kind.name()) }
                            td { (badge(class, word)) }
                            td.number { (number(kind.pending, capped)) }
                            td.number { (kind.oldest_pending_seconds.map_or_else(|| "–".to_owned(), age)) }
                            td.number { (number(kind.backing_off, capped)) }
                            td.number { (number(kind.processing, capped)) }
                            td.number { (number(kind.expired, capped)) }
                            td.number {
                                @if kind.dead > 0 { a href={ "/failures#" (kind.kind.name()) } { (number(kind.dead, capped)) } }
                                @else { "0" }
                            }
                            td.number { (number(kind.rejected, capped)) }
                            td {
                                @match is_paused(kind.kind) {
                                    Some(paused) => {
                                        (badge("warn", "paused")) " since " (instant(paused.paused_at))
                                        " by " (paused.paused_by)
                                        (control(kind.kind, "resume", role))
                                    }
                                    None => { "claimed" (control(kind.kind, "pause", role)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        p.small {
            "The goal is that no change waits longer than " (age(own.goal)) " (alerts.oldest_pending_seconds). "
            @if capped {
                "Of each kind, " (thousands(MAX_COUNTED_SETS)) " change sets are counted at most; ≥ stands before a count that ended there. "
                @if let Some((backlog, ago)) = &own.backlog {
                    "The service counted the whole queue " (age(*ago)) " ago: "
                    @for (index, of) in backlog.iter().enumerate() {
                        @if index > 0 { ", " }
                        (of.kind.name()) " " (thousands(of.rows))
                    }
                    "."
                }
            }
        }
    }
}

fn control(kind: Kind, action: &str, role: Role) -> Markup {
    html! {
        @if role == Role::Operator {
            " · " a href={ "/actions/confirm?action=" (action) "&kind=" (kind.name()) } {
                (action) span.hidden { " " (kind.name()) }
            }
        }
    }
}

fn rates(own: &Own) -> Markup {
    html! {
        div.cards {
            @for (kind, rate) in &own.rates {
                @let most = rate.history.iter().copied().fold(0.0, f64::max);
                @let label = format!(
                    "{}: rows a second over the last hour, {most:.1} at most", kind.name()
                );
                div.card {
                    h3 { (kind.name()) }
                    p.figure { (format!("{:.1}", rate.rows)) span.unit { " rows/s" } }
                    p.soft { (format!("{:.1}", rate.groups)) " groups/s, mean of the last minute" }
                    (sparkline(&rate.history, FULL_HISTORY, &label))
                    p.small { "Last hour, " (format!("{most:.1}")) " rows/s at most" }
                }
            }
        }
    }
}

fn seconds(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.is_infinite() => "> 30 s".to_owned(),
        Some(value) if value < 1.0 => format!("≤ {} ms", value * 1e3),
        Some(value) => format!("≤ {value} s"),
    }
}

const fn health(pool: &PoolStats) -> &'static str {
    match pool.health {
        PoolHealth::Healthy => "good",
        PoolHealth::Warning => "warn",
        PoolHealth::Critical | PoolHealth::Exhausted => "bad",
    }
}

fn pool(own: &Own) -> Markup {
    html! {
        @match &own.pool {
            Some(pool) => {
                dl.pairs {
                    div { dt { "Health" } dd { (badge(health(pool), &pool.health.to_string())) } }
                    div { dt { "In use" } dd {
                        (pool.in_use) " of " (pool.max) " (" (format!("{:.0} %", pool.utilisation)) ") "
                        (meter(pool.utilisation, &format!("{:.0} % of the pool in use", pool.utilisation)))
                    } }
                    div { dt { "Idle" } dd { (pool.idle) } }
                    div { dt { "Waiting" } dd { (pool.waiting) } }
                    div { dt { "Wait, 50 % and 99 %" } dd { (seconds(own.waits.p50)) ", " (seconds(own.waits.p99)) } }
                    div { dt { "Hold, 50 % and 99 %" } dd { (seconds(own.holds.p50)) ", " (seconds(own.holds.p99)) } }
                }
                p.small { "This worker's pool. Waits and holds since it started, by the bounds of their histograms." }
            }
            None => p.soft { "There is no pool without a database." },
        }
        dl.pairs {
            div { dt { "Circuit breaker" } dd {
                @match &own.breaker {
                    Breaker::Closed => (badge("good", "closed: the database is used")),
                    Breaker::Starting => (badge("warn", "not connected yet")),
                    Breaker::Open { next, .. } => {
                        (badge("bad", "open")) " next attempt in " (age(next.as_secs_f64()))
                    }
                }
            } }
            div { dt { "Last progress" } dd { (age(own.silent_seconds)) " ago" } }
        }
    }
}

fn database(own: &Own, overview: Option<&Overview>) -> Markup {
    let Some(overview) = overview else {
        return html! { p.soft { "Not known." } };
    };
    let Server { version, database, role, in_recovery, up_seconds, now } = &overview.server;
    html! {
        dl.pairs {
            div { dt { "Server" } dd { "PostgreSQL " (version) ", up " (age(*up_seconds)) } }
            div { dt { "Database" } dd { (database) ", role " (role) } }
            div { dt { "Its clock" } dd { (instant(*now)) } }
            @if *in_recovery { div { dt { "State" } dd { (badge("bad", "a standby: it takes no changes")) } } }
            div { dt { "Limit" } dd {
                @match &overview.throttle {
                    Some(Throttled { max_rows_per_second: 0, changed_by, .. }) =>
                        { "none, set by " (changed_by) },
                    Some(throttle) => {
                        (badge("warn", "throttled")) " " (thousands(throttle.max_rows_per_second.into()))
                        " rows/s for each worker, set " (instant(throttle.changed_at)) " by "
                        (throttle.changed_by)
                    }
                    None => { "as configured" }
                }
            } }
        }
        h3 { "Old transactions" }
        @if overview.old_transactions.is_empty() {
            p { (badge("good", "none")) }
        } @else {
            ul.plain {
                @for old in &overview.old_transactions { li { (badge("warn", "open")) " " (old) } }
            }
            p.small { "While one is open, the server cannot remove dead row versions, and the queue becomes slower." }
        }
        @if own.breaker != Breaker::Closed { p.small { "As it was last known." } }
    }
}

fn workers(own: &Own, overview: &Overview) -> Markup {
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th scope="col" { "Host" }
                        th.number scope="col" { "Process" }
                        th scope="col" { "State" }
                        th scope="col" { "Version" }
                        th scope="col" { "Since" }
                        th scope="col" { "Claims" }
                        th.number scope="col" { "Rows claimed" }
                        th.number scope="col" { "Completed" }
                        th.number scope="col" { "Failed" }
                        th.number scope="col" { "Groups" }
                    }
                }
                tbody {
                    @for worker in &overview.workers {
                        @let (host, process) = place(&worker.worker);
                        tr {
                            th scope="row" { (host) @if worker.worker == own.name { " (this one)" } }
                            td.number { (process) }
                            td {
                                @if worker.is_alive { (badge("good", "alive")) }
                                @else { (badge("bad", "not seen")) " for " (age(worker.seen_seconds_ago)) }
                            }
                            td { (worker.version) }
                            td { (instant(worker.started_at)) }
                            td {
                                (counted(worker.concurrency.into(), "batch at a time", "batches at a time")) ", "
                                @if worker.max_rows_per_second == 0 { "no limit" }
                                @else { (thousands(worker.max_rows_per_second.into())) " rows/s at most" }
                            }
                            td.number { (thousands(worker.rows_claimed)) }
                            td.number { (thousands(worker.rows_completed)) }
                            td.number { (thousands(worker.rows_failed)) }
                            td.number { (thousands(worker.groups_committed)) }
                        }
                    }
                    @if overview.workers.is_empty() { tr { td colspan="10" { "No service has announced itself." } } }
                }
            }
        }
        p.small {
            "Services of this database; " code { "worker run-once" } " is in Runs. A worker that was killed is "
            "not seen any more; its rows are claimed by another one when their lease expires."
        }
    }
}

/// Host and process of name@host:process.
fn place(worker: &str) -> (&str, &str) {
    let place = worker.rsplit_once('@').map_or(worker, |(_, place)| place);
    place.rsplit_once(':').unwrap_or((place, ""))
}

fn alerts(own: &Own, overview: &Overview) -> Markup {
    let of_worker: Vec<&String> = own
        .rules
        .iter()
        .filter(|rule| !overview.firing.iter().any(|firing| firing.rule == **rule))
        .collect();
    html! {
        @if !overview.firing.is_empty() || !of_worker.is_empty() {
            section.notice.bad aria-labelledby="alerts" {
                h2 id="alerts" { "Alerts that fire" }
                ul.plain {
                    @for firing in &overview.firing {
                        li { strong { (firing.rule) } " for " (age(firing.seconds)) }
                    }
                    @for rule in of_worker { li { strong { (rule) } " (of this worker)" } }
                }
                p.small { "What each means and what to do: docs/operations.md." }
            }
        } @else if !own.is_watched {
            p.small { "No alert is watched: neither mail.host nor webhook.url is set." }
        }
    }
}

/// The view as JSON.
pub async fn json(State(page): Shared) -> Json<Value> {
    let known = page.read_overview().await;
    Json(to_json(&page.own(), &known))
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

fn to_json(own: &Own, known: &Known<Overview>) -> Value {
    let breaker = match &own.breaker {
        Breaker::Open { cause, since, next } => json!({
            "state": own.breaker.name(), "cause": cause, "since_seconds": since.as_secs_f64(),
            "next_attempt_seconds": next.as_secs_f64(),
        }),
        Breaker::Closed | Breaker::Starting => json!({ "state": own.breaker.name() }),
    };
    let rate = |(kind, rate): &(Kind, Rate)| {
        let of = json!({ "rows_per_second": rate.rows, "groups_per_second": rate.groups, "history": rate.history });
        (kind.name().to_owned(), of)
    };
    let rates: serde_json::Map<String, Value> = own.rates.iter().map(rate).collect();
    let pool = own.pool.as_ref().map(|pool| {
        json!({
            "in_use": pool.in_use, "idle": pool.idle, "open": pool.open, "max": pool.max,
            "waiting": pool.waiting, "utilisation": pool.utilisation, "health": pool.health.to_string(),
            "wait_seconds_p50": finite(own.waits.p50), "wait_seconds_p99": finite(own.waits.p99),
            "hold_seconds_p50": finite(own.holds.p50), "hold_seconds_p99": finite(own.holds.p99),
        })
    });
    json!({
        "worker": own.name,
        "breaker": breaker,
        "error": known.error,
        "known_seconds_ago": known.at.map(|at| at.elapsed().as_secs_f64()),
        "goal_seconds": own.goal,
        "silent_seconds": own.silent_seconds,
        "is_stuck": own.is_stuck,
        "pool": pool,
        "rates": rates,
        "rules_firing": own.rules,
        "database": known.value.as_deref().map(database_json),
    })
}

fn database_json(of: &Overview) -> Value {
    let kind = |kind: &KindStatus| {
        json!({
            "kind": kind.kind.name(),
            "pending": kind.pending,
            "backing_off": kind.backing_off,
            "processing": kind.processing,
            "expired": kind.expired,
            "dead": kind.dead,
            "rejected": kind.rejected,
            "oldest_pending_seconds": kind.oldest_pending_seconds,
            "is_capped": kind.is_capped,
            "is_paused": of.paused.iter().any(|paused| paused.kind == kind.kind),
        })
    };
    let worker = |worker: &Worker| {
        json!({
            "worker": worker.worker,
            "version": worker.version,
            "started_at": worker.started_at.to_utc().to_rfc3339(),
            "is_alive": worker.is_alive,
            "seen_seconds_ago": worker.seen_seconds_ago,
            "concurrency": worker.concurrency,
            "max_rows_per_second": worker.max_rows_per_second,
            "rows_claimed": worker.rows_claimed,
            "rows_completed": worker.rows_completed,
            "rows_failed": worker.rows_failed,
            "groups_committed": worker.groups_committed,
        })
    };
    let old = |old: &OldTransaction| json!({ "holder": old.holder, "name": old.name, "process": old.process, "seconds": old.seconds });
    json!({
        "version": of.server.version,
        "database": of.server.database,
        "role": of.server.role,
        "in_recovery": of.server.in_recovery,
        "now": of.server.now.to_utc().to_rfc3339(),
        "kinds": of.kinds.iter().map(kind).collect::<Vec<_>>(),
        "workers": of.workers.iter().map(worker).collect::<Vec<_>>(),
        "max_rows_per_second": of.throttle.as_ref().map(|throttle| throttle.max_rows_per_second),
        "old_transactions": of.old_transactions.iter().map(old).collect::<Vec<_>>(),
        "alerts_firing": of.firing.iter().map(|firing| json!({ "rule": firing.rule, "seconds": firing.seconds })).collect::<Vec<_>>(),
    })
}
