//! Connections and statements that targets cost their server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::Client;

use super::Schemas;
use crate::support::connect;

/// The sessions of workers at the database.
const SESSIONS: &str = "SELECT pid FROM pg_stat_activity
                        WHERE application_name LIKE 'dayfold-worker@%' AND datname = current_database()";

/// The server lists a session for a moment after its client has closed it. Turns are longer.
const A_MOMENT: Duration = Duration::from_millis(250);

/// The number of sessions that are open for longer than a moment.
async fn sessions(client: &Client) -> usize {
    let mut lasting: Option<BTreeSet<i32>> = None;
    for _ in 0..2 {
        let rows = client.query(SESSIONS, &[]).await.unwrap();
        let now: BTreeSet<i32> = rows.iter().map(|row| row.get(0)).collect();
        lasting = Some(lasting.map_or(now.clone(), |before| &before & &now));
        tokio::time::sleep(A_MOMENT / 2).await;
    }
    lasting.unwrap_or_default().len()
}

#[tokio::test]
async fn targets_of_one_server_never_have_more_sessions_than_its_budget() {
    let names: Vec<String> = (0..8).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let schemas = Schemas::new(&names).await;
    for name in &names {
        schemas.insert(name, 30).await;
    }
    let (most, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let watching = {
        let (most, done) = (Arc::clone(&most), Arc::clone(&done));
        let client = connect(&schemas.db.url).await;
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(sessions(&client).await, Ordering::Relaxed);
            }
        })
    };
    let settings = [("WORKER__POOL__MAX_PER_SERVER", "3"), ("WORKER__BATCH__CONCURRENCY", "2")];
    let service = schemas.serve(&schemas.configuration(&names), &settings);
    for name in &names {
        schemas.drained(name).await;
        assert_eq!(schemas.days(name).await, 30);
    }
    service.stops();
    done.store(true, Ordering::Relaxed);
    watching.await.unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!((1..=3).contains(&most), "{most} sessions at once");
}
