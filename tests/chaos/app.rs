//! The app: it inserts, corrects and deletes raw rows during all faults. Now and then a user moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::schedule::{draw, runner};
use crate::any_order::history::{BEGINNINGS, Ids, edit};

/// The pause after an edit.
const PAUSE: Duration = Duration::from_millis(15);

/// The pause before the app connects again.
const BEFORE_NEXT_TRY: Duration = Duration::from_millis(100);

/// How long the app waits for a lock or a restart before it gives an edit up and tries it again.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of this many edits moves a user to another time zone.
const A_MOVE_IN: u32 = 25;

/// Where users move: hours that begin elsewhere, other dates, a zone that does not exist, one without clock
/// changes.
const ZONES: [&str; 5] =
    ["Europe/Berlin", "Asia/Kathmandu", "Pacific/Auckland", "Mars/Olympus", "-03:30"];

/// A user's profile changes, and all his rows are queued in the same transaction.
#[derive(Clone, Debug)]
struct Move {
    user: i64,
    zone: &'static str,
    sources: &'static str,
}

impl Move {
    fn sql(&self) -> String {
        let Self { user, zone, sources } = self;
        format!(
            "INSERT INTO user_profiles VALUES ({user}, '{zone}', '{sources}')
             ON CONFLICT (user_id) DO UPDATE
             SET time_zone = excluded.time_zone, source_priority = excluded.source_priority;
             UPDATE vitals_raw SET value = value WHERE user_id = {user};
             UPDATE nutrition_raw SET energy_kcal = energy_kcal WHERE user_id = {user};
             UPDATE lab_raw SET value_text = value_text WHERE user_id = {user}"
        )
    }
}

fn a_move() -> impl Strategy<Value = Move> {
    (1i64..=4, select(ZONES.to_vec()), select(vec!["{}", "{watch,phone}", "{phone}"]))
        .prop_map(|(user, zone, sources)| Move { user, zone, sources })
}

/// An app at work.
pub struct App {
    is_over: Arc<AtomicBool>,
    edits: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl App {
    /// Begins to write what a seed says.
    pub fn start(url: String, seed: u64) -> Self {
        let (is_over, edits) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let (until, done) = (Arc::clone(&is_over), Arc::clone(&edits));
        let task = tokio::spawn(async move {
            let mut chance = runner(seed);
            let mut ids = Ids::default();
            let beginning = BEGINNINGS[(seed % BEGINNINGS.len() as u64) as usize];
            let mut client = None;
            while !until.load(Ordering::SeqCst) {
                let sql = if draw(&mut chance, &(0..A_MOVE_IN)) == 0 {
                    draw(&mut chance, &a_move()).sql()
                } else if let Some(sql) = draw(&mut chance, &edit()).sql(&mut ids, beginning) {
                    sql
                } else {
                    continue;
                };
                write(&mut client, &url, &sql).await;
                done.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { is_over, edits, task }
    }

    /// Ends after the edit at hand; how many there were.
    pub async fn end(self) -> u32 {
        self.is_over.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.edits.load(Ordering::SeqCst)
    }
}

/// Tries until the server has confirmed it, or says that it was done when it could not confirm.
async fn write(client: &mut Option<Client>, url: &str, sql: &str) {
    loop {
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = connect(url).await;
        }
        let Some(open) = client.as_ref() else {
            tokio::time::sleep(BEFORE_NEXT_TRY).await;
            continue;
        };
        match tokio::time::timeout(PATIENCE, open.batch_execute(sql)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => return,
            Ok(Err(error)) if error.as_db_error().is_some_and(|e| !is_passing(e.code())) => {
                panic!("{sql}: {error:?}")
            }
            _ => *client = None,
        }
    }
}

/// Sessions end and deadlocks happen among the app's own statements; nothing else may.
fn is_passing(code: &SqlState) -> bool {
    let passing =
        [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::T_R_DEADLOCK_DETECTED];
    passing.contains(code)
}

pub async fn connect(url: &str) -> Option<Client> {
    let connecting = tokio::time::timeout(PATIENCE, tokio_postgres::connect(url, NoTls));
    let (client, connection) = connecting.await.ok()?.ok()?;
    tokio::spawn(connection);
    Some(client)
}
