//! The outbox of alerts: the database's conditions that fire, and the messages still to be sent.
//!
//! All workers see a condition of the database, such as dead rows. One statement decides which worker
//! reports it, and puts the messages into the outbox in the same step. A worker takes a message with a
//! lease, by the database's clock, and holds no connection while it sends it. If the sender dies or
//! never records a result, another worker takes the message when the lease expires.
//!
//! The callers are tasks. The compiler cannot prove that futures of borrowing statements may move
//! between threads. So some statements own their parameters, and the futures of the others are boxed.

use std::time::Duration;

use aggregation::Timestamp;
use diesel::data_types::PgTimestamp;
use diesel::dsl::IntervalDsl;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Text, Timestamptz};
use futures_util::FutureExt;

use crate::error::StoreError;
use crate::pool::Store;
use crate::queue::Holder;
use crate::sql::statement::statement;
use crate::sql::time::{
    NEVER, RawTime, clock_timestamp, from_postgres, interval, later, transaction_time,
};

/// A message: a condition began to fire, or was resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// A unique key by which a receiver recognises a repeated message.
    pub key: String,
    /// The rule's name.
    pub rule: String,
    /// Whether the condition fires; otherwise it is resolved.
    pub fires: bool,
    /// The name of the worker that observed it.
    pub worker: String,
    /// The observed value: rows, seconds or percent, depending on the rule.
    pub amount: f64,
    /// The value at which the rule fires.
    pub threshold: f64,
    /// Time between the observation and its write to the database.
    pub ago: Duration,
    /// How long the condition had held when it was observed.
    pub lasted: Duration,
    /// Dead rows of the queue at the observation.
    pub dead_rows: i64,
}

/// A message taken for sending.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenAlert {
    /// Id of the message in the outbox.
    pub id: i64,
    /// The token required to record the result of sending.
    pub token: i64,
    /// Number of earlier attempts.
    pub attempts: i32,
    /// Time of the observation, by the database's clock.
    pub happened_at: Timestamp,
    /// The message; `ago` and `dead_rows` are unused.
    pub alert: Alert,
}

/// A condition of the database, shared by all workers.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertCondition {
    /// The rule's name.
    pub rule: String,
    /// Whether it fires.
    pub fires: bool,
    /// Time since the condition last began to fire, by the database's clock.
    pub fired_ago: Duration,
    /// Dead rows of the queue when it began to fire.
    pub dead_rows: i64,
}

/// The state of conditions and messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outbox {
    /// Every condition that has ever fired.
    pub conditions: Vec<AlertCondition>,
    /// The requested channels that have a message to send now.
    pub due: Vec<String>,
}

/// Whether `o` is the earliest unsent message of its condition.
///
/// A condition with a row of its own belongs to the database, any other to the worker.
macro_rules! first_of_its_condition {
    () => {
        "NOT EXISTS (
             SELECT FROM alert_outbox AS e
             WHERE e.state = 'pending' AND e.channel = o.channel AND e.rule = o.rule AND e.id < o.id
               AND (e.worker = o.worker OR e.rule IN (SELECT c.rule FROM alert_conditions AS c)))"
    };
}

