use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::super::{Config, LogFormat};
use super::{TempFile, defaults, entry, loaded, problems};

const URL_IN_FILE: &str = "[database]\nurl = \"postgres://file\"\n";

#[test]
fn the_file_wins_over_the_defaults() {
    let file = TempFile::new("[pool]\nmax_size = 7\n");
    let loaded = Config::load(Some(file.path()), [("HOME", "/root")], None).unwrap();
    assert_eq!(loaded.config.pool.max_size, 7);
    assert_eq!(entry(&loaded, "pool.max_size"), ("7".to_owned(), file.shown()));
    assert_eq!(entry(&loaded, "pool.min_idle"), ("1".to_owned(), "default".to_owned()));
}

#[test]
fn database_url_wins_over_the_file() {
    let loaded = loaded(URL_IN_FILE, &[("DATABASE_URL", "postgres://variable")]);
    assert_eq!(loaded.config.database.url.expose(), "postgres://variable");
    assert_eq!(entry(&loaded, "database.url"), ("(set)".to_owned(), "DATABASE_URL".to_owned()));
}

#[test]
fn an_empty_database_url_sets_nothing() {
    let loaded = loaded(URL_IN_FILE, &[("DATABASE_URL", "")]);
    assert_eq!(loaded.config.database.url.expose(), "postgres://file");
}

#[test]
fn the_variable_of_a_key_wins_over_the_file() {
    let loaded = loaded("[pool]\nmax_size = 7\n", &[("WORKER__POOL__MAX_SIZE", "9")]);
    assert_eq!(loaded.config.pool.max_size, 9);
    assert_eq!(
        entry(&loaded, "pool.max_size"),
        ("9".to_owned(), "WORKER__POOL__MAX_SIZE".to_owned())
    );
}

#[test]
fn the_variable_of_a_key_wins_over_database_url_in_either_order() {
    let general = ("DATABASE_URL", "postgres://general");
    let single = ("WORKER__DATABASE__URL", "postgres://single");
    for variables in [[general, single], [single, general]] {
        let loaded = loaded(URL_IN_FILE, &variables);
        assert_eq!(loaded.config.database.url.expose(), "postgres://single");
    }
}

#[test]
fn a_later_layer_mends_a_value_beyond_the_limits() {
    let loaded = loaded("[batch]\nsize = 500\n", &[("WORKER__BATCH__SIZE", "200")]);
    assert_eq!(loaded.config.batch.size, 200);
}

#[test]
fn variables_are_read_by_the_type_of_the_default() {
    let config = loaded(
        "",
        &[
            ("WORKER__BATCH__SIZE", " 50\n"),
            ("WORKER__BATCH__LEASE_SECONDS", "90"),
            ("WORKER__POOL__WAIT_TIMEOUT_SECONDS", "0.25"),
            ("WORKER__SESSION__JIT", "true"),
            ("WORKER__SESSION__APPLICATION_NAME", " 12 "),
            ("WORKER__LOG__FORMAT", "text"),
        ],
    )
    .config;
    assert_eq!(config.batch.size, 50);
    assert_eq!(config.batch.lease, Duration::from_secs(90));
    assert_eq!(config.pool.wait_timeout, Duration::from_millis(250));
    assert!(config.session.jit);
    assert_eq!(config.session.application_name, " 12 ");
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn a_file_may_write_whole_seconds_hexadecimals_and_dotted_keys() {
    let config = loaded("batch.size = 0x40\nbatch.lease_seconds = 90\n", &[]).config;
    assert_eq!(config.batch.size, 64);
    assert_eq!(config.batch.lease, Duration::from_secs(90));
}

#[test]
fn variables_of_others_are_no_concern() {
    let others = [("WORKER_POOL", "x"), ("DATABASE_URL_TEST", "x"), ("worker__pool", "x")];
    assert_eq!(loaded("", &others).config, defaults());
}

#[test]
fn a_missing_file_is_named() {
    let path = Path::new("/nonexistent/worker.toml");
    let error =
        Config::load(Some(path), [("WORKER__BATCH__SIZE", "1")], None).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert!(lines[0].starts_with("cannot read /nonexistent/worker.toml: No such file"), "{error}");
    assert!(lines[0].ends_with("check the path given by --config and its rights"), "{error}");
    assert!(lines[1].starts_with("batch.size = 1 "), "other problems are reported, too: {error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Some(Path::new("/")), [("A", "b")], None).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /: "), "{error}");
}

#[test]
fn a_huge_file_is_refused() {
    let problem = problems(vec![b'#'; 100_000], &[]);
    assert!(problem.starts_with("FILE is larger than 65536 bytes"), "{problem}");
}

#[cfg(unix)]
#[test]
fn an_endless_file_is_refused() {
    let error =
        Config::load(Some(Path::new("/dev/zero")), [("A", "b")], None).unwrap_err().to_string();
    assert!(error.starts_with("/dev/zero is larger than 65536 bytes"), "{error}");
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_the_line() {
    assert_eq!(
        problems(b"[log]\nlevel = \"\xff\"\n", &[]),
        "FILE line 2 is not UTF-8; save the file as UTF-8 text"
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_line_and_column() {
    let problem = problems("[pool]\nmax_size = four\n", &[]);
    assert!(problem.starts_with("FILE line 2 column 12 is not TOML: "), "{problem}");
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let problem = problems("[pool]\nmax_size = 4\nmax_size = 5\n", &[]);
    assert_eq!(problem, "FILE line 3 column 1 is not TOML: duplicate key");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let config = loaded("\u{feff}[pool]\r\nmax_size = 5\r\n", &[]).config;
    assert_eq!(config.pool.max_size, 5);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_refused_by_name() {
    use std::os::unix::ffi::OsStringExt;
    for (name, key) in [
        ("DATABASE_URL", "database.url"),
        ("WORKER__DATABASE__URL", "database.url"),
        ("WORKER__POOL__MAX_SIZE", "pool.max_size"),
    ] {
        let variable = (OsString::from(name), OsString::from_vec(vec![b'4', 0xff]));
        let error = Config::load(None, [variable], None).unwrap_err().to_string();
        let expected = format!("{key} from {name} is not UTF-8; set the variable as UTF-8 text");
        assert_eq!(error, expected);
    }
}

#[cfg(unix)]
#[test]
fn a_variable_whose_name_is_not_utf_8_is_refused_only_when_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;
    let named = |name: &[u8]| [(OsString::from_vec(name.to_vec()), OsString::from("4"))];
    assert!(Config::load(None, named(b"OTHER\xff"), None).is_ok());
    let error = Config::load(None, named(b"WORKER__POOL__MAX_SIZE\xff"), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown variable WORKER__POOL__MAX_SIZE…; did you mean WORKER__POOL__MAX_SIZE?"
    );
}
