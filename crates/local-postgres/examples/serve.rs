//! Runs a private server until standard input ends: press Ctrl-D, or close the pipe.
//!
//! `cargo run -p local-postgres --example serve -- work_mem=64MB` prints the server's address on
//! one line. The arguments are settings of the server.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use local_postgres::{Binaries, LocalPostgres};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let settings: Option<Vec<_>> = arguments.iter().map(|word| word.split_once('=')).collect();
    let settings = settings.ok_or("settings are written name=value")?;

    let binaries = Binaries::find_or_install(|line| println!("{line}"))?;
    let server = LocalPostgres::start_with(&binaries, &settings)?;
    println!("{}", server.url("postgres"));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
