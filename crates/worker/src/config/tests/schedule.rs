use super::{assert_file_problem, loaded, problems};

const MUST: &str = "must be a cron pattern of six fields (second, minute, hour, day of month, \
                    month, day of week) that matches some time, or empty";

#[test]
fn a_pattern_has_six_fields_seconds_first() {
    for pattern in ["*/10 * * * * *", "0 30 2 * * Mon-Fri", "0 0 0 L * *", ""] {
        loaded(&format!("schedule.labs = \"{pattern}\""), &[]);
    }
    for refused in ["* * * * *", "0 0 2 * * * 2030", "@hourly", "hourly", "60 * * * * *"] {
        assert_file_problem(
            &format!("schedule.labs = \"{refused}\""),
            &format!("schedule.labs in FILE line 1 {MUST}"),
        );
    }
}

#[test]
fn a_pattern_that_never_matches_is_refused_instead_of_silently_dropped() {
    let problem = problems("schedule.vitals = \"0 0 0 30 2 *\"", &[]);
    assert_eq!(problem, format!("schedule.vitals in FILE line 1 {MUST}"));
}

#[test]
fn without_a_poll_only_the_ticks_count() {
    assert_eq!(loaded("schedule.poll_seconds = 0", &[]).config.schedule.poll, None);
}

#[test]
fn waiting_as_long_as_one_may_is_no_standstill() {
    assert_file_problem(
        "service.stuck_after_seconds = 45",
        "service.stuck_after_seconds = 45.0 (in FILE line 1) must be more than \
         pool.wait_timeout_seconds = 45.0 (by default)",
    );
}

#[test]
fn http_is_off_until_it_has_a_port_and_then_on_this_host_only() {
    assert_eq!(loaded("", &[]).config.http.listen(), None);
    let listen = loaded("http.port = 9187", &[]).config.http.listen().unwrap();
    assert_eq!(listen.to_string(), "127.0.0.1:9187");
    let listen = loaded("http = { port = 9187, address = \"::\" }", &[]).config.http.listen();
    assert_eq!(listen.unwrap().to_string(), "[::]:9187");
    assert_file_problem(
        "http.address = \"localhost\"",
        "http.address in FILE line 1 must be an IP address, such as 127.0.0.1",
    );
}

#[test]
fn a_service_that_would_never_work_is_refused() {
    assert_file_problem(
        "schedule = { poll_seconds = 0, vitals = \"\", nutrition = \"\", labs = \"\" }",
        "schedule.poll_seconds = 0.0 (in FILE line 1) must be more than 0 where the schedule of \
         every kind is empty, or the service would never work",
    );
}
