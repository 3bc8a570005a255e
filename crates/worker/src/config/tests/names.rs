use super::{assert_file_problem, assert_variable_problem};

#[test]
fn a_misspelt_key_names_the_nearest_one() {
    assert_file_problem(
        "# mine\n[pool]\nmax_sise = 4\n",
        "unknown key pool.max_sise in FILE line 3; did you mean pool.max_size?",
    );
}

#[test]
fn a_key_that_was_renamed_names_the_new_one() {
    assert_file_problem(
        "[batch]\nat_once = 2\n",
        "unknown key batch.at_once in FILE line 2; did you mean batch.concurrency?",
    );
    assert_variable_problem(
        "WORKER__BATCH__AT_ONCE",
        "2",
        "unknown variable WORKER__BATCH__AT_ONCE; did you mean WORKER__BATCH__CONCURRENCY?",
    );
}

#[test]
fn a_key_without_its_unit_names_the_one_with_it() {
    assert_file_problem(
        "batch.lease = 60\n",
        "unknown key batch.lease in FILE line 1; did you mean batch.lease_seconds?",
    );
}

#[test]
fn a_key_in_the_wrong_section_names_the_right_one() {
    assert_file_problem(
        "[log]\nmax_attempts = 3\n",
        "unknown key log.max_attempts in FILE line 2; did you mean batch.max_attempts?",
    );
}

#[test]
fn a_part_of_a_key_is_looked_for_in_its_own_section_first() {
    assert_file_problem(
        "[pool]\nsize = 8\n",
        "unknown key pool.size in FILE line 2; did you mean pool.max_size?",
    );
}

#[test]
fn a_key_that_is_like_no_other_lists_those_of_its_section() {
    assert_file_problem(
        "[log]\ncolour = true\n",
        "unknown key log.colour in FILE line 2; \
         the keys of [log] are format, level, slow_hold_seconds, \
         old_transaction_seconds",
    );
}

#[test]
fn a_misspelt_section_names_the_nearest_one() {
    assert_file_problem(
        "[databse]\nurl = \"x\"\n",
        "unknown section [databse] in FILE line 1; did you mean [database]?",
    );
}

#[test]
fn a_section_that_is_like_no_other_lists_all() {
    assert_file_problem(
        "[kafka]\n",
        "unknown section [kafka] in FILE line 1; the sections are \
         [database], [pool], [session], [batch], [aggregation], [schedule], [service], [http], [log], \
         [alerts], [mail], [webhook], [changes], [targets_from]",
    );
}

#[test]
fn a_key_outside_all_sections_names_its_section() {
    assert_file_problem(
        "max_size = 4\n",
        "unknown key max_size in FILE line 1, outside all sections; did you mean pool.max_size?",
    );
    assert_file_problem(
        "colour = 4\n",
        "unknown key colour in FILE line 1, outside all sections; put it below its section: \
         [database], [pool], [session], [batch], [aggregation], [schedule], [service], [http], [log], \
         [alerts], [mail], [webhook], [changes], [targets_from]",
    );
}

#[test]
fn a_section_written_as_a_value_is_refused() {
    assert_file_problem(
        "pool = 4\n",
        "pool in FILE line 1 must be a section, [pool], not an integer",
    );
    assert_file_problem(
        "[[pool]]\n",
        "pool in FILE line 1 must be a section, [pool], not an array",
    );
}

#[test]
fn a_misspelt_variable_names_the_nearest_one() {
    for misspelt in [
        "WORKER__POOL__MAX_SISE",
        "WORKER__POOL_MAX_SIZE",
        "WORKER__pool__max_size",
        "WORKER__POOLS__MAX_SIZE",
        "WORKER__POOL__MAXSIZE",
        "WORKER__POOL__SIZE",
    ] {
        assert_variable_problem(
            misspelt,
            "4",
            &format!("unknown variable {misspelt}; did you mean WORKER__POOL__MAX_SIZE?"),
        );
    }
}

#[test]
fn a_variable_that_is_like_no_other_lists_those_of_its_section() {
    assert_variable_problem(
        "WORKER__LOG__COLOUR",
        "true",
        "unknown variable WORKER__LOG__COLOUR; the variables of this section are \
         WORKER__LOG__FORMAT, WORKER__LOG__LEVEL, WORKER__LOG__SLOW_HOLD_SECONDS, \
         WORKER__LOG__OLD_TRANSACTION_SECONDS",
    );
}

#[test]
fn a_variable_of_no_section_lists_the_sections() {
    for foreign in ["WORKER__KAFKA__BROKERS", "WORKER__KAFKA", "WORKER__"] {
        assert_variable_problem(
            foreign,
            "true",
            &format!(
                "unknown variable {foreign}; it must be WORKER__SECTION__KEY with a section of \
                 DATABASE, POOL, SESSION, BATCH, AGGREGATION, SCHEDULE, SERVICE, HTTP, LOG, ALERTS, \
                 MAIL, WEBHOOK, CHANGES, TARGETS_FROM"
            ),
        );
    }
}
