//! Whatever is read as a manifest names only files of its generation, and can be written again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = crik_store::generation::manifest::Manifest::parse(bytes) {
        assert!(manifest.files.keys().all(|name| !name.starts_with('/') && !name.split('/').any(|part| part == "..")));
        let _ = manifest.to_json();
    }
});
