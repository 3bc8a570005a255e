use super::*;

const FRESH_DEBIAN: Facts =
    Facts { root: true, debian: true, apt_get: true, package_lists: true, terminal: false };

/// Decides for a machine with these facts, where apt-get gives these answers, call by call. Returns
/// the outcome, the calls and the output.
fn attempt(
    facts: Facts,
    answers: &[Result<(), &str>],
) -> (Result<(), String>, Vec<String>, Vec<String>) {
    attempt_with(facts, || panic!("asked without a terminal"), answers)
}

fn attempt_with(
    facts: Facts,
    ask: impl FnOnce() -> bool,
    answers: &[Result<(), &str>],
) -> (Result<(), String>, Vec<String>, Vec<String>) {
    let (mut calls, mut said) = (Vec::new(), Vec::new());
    let outcome = install_with(facts, &mut |line| said.push(line.to_owned()), ask, |arguments| {
        calls.push(arguments.join(" "));
        answers[calls.len() - 1].map_err(str::to_owned)
    });
    (outcome.map_err(|error| error.to_string()), calls, said)
}

const INSTALL_CALL: &str = "install --no-install-recommends postgresql";

#[test]
fn root_on_debian_installs_after_one_line() {
    let (outcome, calls, said) = attempt(FRESH_DEBIAN, &[Ok(())]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(calls, [INSTALL_CALL]);
    assert_eq!(said.len(), 1);
    assert!(!said[0].contains('\n'));
}

#[test]
fn on_a_terminal_it_asks_and_installs_only_with_consent() {
    let facts = Facts { terminal: true, ..FRESH_DEBIAN };
    let (outcome, calls, _) = attempt_with(facts, || true, &[Ok(())]);
    assert_eq!((outcome, calls.len()), (Ok(()), 1));

    let (outcome, calls, said) = attempt_with(facts, || false, &[]);
    assert!(outcome.unwrap_err().contains("apt-get install postgresql"));
    assert!(calls.is_empty() && said.is_empty());
}

#[test]
fn enter_and_yes_are_consent_and_everything_else_is_not() {
    assert!(["\n", "y\n", "Y\n", " yes \n"].into_iter().all(is_yes));
    assert!(!["n\n", "no\n", "what?\n"].into_iter().any(is_yes));
}

#[test]
fn without_package_lists_they_are_fetched_first() {
    let facts = Facts { package_lists: false, ..FRESH_DEBIAN };
    let (outcome, calls, _) = attempt(facts, &[Ok(()), Ok(())]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(calls, ["update", INSTALL_CALL]);
}

#[test]
fn old_package_lists_are_renewed_once() {
    let (outcome, calls, _) = attempt(FRESH_DEBIAN, &[Err("404"), Ok(()), Ok(())]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(calls, [INSTALL_CALL, "update", INSTALL_CALL]);
}

#[test]
fn an_update_that_fails_for_one_source_does_not_stop_the_installation() {
    let (outcome, _, _) = attempt(FRESH_DEBIAN, &[Err("404"), Err("a dead source"), Ok(())]);
    assert_eq!(outcome, Ok(()));
}

#[test]
fn an_installation_that_fails_quotes_apt_get_and_says_what_to_do() {
    let (outcome, _, _) = attempt(FRESH_DEBIAN, &[Err("404"), Err("no network"), Err("E: no")]);
    let message = outcome.unwrap_err();
    for part in ["E: no", "no network", "by hand", "PG_BIN_DIR"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains('\n'));
}

#[test]
fn nobody_else_and_nowhere_else_is_anything_installed() {
    for facts in [
        Facts { root: false, ..FRESH_DEBIAN },
        Facts { debian: false, ..FRESH_DEBIAN },
        Facts { apt_get: false, ..FRESH_DEBIAN },
    ] {
        let (outcome, calls, said) = attempt(facts, &[]);
        let message = outcome.unwrap_err();
        for part in ["apt-get", "dnf", "brew", "PG_BIN_DIR"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains('\n'));
        assert!(calls.is_empty() && said.is_empty());
    }
}

#[test]
fn debian_and_what_is_made_from_it_are_recognised() {
    assert!(is_debian("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"));
    assert!(is_debian("ID=ubuntu\nID_LIKE=debian\n"));
    assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
    assert!(!is_debian("ID=fedora\nVERSION_ID=42\n"));
    assert!(!is_debian("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nNAME=\"not debian\"\n"));
}

#[test]
fn of_what_apt_get_prints_the_errors_are_quoted() {
    let output = b"Reading package lists...\nE: Unable to locate package postgresql\n";
    assert_eq!(complaints(output), "E: Unable to locate package postgresql");
    assert_eq!(complaints(b"install: 1: flock: not found\n"), "install: 1: flock: not found");
}

#[cfg(target_os = "linux")] // Nothing is installed elsewhere, and flock is missing there.
#[test]
fn the_setting_that_prevents_a_cluster_is_there_only_while_the_command_runs() {
    let place = std::env::temp_dir().join(format!("lp-setting-{}", std::process::id()));
    let setting = place.join("createcluster.d/no-cluster.conf");
    let lock = std::env::temp_dir().join(format!("lp-setting-{}.lock", std::process::id()));
    for (command, code) in [
        ("grep -q '^create_main_cluster = false$' \"$0\"", 0),
        ("exit 7", 7),
        ("kill -s TERM $PPID", 130),
    ] {
        let status = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "install"])
            .args([&setting, &lock])
            .args(["/bin/sh", "-c", command])
            .arg(&setting)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{command}");
        assert!(!place.exists(), "{command}");
    }
    fs::remove_file(&lock).unwrap();
}

#[cfg(target_os = "linux")] // Nothing is installed elsewhere, and flock is missing there.
#[test]
fn a_setting_of_the_administrators_stays() {
    let place = std::env::temp_dir().join(format!("lp-settings-{}", std::process::id()));
    let (setting, lock) = (place.join("no-cluster.conf"), place.join("lock"));
    fs::create_dir_all(&place).unwrap();
    fs::write(&setting, "create_main_cluster = true\n").unwrap();
    let status = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "install"])
        .args([&setting, &lock])
        .arg("true")
        .status();
    assert!(status.unwrap().success());
    assert_eq!(fs::read_to_string(&setting).unwrap(), "create_main_cluster = true\n");
    fs::remove_dir_all(&place).unwrap();
}
