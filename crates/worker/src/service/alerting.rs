//! Alerts of the service: evaluates the service's own observations, and sends messages about them.
//!
//! One task observes, and each channel has a task that sends. So a hanging mail server delays neither
//! the webhook nor the next observation, and never the work. A message goes through the outbox in the
//! database. If the outbox is unavailable, which is the subject of some messages, the message waits in
//! memory and is sent from there. When the outbox is available again, waiting messages are moved into
//! it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aggregation::Timestamp;
use alerts::channel::Channel;
use alerts::condition::{Change, Condition};
use alerts::observation::{Circuit, FailedGroups, Groups, Observations, RuleObservation};
use alerts::{Message, Rule, Rules, new_alert, outbox, own_clock};
use store::{Alert, Backoff, Store};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::database::State;
use super::{Service, lock};
use crate::config::Config;
use crate::setup;
use crate::stop::Stop;
use crate::target;

/// Maximum of messages that wait in memory for a channel. Without its database a worker watches six
/// conditions, each of which fires once per cool-down. If there are more messages, the oldest is
/// dropped.
const MAX_PENDING: usize = 64;

/// The rules, the channels and their messages.
pub struct Alerting {
    rules: Rules,
    /// The name of this worker in messages.
    worker: String,
    queues: Vec<Arc<ChannelQueue>>,
    /// Notified when the database is lost or ready again.
    pub(super) look: Notify,
}

/// One channel, and its messages in memory.
struct ChannelQueue {
    channel: Channel,
    /// Notified when a message is due.
    due: Notify,
    pending: Mutex<VecDeque<PendingMessage>>,
}

/// A message that could not be put into the outbox.
#[derive(Clone)]
struct PendingMessage {
    alert: Alert,
    since: Instant,
    happened_at: Timestamp,
    backoff: Backoff,
    not_before: Instant,
}

/// The state of the rules that concern only this worker.
struct Conditions {
    own: BTreeMap<&'static str, Condition>,
    groups: Groups,
}

impl Alerting {
    /// Creates the state from the configuration; `None` without a channel.
    pub(super) fn from_config(config: &Config) -> Option<Self> {
        let channels = Channel::all(&config.mail, &config.webhook);
        if channels.is_empty() {
            return None;
        }
        let queue = |channel| {
            Arc::new(ChannelQueue { channel, due: Notify::new(), pending: Mutex::default() })
        };
        Some(Self {
            rules: config.alerts.clone(),
            worker: setup::identity(&config.session.application_name),
            queues: channels.into_iter().map(queue).collect(),
            look: Notify::new(),
        })
    }

    fn channels(&self) -> Vec<&'static str> {
        self.queues.iter().map(|queue| queue.channel.name()).collect()
    }

    fn rules(&self, of_database: bool) -> impl Iterator<Item = Rule> {
        let wanted = move |rule: &Rule| {
            rule.is_of_database() == of_database && !self.rules.off.contains(rule)
        };
        Rule::ALL.into_iter().filter(wanted)
    }

    fn alert(&self, rule: Rule, change: Change, look: &RuleObservation, lasted: Duration) -> Alert {
        let fires = change == Change::Fires;
        let amount = look.amount.unwrap_or(lasted.as_secs_f64());
        Alert { lasted, ..new_alert(rule, fires, &self.worker, amount, look.threshold) }
    }
}

impl Service {
    /// Starts the tasks, if there is a channel. After a request to stop, a sending task ends after its
    /// current message.
    pub(super) fn start_alerts(service: &Arc<Self>) -> JoinSet<()> {
        let mut senders = JoinSet::new();
        let Some(alerting) = &service.alerting else { return senders };
        for queue in &alerting.queues {
            alerts::expect_deliveries(queue.channel.name());
            if queue.channel.is_open() {
                tracing::warn!(
                    event = "alerts_unencrypted",
                    channel = queue.channel.name(),
                    place = queue.channel.address(),
                    "Alerts by {} go to {} unencrypted",
                    queue.channel.name(),
                    queue.channel.address()
                );
            }
            let (service, queue) = (Arc::clone(service), Arc::clone(queue));
            let send = async move { service.send_alerts(&queue).await };
            senders.spawn(target::inherited(target::name(), send));
        }
        let service = Arc::clone(service);
        let observe = async move { service.observe_conditions().await };
        tokio::spawn(target::inherited(target::name(), observe));
        senders
    }

    /// Observes until a stop is requested.
    async fn observe_conditions(&self) {
        let Some(alerting) = &self.alerting else { return };
        let groups = Groups::new(Instant::now());
        let mut conditions = Conditions { own: BTreeMap::new(), groups };
        while !self.stop.is_requested() {
            self.observe_once(alerting, &mut conditions).await;
            tokio::select! {
                () = self.sleep_until_look(self.unless_long_idle(self.config().service.observe)) => {}
                () = alerting.look.notified() => {}
                () = self.stop.requested() => {}
            }
        }
    }

