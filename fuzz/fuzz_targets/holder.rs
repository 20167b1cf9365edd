//! Whatever is read as a holder file has a name for people.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(holder) = crik_store::image_dir::holder::parse(bytes) {
        let _ = holder.pod.to_string();
    }
});
