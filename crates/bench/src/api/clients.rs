//! Clients that share a pool, and their measured latencies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_postgres::{Client, Statement};

use super::Load;
use crate::server::connect;
use crate::service::round;

/// The time-out for a session of the pool, as in most applications.
const POOL_PATIENCE: Duration = Duration::from_secs(30);

/// The number of users, equal to that of [`crate::service::FILL`].
const USERS: u64 = 500;

/// The requests of a client in turn: read a user's figures, insert samples of now, correct a sample
/// of the day, read the day's samples.
const REQUESTS: [&str; 4] = [
    "SELECT local_date, metric, sample_count, mean, p50 FROM vitals_daily
     WHERE user_id = $1 ORDER BY local_date DESC LIMIT 30",
    "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
     SELECT $1, 'heart_rate', 50 + n, 'bpm', 'phone', at, at
     FROM generate_series(1, 5) AS n,
          LATERAL (SELECT clock_timestamp() + n * interval '1 ms' AS at) AS t",
    "UPDATE vitals_raw SET value = value + 1
     WHERE (user_id, id) = (SELECT user_id, id FROM vitals_raw
                            WHERE user_id = $1 AND metric = 'heart_rate'
                              AND started_at >= '2024-05-02 12:00Z' ORDER BY started_at LIMIT 1)",
    "SELECT started_at, value FROM vitals_raw
     WHERE user_id = $1 AND metric = 'heart_rate'
       AND started_at >= '2024-05-01Z' AND started_at < '2024-05-02Z' ORDER BY started_at",
];

/// Statistics of many requests, in milliseconds.
#[derive(Clone, Copy)]
pub struct Spread {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// The measurements of the clients over a period.
pub struct Felt {
    pub seconds: f64,
    pub requests: usize,
    pub errors: usize,
    /// Time from the request to its answer.
    pub answer: Spread,
    /// The part of it that waits for a session of the API's own pool.
    pub wait: Spread,
}

struct Session {
    client: Client,
    statements: Vec<Statement>,
}

struct Pool {
    free: Mutex<Vec<Session>>,
    places: Semaphore,
}

/// The API's clients.
pub struct Clients {
    pool: Arc<Pool>,
    count: u32,
    /// Time between two requests of a client.
    period: Duration,
    /// Time between the requests of one client and those of the next.
    apart: Duration,
}

struct Answer {
    wait: Duration,
    whole: Duration,
    failed: bool,
}

impl Spread {
    fn measure(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * times.len() as f64).ceil() as usize;
            times.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        };
        Self { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }

    fn json(self) -> Value {
        json!({ "p50": round(self.p50, 3), "p99": round(self.p99, 3), "max": round(self.max, 3) })
    }
}

impl Felt {
    pub fn json(&self) -> Value {
        json!({
            "seconds": round(self.seconds, 1),
            "requests": self.requests,
            "errors": self.errors,
            "answer_ms": self.answer.json(),
            "wait_ms": self.wait.json(),
        })
    }
}

impl Pool {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request(&self, user: i64, kind: usize, asked: Instant) -> Answer {
        let place = timeout(POOL_PATIENCE, self.places.acquire()).await;
        let wait = asked.elapsed();
        let session = if matches!(place, Ok(Ok(_))) { self.free().pop() } else { None };
        let Some(session) = session else { return Answer { wait, whole: wait, failed: true } };
        let result = match session.statements.get(kind) {
            Some(statement) => session.client.query(statement, &[&user]).await.map(drop),
            None => Ok(()),
        };
        self.free().push(session);
        Answer { wait, whole: asked.elapsed(), failed: result.is_err() }
    }
}

impl Clients {
    /// Opens the pool.
    pub async fn connect(url: &str, load: &Load) -> anyhow::Result<Self> {
        let mut free = Vec::new();
        for _ in 0..load.sessions {
            free.push(Session::open(url).await?);
        }
        let pool = Pool { free: Mutex::new(free), places: Semaphore::new(load.sessions) };
        let period = Duration::from_secs(1) * load.clients / load.rate;
        let apart = if load.together { Duration::ZERO } else { period / load.clients };
        Ok(Self { pool: Arc::new(pool), count: load.clients, period, apart })
    }

    /// Runs the clients until `done` completes, and returns their measurements.
    pub async fn ask_until<T>(&self, done: impl Future<Output = T>) -> anyhow::Result<(Felt, T)> {
        let stop = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..self.count {
            let client = ask(
                Arc::clone(&self.pool),
                u64::from(number),
                began + self.apart * number,
                self.period,
                Arc::clone(&stop),
            );
            tasks.spawn(client);
        }
        let result = done.await;
        stop.store(true, Ordering::Relaxed);
        let mut answers = Vec::new();
        while let Some(of_client) = tasks.join_next().await {
            answers.extend(of_client?);
        }
        let felt = Felt {
            seconds: began.elapsed().as_secs_f64(),
            requests: answers.len(),
            errors: answers.iter().filter(|answer| answer.failed).count(),
            answer: Spread::measure(answers.iter().map(|answer| answer.whole)),
            wait: Spread::measure(answers.iter().map(|answer| answer.wait)),
        };
        Ok((felt, result))
    }
}

impl Session {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let client = connect(url).await?;
        let mut statements = Vec::new();
        for sql in REQUESTS {
            statements.push(client.prepare(sql).await?);
        }
        Ok(Self { client, statements })
    }
}

/// One client, which sends at fixed times. If an answer is late, the latency of the next request
/// counts from the time at which it was due. A server that pauses for a second delays more than the
/// current request of each client.
async fn ask(
    pool: Arc<Pool>,
    number: u64,
    first: Instant,
    period: Duration,
    stop: Arc<AtomicBool>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut due = first;
    for round in 0.. {
        let mut asked = due;
        if Instant::now() < due {
            sleep_until(due.into()).await;
            // The timer is a millisecond late, which is not the server's latency.
            asked = Instant::now();
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let user = (number * 7 + round * 13) % USERS;
        let kind = (number + round) as usize % REQUESTS.len();
        answers.push(pool.request(user as i64, kind, asked).await);
        due += period;
    }
    answers
}
