//! Targets that come and go while the service runs.

use super::{Schemas, of_target, target};
use crate::support::running::UserLock;
use crate::support::running::{eventually, number, waiting};

const EVERY_SECOND: (&str, &str) = ("WORKER__TARGETS_FROM__RELOAD_SECONDS", "1");

#[tokio::test]
async fn targets_of_a_file_are_added_and_removed_while_rows_arrive() {
    let schemas = Schemas::new(&["a", "b", "c"]).await;
    let file = schemas.scratch.file("targets.toml", Schemas::list(&["a", "b"]));
    let configuration =
        schemas.scratch.file("from.toml", format!("targets_from.file = {file:?}\n"));
    let service = schemas.serve(&configuration, &[EVERY_SECOND]);
    service.logs_times("database_ready", 2).await;
    schemas.insert("a", 2).await;
    schemas.insert("c", 3).await;
    schemas.drained("a").await;

    schemas.scratch.file("targets.toml", Schemas::list(&["b", "c"]));
    service.logs("target_ended").await;
    schemas.drained("c").await;
    schemas.insert("a", 2).await;
    schemas.insert("b", 4).await;
    schemas.drained("b").await;

    schemas.scratch.file("targets.toml", Schemas::list(&["a", "b", "c"]));
    schemas.drained("a").await;
    let ran = service.stops();
    let named = |event: &str| -> Vec<String> {
        ran.events(event).iter().map(|event| target(event).to_owned()).collect()
    };
    assert_eq!(named("target_removed"), ["a"]);
    assert_eq!(named("target_added"), ["a", "b", "c", "a"]);
    let completed = |name| -> u64 {
        of_target(&ran, "target_ended", name).iter().map(|end| number(end, "completed")).sum()
    };
    assert_eq!(["a", "b", "c"].map(completed), [4, 4, 3], "{}", ran.stderr);
}

#[tokio::test]
async fn a_target_that_is_removed_finishes_its_group_and_releases_the_rest() {
    let schemas = Schemas::new(&["a"]).await;
    let file = schemas.scratch.file("targets.toml", Schemas::list(&["a"]));
    let configuration =
        schemas.scratch.file("from.toml", format!("targets_from.file = {file:?}\n"));
    let lock = UserLock::hold(&in_schema(&schemas.db.url, "a"), 1).await;
    schemas.insert("a", 5).await;
    let service = schemas.serve(&configuration, &[EVERY_SECOND]);
    waiting(&schemas.db, 1).await;
    schemas.scratch.file("targets.toml", "");
    service.logs("target_removed").await;
    lock.release().await;
    service.logs("target_ended").await;

    let state = "SELECT count(*) FROM a.aggregation_queue WHERE state = 'pending' AND attempts = 0";
    assert_eq!(schemas.db.value::<i64>(state).await, 4);
    assert_eq!(schemas.days("a").await, 1);
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE application_name LIKE 'dayfold-worker@%' AND datname = current_database()";
    eventually(&schemas.db, sessions, 0).await;
    service.stops();
}

fn in_schema(url: &str, schema: &str) -> String {
    let joined = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joined}options=-csearch_path%3D{schema}")
}

#[tokio::test]
async fn a_list_with_a_mistake_changes_nothing_and_is_told_once() {
    let schemas = Schemas::new(&["a"]).await;
    let file = schemas.scratch.file("targets.toml", Schemas::list(&["a"]));
    let configuration =
        schemas.scratch.file("from.toml", format!("targets_from.file = {file:?}\n"));
    let service = schemas.serve(&configuration, &[]);
    service.logs("database_ready").await;
    schemas.scratch.file("targets.toml", "[[targets]]\nname = \"a\"\nshema = \"a\"\n");
    service.signal("-HUP");
    service.logs("reload_refused").await;
    schemas.insert("a", 1).await;
    schemas.drained("a").await;
    let ran = service.stops();
    let problem = ran.events("reload_refused")[0]["problem"].to_string();
    assert!(problem.contains("targets.shema") && problem.contains("line 3"), "{problem}");
    assert!(ran.events("target_removed").is_empty());
}

#[tokio::test]
async fn a_query_on_a_directory_lists_targets_and_a_changed_one_begins_again() {
    let schemas = Schemas::new(&["a", "b"]).await;
    schemas
        .db
        .execute(
            "CREATE TABLE shards (name text, schema text);
             INSERT INTO shards VALUES ('one', 'a')",
        )
        .await;
    let configuration = schemas.scratch.file(
        "from.toml",
        "[targets_from]\nquery = \"SELECT name, schema, NULL AS url FROM public.shards\"\n",
    );
    let url = ("WORKER__TARGETS_FROM__URL", schemas.db.url.as_str());
    let service = schemas.serve(&configuration, &[url, EVERY_SECOND]);
    schemas.insert("a", 1).await;
    schemas.drained("a").await;
    schemas.db.execute("UPDATE shards SET schema = 'b'").await;
    schemas.insert("b", 1).await;
    schemas.drained("b").await;

    schemas.db.execute("ALTER TABLE shards RENAME TO parts").await;
    service.logs("targets_refused").await;
    schemas.insert("b", 1).await;
    schemas.drained("b").await;
    let ran = service.stops();
    let problem = ran.events("targets_refused")[0]["problem"].to_string();
    assert!(problem.contains("42P01"), "{problem}");
    assert_eq!(of_target(&ran, "target_added", "one").len(), 2);
}

#[tokio::test]
async fn a_reload_passes_changed_settings_to_the_targets() {
    let schemas = Schemas::new(&["a"]).await;
    let configuration = schemas.configuration(&["a"]);
    let service = schemas.serve(&configuration, &[]);
    service.logs("database_ready").await;
    let list = Schemas::list(&["a"]);
    schemas.scratch.file(
        "worker.toml",
        format!("http.port = 1\nbatch.size = 50\nbatch.max_size = 50\n{list}"),
    );
    service.signal("-HUP");
    service.logs_times("reloaded", 2).await;
    assert_eq!(service.events("restart_needed")[0]["keys"], "http.port");
    schemas.insert("a", 120).await;
    schemas.drained("a").await;
    let ran = service.stops();
    assert!(ran.events("batch_claimed").iter().all(|batch| number(batch, "rows") <= 50));
}