statement! {
    /// [`Take`] has the same condition for messages to send.
    struct ReadDueChannels { channels: Vec<&'static str> => Array<Text> } -> (Text)
    concat!(
        "SELECT of.channel
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
    include_str!("outbox/put.sql")
}

statement! {
    /// If two workers run this at the same time, the second waits for the first and then finds that the
    /// condition fires already. Only an observation made after the condition was resolved can make it
    /// fire again, because another worker may have resolved it meanwhile. The observation's age counts
    /// from the arrival of the statement: measured later, it would seem younger by the wait for the
    /// other worker's lock.
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
    /// Only an observation made after the condition began to fire can resolve it: another worker may
    /// have observed earlier.
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
    /// "Resolved" is never sent before "firing", even if "firing" is in back-off or held by another
    /// worker. The earliest message of a condition is taken first, and the next one when that is
    /// delivered or given up.
    ///
    /// The token is random: a sequence may repeat a number after a crash of the server.
    struct Take {
        channel: &'static str => Text,
        lease_seconds: f64 => Double,
        token: i64 => BigInt,
    } -> (
        BigInt, BigInt, Integer, Timestamptz, Text, Text, Bool, Text, Double, Double, Double
    )
    concat!(
        "WITH due AS MATERIALIZED (
         SELECT o.id
         FROM alert_outbox AS o
         WHERE o.channel = {channel} AND o.not_before <= now()
           AND ",
        first_of_its_condition!(),
        "
         ORDER BY o.not_before, o.id
         LIMIT 1
         FOR UPDATE OF o SKIP LOCKED
     )
     UPDATE alert_outbox AS o
     SET not_before = now() + make_interval(secs => {lease_seconds}), lease_token = {token}
     FROM due
     WHERE o.id = due.id
     RETURNING o.id, o.lease_token, o.attempts, o.happened_at, o.key, o.rule, o.fires, o.worker,
               o.amount, o.threshold, o.lasted_seconds"
    )
}

impl Store {
    /// The conditions that fire, and the given channels that have a message to send.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn outbox(&self, channels: &[&'static str]) -> Result<Outbox, StoreError> {
        use crate::schema::alert_conditions as c;
        type Columns = (String, bool, i64, RawTime, RawTime);
        let read = c::table.select((
            c::rule,
            c::resolved_at.is_null(),
            c::dead_rows,
            c::fired_at,
            clock_timestamp(),
        ));
        let rows: Vec<Columns> = self.load("alerts", read).boxed().await?;
        let condition = |(rule, fires, dead_rows, fired_at, now): Columns| {
            let fired_ago = Duration::try_from_secs_f64(fired_at.seconds_until(now));
            AlertCondition { rule, fires, fired_ago: fired_ago.unwrap_or_default(), dead_rows }
        };
        let read = ReadDueChannels { channels: channels.to_vec() };
        let due: Vec<(String,)> = self.load("alerts", read).boxed().await?;
        Ok(Outbox {
            conditions: rows.into_iter().map(condition).collect(),
            due: due.into_iter().map(|(channel,)| channel).collect(),
        })
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

    /// Records that a condition of the database was observed to hold, as long ago as the alert says. The
    /// condition begins to fire, unless it fires already, was resolved after the observation, or last
    /// fired less than `cooldown` ago. Returns whether this worker reports it.
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

    /// Records that a condition of the database was observed not to hold, as long ago as the alert says.
    /// Returns whether the condition fired until now, and this worker reports its end.
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

    /// Takes the channel's message that has waited longest, without messages whose condition has an
    /// earlier unsent one. Until the lease expires, no other worker takes it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn take_alert(
        &self,
        channel: &'static str,
        lease: Duration,
    ) -> Result<Option<TakenAlert>, StoreError> {
        type Columns = (i64, i64, i32, PgTimestamp, String, String, bool, String, f64, f64, f64);
        let take = Take { channel, lease_seconds: lease.as_secs_f64(), token: Holder::new_token() };
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

    /// Records that a taken message was delivered.
    ///
    /// # Errors
    /// If the database fails; then the message is sent once more.
    pub async fn alert_delivered(&self, taken: &TakenAlert) -> Result<(), StoreError> {
        use crate::schema::alert_outbox as o;
        let held = o::table.find(taken.id).filter(o::lease_token.eq(taken.token));
        let delivered = diesel::update(held).set((
            o::state.eq("delivered"),
            o::not_before.eq(NEVER),
            o::lease_token.eq(None::<i64>),
            o::attempts.eq(o::attempts + 1),
        ));
        self.execute("alerts", delivered).boxed().await?;
        Ok(())
    }

    /// Records that a taken message could not be sent, and why. It may be taken again after `pause`;
    /// without `pause` it is given up. Returns whether this worker still held it: its lease may have
    /// expired.
    ///
    /// # Errors
    /// If the database fails; then the message is sent again when its lease expires.
    pub async fn alert_failed(
        &self,
        taken: &TakenAlert,
        error: &str,
        pause: Option<Duration>,
    ) -> Result<bool, StoreError> {
        use crate::schema::alert_outbox as o;
        let failed = (
            o::lease_token.eq(None::<i64>),
            o::attempts.eq(o::attempts + 1),
            o::last_error.eq(Some(error.to_owned())),
        );
        let held = diesel::update(o::table.find(taken.id).filter(o::lease_token.eq(taken.token)));
        let updated = match pause {
            Some(pause) => {
                let retry = (failed, o::not_before.eq(later(transaction_time(), interval(pause))));
                self.execute("alerts", held.set(retry)).boxed().await?
            }
            None => {
                let given_up = (failed, o::state.eq("given_up"), o::not_before.eq(NEVER));
                self.execute("alerts", held.set(given_up)).boxed().await?
            }
        };
        Ok(updated > 0)
    }

    /// Forgets messages of more than 7 days ago that were delivered or given up. A message that is still to be
    /// sent stays, however old it is.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_old_alerts(&self) -> Result<(), StoreError> {
        use crate::schema::alert_outbox as o;
        let old = diesel::delete(o::table)
            .filter((o::happened_at + 7.days()).lt(diesel::dsl::now))
            .filter(o::state.ne("pending"));
        self.execute("alerts", old).boxed().await?;
        Ok(())
    }
}
