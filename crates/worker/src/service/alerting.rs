//! Alerting: looks at what the service has seen, and tells people of it.
//!
//! One task looks, and one for each channel sends, so that a mail server that hangs delays neither
//! the webhook nor the next look, and the work least of all. A message goes through the outbox in the
//! database. While that cannot be used, which is what some messages are about, it waits in memory and
//! is sent from there; what is left of that goes into the outbox as soon as it can.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aggregation::Timestamp;
use store::{Alert, Store};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::database::State;
use super::{Service, lock};
use crate::alerts::channel::Channel;
use crate::alerts::condition::{Change, Condition};
use crate::alerts::observation::{Circuit, Groups, GroupsSeen, Look, Seen};
use crate::alerts::{Message, Rule, new_alert, outbox};
use crate::backoff::Backoff;
use crate::config::{Alerts, Config};
use crate::stop::Stop;
use crate::{metrics, setup};

/// Messages that may wait in memory, for each channel. One worker has six conditions to tell of
/// without its database, each once in a cool-down; beyond, the oldest is dropped.
const MOST_WAITING: usize = 64;

/// What alerting needs beside what the service has.
pub struct Alerting {
    rules: Alerts,
    /// This worker, as messages name it.
    worker: String,
    lanes: Vec<Arc<Lane>>,
    /// Told when the database comes or goes.
    pub(super) look: Notify,
}

/// One channel, and what it has to send.
struct Lane {
    channel: Channel,
    /// Told when there is something to send.
    due: Notify,
    waiting: Mutex<VecDeque<Waiting>>,
}

/// A message that could not be put into the outbox.
#[derive(Clone)]
struct Waiting {
    alert: Alert,
    since: Instant,
    happened_at: Timestamp,
    backoff: Backoff,
    not_before: Instant,
}

/// How it stands with the rules of this worker.
struct Conditions {
    own: BTreeMap<&'static str, Condition>,
    groups: Groups,
}

impl Alerting {
    /// What the configuration asks for; none if nobody is to be told.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let channels = Channel::all(config);
        if channels.is_empty() {
            return None;
        }
        let lane =
            |channel| Arc::new(Lane { channel, due: Notify::new(), waiting: Mutex::default() });
        Some(Self {
            rules: config.alerts.clone(),
            worker: setup::identity(&config.session.application_name),
            lanes: channels.into_iter().map(lane).collect(),
            look: Notify::new(),
        })
    }

    fn channels(&self) -> Vec<&'static str> {
        self.lanes.iter().map(|lane| lane.channel.name()).collect()
    }

    fn rules(&self, of_database: bool) -> impl Iterator<Item = Rule> {
        let wanted = move |rule: &Rule| {
            rule.is_of_database() == of_database && !self.rules.off.contains(rule)
        };
        Rule::ALL.into_iter().filter(wanted)
    }

    fn alert(&self, rule: Rule, change: Change, look: &Look, lasted: Duration) -> Alert {
        let fires = change == Change::Fires;
        let amount = look.amount.unwrap_or(lasted.as_secs_f64());
        Alert { lasted, ..new_alert(rule, fires, &self.worker, amount, look.threshold) }
    }
}

impl Service {
    /// Alerts from now on, if anybody is to be told. The tasks that send end once asked to stop and done
    /// with the message that they have.
    pub(super) fn start_alerts(service: &Arc<Self>) -> JoinSet<()> {
        let mut senders = JoinSet::new();
        let Some(alerting) = &service.alerting else { return senders };
        for lane in &alerting.lanes {
            metrics::expect_deliveries(lane.channel.name());
            if lane.channel.is_open() {
                tracing::warn!(
                    event = "alerts_unencrypted",
                    channel = lane.channel.name(),
                    place = lane.channel.place(),
                    "{} sends alerts to {} unencrypted",
                    lane.channel.name(),
                    lane.channel.place()
                );
            }
            let (service, lane) = (Arc::clone(service), Arc::clone(lane));
            senders.spawn(async move { service.send_alerts(&lane).await });
        }
        let service = Arc::clone(service);
        tokio::spawn(async move { service.look_for_alerts().await });
        senders
    }

    /// Looks, until asked to stop.
    async fn look_for_alerts(&self) {
        let Some(alerting) = &self.alerting else { return };
        let groups = Groups::new(Instant::now());
        let mut conditions = Conditions { own: BTreeMap::new(), groups };
        while !self.stop.is_requested() {
            self.look_once(alerting, &mut conditions).await;
            tokio::select! {
                () = tokio::time::sleep(self.config().service.observe) => {}
                () = alerting.look.notified() => {}
                () = self.stop.requested() => {}
            }
        }
    }

