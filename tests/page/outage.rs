//! The page while the database is away, and while a worker is gone.

use local_postgres::Shutdown;

use super::VIEWER;
use super::client::Visitor;
use super::served;
use crate::service::http::free_port;
use crate::support::outside::{assert_says, eventually as so};
use crate::support::running::Running;
use crate::support::{Database, server_of_its_own, worker_at};

#[tokio::test]
async fn without_the_database_the_page_says_so_and_shows_what_was_last_known() {
    let (mut server, url) = server_of_its_own().await;
    let port = free_port();
    let service = Running::service(worker_at(&url), &[("WORKER__HTTP__PORT", &port)]);
    service.logs("database_ready").await;
    let visitor = Visitor::new(&port);
    so("the server is known", || visitor.get("/").body.contains("PostgreSQL"));
    assert_eq!(visitor.get("/runs").status, 200);

    server.stop(Shutdown::Fast).unwrap();
    service.logs("database_unavailable").await;
    for path in ["/", "/failures", "/runs", "/actions"] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_says(&answer.body, &["The database cannot be used"]);
    }
    assert_says(
        &visitor.get("/").body,
        &["PostgreSQL", "This page shows what was known", "next attempt in"],
    );
    let overview = visitor.get("/api/overview").json();
    assert_eq!(overview["breaker"]["state"], "open");
    assert!(overview["known_seconds_ago"].is_number() && overview["database"].is_object());
    assert_eq!(visitor.get("/settings").status, 200);

    server.start_again().unwrap();
    so("the page is up to date again", || {
        let overview = visitor.get("/api/overview").json();
        overview["breaker"]["state"] == "closed" && overview["error"].is_null()
    });
    assert!(!visitor.get("/").body.contains("cannot be used"));
    service.stops();
}

#[tokio::test]
async fn a_worker_that_was_killed_is_not_seen_any_more_and_one_that_stopped_is_gone() {
    let db = Database::new().await;
    let port = free_port();
    let first = served(&db, &port).await;
    let other = Running::service(db.worker(), &[]);
    other.logs("database_ready").await;
    let third = Running::service(db.worker(), &[]);
    third.logs("database_ready").await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    let alive = || {
        let overview = visitor.get("/api/overview").json();
        let workers = overview["database"]["workers"].as_array().unwrap().clone();
        let alive = workers.iter().filter(|of| of["is_alive"] == true).count();
        (workers.len(), alive)
    };
    so("three are alive", || alive() == (3, 3));
    third.stops();
    so("the one that stopped is gone", || alive() == (2, 2));
    other.signal("-KILL");
    so("the one that was killed is not seen", || alive() == (2, 1));
    assert_says(&visitor.get("/").body, &["not seen"]);
    first.stops();
}

/// How often the page has read the overview. One reading has three statements of the purpose `page`.
fn readings(visitor: &Visitor) -> f64 {
    let metrics = visitor.get("/metrics").body;
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("dayfold_pool_hold_seconds_count{purpose=\"page\"} "));
    count.map_or(0.0, |count| count.parse::<f64>().unwrap()) / 3.0
}

#[tokio::test]
async fn ten_open_pages_ask_the_database_as_often_as_one() {
    let db = Database::new().await;
    let port = free_port();
    let service = served(&db, &port).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    assert_eq!(visitor.get("/").status, 200);
    let (began, before) = (std::time::Instant::now(), readings(&visitor));
    assert!(before >= 1.0, "{before}");
    let threads: Vec<_> = (0..10)
        .map(|_| {
            let visitor = Visitor { port: port.clone(), cookie: visitor.cookie.clone() };
            std::thread::spawn(move || (0..5).all(|_| visitor.get("/").status == 200))
        })
        .collect();
    // Pages that are live ask by their streams, for as long as these are open.
    let streams: Vec<_> = (0..10).map(|_| visitor.open("/live/overview")).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    for mut stream in streams {
        assert!(stream.reads_until("event: live"), "a stream says nothing");
    }
    let (asked, seconds) = (readings(&visitor) - before, began.elapsed().as_secs_f64());
    // An answer is good for a second: 60 readers and one reader ask once a second at most.
    assert!(asked <= seconds + 1.0, "{asked} readings in {seconds} s");
    service.stops();
}

#[tokio::test]
async fn ten_open_pages_share_one_connection_and_one_answer() {
    let db = Database::new().await;
    let port = free_port();
    let service = served(&db, &port).await;
    let visitor = Visitor::signed_in(&port, VIEWER);
    let threads: Vec<_> = (0..10)
        .map(|_| {
            let visitor = Visitor { port: port.clone(), cookie: visitor.cookie.clone() };
            std::thread::spawn(move || visitor.get("/").status)
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 200));
    let sessions: i64 = db
        .value(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'dayfold-worker-page@%'",
        )
        .await;
    assert_eq!(sessions, 1);
    service.stops();
}
