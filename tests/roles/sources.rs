//! SQL is written by hand, before there is any data.
//!
//! `statement!` takes `&'static str` alone, and sends data as parameters. The few ways around it are
//! used in few places, each of which says here what it puts together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The functions that send text to the server as SQL.
const WAYS: [&str; 9] = [
    "sql_query(",
    "batch_execute(",
    "simple_query(",
    "begin_transaction_sql(",
    "copy_in(",
    "copy_out(",
    "push_sql(",
    ".prepare(",
    "sql::<",
];

/// Where they are used, and why no data can be in the text.
const LOOKED_AT: [(&str, &str); 20] = [
    ("store/src/sql/statement.rs", "pieces of text that is 'static"),
    ("store/src/sql/user_key.rs", "the cast of a parameter"),
    ("store/src/sql/cte.rs", "WITH and names of parts that are 'static, around statements"),
    (
        "store/src/sql/autocommit.rs",
        "BEGIN and the session's settings: names of ours, numbers, on and off",
    ),
    ("store/src/changes/record.rs", "queries that are 'static, around parameters"),
    ("store/src/connection/connect.rs", "the session's settings"),
    (
        "store/src/admin/adopt/mod.rs",
        "triggers of an adoption: adopt/text.rs quotes each name and text of the administrator's",
    ),
    (
        "store/src/admin/directory.rs",
        "the administrator's own query of targets, in a transaction that only reads",
    ),
    ("store/src/admin/import.rs", "COPY of a table and columns of ours; rows go into its stream"),
    (
        "store/src/admin/raw_rows.rs",
        "statements that are 'static, and the session's settings; columns are parameters",
    ),
    (
        "store/src/admin/migrate.rs",
        "statements of the migrations, and ALTER FUNCTION with names as format writes them",
    ),
    ("store/src/sql/figure_table.rs", "names of our tables and columns, around a statement"),
    ("store/src/admin/examine.rs", "a test's: the migrations"),
    ("store/src/verify/session.rs", "names of our tables"),
    ("store/src/page/actions.rs", "a time before now, which Citus plans only in this form"),
    (
        "store/src/transaction/distributed.rs",
        "names of our parts, tables and columns, and queries that are 'static, around statements",
    ),
    (
        "store/src/transaction/pipeline.rs",
        "COMMIT or ROLLBACK, and BEGIN with the session's settings",
    ),
    (
        "store/src/transaction/portions.rs",
        "DECLARE, FETCH and CLOSE of a cursor, whose name is 'static, around a statement",
    ),
    ("store/src/connection/probe.rs", "an empty statement"),
    ("store/src/pool/manager.rs", "SELECT 1"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines of the program that send text as SQL, by file.
fn senders() -> BTreeMap<String, Vec<String>> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for of in ["store/src", "worker/src"] {
        sources(&crates.join(of), &mut files);
    }
    let mut senders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let sends = lines.filter(|line| WAYS.iter().any(|way| line.contains(way)));
        let sends: Vec<String> = sends.map(str::to_owned).collect();
        if !sends.is_empty() {
            let name = file.strip_prefix(&crates).unwrap().to_str().unwrap().to_owned();
            senders.insert(name, sends);
        }
    }
    senders
}

#[test]
fn text_is_sent_as_sql_only_where_somebody_has_looked_at_it() {
    for (file, sends) in senders() {
        let known = LOOKED_AT.iter().any(|(known, _)| *known == file);
        assert!(known, "{file} sends text as SQL; use statement!, or say why not: {sends:#?}");
    }
}

#[test]
fn what_a_statement_says_is_there_before_any_data() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let statement = fs::read_to_string(crates.join("store/src/sql/statement.rs")).unwrap();
    assert!(statement.contains("fn pieces(sql: &'static str,"), "statement! takes any text");
    for leak in ["Box::leak", ".leak()"] {
        let mut files = Vec::new();
        sources(&crates.join("store/src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains(leak), "{} makes data 'static", file.display());
        }
    }
}
