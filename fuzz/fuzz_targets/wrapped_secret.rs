//! A generation's secret that nobody wrapped is never unwrapped, whoever tries.
#![no_main]

use crik_store::encryption::context::Context;
use crik_store::encryption::keys::EncryptionKeys;
use crik_store::encryption::secret::{GenerationSecret, WrappedSecret};
use libfuzzer_sys::fuzz_target;

/// The names of these keys are `3c20a6d1` and `age16a0a9h9c`.
const KEYS: &[u8] = b"FHWI1zbF1C7JzG4Fh0nJbHMdOaYxuDeZpmQYXNN5YkE=
AGE-SECRET-KEY-1NDQF6U573NQUMFRE5UM2L73K8HQRP6LP999HSQD083NEPJ2PDGCQD94CWJ";

fuzz_target!(|bytes: &[u8]| {
    let keys = EncryptionKeys::parse(KEYS).expect("they are keys");
    let context = Context { image_dir: b"/checkpoints/job-0", generation: 7 };
    if let Ok(wrapped) = serde_json::from_slice::<Vec<WrappedSecret>>(bytes) {
        assert!(GenerationSecret::unwrap(&keys, &context, &wrapped).is_err());
    }
    // Hardly any text is JSON of the right shape with a name of a key in it.
    for name in ["3c20a6d1", "age16a0a9h9c"] {
        let key = name.to_owned().try_into().expect("it is a name");
        let wrapped = WrappedSecret { key, secret: String::from_utf8_lossy(bytes).into_owned() };
        assert!(GenerationSecret::unwrap(&keys, &context, &[wrapped]).is_err());
    }
});
