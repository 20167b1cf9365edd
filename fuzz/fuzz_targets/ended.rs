//! The mark of an end is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = crik_store::image_dir::end_mark::EndMark::parse(bytes);
});
