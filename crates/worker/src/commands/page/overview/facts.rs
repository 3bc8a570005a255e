//! The overview as JSON.

use aggregation::Kind;
use serde_json::{Value, json};
use store::{KindStatus, OldTransaction, RunningBatch, Worker};

use super::{Overview, Own};
use crate::commands::page::cached::Known;
use crate::commands::page::measured::Rate;
use crate::service::{Breaker, FiringRule};

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

pub(super) fn to_json(own: &Own, known: &Known<Overview>) -> Value {
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
    let alert = |of: &FiringRule| {
        json!({
            "rule": of.rule.name(), "seconds": of.lasted.as_secs_f64(), "amount": of.amount,
            "threshold": of.threshold, "unit": of.rule.unit(),
        })
    };
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
        "alerts_firing": own.firing.iter().map(alert).collect::<Vec<_>>(),
        "alerts_are_sent": own.is_sent,
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
    let batch = |batch: &RunningBatch| json!({ "kind": batch.kind.name(), "rows": batch.rows, "seconds": batch.seconds });
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
            "batches": worker.batches.running.iter().map(batch).collect::<Vec<_>>(),
            "claimed_seconds_ago": worker.batches.claimed_seconds_ago,
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
