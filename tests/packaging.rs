//! The files that a package installs beside the program: units, example configuration, manual
//! pages, completions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::outside::{Scratch, assert_says, refused};
use crate::support::{Ran, WORKER, worker_at};

const SERVICES: [&str; 2] = ["dayfold.service", "dayfold-run-once.service"];
const TIMER: &str = "dayfold-run-once.timer";

/// The path of the program in the units.
const INSTALLED: &str = "/usr/bin/worker";

/// The greatest exposure that is let through, from 0 to 100; `systemd-analyze` shows a tenth of it.
const EXPOSURE: u32 = 15;

/// The directives that limit the harm of a compromised worker, and its load on the app.
const HARDENING: [(&str, &str); 24] = [
    ("CapabilityBoundingSet", ""),
    ("DynamicUser", "yes"),
    ("LimitCORE", "0"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("MemorySwapMax", "0"),
    ("NoNewPrivileges", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateUsers", "yes"),
    ("ProcSubset", "pid"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectSystem", "strict"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ("RestrictNamespaces", "yes"),
    ("SystemCallArchitectures", "native"),
    ("UMask", "0077"),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn packaging(path: &str) -> PathBuf {
    repository().join("packaging").join(path)
}

#[track_caller]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The settings of a unit together with its drop-in, in order.
struct Unit {
    name: &'static str,
    settings: Vec<(String, String)>,
}

impl Unit {
    /// Reads it strictly: a line is empty, a comment, a known section or a setting.
    #[track_caller]
    fn read(name: &'static str) -> Self {
        let mut text = read(&packaging("systemd").join(name));
        let drop_in = packaging("systemd").join(format!("{name}.d/hardening.conf"));
        if name != TIMER {
            text.push_str(&read(&drop_in));
        }
        let mut settings = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') {
                let sections = ["[Unit]", "[Service]", "[Timer]", "[Install]"];
                assert!(sections.contains(&line), "{name}: {line}");
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
            assert!(key.chars().all(|c| c.is_ascii_alphanumeric()), "{name}: {line}");
            settings.push((key.to_owned(), value.to_owned()));
        }
        Self { name, settings }
    }

    #[track_caller]
    fn get(&self, key: &str) -> &str {
        let mut values = self.settings.iter().filter(|(found, _)| found == key);
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            panic!("{} does not set {key} once", self.name)
        };
        value
    }

    #[track_caller]
    fn seconds(&self, key: &str) -> f64 {
        self.get(key).parse().unwrap_or_else(|_| panic!("{}: {key} is no number", self.name))
    }

    /// The arguments with which it starts the program.
    #[track_caller]
    fn arguments(&self) -> Vec<&str> {
        let arguments = self.get("ExecStart").strip_prefix(INSTALLED).unwrap();
        arguments.split_whitespace().collect()
    }
}

/// The configuration in force, as `worker check-config` shows it.
struct Shown(Vec<Value>);

impl Shown {
    #[track_caller]
    fn by(command: &mut Command) -> Self {
        let ran = Ran::of(command.args(["check-config", "--json"]).output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        Self(ran.json()["entries"].as_array().unwrap().clone())
    }

    #[track_caller]
    fn entry(&self, key: &str) -> &Value {
        self.0.iter().find(|entry| entry["key"] == key).unwrap_or_else(|| panic!("{key}"))
    }

    #[track_caller]
    fn number(&self, key: &str) -> f64 {
        self.entry(key)["value"].as_str().unwrap().parse().unwrap()
    }
}

/// Every command that `worker --help` lists, but for `help` itself.
fn commands() -> BTreeSet<String> {
    let help = Ran::of(worker_at("").arg("--help").output().unwrap()).stdout;
    let list = help.split_once("\nCommands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    // Continued lines are further in than the names.
    let named = list.lines().filter(|line| !line.starts_with("   "));
    let names = named.map(|line| line.split_whitespace().next().unwrap().to_owned());
    let names: BTreeSet<String> = names.filter(|name| name != "help").collect();
    assert!(names.contains("run") && names.contains("run-once"), "{names:?}");
    names
}

#[test]
fn the_units_start_the_program_as_it_wants_to_be_started() {
    let scratch = Scratch::new();
    fs::copy(packaging("etc/database-url"), scratch.path().join("database-url")).unwrap();
    let example = packaging("etc/worker.toml");
    for (name, command) in SERVICES.into_iter().zip(["run", "run-once"]) {
        let unit = Unit::read(name);
        let arguments = unit.arguments();
        assert!(arguments.contains(&command), "{arguments:?}");
        assert!(arguments.contains(&"/etc/dayfold/worker.toml"), "{arguments:?}");
        let mut program = worker_at("");
        for argument in arguments {
            match argument {
                "/etc/dayfold/worker.toml" => program.arg(&example),
                other => program.arg(other),
            };
        }
        // As freshly installed: the credential is there, but empty. 2 would be wrong usage.
        program.env("CREDENTIALS_DIRECTORY", scratch.path());
        let ran = Ran::of(program.output().unwrap());
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_says(ran.stderr.lines().last().unwrap(), &["error: ", "database"]);
    }
}

#[test]
fn the_credential_that_the_units_load_is_the_one_that_the_program_reads() {
    let scratch = Scratch::new();
    for unit in SERVICES.map(Unit::read) {
        let (credential, file) = unit.get("LoadCredential").split_once(':').unwrap();
        assert_eq!(file, "/etc/dayfold/database-url");
        scratch.file(credential, "postgresql://dayfold@db.invalid/app\n");
        let shown = Shown::by(worker_at("").env("CREDENTIALS_DIRECTORY", scratch.path()));
        let url = shown.entry("database.url");
        assert_eq!(url["value"], "(set)");
        assert_says(url["origin"].as_str().unwrap(), &["credential", credential]);
        fs::remove_file(scratch.path().join(credential)).unwrap();
    }
}

#[test]
fn systemd_waits_as_long_as_the_service_asks_for() {
    let shown = Shown::by(&mut worker_at(""));
    let service = Unit::read("dayfold.service");
    assert_eq!(service.get("Type"), "notify");
    // The last sign of life may be a quarter old, and the log is to say what is wrong before.
    let watchdog = service.seconds("WatchdogSec") * 0.75;
    assert!(watchdog > shown.number("service.stuck_after_seconds") + 10.0, "{watchdog}");
    for unit in SERVICES.map(Unit::read) {
        let stop = unit.seconds("TimeoutStopSec");
        assert!(stop > shown.number("service.shutdown_timeout_seconds"), "{stop}");
    }
    let once = Unit::read("dayfold-run-once.service");
    let arguments = once.arguments();
    let budget = arguments.iter().skip_while(|word| **word != "--time-budget").nth(1).unwrap();
    let budget: f64 = budget.parse().unwrap();
    assert!(once.seconds("TimeoutStartSec") > budget + once.seconds("TimeoutStopSec"));
}

#[test]
fn a_service_that_cannot_start_is_given_up_after_some_tries() {
    let unit = Unit::read("dayfold.service");
    assert_eq!(unit.get("Restart"), "on-failure");
    let tries = unit.seconds("StartLimitBurst");
    // All tries fall into the interval, so that the limit is met.
    assert!(tries * (unit.seconds("RestartSec") + 1.0) < unit.seconds("StartLimitIntervalSec"));
}

#[test]
fn the_service_and_the_timer_do_not_run_side_by_side_by_accident() {
    let timer = Unit::read(TIMER);
    assert_eq!(timer.get("Conflicts"), "dayfold.service");
    // A run by hand beside the service is meant, and harmless.
    let once = Unit::read("dayfold-run-once.service");
    assert!(once.settings.iter().all(|(key, _)| key != "Conflicts" && key != "WantedBy"));
}

#[test]
fn both_services_run_without_rights() {
    for unit in SERVICES.map(Unit::read) {
        for (key, value) in HARDENING {
            assert_eq!(unit.get(key), value, "{}: {key}", unit.name);
        }
        // systemd takes it twice: first the allowed calls, then the exceptions.
        let calls = unit.settings.iter().filter(|(key, _)| key == "SystemCallFilter");
        let calls: Vec<&str> = calls.map(|(_, value)| value.as_str()).collect();
        assert_eq!(calls, ["@system-service", "~@privileged @resources"], "{}", unit.name);
    }
}

#[test]
fn systemd_understands_the_units_and_finds_them_safe() {
    // Read as strictly as possible here, because systemd-analyze is not everywhere.
    for name in SERVICES.into_iter().chain([TIMER]) {
        let unit = Unit::read(name);
        assert_says(unit.get("Documentation"), &["man:worker(1)"]);
        assert!(!unit.get("Description").is_empty());
    }
    let analyze = |arguments: &[&str], files: &[PathBuf]| {
        Ran::of(Command::new("systemd-analyze").args(arguments).args(files).output().unwrap())
    };
    let help = Command::new("systemd-analyze").arg("--help").output();
    let can = help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--offline"));
    if !can {
        return;
    }

    let scratch = Scratch::new();
    for name in SERVICES.into_iter().chain([TIMER]) {
        // Elsewhere than the units that may be installed, with a program that is there.
        let text = read(&packaging("systemd").join(name)).replace(INSTALLED, WORKER);
        scratch.file(name, text);
        if name != TIMER {
            let folder = scratch.path().join(format!("{name}.d"));
            fs::create_dir(&folder).unwrap();
            let drop_in = packaging("systemd").join(format!("{name}.d/hardening.conf"));
            fs::write(folder.join("hardening.conf"), read(&drop_in)).unwrap();
        }
    }
    let copies = SERVICES.map(|name| scratch.path().join(name));
    let all = [&copies[..], &[scratch.path().join(TIMER)]].concat();
    // Its exit code is 0 for keys that it does not know; only silence is praise.
    let verified = analyze(&["verify", "--man=no"], &all);
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{verified:?}");
    for copy in copies {
        let threshold = format!("--threshold={EXPOSURE}");
        let arguments = ["security", "--no-pager", "--offline=true", &threshold];
        let judged = analyze(&arguments, &[copy]);
        assert_eq!(judged.code, 0, "{}{}", judged.stdout, judged.stderr);
    }
}

#[test]
fn the_example_configuration_is_valid_and_changes_nothing() {
    let defaults = Shown::by(&mut worker_at(""));
    let shown = Shown::by(worker_at("").arg("--config").arg(packaging("etc/worker.toml")));
    assert_eq!(shown.0, defaults.0);
}

#[test]
fn each_line_of_the_example_configuration_can_be_made_active() {
    let scratch = Scratch::new();
    let example = read(&packaging("etc/worker.toml"));
    // A comment has a space after its mark, a key has none.
    let active = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = example.lines().map(active).collect();
    let file = scratch.file("worker.toml", text.join("\n"));
    let shown = Shown::by(worker_at("").arg("--config").arg(&file));
    let defaults = Shown::by(&mut worker_at(""));
    let is_set = |entry: &&Value| entry["origin"] == file.to_str().unwrap();
    let set: Vec<&Value> = shown.0.iter().filter(is_set).collect();
    assert_eq!(set.len(), example.lines().filter(|line| active(line) != *line).count());
    for entry in set {
        let key = entry["key"].as_str().unwrap();
        // The default port is none, which is no example.
        let same = entry["value"] == defaults.entry(key)["value"];
        assert_eq!(same, key != "http.port", "{key}");
        let reloaded = |text: &str| marked_for_reload(text, key);
        let documented = read(&repository().join("config/default.toml"));
        assert_eq!(reloaded(&example), reloaded(&documented), "{key}");
    }
}

/// Whether the paragraph of a key says that a reload takes it over.
#[track_caller]
fn marked_for_reload(text: &str, key: &str) -> bool {
    let (section, name) = key.split_once('.').unwrap();
    let section = text.split_once(&format!("\n[{section}]")).unwrap().1;
    let sets = |line: &str| line.trim_start_matches('#').starts_with(&format!("{name} = "));
    let mut paragraphs = section.split("\n\n");
    let found = paragraphs.find(|paragraph| paragraph.lines().any(sets));
    found.unwrap_or_else(|| panic!("{key}")).contains("(reload)")
}

#[test]
fn the_file_for_the_url_is_shipped_empty_and_for_root_alone() {
    assert_eq!(read(&packaging("etc/database-url")), "");
    let manifest: toml::Table =
        read(&repository().join("crates/worker/Cargo.toml")).parse().unwrap();
    let package = &manifest["package"]["metadata"]["deb"];
    let assets = package["assets"].as_array().unwrap();
    let find = |end: &str| {
        let found = assets.iter().find(|asset| asset[0].as_str().unwrap().ends_with(end));
        found.unwrap_or_else(|| panic!("{end} is not in the package"))
    };
    let of = |end: &str| (find(end)[1].as_str().unwrap(), find(end)[2].as_str().unwrap());
    assert_eq!(of("packaging/etc/database-url"), ("etc/dayfold/", "600"));
    assert_eq!(of("packaging/etc/worker.toml"), ("etc/dayfold/", "644"));
    for asset in assets {
        let source = asset[0].as_str().unwrap();
        if source.starts_with("target/") || source.starts_with("../../target/") {
            continue;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        let found = match source.rsplit_once("/*") {
            None => path.is_file(),
            Some((_, end)) => {
                let names = fs::read_dir(path.parent().unwrap()).unwrap();
                names.flatten().any(|file| file.file_name().to_string_lossy().ends_with(end))
            }
        };
        assert!(found, "{source}");
    }
    for unit in package["systemd-units"].as_array().unwrap() {
        assert_eq!(unit["enable"].as_bool(), Some(false), "{unit}");
        assert_eq!(unit["start"].as_bool(), Some(false), "{unit}");
    }
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("man/man1");
    let ran = Ran::of(worker_at("").arg("man-pages").arg(&folder).output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let written = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name());
    let written: BTreeSet<String> = written.map(|name| name.into_string().unwrap()).collect();
    let pages = commands().into_iter().map(|command| format!("worker-{command}.1"));
    let others = ["worker.1", "worker-alerts-test.1", "worker-config-show.1"].map(str::to_owned);
    assert_eq!(written, pages.chain(others).collect());
    for page in written {
        let text = read(&folder.join(&page));
        assert_says(&text, &["\n.TH worker", "\n.SH NAME\nworker", "\n.SH SYNOPSIS\n"]);
    }
}

#[test]
fn the_manual_tells_flags_exit_codes_environment_and_files() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("man1");
    assert_eq!(Ran::of(worker_at("").arg("man-pages").arg(&folder).output().unwrap()).code, 0);
    let main = read(&folder.join("worker.1"));
    let heads = ["\"EXIT STATUS\"", "ENVIRONMENT", "FILES", "CONFIGURATION", "\"SEE ALSO\""];
    for head in heads {
        assert!(main.contains(&format!("\n.SH {head}\n")), "{head}");
    }
    for code in ["0", "1", "2", "3", "4", "130"] {
        assert!(main.contains(&format!("\n.TP\n.B {code}\n")), "{code}");
    }
    let named = ["DATABASE_URL", "NO_COLOR", "RUST_LOG", "/etc/dayfold/worker.toml"];
    assert_says(&main, &named);
    // The manual of a command has the flags of the program, too.
    for page in ["worker.1", "worker-run-once.1", "worker-config-show.1"] {
        assert_says(&read(&folder.join(page)), &["\\-\\-quiet", "\\-\\-verbose"]);
    }
}

#[test]
fn manual_pages_are_refused_where_they_cannot_be_written() {
    let scratch = Scratch::new();
    let file = scratch.file("taken", "");
    let why = refused(worker_at("").arg("man-pages").arg(file.join("man1")));
    assert_says(&why, &["cannot write manual pages", "taken/man1"]);
}

#[test]
fn the_completions_of_each_shell_know_each_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Ran::of(worker_at("").args(["completions", shell]).output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        for command in commands() {
            let mention = match shell {
                "bash" => format!("worker,{command})"),
                "zsh" => format!("({command})"),
                _ => format!("-a \"{command}\""),
            };
            assert_says(&ran.stdout, &[&mention]);
        }
    }
}
