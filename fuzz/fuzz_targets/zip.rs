//! Any bytes as a zip file: unpacking ends, and gives no more than its limit.
#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    if let Ok(file) = exports::unpack(Cursor::new(bytes.to_vec())) {
        let unpacked = std::io::copy(&mut file.take(u64::MAX), &mut std::io::sink());
        assert!(unpacked.is_err() || unpacked.unwrap() <= (16 << 20).max(250 * length));
    }
});