    async fn look_once(&self, alerting: &Alerting, conditions: &mut Conditions) {
        let (now, seen) = (Instant::now(), self.seen());
        let fires = conditions.own.get(Rule::FailedGroups.name()).is_some_and(Condition::fires);
        let threshold = alerting.rules.threshold(Rule::FailedGroups);
        let groups = conditions.groups.see(now, &seen, threshold, fires);
        for rule in alerting.rules(false) {
            let look = alerting.rules.look(rule, &seen, groups, now);
            let condition = conditions.own.entry(rule.name()).or_default();
            if let Some(change) = condition.sees(now, look.holds, alerting.rules.limits(rule)) {
                let alert = alerting.alert(rule, change, &look, condition.lasted(now, change));
                outbox::say_changed(rule, &alert);
                self.post(alerting, alert).await;
            }
        }
        if let Some(store) = self.database.store() {
            self.look_at_database(alerting, &store, &seen, now).await;
        }
        // What waits in memory may go into the outbox by now.
        for lane in alerting.lanes.iter().filter(|lane| !lock(&lane.waiting).is_empty()) {
            lane.due.notify_one();
        }
    }

    /// What concerns the database is known there: of all its workers, one tells of it.
    async fn look_at_database(
        &self,
        alerting: &Alerting,
        store: &Store,
        seen: &Seen,
        now: Instant,
    ) {
        let channels = alerting.channels();
        let Ok(known) = outbox::in_time(store.outbox(&channels)).await else { return };
        for rule in alerting.rules(true) {
            let of_rule = known.conditions.iter().find(|condition| condition.rule == rule.name());
            let fires = of_rule.is_some_and(|condition| condition.fires);
            metrics::show_alert(rule, fires);
            let fired_at = of_rule.and_then(|condition| now.checked_sub(condition.fired_ago));
            let mut condition = Condition::known(fires, fired_at);
            let groups = GroupsSeen { holds: None, percent: 0.0 };
            let look = alerting.rules.look(rule, seen, groups, now);
            let dead = seen.backlog.map_or(0, |(_, dead, _)| dead);
            // Rows that died since it fired wait no more, but they are not in the figures either.
            let died = of_rule.is_some_and(|condition| dead > condition.dead_rows);
            let holds = look.holds.filter(|holds| *holds || !died);
            let limits = alerting.rules.limits(rule);
            let Some(change) = condition.sees(now, holds, limits) else { continue };
            let lasted = match rule {
                // As long as its oldest row has waited.
                Rule::OldestPending => look.amount.unwrap_or_default(),
                _ => 0.0,
            };
            let lasted = Duration::try_from_secs_f64(lasted).unwrap_or_default();
            let mut alert = alerting.alert(rule, change, &look, lasted);
            (alert.ago, alert.dead_rows) = (look.at.elapsed(), dead);
            let told = match change {
                Change::Fires => {
                    outbox::in_time(store.fire_alert(&channels, &alert, limits.cooldown)).await
                }
                Change::Resolves => outbox::in_time(store.resolve_alert(&channels, &alert)).await,
            };
            // What failed is tried again at the next look.
            if matches!(told, Ok(true)) {
                outbox::say_changed(rule, &alert);
                alerting.lanes.iter().for_each(|lane| lane.due.notify_one());
            }
        }
        for lane in &alerting.lanes {
            if known.due.iter().any(|channel| channel == lane.channel.name()) {
                lane.due.notify_one();
            }
        }
    }

    fn seen(&self) -> Seen {
        let (pool, circuit) = match self.database.state() {
            State::Unknown => (None, Circuit::Unknown),
            State::Unavailable(_) if self.database.is_unreachable() => (None, Circuit::Unreachable),
            State::Unavailable(_) => (None, Circuit::Open),
            State::Ready(store) => (Some(store.stats()), Circuit::Closed),
        };
        let backlog = self.watched.oldest_and_dead();
        Seen { pool, circuit, backlog, groups: self.watched.groups() }
    }

