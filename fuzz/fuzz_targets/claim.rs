//! Whatever is read as a claim has a number of attempts.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(account) = crik_store::image_dir::attempts::Attempts::parse(bytes) {
        assert!(account.counted() <= account.attempts.len());
    }
});
