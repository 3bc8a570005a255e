//! Alerts: which conditions of the database fire, and the messages that are still to be sent.
//!
//! A condition of the database, such as rows that are dead, is seen by each of its workers. One
//! statement decides which of them tells of it, and puts the messages into the outbox with that. A
//! message is taken with a lease, by the database's clock, and no connection is held while it is
//! sent: if its sender dies, or never says what became of it, somebody takes it again.
//!
//! Those who ask are tasks. The compiler cannot tell of statements that borrow that they may move between
//! threads, so that some own what they ask with, and the others are boxed.

use std::time::Duration;

use aggregation::Timestamp;
use diesel::data_types::PgTimestamp;
use diesel::dsl::IntervalDsl;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};
use futures_util::FutureExt;

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;
use crate::sql::time::{clock_timestamp, from_postgres};

/// A message: that a condition holds, or that it is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Tells it from all others, so that who gets it twice knows.
    pub key: String,
    /// The rule's name.
    pub rule: String,
    /// Whether the condition holds; else it is over.
    pub fires: bool,
    /// The worker that saw it.
    pub worker: String,
    /// What was seen: rows, seconds or percent, by the rule.
    pub amount: f64,
    /// From which amount on it fires.
    pub threshold: f64,
    /// For how long it was so before it could be written down.
    pub ago: Duration,
    /// How long the condition had held by then.
    pub lasted: Duration,
    /// Dead rows of the queue at that moment.
    pub dead_rows: i64,
}

/// A message that was taken to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenAlert {
    /// Its number in the outbox.
    pub id: i64,
    /// To be shown by whoever says what became of it.
    pub token: i64,
    /// How often it was tried before.
    pub attempts: i32,
    /// When it happened, by the database's clock.
    pub happened_at: Timestamp,
    /// The message; `ago` and `dead_rows` count for nothing.
    pub alert: Alert,
}

/// A condition of the database, as all its workers know it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertCondition {
    /// The rule's name.
    pub rule: String,
    /// Whether it fires.
    pub fires: bool,
    /// How long ago it began to fire last, by the database's clock.
    pub fired_ago: Duration,
    /// Dead rows of the queue at that moment.
    pub dead_rows: i64,
}

/// What is known of conditions and messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outbox {
    /// Every condition that ever fired.
    pub conditions: Vec<AlertCondition>,
    /// Those of the channels asked for that have a message to be sent now.
    pub due: Vec<String>,
}

/// Whether no message before `o` is still to be sent of the same condition.
///
/// A condition is the database's if it has a row of its own, else the worker's.
macro_rules! first_of_its_condition {
    () => {
        "NOT EXISTS (
             SELECT FROM alert_outbox AS e
             WHERE e.state = 'pending' AND e.channel = o.channel AND e.rule = o.rule AND e.id < o.id
               AND (e.worker = o.worker OR e.rule IN (SELECT c.rule FROM alert_conditions AS c)))"
    };
}

statement! {
    /// One look for all: conditions as the first kind of rows, channels as the second. What can be
    /// sent is as in [`Take`].
    struct ReadOutbox { channels: Vec<&'static str> => Array<Text> } -> (Bool, Text, Bool, Double, BigInt)
    concat!(
        "SELECT true, rule, resolved_at IS NULL,
            extract(epoch FROM clock_timestamp() - fired_at)::float8, dead_rows
     FROM alert_conditions
     UNION ALL
     SELECT false, of.channel, true, 0, 0
     FROM unnest({channels}) AS of (channel)
     WHERE EXISTS (SELECT FROM alert_outbox AS o
                   WHERE o.channel = of.channel AND o.not_before <= clock_timestamp()
                     AND ",
        first_of_its_condition!(),
        ")"
    )
}

statement! {
    struct PutMessages<'a> {
        channels: &'a [&'a str] => Array<Text>,
        key: &'a str => Text,
        rule: &'a str => Text,
        fires: bool => Bool,
        worker: &'a str => Text,
        amount: f64 => Double,
        threshold: f64 => Double,
        ago: f64 => Double,
        lasted: f64 => Double,
    } -> ()
    "INSERT INTO alert_outbox (channel, key, rule, fires, worker, amount, threshold, happened_at,
                               lasted_seconds)
     SELECT of.channel, {key}, {rule}, {fires}, {worker}, {amount}, {threshold},
            clock_timestamp() - make_interval(secs => {ago}), {lasted}
     FROM unnest({channels}) AS of (channel)"
}

