//! An application's API: many clients that share a pool of a few sessions.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_postgres::{Client, Error, NoTls};

/// People pause between two looks at their figures. All at the same moment, so that again and
/// again more clients ask than there are sessions.
const PAUSE: Duration = Duration::from_millis(200);

/// So long a session lasts that is replaced.
const LIFETIME: Duration = Duration::from_millis(20);

/// How often something that must come soon is looked for, every 10 ms.
const LOOKS: u32 = 3_000;

const FIGURES: &str = "SELECT local_date, metric, sample_count, mean, p50 FROM vitals_daily
                       WHERE user_id = $1 ORDER BY local_date";

/// A few samples, at another time in each round of each client.
const INSERT: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT $1, 'heart_rate', 60 + n, 'bpm', 'phone', at, at
    FROM generate_series(1, 3) AS n,
         LATERAL (SELECT timestamptz '2024-05-02 00:00Z'
                         + ($2::bigint * 3 + n) * interval '1 s' AS at) AS t";

const CORRECT: &str = "
    UPDATE vitals_raw SET value = value + 1
    WHERE (user_id, id) = (SELECT user_id, id FROM vitals_raw
                           WHERE user_id = $1 AND metric = 'heart_rate'
                           ORDER BY started_at OFFSET $2 LIMIT 1)";

const DAY: &str = "SELECT started_at, value FROM vitals_raw
                   WHERE user_id = $1 AND metric = 'heart_rate'
                     AND started_at >= '2024-05-01Z' AND started_at < '2024-05-02Z'
                   ORDER BY started_at";

struct Session {
    client: Client,
    /// The process at the server.
    process: i32,
}

impl Session {
    async fn open(url: &str) -> Result<Self, Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let process = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        Ok(Self { client, process })
    }

    /// Ends, and waits until the server has its slot back: it has once the process is gone.
    async fn close(self) {
        let process = format!("/proc/{}", self.process);
        drop(self.client);
        for _ in 0..LOOKS {
            if !Path::new(&process).exists() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("the session's process {process} does not end");
    }
}

/// The state that all clients share.
struct Api {
    url: String,
    users: i64,
    free: Mutex<VecDeque<Session>>,
    places: Semaphore,
    /// For each client, how many rounds were answered.
    rounds: Vec<AtomicU32>,
    reconnected: AtomicU32,
    failures: Mutex<Vec<String>>,
    writes: AtomicBool,
    open: AtomicBool,
}

/// The API's clients as tasks.
pub struct Clients {
    api: Arc<Api>,
    tasks: JoinSet<()>,
}

impl Api {
    async fn new(url: &str, sessions: usize, clients: u32, users: i64) -> Self {
        let mut free = VecDeque::new();
        for _ in 0..sessions {
            free.push_back(Session::open(url).await.unwrap());
        }
        Self {
            url: url.to_owned(),
            users,
            free: Mutex::new(free),
            places: Semaphore::new(sessions),
            rounds: (0..clients).map(|_| AtomicU32::new(0)).collect(),
            reconnected: AtomicU32::new(0),
            failures: Mutex::default(),
            writes: AtomicBool::new(true),
            open: AtomicBool::new(true),
        }
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    fn failed(&self, what: &str, error: &Error) {
        self.failures.lock().unwrap().push(format!("{what}: {error:?}"));
    }

    /// A request: waits for a session of the pool and gives it back when it is answered.
    async fn request(&self, what: &str, work: impl AsyncFnOnce(&Client) -> Result<(), Error>) {
        let _place = self.places.acquire().await.unwrap();
        let session = self.free.lock().unwrap().pop_front().unwrap();
        let answer = work(&session.client).await;
        self.free.lock().unwrap().push_back(session);
        if let Err(error) = answer {
            self.failed(what, &error);
        }
    }

    /// The four requests that a client makes for a user, one after another.
    async fn round(&self, client: u32, round: u32) {
        let user = i64::from(client * 7 + round * 13) % self.users + 1;
        self.request("figures", async |session: &Client| {
            session.query(FIGURES, &[&user]).await.map(drop)
        })
        .await;
        if self.writes.load(Ordering::SeqCst) {
            let moment = i64::from(client) * 100 + i64::from(round);
            self.request("insert", async |session: &Client| {
                session.execute(INSERT, &[&user, &moment]).await.map(drop)
            })
            .await;
            let place = i64::from(round % 50);
            self.request("correct", async |session: &Client| {
                session.execute(CORRECT, &[&user, &place]).await.map(drop)
            })
            .await;
        }
        self.request("day", async |session: &Client| session.query(DAY, &[&user]).await.map(drop))
            .await;
    }

    async fn be_client(&self, number: u32) {
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let answered = &self.rounds[number as usize];
        while self.is_open() {
            ticks.tick().await;
            self.round(number, answered.load(Ordering::SeqCst)).await;
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Replaces one session after another, as a pool does when they are old. No other session may
    /// take the place that is free for a moment.
    async fn reconnect(&self) {
        while self.is_open() {
            let place = self.places.acquire().await.unwrap();
            let old = self.free.lock().unwrap().pop_front().unwrap();
            old.close().await;
            match Session::open(&self.url).await {
                Ok(session) => self.free.lock().unwrap().push_back(session),
                Err(error) => {
                    self.failed("reconnect", &error);
                    // The pool has one session less from now on.
                    place.forget();
                    return;
                }
            }
            drop(place);
            self.reconnected.fetch_add(1, Ordering::SeqCst);
            sleep(LIFETIME).await;
        }
    }
}

impl Clients {
    /// Opens the pool and has the clients begin.
    pub async fn start(url: &str, sessions: usize, clients: u32, users: i64) -> Self {
        let api = Arc::new(Api::new(url, sessions, clients, users).await);
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            let api = Arc::clone(&api);
            tasks.spawn(async move { api.be_client(number).await });
        }
        let replaced = Arc::clone(&api);
        tasks.spawn(async move { replaced.reconnect().await });
        Self { api, tasks }
    }

    /// Waits until each client was answered this many more rounds from beginning to end, and some
    /// session was replaced meanwhile.
    pub async fn are_answered(&self, rounds: u32) {
        let api = &self.api;
        let now = |count: &AtomicU32| count.load(Ordering::SeqCst);
        // The round that is under way may have been answered in part before.
        let wanted: Vec<u32> = api.rounds.iter().map(|count| now(count) + 1 + rounds).collect();
        let reconnected = now(&api.reconnected) + 2;
        for _ in 0..LOOKS {
            let all = api.rounds.iter().zip(&wanted).all(|(count, wanted)| now(count) >= *wanted);
            if all && now(&api.reconnected) >= reconnected {
                return;
            }
            self.assert_no_failure();
            sleep(Duration::from_millis(10)).await;
        }
        panic!("some client is not answered: {:?}, wanted {wanted:?}", api.rounds);
    }

    /// No request has failed so far, and no new session was refused.
    pub fn assert_no_failure(&self) {
        let failures = self.api.failures.lock().unwrap();
        assert!(failures.is_empty(), "{} failures: {:#?}", failures.len(), failures.first());
    }

    /// From now on the clients only read.
    pub fn stop_writing(&self) {
        self.api.writes.store(false, Ordering::SeqCst);
    }

    /// Lets each client finish its round, and closes the pool.
    pub async fn stop(mut self) {
        self.api.open.store(false, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.assert_no_failure();
    }
}
