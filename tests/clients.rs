//! The examples of `docs/clients.md`, where their language and libraries are installed. `CLIENTS_PYTHON` names an
//! interpreter with the libraries, `CLIENTS_NODE_PATH` a folder of modules, `CLIENTS_GOPATH` a folder of Go's sources,
//! if they are not those of Debian's packages.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use aggregation::UserIdType;

use crate::support::outside::Scratch;
use crate::support::{Database, root, server};

#[derive(Clone, Copy, PartialEq)]
enum Language {
    Python,
    Node,
    Ruby,
    Go,
}

/// An example: its language, the libraries that it needs, and its text.
struct Example {
    language: Language,
    libraries: Vec<String>,
    text: String,
    name: String,
}

/// The examples of the document. Each has a line `<!-- runs: … -->`.
fn examples() -> Vec<Example> {
    let document = fs::read_to_string(root().join("docs/clients.md")).unwrap();
    let marked = document.split("<!-- runs: ").skip(1).map(|marked| {
        let (needs, rest) = marked.split_once(" -->\n```").unwrap();
        let (_, code) = rest.split_once('\n').unwrap();
        let (language, libraries) = needs.split_once(' ').unwrap();
        Example {
            language: match language {
                "python" => Language::Python,
                "node" => Language::Node,
                "ruby" => Language::Ruby,
                "go" => Language::Go,
                other => panic!("no interpreter of {other} is known"),
            },
            libraries: libraries.split(' ').map(str::to_owned).collect(),
            text: code.split_once("\n```\n").unwrap().0.to_owned(),
            name: needs.to_owned(),
        }
    });
    let marked: Vec<Example> = marked.collect();
    let code = document.lines().filter(|line| line.starts_with("```")).count() / 2;
    assert_eq!(marked.len(), code, "an example has no line `<!-- runs: … -->`");
    marked
}

impl Example {
    /// The command that runs a file of the language.
    fn command(&self, file: &Path) -> Command {
        let variable = |name: &str, usual: &str| std::env::var(name).unwrap_or(usual.to_owned());
        let mut command = match self.language {
            Language::Python => Command::new(variable("CLIENTS_PYTHON", "python3")),
            Language::Node => Command::new("node"),
            Language::Ruby => Command::new("ruby"),
            Language::Go => Command::new("go"),
        };
        if self.language == Language::Go {
            // Without modules, because Debian's packages install sources only.
            let sources = variable("CLIENTS_GOPATH", "/usr/share/gocode");
            command.arg("run").env("GO111MODULE", "off").env("GOPATH", sources);
        }
        if let Ok(modules) = std::env::var("CLIENTS_NODE_PATH") {
            command.env("NODE_PATH", modules);
        }
        command.arg(file).stdin(Stdio::null());
        command
    }

    fn file(&self, scratch: &Scratch, text: &str) -> std::path::PathBuf {
        let ending = match self.language {
            Language::Python => "py",
            Language::Node => "js",
            Language::Ruby => "rb",
            Language::Go => "go",
        };
        scratch.file(&format!("example.{ending}"), text)
    }

    /// A program that succeeds if the libraries are installed.
    fn probe(&self) -> String {
        let of_library = |library: &String| {
            match self.language {
            Language::Python => format!("import {library}\n"),
            Language::Node => format!(
                "{{ const needed = require('{library}');
                    if (needed.PrismaClient) new needed.PrismaClient({{ adapter: {{ provider: 'postgres' }} }}); }}\n"
            ),
            Language::Ruby => format!("require '{library}'\n"),
            Language::Go => format!("import _ \"{library}\"\n"),
        }
        };
        let imports: String = self.libraries.iter().map(of_library).collect();
        match self.language {
            Language::Go => format!("package main\n{imports}func main() {{}}\n"),
            Language::Python | Language::Node | Language::Ruby => imports,
        }
    }

    fn can_run(&self, scratch: &Scratch) -> bool {
        let mut probe = self.command(&self.file(scratch, &self.probe()));
        let ran = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    }

    /// Passes the database. Rails reads no URL of a socket, so that libpq's variables have its folder.
    fn connect(&self, command: &mut Command, db: &Database) {
        command.env("DATABASE_URL", &db.url);
        if self.language == Language::Ruby {
            command
                .env("DATABASE_URL", format!("postgresql:///{}", db.name))
                .env("PGHOST", server().socket_directory())
                .env("PGUSER", "postgres");
        }
    }

    /// The example with the version of pgx that Debian has.
    fn with_older_pgx(self) -> Self {
        let older = |text: &str| text.replace("jackc/pgx/v5", "jackc/pgx/v4");
        let libraries = self.libraries.iter().map(|library| older(library)).collect();
        Self { text: older(&self.text), name: older(&self.name), libraries, ..self }
    }
}

/// Says it even if the test passes: what `eprintln!` writes would be kept back.
fn say(text: &str) {
    io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

#[tokio::test]
async fn each_example_of_a_client_inserts_rows_that_have_figures() {
    let examples = examples();
    assert_eq!(examples.len(), 6);
    let scratch = Scratch::new();
    for mut example in examples {
        let mut can_run = example.can_run(&scratch);
        if !can_run && example.language == Language::Go {
            example = example.with_older_pgx();
            can_run = example.can_run(&scratch);
        }
        let name = &example.name;
        if !can_run {
            say(&format!(
                "NOT RUN: the example for {name}: the language or a library is not installed"
            ));
            continue;
        }
        let db = Database::with_user_ids(UserIdType::Bigint).await;
        let file = example.file(&scratch, &example.text);
        let mut command = example.command(&file);
        example.connect(&mut command, &db);
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
        db.run_once();
        let figures = "SELECT concat_ws(' ', v.local_date, v.sample_count, v.mean, v.primary_source, n.energy_kcal, n.protein_g)
                       FROM vitals_daily AS v JOIN nutrition_daily AS n USING (user_id, local_date)";
        assert_eq!(db.value::<String>(figures).await, "2026-03-02 2 61 watch 380 12.5", "{name}");
        say(&format!("run: the example for {name}"));
    }
}
