//! Guarantees for users of the configuration, one sentence per test.

mod alerts;
mod arbitrary;
mod defaults;
mod layers;
mod limits;
mod names;
mod profiles;
mod reload;
mod schedule;
mod secrets;
mod targets;
mod types;

use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Config, Loaded};

type Variables<'a> = &'a [(&'a str, &'a str)];

/// A configuration file that is deleted after the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(content: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("worker-config-{}-{number}.toml", process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn shown(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn defaults() -> Config {
    loaded("", &[]).config
}

fn loaded(file: &str, variables: Variables<'_>) -> Loaded {
    let file = TempFile::new(file);
    Config::load(Some(file.path()), variables.iter().copied(), None).unwrap()
}

/// The problems of a load. The file is called `FILE`, because its real name varies.
fn problems(file: impl AsRef<[u8]>, variables: Variables<'_>) -> String {
    let file = TempFile::new(file);
    let error = Config::load(Some(file.path()), variables.iter().copied(), None).unwrap_err();
    error.to_string().replace(&file.shown(), "FILE")
}

#[track_caller]
fn assert_file_problem(file: &str, expected: &str) {
    assert_eq!(problems(file, &[]), expected);
}

#[track_caller]
fn assert_variable_problem(name: &str, value: &str, expected: &str) {
    assert_eq!(problems("", &[(name, value)]), expected);
}

/// The value in force of a key as text, and its origin.
fn entry(loaded: &Loaded, key: &str) -> (String, String) {
    let entry = loaded.entries.iter().find(|entry| entry.key == key).unwrap();
    (entry.value.clone(), entry.origin.clone())
}
