use super::{assert_file_problem, assert_variable_problem, loaded, problems};

#[test]
fn a_number_beyond_its_limits_is_refused_with_the_limits() {
    assert_variable_problem(
        "WORKER__BATCH__SIZE",
        "500",
        "batch.size = 500 (from WORKER__BATCH__SIZE) must be between 50 and 200",
    );
    assert_file_problem(
        "[batch]\nsize = 49\n",
        "batch.size = 49 (in FILE line 2) must be between 50 and 200",
    );
    assert_file_problem(
        "pool.max_size = 4294967300",
        "pool.max_size = 4294967300 (in FILE line 1) must be between 1 and 100",
    );
}

#[test]
fn a_limit_of_rows_each_second_may_be_none_but_not_absurd() {
    for (rows, expected) in [("0", 0), ("1", 1), ("1000000", 1_000_000)] {
        let loaded = loaded("", &[("WORKER__BATCH__MAX_ROWS_PER_SECOND", rows)]);
        assert_eq!(loaded.config.batch.max_rows_per_second, expected);
    }
    for rows in ["-1", "1000001"] {
        assert_file_problem(
            &format!("batch.max_rows_per_second = {rows}"),
            &format!(
                "batch.max_rows_per_second = {rows} (in FILE line 1) must be between 0 and 1000000"
            ),
        );
    }
}

#[test]
fn the_limits_themselves_are_allowed() {
    for size in ["50", "200"] {
        loaded("", &[("WORKER__BATCH__SIZE", size)]);
    }
    for seconds in ["0.001", "3600"] {
        let variables = [
            ("WORKER__POOL__WAIT_TIMEOUT_SECONDS", seconds),
            ("WORKER__SERVICE__STUCK_AFTER_SECONDS", "7200"),
        ];
        loaded("", &variables);
    }
}

#[test]
fn no_time_out_may_be_switched_off_by_zero() {
    for key in ["statement_timeout_seconds", "lock_timeout_seconds"] {
        assert_file_problem(
            &format!("session.{key} = 0"),
            &format!("session.{key} = 0.0 (in FILE line 1) must be between 0.001 and 3600"),
        );
    }
}

#[test]
fn times_that_are_no_times_are_refused() {
    for (written, shown) in
        [("nan", "NaN"), ("inf", "inf"), ("-inf", "-inf"), ("-1.0", "-1.0"), ("1e300", "1e300")]
    {
        let must = "must be between 5 and 3600";
        assert_file_problem(
            &format!("batch.lease_seconds = {written}"),
            &format!("batch.lease_seconds = {shown} (in FILE line 1) {must}"),
        );
        let variable = "WORKER__BATCH__LEASE_SECONDS";
        assert_variable_problem(
            variable,
            written,
            &format!("batch.lease_seconds = {shown} (from {variable}) {must}"),
        );
    }
}

#[test]
fn the_idle_connections_must_fit_into_the_pool() {
    assert_variable_problem(
        "WORKER__POOL__MIN_IDLE",
        "5",
        "pool.min_idle = 5 (from WORKER__POOL__MIN_IDLE) must not be more than \
         pool.max_size = 4 (by default)",
    );
    loaded("", &[("WORKER__POOL__MIN_IDLE", "4")]);
}

#[test]
fn the_first_pause_must_not_be_longer_than_the_longest() {
    assert_file_problem(
        "[batch]\nbackoff_max_seconds = 10\n",
        "batch.backoff_first_seconds = 30.0 (by default) must not be more than \
         batch.backoff_max_seconds = 10.0 (in FILE line 2)",
    );
}

#[test]
fn a_statement_must_end_before_its_lease() {
    assert_file_problem(
        "[batch]\nlease_seconds = 30\n",
        "batch.lease_seconds = 30.0 (in FILE line 2) must be more than \
         session.statement_timeout_seconds = 30.0 (by default)",
    );
    loaded("batch.lease_seconds = 30.001", &[]);
}

#[test]
fn all_relations_that_fail_are_reported() {
    let found = problems("pool.min_idle = 9\nbatch.lease_seconds = 5\n", &[]);
    assert_eq!(found.lines().count(), 2, "{found}");
}

#[test]
fn a_misspelt_key_is_not_blamed_on_its_partner() {
    assert_file_problem(
        "[pool]\nmax_sise = 20\nmin_idle = 10\n",
        "unknown key pool.max_sise in FILE line 2; did you mean pool.max_size?",
    );
}

#[test]
fn texts_that_must_say_something_are_not_blank() {
    for key in ["aggregation.default_time_zone", "log.level"] {
        assert_file_problem(
            &format!("{key} = \" \""),
            &format!("{key} in FILE line 1 must not be empty"),
        );
    }
    assert_variable_problem(
        "WORKER__LOG__LEVEL",
        "",
        "log.level from WORKER__LOG__LEVEL must not be empty",
    );
}

#[test]
fn only_the_known_forms_of_the_log_are_allowed() {
    for format in ["auto", "text", "json", "journald"] {
        loaded("", &[("WORKER__LOG__FORMAT", format)]);
    }
    assert_variable_problem(
        "WORKER__LOG__FORMAT",
        "JSON",
        "log.format from WORKER__LOG__FORMAT must be auto, text, json or journald",
    );
}

#[test]
fn the_application_name_is_what_postgresql_would_keep() {
    let longest = "x".repeat(63);
    loaded("", &[("WORKER__SESSION__APPLICATION_NAME", &longest)]);
    for refused in ["", "wörker", "a\nb", &format!("{longest}x")] {
        assert_variable_problem(
            "WORKER__SESSION__APPLICATION_NAME",
            refused,
            "session.application_name from WORKER__SESSION__APPLICATION_NAME must have 1 to 63 \
             characters, all of them printable ASCII",
        );
    }
    assert_file_problem(
        "session.application_name = \"a\\u0000b\"",
        "session.application_name in FILE line 1 must have 1 to 63 characters, all of them \
         printable ASCII",
    );
}