    /// Into the outbox, or else into memory. Where something waits in memory, it goes behind that: it
    /// may be that what is over now fires.
    async fn post(&self, alerting: &Alerting, alert: Alert) {
        let (free, behind): (Vec<&Arc<Lane>>, Vec<&Arc<Lane>>) =
            alerting.lanes.iter().partition(|lane| lock(&lane.waiting).is_empty());
        let channels: Vec<&str> = free.iter().map(|lane| lane.channel.name()).collect();
        let put = match self.database.store() {
            Some(store) if !free.is_empty() => {
                outbox::in_time(store.put_alert(&channels, &alert)).await.is_ok()
            }
            _ => false,
        };
        for lane in behind.into_iter().chain(free.into_iter().filter(|_| !put)) {
            lane.remember(alert.clone(), alerting.rules.backoff(0));
        }
        alerting.lanes.iter().for_each(|lane| lane.due.notify_one());
    }

    /// Sends what a channel has to send, until asked to stop.
    async fn send_alerts(&self, lane: &Lane) {
        let Some(alerting) = &self.alerting else { return };
        while !self.stop.is_requested() {
            let store = self.database.store();
            let in_outbox = match &store {
                Some(store) => lane.put_into_outbox(store).await,
                None => false,
            };
            match store.filter(|_| in_outbox) {
                // What the database does not do is found out by the work; the next look asks again.
                Some(store) => {
                    let (channel, rules, stop) = (&lane.channel, &alerting.rules, &self.stop);
                    // Each attempt has bounds of its own, and nobody waits for this task.
                    let patience = std::future::pending();
                    let _ = outbox::deliver(&store, channel, rules, stop, patience).await;
                }
                None => lane.send_from_memory(&self.stop).await,
            }
            tokio::select! {
                () = lane.due.notified() => {}
                () = lane.until_next() => {}
                () = self.stop.requested() => {}
            }
        }
    }
}

impl Lane {
    fn remember(&self, alert: Alert, backoff: Backoff) {
        let now = Instant::now();
        let happened_at = Timestamp(setup::own_clock());
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= MOST_WAITING
            && let Some(dropped) = waiting.pop_front()
        {
            tracing::error!(
                event = "alert_dropped",
                channel = self.channel.name(),
                rule = dropped.alert.rule,
                fires = dropped.alert.fires,
                "too many messages wait without a database; {} is not told of",
                dropped.alert.rule
            );
        }
        waiting.push_back(Waiting { alert, since: now, happened_at, backoff, not_before: now });
    }

    /// Puts what waits in memory into the outbox, in order; whether nothing is left.
    async fn put_into_outbox(&self, store: &Store) -> bool {
        loop {
            let Some(mut first) = lock(&self.waiting).front().cloned() else { return true };
            first.alert.ago = first.since.elapsed();
            let channel = [self.channel.name()];
            if outbox::in_time(store.put_alert(&channel, &first.alert)).await.is_err() {
                return false;
            }
            self.forget(&first);
        }
    }

    /// Sends what is due of what waits in memory, in order: as long as the first cannot be sent, nor
    /// can the others.
    async fn send_from_memory(&self, stop: &Stop) {
        while !stop.is_requested() {
            let Some(mut first) = lock(&self.waiting).front().cloned() else { return };
            if first.not_before > Instant::now() {
                return;
            }
            let (began, attempts) = (Instant::now(), first.backoff.errors() as i32 + 1);
            match self.channel.send(&Message::of(&first.alert, first.happened_at)).await {
                Ok(sent) => {
                    let took = began.elapsed();
                    outbox::say_delivered(&self.channel, &first.alert, attempts, &sent, took);
                    self.forget(&first);
                }
                Err(failure) => {
                    let pause = first.backoff.record_error();
                    let (channel, alert) = (&self.channel, &first.alert);
                    outbox::say_failed(channel, alert, attempts, &failure, pause, pause.is_none());
                    match pause {
                        Some(pause) => self.try_again(first, Instant::now() + pause),
                        None => self.forget(&first),
                    }
                }
            }
        }
    }

    /// It may have been dropped meanwhile to make room.
    fn forget(&self, done: &Waiting) {
        lock(&self.waiting).retain(|waiting| waiting.alert.key != done.alert.key);
    }

    fn try_again(&self, failed: Waiting, not_before: Instant) {
        let mut waiting = lock(&self.waiting);
        if let Some(first) = waiting.iter_mut().find(|first| first.alert.key == failed.alert.key) {
            *first = Waiting { not_before, ..failed };
        }
    }

    /// Until the first of what waits in memory is due; for ever if there is none.
    async fn until_next(&self) {
        let next = lock(&self.waiting).front().map(|first| first.not_before);
        match next {
            // Not at once, where it is due but could not even be tried.
            Some(next) => {
                let wait = next.saturating_duration_since(Instant::now());
                tokio::time::sleep(wait.max(Duration::from_secs(1))).await;
            }
            None => std::future::pending().await,
        }
    }
}
