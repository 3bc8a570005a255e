//! The migrations are embedded at compile time; without this, adding one would not recompile.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