    async fn observe_once(&self, alerting: &Alerting, conditions: &mut Conditions) {
        let (now, seen) = (Instant::now(), self.observations());
        let fires = conditions.own.get(Rule::FailedGroups.name()).is_some_and(Condition::fires);
        let threshold = alerting.rules.threshold(Rule::FailedGroups);
        let groups = conditions.groups.observe(now, &seen, threshold, fires);
        for rule in alerting.rules(false) {
            let look = alerting.rules.observe(rule, &seen, groups, now);
            let condition = conditions.own.entry(rule.name()).or_default();
            if let Some(change) = condition.observe(now, look.holds, alerting.rules.limits(rule)) {
                let alert = alerting.alert(rule, change, &look, condition.lasted(now, change));
                outbox::log_changed(rule, &alert);
                self.post(alerting, alert).await;
            }
        }
        if let Some(store) = self.database.store() {
            self.observe_database(alerting, &store, &seen, now).await;
        }
        // Messages in memory may fit into the outbox now.
        for queue in alerting.queues.iter().filter(|queue| !lock(&queue.pending).is_empty()) {
            queue.due.notify_one();
        }
    }

    /// The database stores the state of rules that concern it, so that only one of its workers sends
    /// each message.
    async fn observe_database(
        &self,
        alerting: &Alerting,
        store: &Store,
        seen: &Observations,
        now: Instant,
    ) {
        let channels = alerting.channels();
        let Ok(known) = outbox::with_timeout(store.outbox(&channels)).await else { return };
        for rule in alerting.rules(true) {
            let of_rule = known.conditions.iter().find(|condition| condition.rule == rule.name());
            let fires = of_rule.is_some_and(|condition| condition.fires);
            alerts::show_alert(rule, fires);
            let fired_at = of_rule.and_then(|condition| now.checked_sub(condition.fired_ago));
            let mut condition = Condition::known(fires, fired_at);
            let groups = FailedGroups { holds: None, percent: 0.0 };
            let look = alerting.rules.observe(rule, seen, groups, now);
            let dead = seen.backlog.map_or(0, |(age, _)| age.dead);
            // Rows that died since the alert fired no longer wait, but they are not in the figures either.
            let died = of_rule.is_some_and(|condition| dead > condition.dead_rows);
            let holds = look.holds.filter(|holds| *holds || !died);
            let limits = alerting.rules.limits(rule);
            let Some(change) = condition.observe(now, holds, limits) else { continue };
            let lasted = match rule {
                // The condition has lasted as long as the oldest row has waited.
                Rule::OldestPending => look.amount.unwrap_or_default(),
                _ => 0.0,
            };
            let lasted = Duration::try_from_secs_f64(lasted).unwrap_or_default();
            let mut alert = alerting.alert(rule, change, &look, lasted);
            (alert.ago, alert.dead_rows) = (look.at.elapsed(), dead);
            let is_recorded = match change {
                Change::Fires => {
                    outbox::with_timeout(store.fire_alert(&channels, &alert, limits.cooldown)).await
                }
                Change::Resolves => {
                    outbox::with_timeout(store.resolve_alert(&channels, &alert)).await
                }
            };
            // After a failure, the next observation tries again.
            if matches!(is_recorded, Ok(true)) {
                outbox::log_changed(rule, &alert);
                alerting.queues.iter().for_each(|queue| queue.due.notify_one());
            }
        }
        for queue in &alerting.queues {
            if known.due.iter().any(|channel| channel == queue.channel.name()) {
                queue.due.notify_one();
            }
        }
    }

    pub(super) fn observations(&self) -> Observations {
        let (pool, circuit) = match self.database.state() {
            State::Unknown => (None, Circuit::Unknown),
            State::Unavailable(_) if self.database.is_unreachable() => (None, Circuit::Unreachable),
            State::Unavailable(_) => (None, Circuit::Open),
            State::Ready(store) => (Some(store.stats()), Circuit::Closed),
        };
        let backlog = self.watched.queue_age();
        Observations { pool, circuit, backlog, groups: self.watched.groups() }
    }

    /// Puts a message into the outbox. If that is not possible, or older messages wait in memory, it
    /// goes there: "resolved" must not overtake "firing".
    async fn post(&self, alerting: &Alerting, alert: Alert) {
        let (free, behind): (Vec<&Arc<ChannelQueue>>, Vec<&Arc<ChannelQueue>>) =
            alerting.queues.iter().partition(|queue| lock(&queue.pending).is_empty());
        let channels: Vec<&str> = free.iter().map(|queue| queue.channel.name()).collect();
        let put = match self.database.store() {
            Some(store) if !free.is_empty() => {
                outbox::with_timeout(store.put_alert(&channels, &alert)).await.is_ok()
            }
            _ => false,
        };
        for queue in behind.into_iter().chain(free.into_iter().filter(|_| !put)) {
            queue.remember(alert.clone(), alerting.rules.backoff(0));
        }
        alerting.queues.iter().for_each(|queue| queue.due.notify_one());
    }