statement! {
    /// Of two workers that do this at the same time, the second waits for the first, and then finds
    /// that it fires already. Only what was seen after it was over can say that it begins anew:
    /// another worker may have resolved it meanwhile. The look counts from when the statement came,
    /// as it would grow younger while it waits for the other's lock.
    struct Fire<'a> {
        channels: &'a [&'a str] => Array<Text>,
        key: &'a str => Text,
        rule: &'a str => Text,
        worker: &'a str => Text,
        amount: f64 => Double,
        threshold: f64 => Double,
        cooldown: f64 => Double,
        seen_ago: f64 => Double,
        lasted: f64 => Double,
        dead_rows: i64 => BigInt,
    } -> ()
    include_str!("outbox/fire.sql")
}

statement! {
    /// Only what was seen after it had begun to fire can say that it is over: another worker may
    /// have looked before.
    struct Resolve<'a> {
        channels: &'a [&'a str] => Array<Text>,
        key: &'a str => Text,
        rule: &'a str => Text,
        worker: &'a str => Text,
        amount: f64 => Double,
        threshold: f64 => Double,
        seen_ago: f64 => Double,
    } -> ()
    include_str!("outbox/resolve.sql")
}

statement! {
    /// Nobody is told that it is over before being told that it fires, though that waits for its
    /// back-off or is with another worker: of one condition the earliest message is taken, and the
    /// next when that is delivered or given up.
    ///
    /// A token is a number by chance: a sequence gives a number again after a crash of the server.
    struct Take { channel: &'static str => Text, lease_seconds: f64 => Double } -> (
        BigInt, BigInt, Integer, Timestamptz, Text, Text, Bool, Text, Double, Double, Double
    )
    concat!(
        "WITH due AS MATERIALIZED (
         SELECT o.id
         FROM alert_outbox AS o
         WHERE o.channel = {channel} AND o.not_before <= clock_timestamp()
           AND ",
        first_of_its_condition!(),
        "
         ORDER BY o.not_before, o.id
         LIMIT 1
         FOR UPDATE OF o SKIP LOCKED
     )
     UPDATE alert_outbox AS o
     SET not_before = clock_timestamp() + make_interval(secs => {lease_seconds}),
         lease_token = (random() * 9007199254740992)::bigint
     FROM due
     WHERE o.id = due.id
     RETURNING o.id, o.lease_token, o.attempts, o.happened_at, o.key, o.rule, o.fires, o.worker,
               o.amount, o.threshold, o.lasted_seconds"
    )
}

statement! {
    struct Failed {
        id: i64 => BigInt,
        token: i64 => BigInt,
        error: String => Text,
        pause: Option<f64> => Nullable<Double>,
    } -> ()
    "UPDATE alert_outbox
     SET attempts = attempts + 1, lease_token = NULL, last_error = {error},
         state = CASE WHEN {pause} IS NULL THEN 'given_up' ELSE 'pending' END,
         not_before = coalesce(clock_timestamp() + make_interval(secs => {pause}), 'infinity')
     WHERE id = {id} AND lease_token = {token}"
}

/// When a message that is delivered is sent again.
const NEVER: PgTimestamp = PgTimestamp(i64::MAX);

