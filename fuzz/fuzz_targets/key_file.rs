//! A file of keys is read, and then each has a name, or is refused without being told.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match crik_store::encryption::keys::EncryptionKeys::parse(bytes) {
        Ok(keys) => assert!(format!("{keys:?}").len() > "EncryptionKeys()".len()),
        Err(problem) => assert!(problem.to_string().len() < 200),
    }
});
