//! Runs `worker doctor` on a database and reads its checks.

use serde_json::Value;

use super::outside::assert_says;
use super::{Ran, worker_at};

/// The check with this name, and the exit code.
#[track_caller]
pub fn check(url: &str, name: &str) -> (i32, Value) {
    let ran = Ran::of(worker_at(url).args(["doctor", "--json"]).output().unwrap());
    let report = ran.json();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    (ran.code, check.unwrap_or_else(|| panic!("{report:#}")).clone())
}

/// Asserts the exit code, the outcome of a check, and phrases of its finding and advice.
#[track_caller]
pub fn assert_check(url: &str, name: &str, code: i32, outcome: &str, phrases: &[&str]) {
    let (ended, check) = check(url, name);
    assert_eq!((ended, check["outcome"].as_str()), (code, Some(outcome)), "{check:#}");
    let [found, advice] = ["found", "advice"].map(|of| check[of].as_str().unwrap_or_default());
    assert_says(&format!("{found} {advice}"), phrases);
}