impl Store {
    /// Which conditions fire, and for which of these channels something is to be sent.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn outbox(&self, channels: &[&'static str]) -> Result<Outbox, StoreError> {
        let rows: Vec<(bool, String, bool, f64, i64)> =
            self.load("alerts", ReadOutbox { channels: channels.to_vec() }).boxed().await?;
        let mut outbox = Outbox::default();
        for (is_condition, rule, fires, fired_ago, dead_rows) in rows {
            if is_condition {
                let fired_ago = Duration::try_from_secs_f64(fired_ago).unwrap_or_default();
                outbox.conditions.push(AlertCondition { rule, fires, fired_ago, dead_rows });
            } else {
                outbox.due.push(rule);
            }
        }
        Ok(outbox)
    }

    /// Puts a message into the outbox, once for each channel.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_alert(&self, channels: &[&str], alert: &Alert) -> Result<(), StoreError> {
        let Alert { key, rule, fires, worker, amount, threshold, ago, lasted, .. } = alert;
        let put = PutMessages {
            channels,
            key,
            rule,
            fires: *fires,
            worker,
            amount: *amount,
            threshold: *threshold,
            ago: ago.as_secs_f64(),
            lasted: lasted.as_secs_f64(),
        };
        self.execute("alerts", put).boxed().await?;
        Ok(())
    }

    /// A condition of the database was seen to hold, so long ago as the alert says: it begins to
    /// fire, unless it fires already, was resolved since that look, or fired a shorter time ago than
    /// `cooldown`. Whether this worker is the one that tells of it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn fire_alert(
        &self,
        channels: &[&str],
        alert: &Alert,
        cooldown: Duration,
    ) -> Result<bool, StoreError> {
        let Alert { key, rule, worker, amount, threshold, ago, lasted, dead_rows, .. } = alert;
        let fire = Fire {
            channels,
            key,
            rule,
            worker,
            amount: *amount,
            threshold: *threshold,
            cooldown: cooldown.as_secs_f64(),
            seen_ago: ago.as_secs_f64(),
            lasted: lasted.as_secs_f64(),
            dead_rows: *dead_rows,
        };
        Ok(self.execute("alerts", fire).boxed().await? > 0)
    }

    /// A condition of the database was seen not to hold, so long ago as the alert says. Whether it
    /// fired until now, and this worker is the one that tells of its end.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn resolve_alert(
        &self,
        channels: &[&str],
        alert: &Alert,
    ) -> Result<bool, StoreError> {
        let Alert { key, rule, worker, amount, threshold, ago, .. } = alert;
        let resolve = Resolve {
            channels,
            key,
            rule,
            worker,
            amount: *amount,
            threshold: *threshold,
            seen_ago: ago.as_secs_f64(),
        };
        Ok(self.execute("alerts", resolve).boxed().await? > 0)
    }

    /// Takes the message of a channel that has waited for longest, but none whose condition has an
    /// earlier one that is still to be sent. Until the lease is over, nobody else takes it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn take_alert(
        &self,
        channel: &'static str,
        lease: Duration,
    ) -> Result<Option<TakenAlert>, StoreError> {
        type Columns = (i64, i64, i32, PgTimestamp, String, String, bool, String, f64, f64, f64);
        let take = Take { channel, lease_seconds: lease.as_secs_f64() };
        let rows: Vec<Columns> = self.load("alerts", take).boxed().await?;
        Ok(rows.into_iter().next().map(
            |(id, token, attempts, at, key, rule, fires, worker, amount, threshold, lasted)| {
                let (ago, dead_rows) = (Duration::ZERO, 0);
                let lasted = Duration::try_from_secs_f64(lasted).unwrap_or_default();
                let alert =
                    Alert { key, rule, fires, worker, amount, threshold, ago, lasted, dead_rows };
                TakenAlert { id, token, attempts, happened_at: from_postgres(at), alert }
            },
        ))
    }

    /// A message that was taken is delivered.
    ///
    /// # Errors
    /// If the database fails; then it is sent once more.
    pub async fn alert_delivered(&self, taken: &TakenAlert) -> Result<(), StoreError> {
        use crate::schema::alert_outbox as o;
        let delivered = diesel::update(o::table)
            .filter(o::id.eq(taken.id).and(o::lease_token.eq(taken.token)))
            .set((
                o::state.eq("delivered"),
                o::not_before.eq(NEVER),
                o::lease_token.eq(None::<i64>),
                o::attempts.eq(o::attempts + 1),
            ));
        self.execute("alerts", delivered).boxed().await?;
        Ok(())
    }

    /// A message that was taken could not be sent, for this reason. It may be taken again after `pause`;
    /// without one it is given up. Returns whether this worker still had it: its lease may have expired.
    ///
    /// # Errors
    /// If the database fails; then it is tried again when its lease is over.
    pub async fn alert_failed(
        &self,
        taken: &TakenAlert,
        error: &str,
        pause: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let failed = Failed {
            id: taken.id,
            token: taken.token,
            error: error.to_owned(),
            pause: pause.map(|pause| pause.as_secs_f64()),
        };
        Ok(self.execute("alerts", failed).boxed().await? > 0)
    }

    /// Forgets messages of more than 7 days ago that were delivered or given up. A message that is still to be
    /// sent stays, however old it is.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_old_alerts(&self) -> Result<(), StoreError> {
        use crate::schema::alert_outbox as o;
        let old = diesel::delete(o::table)
            .filter((o::happened_at + 7.days()).lt(clock_timestamp()))
            .filter(o::state.ne("pending"));
        self.execute("alerts", old).boxed().await?;
        Ok(())
    }
}
