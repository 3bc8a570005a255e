use std::path::Path;

use super::super::layers::Layers;
use super::super::{Config, DEFAULTS, Secret};
use super::{TempFile, entry, loaded};

const SECRET: &str = "postgres://dayfold:hunter2@db/dayfold?sslmode=require";

#[test]
fn a_secret_prints_as_stars_and_is_exposed_on_demand() {
    let secret = Secret::new(SECRET.to_owned());
    assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
    assert_eq!(secret.expose(), SECRET);
}

#[test]
fn the_url_is_in_neither_debug_output_nor_entries() {
    let file = format!("database.url = \"{SECRET}\"");
    for loaded in [
        loaded(&file, &[]),
        loaded("", &[("DATABASE_URL", SECRET)]),
        loaded("", &[("WORKER__DATABASE__URL", SECRET)]),
    ] {
        assert_eq!(loaded.config.database.url.expose(), SECRET);
        assert_silent(&format!("{loaded:?} {loaded:#?}"));
        assert_eq!(entry(&loaded, "database.url").0, "(set)");
    }
    assert_eq!(entry(&loaded("", &[]), "database.url").0, "(not set)");
}

#[test]
fn no_problem_of_a_file_shows_the_url() {
    let quoted = format!("\"{SECRET}\"");
    for file in [
        format!("[database]\nurl = {SECRET}\n"),
        format!("[database]\nurl = \"{SECRET}\n"),
        format!("[database]\nurl = '{SECRET}\"\n"),
        format!("[database]\nurl = {quoted} x\n"),
        format!("[database]\nurl = [{quoted}]\n"),
        format!("[database]\nurl = {{ value = {quoted} }}\n"),
        format!("[database]\nurl = {quoted}\nurl = {quoted}\n"),
        format!("[database]\nurl = \"\\q{SECRET}\"\n"),
        format!("[database]\nurl {SECRET}\n"),
        format!("[database]\nulr = {quoted}\n"),
        format!("[database]\n{quoted} = 1\n"),
        format!("[databases]\nurl = {quoted}\n"),
        format!("[{quoted}]\n"),
        format!("[{SECRET}]\n"),
        format!("{quoted} = 1\n"),
        format!("url = {quoted}\n"),
        format!("database = {quoted}\n"),
        format!("{SECRET}\n"),
        format!("[log]\nformat = {quoted}\nlevel = 1\n"),
        format!("[session]\napplication_name = \"{SECRET}{SECRET}\"\n"),
        format!("[pool]\nmax_size = {quoted}\n"),
    ] {
        let temp = TempFile::new(&file);
        let error = Config::load(Some(temp.path()), [("A", "b")], None).unwrap_err();
        assert_silent(&format!("{error} {error:?}"));
    }
}

#[test]
fn no_problem_of_a_variable_shows_its_text() {
    let defaults = Layers::new(DEFAULTS).settings;
    let mut names: Vec<_> = defaults.iter().map(|setting| setting.variable()).collect();
    names.push("WORKER__DATABASE__ULR".to_owned());
    names.push("WORKER__".to_owned());
    // The name that a shell produces for NAME SECRET with a '=' somewhere in the secret.
    names.push(format!("WORKER__DATABASE__URL {SECRET}"));
    for name in names {
        let variables = [(name.as_str(), SECRET), ("WORKER__BATCH__SIZE", "0")];
        let error = Config::load(None, variables, None).unwrap_err();
        assert_silent(&format!("{error} {error:?}"));
    }
}

#[test]
fn a_url_in_place_of_the_file_is_not_shown() {
    let error = Config::load(Some(Path::new(SECRET)), [("A", "b")], None).unwrap_err();
    assert!(error.to_string().starts_with("--config must be the path of a file, not a URL"));
    assert_silent(&format!("{error} {error:?}"));
}

#[cfg(unix)]
#[test]
fn a_url_that_is_not_utf_8_is_not_shown_either() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let broken = OsString::from_vec([SECRET.as_bytes(), b"\xff"].concat());
    for name in ["DATABASE_URL", "WORKER__DATABASE__URL", "WORKER__DATABASE__ULR"] {
        let error = Config::load(None, [(name, broken.clone())], None).unwrap_err();
        assert_silent(&format!("{error} {error:?}"));
    }
    let temp = TempFile::new([b"database.url = \"", SECRET.as_bytes(), b"\xff\"\n"].concat());
    let error = Config::load(Some(temp.path()), [("A", "b")], None).unwrap_err();
    assert_silent(&format!("{error} {error:?}"));
}

#[track_caller]
fn assert_silent(printed: &str) {
    for part in ["postgres:", "dayfold:", "hunter2", "sslmode"] {
        assert!(!printed.contains(part), "{part} is printed in: {printed}");
    }
}
