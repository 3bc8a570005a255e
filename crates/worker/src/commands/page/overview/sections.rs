//! The sections of the overview.

use aggregation::Kind;
use maud::{Markup, html};
use store::{Batches, KindStatus, PoolHealth, PoolStats, Server, Throttled};

use super::{MAX_COUNTED_SETS, Overview, Own};
use crate::commands::page::access::Role;
use crate::commands::page::layout::{self, Column, address, badge, instant, meter};
use crate::commands::page::sparkline::sparkline;
use crate::service::Breaker;
use crate::tables::{age, counted, thousands};

/// An hour of samples.
const FULL_HISTORY: usize = 240;

const QUEUE: [Column; 10] = [
    Column::Text("Kind"),
    Column::Text("State"),
    Column::Number("Raw rows pending"),
    Column::Number("Oldest"),
    Column::Number("In back-off"),
    Column::Number("Processing"),
    Column::Number("Lease expired"),
    Column::Number("Dead"),
    Column::Number("Rejected"),
    Column::Text("Claims"),
];

const WORKERS: [Column; 11] = [
    Column::Text("Host"),
    Column::Number("Process"),
    Column::Text("State"),
    Column::Text("Version"),
    Column::Text("Since"),
    Column::Text("Works on"),
    Column::Text("May claim"),
    Column::Number("Rows claimed"),
    Column::Number("Completed"),
    Column::Number("Failed"),
    Column::Number("Groups"),
];

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

pub(super) fn queue(own: &Own, overview: &Overview, role: Role) -> Markup {
    let capped = overview.kinds.iter().any(|kind| kind.is_capped);
    let is_paused = |kind: Kind| overview.paused.iter().find(|of| of.kind == kind);
    let rows = html! {
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
                    @if kind.dead > 0 { a href=(address(&format!("/failures#{}", kind.kind.name()))) { (number(kind.dead, capped)) } }
                    @else { "0" }
                }
                td.number { (number(kind.rejected, capped)) }
                td {
                    @match is_paused(kind.kind) {
                        Some(paused) => {
                            (badge("warn", "paused")) " since " (instant(paused.paused_at))
                            " by " (paused.paused_by) (control(kind.kind, "resume", role))
                        }
                        None => { "claimed" (control(kind.kind, "pause", role)) }
                    }
                }
            }
        }
    };
    html! {
        (layout::table("The queue of each kind", &QUEUE, &rows))
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
            " · " a href=(address(&format!("/actions/confirm?action={action}&kind={}", kind.name()))) {
                (action) span.hidden { " " (kind.name()) }
            }
        }
    }
}

pub(super) fn rates(own: &Own) -> Markup {
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

pub(super) fn pool(own: &Own) -> Markup {
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

pub(super) fn database(own: &Own, overview: Option<&Overview>) -> Markup {
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

pub(super) fn workers(own: &Own, overview: &Overview) -> Markup {
    let rows = html! {
        @for worker in &overview.workers {
            @let (host, process) = place(&worker.worker);
            @let is_own = worker.worker == own.name;
            tr {
                th scope="row" { (host) @if is_own { " (this one)" } }
                td.number { (process) }
                td {
                    @if worker.is_alive { (badge("good", "alive")) }
                    @else { (badge("bad", "not seen")) " for " (age(worker.seen_seconds_ago)) }
                }
                td { (worker.version) }
                td { (instant(worker.started_at)) }
                td { (works_on(if is_own { &own.batches } else { &worker.batches }, worker.is_alive)) }
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
        @if overview.workers.is_empty() { tr { td colspan="11" { "No service has announced itself." } } }
    };
    html! {
        (layout::table("The services of this database", &WORKERS, &rows))
        p.small {
            "Services of this database; " code { "worker run-once" } " is in Runs. Other services say every few "
            "seconds which batches they work on. A worker that was killed is not seen any more; another one claims "
            "its rows when their lease expires."
        }
    }
}

/// The batches that a worker works on; of one that is gone, those that it worked on last.
fn works_on(batches: &Batches, is_alive: bool) -> Markup {
    html! {
        @if !is_alive && !batches.running.is_empty() { "at last: " }
        @for (index, batch) in batches.running.iter().enumerate() {
            @if index > 0 { br; }
            (batch.kind.name()) ", " (counted(batch.rows, "raw row", "raw rows")) ", for " (age(batch.seconds))
        }
        @if batches.running.is_empty() {
            @match batches.claimed_seconds_ago {
                Some(ago) if is_alive => { span.soft { "nothing; claimed " (age(ago)) " ago" } }
                Some(_) => span.soft { "nothing" },
                None => span.soft { "nothing claimed yet" },
            }
        }
    }
}

/// Host and process of name@host:process.
fn place(worker: &str) -> (&str, &str) {
    let place = worker.rsplit_once('@').map_or(worker, |(_, place)| place);
    place.rsplit_once(':').unwrap_or((place, ""))
}
