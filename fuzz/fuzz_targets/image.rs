//! The records of an image are no longer than the image.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(records) = crik_agent::tree::criu::images::split(bytes) {
        assert!(records.iter().map(Vec::len).sum::<usize>() <= bytes.len());
    }
});
