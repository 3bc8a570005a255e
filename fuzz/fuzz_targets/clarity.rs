//! Any bytes as a file of this format: the reader ends, and each row can be stored.
#![no_main]

use exports::Format;
use fuzz::read_export;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| read_export(Format::Clarity, bytes));
