//! Any bytes as a zip file: unpacking ends, and gives no more than its limit.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    if let Ok(mut file) = exports::unpack(Cursor::new(bytes.to_vec())) {
        if let Ok(unpacked) = std::io::copy(&mut file, &mut std::io::sink()) {
            assert!(unpacked <= (16 << 20).max(250 * length));
        }
    }
});
