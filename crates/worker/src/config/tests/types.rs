use super::{assert_file_problem, assert_variable_problem, problems};

#[test]
fn a_value_of_the_wrong_type_in_a_file_is_refused() {
    for (line, problem) in [
        ("pool.max_size = \"4\"", "pool.max_size in FILE line 1 must be an integer, not a string"),
        (
            "pool.max_size = 4.0",
            "pool.max_size in FILE line 1 must be an integer, not a number with a fraction",
        ),
        (
            "pool.max_size = 99999999999999999999",
            "pool.max_size in FILE line 1 must be an integer, not an integer beyond 64 bits",
        ),
        ("[pool.max_size]", "pool.max_size in FILE line 1 must be an integer, not a table"),
        (
            "batch.lease_seconds = \"1m\"",
            "batch.lease_seconds in FILE line 1 must be a number, not a string",
        ),
        (
            "batch.lease_seconds = 00:01:00",
            "batch.lease_seconds in FILE line 1 must be a number, not a date or time",
        ),
        ("session.jit = 0", "session.jit in FILE line 1 must be true or false, not an integer"),
        ("log.level = true", "log.level in FILE line 1 must be a string, not a boolean"),
        ("database.url = [\"x\"]", "database.url in FILE line 1 must be a string, not an array"),
    ] {
        assert_file_problem(line, problem);
    }
}

#[test]
fn a_value_of_the_wrong_type_in_a_variable_is_refused() {
    let size = "pool.max_size from WORKER__POOL__MAX_SIZE must be an integer, not";
    for (value, found) in [
        ("four", "text"),
        ("-", "text"),
        ("4.5", "a number with a fraction"),
        ("true", "a boolean"),
        ("99999999999999999999", "an integer beyond 64 bits"),
        ("", "empty; without the variable the value comes from the layer below"),
    ] {
        assert_variable_problem("WORKER__POOL__MAX_SIZE", value, &format!("{size} {found}"));
    }
    assert_variable_problem(
        "WORKER__SESSION__JIT",
        "1",
        "session.jit from WORKER__SESSION__JIT must be true or false, not an integer",
    );
    assert_variable_problem(
        "WORKER__LOG__SLOW_HOLD_SECONDS",
        "5s",
        "log.slow_hold_seconds from WORKER__LOG__SLOW_HOLD_SECONDS must be a number, not text",
    );
}

#[test]
fn all_problems_are_reported_at_once_one_a_line() {
    let found = problems(
        "[pool]\nmin_idle = true\nmax_sise = 4\n[log]\nformat = \"xml\"\n",
        &[("WORKER__BATCH__SIZE", "500"), ("WORKER__BATCH__LEASES", "1")],
    );
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "pool.min_idle in FILE line 2 must be an integer, not a boolean",
            "unknown key pool.max_sise in FILE line 3; did you mean pool.max_size?",
            "unknown variable WORKER__BATCH__LEASES; did you mean WORKER__BATCH__LEASE_SECONDS?",
            "batch.size = 500 (from WORKER__BATCH__SIZE) must be between 50 and 200",
            "log.format in FILE line 5 must be auto, text, json or journald",
        ]
    );
}
