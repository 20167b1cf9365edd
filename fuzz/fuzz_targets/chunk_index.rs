//! The index of a generation, as anybody may have written it to the volume: what is taken for one is whole in itself.

#![no_main]

use crik_store::chunks::index::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = Index::decode(bytes) {
        assert!(index.streams.iter().all(|stream| index.size(stream).is_some()));
        assert_eq!(Index::decode(&index.encode().unwrap()), Ok(index));
    }
});
