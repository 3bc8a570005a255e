//! Connections and statements that targets cost their server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::Schemas;
use crate::support::connect;

/// The sessions of workers at the database.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity
                        WHERE application_name LIKE 'dayfold-worker@%' AND datname = current_database()";

#[tokio::test]
async fn targets_of_one_server_never_have_more_sessions_than_its_budget() {
    let names: Vec<String> = (0..12).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let schemas = Schemas::new(&names).await;
    for name in &names {
        schemas.insert(name, 200).await;
    }
    let (most, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let watching = {
        let (most, done) = (Arc::clone(&most), Arc::clone(&done));
        let client = connect(&schemas.db.url).await;
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let sessions = client.query_one(SESSIONS, &[]).await.unwrap().get(0);
                most.fetch_max(sessions, Ordering::Relaxed);
            }
        })
    };
    let settings = [("WORKER__POOL__MAX_PER_SERVER", "3"), ("WORKER__BATCH__CONCURRENCY", "2")];
    let service = schemas.serve(&schemas.configuration(&names), &settings);
    for name in &names {
        schemas.drained(name).await;
        assert_eq!(schemas.days(name).await, 200);
    }
    service.stops();
    done.store(true, Ordering::Relaxed);
    watching.await.unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!((1..=3).contains(&most), "{most} sessions at once");
}
