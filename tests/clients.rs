//! The examples of `docs/clients.md`, where their language and library are installed. `CLIENTS_PYTHON` names an
//! interpreter with the libraries, `CLIENTS_NODE_PATH` a folder of modules.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use aggregation::UserIdType;

use crate::support::outside::Scratch;
use crate::support::{Database, root};

/// An example: its language, the libraries that it needs, and its text.
struct Example {
    language: String,
    libraries: Vec<String>,
    text: String,
}

/// The examples that `<!-- runs: … -->` marks.
fn examples() -> Vec<Example> {
    let document = fs::read_to_string(root().join("docs/clients.md")).unwrap();
    let marked = document.split("<!-- runs: ").skip(1).map(|marked| {
        let (needs, rest) = marked.split_once(" -->\n```").unwrap();
        let (_, code) = rest.split_once('\n').unwrap();
        let mut needs = needs.split(' ').map(str::to_owned);
        Example {
            language: needs.next().unwrap(),
            libraries: needs.collect(),
            text: code.split_once("\n```\n").unwrap().0.to_owned(),
        }
    });
    marked.collect()
}

impl Example {
    fn command(&self, argument: impl AsRef<OsStr>, more: impl AsRef<OsStr>) -> Command {
        let python = std::env::var("CLIENTS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut command = match self.language.as_str() {
            "python" => Command::new(python),
            "node" => Command::new("node"),
            other => panic!("no interpreter of {other} is known"),
        };
        if let Ok(modules) = std::env::var("CLIENTS_NODE_PATH") {
            command.env("NODE_PATH", modules);
        }
        command.arg(argument).arg(more).stdin(Stdio::null());
        command
    }

    /// Whether language and libraries are here.
    fn can_run(&self) -> bool {
        let wants = self.libraries.iter().map(|library| match self.language.as_str() {
            "python" => format!("import {library}\n"),
            _ => format!("const needed = require('{library}'); if (needed.PrismaClient) new needed.PrismaClient({{ adapter: {{}} }});\n"),
        });
        let text: String = wants
            .map(|want| if self.language == "node" { format!("{{ {want} }}") } else { want })
            .collect();
        let flag = if self.language == "python" { "-c" } else { "-e" };
        let ran = self.command(flag, text).stdout(Stdio::null()).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    }
}

/// Says it even if the test passes: what `eprintln!` writes would be kept back.
fn say(text: &str) {
    io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

#[tokio::test]
async fn each_example_of_a_client_inserts_rows_that_have_figures() {
    let examples = examples();
    assert_eq!(examples.len(), 4);
    let scratch = Scratch::new();
    for example in examples {
        let name = format!("{} with {}", example.language, example.libraries.join(", "));
        if !example.can_run() {
            say(&format!(
                "NOT RUN: the example for {name}: the language or a library is not installed"
            ));
            continue;
        }
        let db = Database::with_user_ids(UserIdType::Bigint).await;
        let file = scratch.file(
            if example.language == "python" { "example.py" } else { "example.js" },
            &example.text,
        );
        let ran = example.command(&file, "").env("DATABASE_URL", &db.url).output().unwrap();
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
        db.run_once();
        let figures = "SELECT concat_ws(' ', v.local_date, v.sample_count, v.mean, v.primary_source, n.energy_kcal, n.protein_g)
                       FROM vitals_daily AS v JOIN nutrition_daily AS n USING (user_id, local_date)";
        assert_eq!(db.value::<String>(figures).await, "2026-03-02 2 61 watch 380 12.5", "{name}");
        say(&format!("run: the example for {name}"));
    }
}
