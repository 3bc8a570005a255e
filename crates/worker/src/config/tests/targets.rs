use super::super::{Config, DirectoryRow, Loaded, Target};
use super::{TempFile, assert_file_problem, loaded, problems};

const TWO: &str = "database.url = \"postgres://db/app\"\n
[[targets]]
name = \"one\"
schema = \"bucket_1\"

[[targets]]
name = \"two\"
url = \"postgres://worker:hidden@other/app\"
pool.max_size = 2
batch.max_rows_per_second = 500
";

fn places(targets: &[Target]) -> Vec<(&str, &str, Option<&str>, u32)> {
    let mut places = Vec::new();
    for Target { name, loaded, .. } in targets {
        let Config { database, pool, .. } = &loaded.config;
        places.push((
            name.as_str(),
            database.url.expose(),
            database.schema.as_deref(),
            pool.max_size,
        ));
    }
    places
}

#[test]
fn a_target_has_the_common_settings_and_its_own() {
    let targets = loaded(TWO, &[]).targets(&[]).unwrap();
    let expected = [
        ("one", "postgres://db/app", Some("bucket_1"), 4),
        ("two", "postgres://worker:hidden@other/app", None, 2),
    ];
    assert_eq!(places(&targets), expected);
    assert_eq!(targets[1].loaded.config.batch.max_rows_per_second, 500);
}

#[test]
fn keys_of_targets_are_shown_with_their_lines_and_without_secrets() {
    let targets = loaded(TWO, &[]).targets(&[]).unwrap();
    let own = |target: &Target| -> Vec<(String, String, Option<usize>)> {
        let shown = target.own.iter().map(|e| (e.key.clone(), e.value.clone(), e.line));
        shown.collect()
    };
    assert_eq!(own(&targets[0]), [("targets.one.schema".into(), "bucket_1".into(), Some(5))]);
    assert_eq!(own(&targets[1])[0], ("targets.two.url".into(), "(set)".into(), Some(9)));
    assert!(!format!("{targets:?}").contains("hidden"));
}

#[test]
fn a_configuration_without_targets_has_none() {
    let loaded = loaded("", &[]);
    assert!(!loaded.has_targets());
    assert!(loaded.targets(&[]).unwrap().is_empty());
}

#[test]
fn mistakes_in_a_target_name_line_and_nearest_key() {
    let target = |lines: &str| format!("[[targets]]\nname = \"a\"\n{lines}");
    for (lines, expected) in [
        ("shema = \"b\"", "unknown key targets.shema in FILE line 3; did you mean schema?"),
        (
            "pool.max_siz = 1",
            "unknown key targets.pool.max_siz in FILE line 3; did you mean pool.max_size?",
        ),
        (
            "max_size = 1",
            "unknown key targets.max_size in FILE line 3; did you mean pool.max_size?",
        ),
        (
            "pool.max_size = \"2\"",
            "targets.pool.max_size in FILE line 3 must be an integer, not a string",
        ),
        ("pool.max_size = 0", "pool.max_size = 0 (in FILE line 3) must be between 1 and 100"),
        (
            "schema = \"a b\"",
            "database.schema in FILE line 3 must be empty, or have at most 63 letters, digits and \
             underscores and not begin with a digit",
        ),
        (
            "batch.concurrency = 4",
            "batch.concurrency = 4 (in FILE line 3) must be less than pool.max_size = 4 (by default)",
        ),
    ] {
        assert_file_problem(&target(lines), expected);
    }
    assert_file_problem(
        "[[targets]]\nschema = \"a\"\n",
        "the target in FILE line 2 has no name; add name = \"…\"",
    );
    assert_file_problem(
        "[[targets]]\nname = \"a b\"\n",
        "targets.name in FILE line 2 must have 1 to 63 letters, digits, dots, underscores and hyphens",
    );
    assert_file_problem(
        "[targets]\nname = \"a\"\n",
        "targets in FILE line 1 must be a list, [[targets]] for each, not a table",
    );
}

#[test]
fn two_targets_of_one_name_or_one_place_are_refused() {
    let one = "[[targets]]\nname = \"a\"\nschema = \"a\"\n";
    assert_file_problem(
        &format!("{one}{}", one.replace("schema = \"a\"", "schema = \"b\"")),
        "two targets have the name a: in FILE line 2 and in FILE line 5; give each its own",
    );
    assert_file_problem(
        &format!("{one}{}", one.replace("name = \"a\"", "name = \"b\"")),
        "the targets a and b have the same url and schema; remove one",
    );
}

fn with_file(targets: &TempFile) -> Loaded {
    loaded(&format!("targets_from.file = {:?}\n", targets.path()), &[])
}

#[test]
fn a_file_lists_targets_and_is_read_again() {
    let file = TempFile::new("[[targets]]\nname = \"a\"\nschema = \"a\"\n");
    let loaded = with_file(&file);
    assert!(loaded.has_targets());
    assert_eq!(loaded.targets(&[]).unwrap().len(), 1);
    std::fs::write(file.path(), "").unwrap();
    assert!(loaded.targets(&[]).unwrap().is_empty());
    std::fs::write(file.path(), "[pool]\n[[targets]]\nname = \"a\"\nurll = \"b\"").unwrap();
    let problems = loaded.targets(&[]).unwrap_err().to_string().replace(&file.shown(), "FILE");
    assert_eq!(
        problems,
        "unknown key pool in FILE line 1; this file lists only [[targets]]\n\
         unknown key targets.urll in FILE line 4; did you mean url?"
    );
}

#[test]
fn a_file_of_targets_that_is_missing_is_named() {
    let problem = problems("targets_from.file = \"/missing/targets.toml\"\n", &[]);
    assert!(problem.starts_with("cannot read /missing/targets.toml: "), "{problem}");
    assert!(problem.contains("targets_from.file"), "{problem}");
}

#[test]
fn rows_of_the_directory_are_targets_and_their_mistakes_name_the_row() {
    let row = |name: &str, schema: &str| DirectoryRow {
        name: name.to_owned(),
        url: None,
        schema: Some(schema.to_owned()),
    };
    let loaded = loaded("database.url = \"postgres://db/app\"\n", &[]);
    let targets = loaded.targets(&[row("b", "s2"), row("a", "s1")]).unwrap();
    let expected =
        [("a", "postgres://db/app", Some("s1"), 4), ("b", "postgres://db/app", Some("s2"), 4)];
    assert_eq!(places(&targets), expected);
    let problems = loaded.targets(&[row("a", "s1"), row("b c", "s"), row("d", "1")]).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "the name in row 2 of targets_from.query must have 1 to 63 letters, digits, dots, underscores \
         and hyphens\n\
         database.schema in row 3 of targets_from.query must be empty, or have at most 63 letters, \
         digits and underscores and not begin with a digit"
    );
}

#[test]
fn an_unknown_target_names_the_nearest() {
    let targets = loaded(TWO, &[]).targets(&[]).unwrap();
    assert_eq!(
        Loaded::unknown_target("tow", &targets),
        "there is no target tow; did you mean two?"
    );
    assert_eq!(
        Loaded::unknown_target("tow", &[]),
        "there is no target tow; the configuration lists no targets"
    );
}

#[test]
fn a_query_needs_its_database() {
    assert_file_problem(
        "targets_from.query = \"SELECT 1\"\n",
        "targets_from.url must not be empty where targets_from.query is set",
    );
}