    /// Sends the messages of a channel until a stop is requested.
    async fn send_alerts(&self, queue: &ChannelQueue) {
        let Some(alerting) = &self.alerting else { return };
        while !self.stop.is_requested() {
            let store = self.database.store();
            let in_outbox = match &store {
                Some(store) => queue.put_into_outbox(store).await,
                None => false,
            };
            match store.filter(|_| in_outbox) {
                // An error of the database is handled by the work; the next observation tries again.
                Some(store) => {
                    let target = target::name();
                    let channel = (&queue.channel, target.as_deref());
                    let (rules, stop) = (&alerting.rules, self.stop.token());
                    // Each attempt has its own time-outs, and no other task waits for this one.
                    let patience = std::future::pending();
                    let _ = outbox::deliver(&store, channel, rules, stop, patience).await;
                }
                None => queue.send_from_memory(&self.stop).await,
            }
            tokio::select! {
                () = queue.due.notified() => {}
                () = queue.until_next() => {}
                () = self.stop.requested() => {}
            }
        }
    }
}

impl ChannelQueue {
    fn remember(&self, alert: Alert, backoff: Backoff) {
        let now = Instant::now();
        let happened_at = own_clock();
        let mut pending = lock(&self.pending);
        if pending.len() >= MAX_PENDING
            && let Some(dropped) = pending.pop_front()
        {
            tracing::error!(
                event = "alert_dropped",
                channel = self.channel.name(),
                rule = dropped.alert.rule,
                fires = dropped.alert.fires,
                "Alert dropped ({} by {}): {MAX_PENDING} newer messages wait in memory for the outbox",
                dropped.alert.rule,
                self.channel.name()
            );
        }
        pending.push_back(PendingMessage {
            alert,
            since: now,
            happened_at,
            backoff,
            not_before: now,
        });
    }

    /// Moves the messages in memory into the outbox, in order. Returns whether none is left.
    async fn put_into_outbox(&self, store: &Store) -> bool {
        loop {
            let Some(mut first) = lock(&self.pending).front().cloned() else { return true };
            first.alert.ago = first.since.elapsed();
            let channel = [self.channel.name()];
            if outbox::with_timeout(store.put_alert(&channel, &first.alert)).await.is_err() {
                return false;
            }
            self.forget(&first);
        }
    }

    /// Sends the due messages in memory, in order: while the first cannot be sent, the others wait.
    async fn send_from_memory(&self, stop: &Stop) {
        while !stop.is_requested() {
            let Some(mut first) = lock(&self.pending).front().cloned() else { return };
            if first.not_before > Instant::now() {
                return;
            }
            let (began, attempts) = (Instant::now(), first.backoff.errors() as i32 + 1);
            let target = target::name();
            let message = Message::from_alert(&first.alert, target.as_deref(), first.happened_at);
            match self.channel.send(&message).await {
                Ok(sent) => {
                    let took = began.elapsed();
                    outbox::log_delivered(&self.channel, &first.alert, attempts, &sent, took);
                    self.forget(&first);
                }
                Err(failure) => {
                    let pause = first.backoff.record_error();
                    let (channel, alert) = (&self.channel, &first.alert);
                    outbox::log_failed(channel, alert, attempts, &failure, pause, pause.is_none());
                    match pause {
                        Some(pause) => self.try_again(first, Instant::now() + pause),
                        None => self.forget(&first),
                    }
                }
            }
        }
    }

    /// Removes a message, unless it was dropped meanwhile.
    fn forget(&self, done: &PendingMessage) {
        lock(&self.pending).retain(|pending| pending.alert.key != done.alert.key);
    }

    fn try_again(&self, failed: PendingMessage, not_before: Instant) {
        let mut pending = lock(&self.pending);
        if let Some(first) = pending.iter_mut().find(|first| first.alert.key == failed.alert.key) {
            *first = PendingMessage { not_before, ..failed };
        }
    }

    /// Waits until the first message in memory is due; for ever if there is none.
    async fn until_next(&self) {
        let next = lock(&self.pending).front().map(|first| first.not_before);
        match next {
            // Wait at least a little, if it is due but could not even be tried.
            Some(next) => {
                let wait = next.saturating_duration_since(Instant::now());
                tokio::time::sleep(wait.max(Duration::from_secs(1))).await;
            }
            None => std::future::pending().await,
        }
    }
}
