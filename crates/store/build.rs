//! Embeds the migrations as a list of their names and SQL texts.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo:rerun-if-changed=../../migrations");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../migrations");
    let mut migrations = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, _>>()?;
    migrations.sort();
    let mut list = "[".to_owned();
    for migration in &migrations {
        let name = migration.file_name().unwrap_or_default().to_string_lossy();
        let up = migration.join("up.sql").canonicalize()?;
        write!(list, "SqlMigration {{ name: {name:?}, up: include_str!({up:?}) }},")?;
    }
    list.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("migrations.rs"), list)?;
    Ok(())
}
