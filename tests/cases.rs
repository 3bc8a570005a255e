//! Inputs that once gave a wrong figure, each with the right answer: `tests/cases/README.md`.

use std::fs;
use std::path::Path;

use tokio_postgres::SimpleQueryMessage;

use crate::support::Database;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases");

#[tokio::test]
async fn inputs_that_once_gave_a_wrong_figure_give_the_right_one() {
    let mut folders: Vec<_> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 19, "cases are missing from {FOLDER}");
    let mut wrong = String::new();
    for folder in &folders {
        let expected = fs::read_to_string(folder.join("expected.txt")).unwrap();
        let found = answer(folder).await;
        if found != expected {
            let name = folder.file_name().unwrap().display();
            wrong.push_str(&format!("{name}: expected\n{expected}found\n{found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The rows that the case's query prints after a run, as `psql -At -F ' | '` prints them.
async fn answer(folder: &Path) -> String {
    let file = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let db = Database::new().await;
    db.execute("SET TIME ZONE 'UTC'").await;
    db.execute(&file("input.sql")).await;
    db.run_once();
    let messages = db.client.simple_query(&file("query.sql")).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        let columns = (0..row.len()).map(|column| row.get(column).unwrap_or_default());
        columns.collect::<Vec<_>>().join(" | ") + "\n"
    })
    .collect()
}
