use std::time::Duration;

use super::super::profile::names;
use super::{assert_file_problem, defaults, entry, loaded};

fn with(profile: &str) -> super::Loaded {
    loaded(&format!("pool.profile = \"{profile}\""), &[])
}

#[test]
fn each_profile_is_a_configuration_that_can_be_used() {
    let mut found = names();
    found.sort();
    assert_eq!(found, ["burst", "constrained", "long_operations", "serverless", "shared_api"]);
    for name in found {
        with(&name);
    }
}

#[test]
fn the_default_profile_changes_nothing() {
    assert_eq!(with("shared_api").config, defaults());
}

#[test]
fn a_profile_sets_what_belongs_together() {
    let long = with("long_operations").config;
    assert_eq!((long.pool.max_size, long.pool.wait_timeout), (30, Duration::from_secs(60)));
    assert_eq!(long.pool.max_lifetime, Duration::from_secs(3600));
    assert_eq!(long.session.statement_timeout, Duration::from_secs(60));
    assert_eq!(long.session.lock_timeout, Duration::from_secs(30));
    assert_eq!(long.session.idle_in_transaction_timeout, Duration::from_secs(120));
    assert!(long.batch.lease > long.session.statement_timeout);

    let burst = with("burst").config;
    assert_eq!((burst.pool.max_size, burst.session.jit), (100, false));
    assert_eq!(burst.pool.max_lifetime, Duration::from_secs(900));
    let constrained = with("constrained").config;
    assert_eq!((constrained.pool.max_size, constrained.pool.wait_timeout.as_secs()), (3, 10));
    let serverless = with("serverless").config;
    assert_eq!((serverless.pool.max_size, serverless.pool.test_on_checkout), (10, true));
}

#[test]
fn single_keys_win_over_the_profile_wherever_they_are_set() {
    let file = "pool.profile = \"burst\"\npool.max_size = 20\n";
    let loaded = loaded(file, &[("WORKER__POOL__MAX_LIFETIME_SECONDS", "60")]);
    assert_eq!(loaded.config.pool.max_size, 20);
    assert_eq!(loaded.config.pool.max_lifetime, Duration::from_secs(60));
    let jit = entry(&loaded, "session.jit");
    assert_eq!(jit, ("false".to_owned(), "profile burst".to_owned()));
}

#[test]
fn a_problem_with_a_value_of_the_profile_names_it() {
    assert_file_problem(
        "pool.profile = \"long_operations\"\nbatch.lease_seconds = 50\n",
        "batch.lease_seconds = 50.0 (in FILE line 2) must be more than \
         session.statement_timeout_seconds = 60.0 (by the profile long_operations)",
    );
}

#[test]
fn an_unknown_profile_is_refused_with_those_there_are() {
    assert_file_problem(
        "pool.profile = \"postgres://secret\"",
        "pool.profile in FILE line 1 must be one of burst, constrained, long_operations, \
         serverless, shared_api",
    );
}
